"""What it costs to write events to Kafka as CloudEvents too, and to read what was so written.

The baseline is the same log without, on the same broker. Cost is CPU time of this process, all
its threads included, per decision of about 850 bytes with a trace.
"""

import logging
import time

import numpy as np
import pytest
from msgspec import Raw

from streams.events import DECISIONS, Action, Decision, encode
from streams.logs.base import Message
from streams.logs.cloudevents import trace_headers
from streams.logs.kafka import KafkaLog
from tests.kafka_broker import running_broker
from tests.streams.logs.log_laws import Follower

MESSAGES = 10_000
GROUP = 1000
ROUNDS = 5
ACTIONS = 10
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TEXT = Raw(b'{"text":"some creative text"}')


@pytest.fixture(scope="module")
def logs():
    """The log with CloudEvents, and the one without."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    with running_broker() as broker:
        ours = KafkaLog(broker.bootstrap, prefix="ce.", cloudevents="copyloop")
        plain = KafkaLog(broker.bootstrap, prefix="plain.")
        for log in (ours, plain):
            log.create_topic(DECISIONS, partitions=4)
        yield ours, plain
        for log in (ours, plain):
            log.close()


@pytest.fixture(scope="module")
def messages():
    return [decided(n) for n in range(MESSAGES)]


def decided(n):
    decision = Decision(
        event_id=f"{n:032}",
        placement="home",
        timestamp_ms=1795428000000 + n,
        context=Raw(b'{"device":"mobile"}'),
        actions=tuple(Action(f"creative-{a}", TEXT) for a in range(ACTIONS)),
        pmf=(1 / ACTIONS,) * ACTIONS,
        index=0,
        policy_version="v",
        traceparent=TRACE,
    )
    headers = trace_headers(TRACE)
    return Message(DECISIONS, decision.event_id.encode(), encode(decision), headers)


def test_produce(benchmark, logs, messages):
    def produce(log):
        for start in range(0, MESSAGES, GROUP):
            log.append(messages[start : start + GROUP])

    compare(benchmark, produce, logs, "ratio_produce")


def test_consume(benchmark, logs, messages):
    for log in logs:
        log.append(messages)

    def consume(log):
        consumer = log.consumer([DECISIONS], Follower())
        read = 0
        while read < MESSAGES:
            read += len(consumer.poll(5.0, limit=MESSAGES - read))
        consumer.close()

    compare(benchmark, consume, logs, "ratio_consume")


def compare(benchmark, work, logs, ratio):
    """Measures the two in turns, so that what else the machine does falls on both."""
    costs = {log: [] for log in logs}

    def run(log):
        started = time.process_time()
        work(log)
        costs[log].append((time.process_time() - started) / MESSAGES)

    ours, plain = logs
    for log in logs:
        work(log)
    benchmark.pedantic(lambda: run(ours), setup=lambda: run(plain), rounds=ROUNDS)
    cost, plain_cost = (float(np.median(costs[log])) for log in logs)
    benchmark.extra_info.update(
        {
            "cpu_us_per_message": cost * 1e6,
            "plain_cpu_us_per_message": plain_cost * 1e6,
            ratio: cost / plain_cost,
        }
    )

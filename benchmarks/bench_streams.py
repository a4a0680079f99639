"""What a message costs through KafkaLog, against kafka-python used by itself on the same broker.

Cost is CPU time of this process, all its threads included, per message of 300 bytes. The
baseline is the client as it comes and, which is what our own share shows against, the client
with the options that the log sets. Both pick partitions by key. The goal is 1.3 at most.
"""

import logging
import random
import time

import kafka
import numpy as np
import pytest

from streams.logs.base import Message
from streams.logs.kafka import KafkaLog
from streams.logs.kafka import options as clients
from streams.logs.kafka import producer as appender
from streams.logs.kafka.log import CONSUMER, WAITS
from tests.kafka_broker import running_broker
from tests.streams.logs.log_laws import Follower

SEED = 7
VALUE_BYTES = 300
MESSAGES = 20_000
CONSUMED = 100_000
GROUP = 1000
ROUNDS = 7
PARTITIONS = 4


@pytest.fixture(scope="module")
def broker():
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    with running_broker() as broker:
        yield broker


@pytest.fixture(scope="module")
def log(broker):
    log = KafkaLog(broker.bootstrap)
    log.create_topic("produced", partitions=PARTITIONS)
    log.create_topic("consumed", partitions=PARTITIONS)
    yield log
    log.close()


@pytest.fixture(scope="module")
def messages():
    value = random.Random(SEED).randbytes(VALUE_BYTES // 2).hex().encode()
    return [Message("produced", b"event-%032d" % n, value) for n in range(MESSAGES)]


def same_options(kind, ours):
    """Returns what the log gives its clients of that kind."""
    options = clients.DEFAULTS | ours
    return {name: value for name, value in options.items() if name in kind.DEFAULT_CONFIG}


def test_produce(benchmark, broker, log, messages):
    produce(benchmark, broker, log, messages, {})


def test_produce_against_the_same_options(benchmark, broker, log, messages):
    options = same_options(kafka.KafkaProducer, appender.DEFAULTS)
    produce(benchmark, broker, log, messages, options)


def produce(benchmark, broker, log, messages, options):
    producer = kafka.KafkaProducer(bootstrap_servers=broker.bootstrap, **options)

    def bare():
        for start in range(0, MESSAGES, GROUP):
            for message in messages[start : start + GROUP]:
                producer.send("produced", key=message.key, value=message.value)
            producer.flush()

    def ours():
        for start in range(0, MESSAGES, GROUP):
            log.append(messages[start : start + GROUP])

    bare()
    ours()
    compare(benchmark, ours, bare, MESSAGES, "ratio_produce")
    producer.close()


@pytest.fixture(scope="module")
def topic(log, messages):
    """A topic that holds what is to be consumed."""
    for _ in range(CONSUMED // MESSAGES):
        log.append([message._replace(topic="consumed") for message in messages])
    return "consumed"


def test_consume(benchmark, broker, log, topic):
    consume(benchmark, broker, log, topic, {})


def test_consume_against_the_same_options(benchmark, broker, log, topic):
    options = same_options(kafka.KafkaConsumer, WAITS | CONSUMER)
    consume(benchmark, broker, log, topic, options)


def consume(benchmark, broker, log, topic, options):
    options = options | {"bootstrap_servers": broker.bootstrap, "auto_offset_reset": "earliest"}

    def bare():
        consumer = kafka.KafkaConsumer(topic, **options)
        read = 0
        while read < CONSUMED:
            read += sum(map(len, consumer.poll(5000, max_records=5000).values()))
        consumer.close()

    def ours():
        consumer = log.consumer([topic], Follower())
        read = 0
        while read < CONSUMED:
            read += len(consumer.poll(5.0))
        consumer.close()

    bare()
    ours()
    compare(benchmark, ours, bare, CONSUMED, "ratio_consume")


@pytest.mark.parametrize("group", [1, 100, 1000])
def test_append_latency(benchmark, log, messages, group):
    log.append(messages[:group])
    benchmark.pedantic(log.append, (messages[:group],), rounds=max(2000 // group, 20))
    p50, p99 = np.percentile(benchmark.stats.stats.data, [50, 99]) * 1e3
    benchmark.extra_info.update(append_p50_ms=float(p50), append_p99_ms=float(p99))


def compare(benchmark, ours, baseline, messages, ratio):
    """Measures the two in turns, so that what else the machine does falls on both."""
    costs = {ours: [], baseline: []}

    def run(work):
        started = time.process_time()
        work()
        costs[work].append((time.process_time() - started) / messages)

    benchmark.pedantic(lambda: run(ours), setup=lambda: run(baseline), rounds=ROUNDS)
    cost, bare_cost = (float(np.median(costs[work])) for work in (ours, baseline))
    benchmark.extra_info.update(
        {
            "cpu_us_per_message": cost * 1e6,
            "bare_cpu_us_per_message": bare_cost * 1e6,
            ratio: cost / bare_cost,
        }
    )

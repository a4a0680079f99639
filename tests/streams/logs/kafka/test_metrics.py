"""A process's metrics on Kafka: lag of a group's member, and an answer while the broker hangs."""

import gc
import time
from uuid import uuid4

import pytest
from prometheus_client import generate_latest

from streams.logs.base import Message
from streams.logs.kafka import KafkaLog
from streams.metrics import PATIENCE_SECONDS, ProcessMetrics
from tests.scraping import Scraped
from tests.streams.logs.log_laws import Follower, poll_until

pytestmark = [
    pytest.mark.kafka,
    # The client leaves the sockets of refused connections to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def _collected():
    yield
    gc.collect()


def told(metrics, topic):
    """Returns the lag of both partitions, and whether the log is told to be there."""
    answer = Scraped(generate_latest(metrics.registry).decode())
    lags = [
        answer("copyloop_consumer_lag_records", log="log", group="g", topic=topic, partition=number)
        for number in (0, 1)
    ]
    return lags, answer("copyloop_log_reachable", log="log")


def test_lag_is_told_and_a_broker_that_hangs_is_not_waited_for(kafka_broker):
    metrics, topic = ProcessMetrics(), f"t-{uuid4().hex[:8]}"
    kafka = KafkaLog(kafka_broker.bootstrap, prefix="metrics.", request_timeout_ms=5_000)
    log = metrics.metered(kafka, "log")
    log.create_topic(topic, partitions=2)
    consumer = log.consumer([topic], Follower(), group="g")
    log.append([Message(topic, b"", b"v", partition=n) for n in (0, 1, 1)])
    assert len(poll_until(consumer, 3)) == 3
    assert told(metrics, topic) == ([0, 0], 1)
    log.append([Message(topic, b"", b"v", partition=1)] * 4)
    assert told(metrics, topic) == ([0, 4], 1)

    kafka_broker.suspend()
    try:
        # The broker answers nothing for as long as it is asked, and the process is told so.
        assert [told(metrics, topic) for _ in range(2)] == [([None, None], 0)] * 2
    finally:
        kafka_broker.resume()
    deadline = time.monotonic() + 30 * PATIENCE_SECONDS
    while (now := told(metrics, topic)) != ([0, 4], 1):
        assert time.monotonic() < deadline, now
    assert len(poll_until(consumer, 4)) == 4
    assert told(metrics, topic) == ([0, 0], 1)
    consumer.close()
    log.close()

"""The API while its Kafka broker hangs or is dead: it answers, and everything gets there."""

import signal
from contextlib import closing
from uuid import uuid4

import pytest

from streams.events import DECISIONS, OUTCOMES
from streams.logs.kafka import KafkaLog
from tests.bandit.service.api_server import Api, served, start_process, wait_until
from tests.kafka_broker import free_ports

pytestmark = [
    pytest.mark.kafka,
    # The client leaves the sockets of refused connections to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.usefixtures("collected"),
]

HASTY = "request_timeout_ms=1000&delivery_timeout_ms=2000&max_block_ms=1000"
ANSWERED = 30


class Traffic:
    """Ranks and clicks, one after the other, and which of them were answered."""

    def __init__(self):
        self.ids = []

    def go_on(self, api, count):
        for _ in range(count):
            event_id = uuid4().hex
            answer = api.rank("p", event_id=event_id)
            assert answer.status_code == 200, answer.text
            clicked = api.event("p", event_id, "outcomes", {"kind": "click"})
            assert clicked.status_code == 202, clicked.text
            self.ids.append(event_id)


def status(api):
    return api.client.get("/health").json().get("status")


def first_of_each(log, topic):
    """The event ids in a topic, in order, each where it first appears."""
    events = Api("", None, log).logged(topic)
    return list(dict.fromkeys(event.event_id for event in events))


@pytest.fixture
def place(kafka_broker):
    """The log's URL, and how to read it."""
    prefix = f"outage-{uuid4().hex[:8]}."
    url = f"kafka://{kafka_broker.bootstrap}?prefix={prefix}&{HASTY}"
    return url, lambda: closing(KafkaLog(kafka_broker.bootstrap, prefix=prefix))


def assert_all_there(read, ids):
    with read() as log:
        assert first_of_each(log, DECISIONS) == ids
        assert first_of_each(log, OUTCOMES) == ids


def test_a_broker_that_dies_keeps_nobody_waiting(tmp_path, kafka_broker, place):
    url, read = place
    traffic = Traffic()
    with served(tmp_path, "--log", url) as (process, api):
        api.placement("p")
        traffic.go_on(api, 5)
        kafka_broker.kill()
        try:
            traffic.go_on(api, ANSWERED)
            assert status(api) == "spooling"
        finally:
            kafka_broker.start()
        traffic.go_on(api, 5)
        wait_until(lambda: status(api) == "ok")
        traffic.go_on(api, 5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert_all_there(read, traffic.ids)


def test_a_kill_while_the_broker_hangs_loses_nothing_that_was_answered(
    tmp_path, kafka_broker, place
):
    url, read = place
    traffic = Traffic()
    with served(tmp_path, "--log", url) as (process, api):
        api.placement("p")
        traffic.go_on(api, 5)
        kafka_broker.suspend()
        try:
            traffic.go_on(api, ANSWERED)
            assert status(api) == "spooling"
            process.kill()
            process.wait()
        finally:
            kafka_broker.resume()
    with served(tmp_path, "--log", url) as (process, api):
        traffic.go_on(api, 5)
        wait_until(lambda: status(api) == "ok")
    assert_all_there(read, traffic.ids)


def test_a_start_without_a_broker_says_so_and_may_be_tried_again(tmp_path):
    (port,) = free_ports(1)
    process = start_process(tmp_path, "--log", f"kafka://127.0.0.1:{port}?bootstrap_timeout_ms=300")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "log_unavailable" in said
    assert "Traceback" not in said

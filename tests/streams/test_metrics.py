import dataclasses
import logging
import re
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from urllib.error import URLError
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bandit.learning.worker import LEARN, LearnCounts
from generator.worker import COUNTED, GeneratorCounts
from streams import metrics as metrics_module
from streams.archive.parquet import ARCHIVED, ArchiveCounts, run_archive
from streams.errors import ListenError, LogUnavailable
from streams.events import DEAD_LETTER, DECISIONS, INTERACTIONS, OUTCOMES
from streams.ingest.worker import IngestCounts
from streams.join.partition import JoinCounts, JoinLatency
from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from streams.metrics import ARCHIVE, INGEST, JOIN, ProcessMetrics, served
from streams.topics import create_topics
from tests.scraping import Scraped, scrape
from tests.streams.ingest.ingesting import click, ingest_all, wait_until, write
from tests.streams.join.joiner_runs import (
    append_all,
    expected,
    has_come_out,
    history,
    interactions,
    joining,
    prepared_log,
    steps,
)
from tests.streams.join.joiner_runs import wait_until as wait_for_joiner
from tests.streams.logs.log_laws import Follower, poll_until


@contextmanager
def scraped_process(caplog):
    """A process's metrics, served on a free port; yields them and what asks for them."""
    metrics = ProcessMetrics()
    with caplog.at_level(logging.INFO), served(metrics.registry, "127.0.0.1", 0):
        url = re.search(r"(http://127.0.0.1:\d+)/metrics", caplog.text)[1]
        yield metrics, lambda: scrape(url)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (JoinCounts, JOIN),
        (IngestCounts, INGEST),
        (ArchiveCounts, ARCHIVE),
        (LearnCounts, LEARN),
        (GeneratorCounts, COUNTED),
    ],
)
def test_every_count_is_told_with_words(counts, words):
    fields = {field.name for field in dataclasses.fields(counts) if field.type == "int"}
    assert set(words) == fields
    assert all(text.endswith(".") for text in words.values())


def test_a_joiner_tells_what_it_counted(tmp_path, caplog):
    counts = JoinCounts()
    with prepared_log("sqlite", tmp_path) as log, scraped_process(caplog) as (metrics, ask):
        append_all(log, history(200))
        wanted, letters = expected(log)
        metered = metrics.metered(log, "log")
        metrics.add_counts("join", counts, JOIN)
        metrics.add_latency(counts.latency)
        with joining(metered, tmp_path / "checkpoints", counts=counts) as future:
            wait_for_joiner(lambda: has_come_out(log, wanted, letters), future)
            during = ask()
        after, written = ask(), interactions(log)
    assert future.result() is counts
    for name in JOIN:
        assert after(f"copyloop_join_{name}_total") == getattr(counts, name), name
    assert after("copyloop_join_interactions_total") == len(written)
    assert after("copyloop_join_dead_lettered_total") == len(letters)
    assert min(counts.late, counts.orphan, counts.duplicate, counts.defaulted) > 0
    assert after("copyloop_log_appended_messages_total", log="log", topic=INTERACTIONS) == len(
        written
    )
    assert after("copyloop_log_appended_messages_total", log="log", topic=DEAD_LETTER) == len(
        letters
    )
    for topic in (DECISIONS, OUTCOMES):
        for partition in (0, 1):
            labels = {"log": "log", "group": "joiner", "topic": topic, "partition": partition}
            assert during("copyloop_consumer_lag_records", **labels) is not None
    assert after.all("copyloop_consumer_lag_records") == []
    for status in ("provisional", "corrected", "closed"):
        count = sum(interaction.status == status for interaction in written)
        assert after("copyloop_join_latency_seconds_count", status=status) == count


def test_latency_is_counted_once_an_interaction_however_often_it_is_joined(tmp_path):
    with prepared_log("memory", tmp_path) as log:
        append_all(log, history(60))
        joined = [steps(log, tmp_path / name, 6) for name in ("once", "again")]
        written = len(interactions(log))
    counted = [sum(map(sum, counts.latency.counts.values())) for counts in joined]
    assert written > 0
    assert [counts.interactions for counts in joined] == [written, written]
    assert counted == [written, 0], "what was written before is not written again"


def test_latency_goes_into_the_bucket_that_holds_it():
    latency, metrics = JoinLatency(), ProcessMetrics()
    metrics.add_latency(latency)
    for timestamp_ms in (1000, 995, 994, 1001, -10_000_000):
        latency.due("closed", timestamp_ms)
    latency.written(1000)
    latency.written(9000)
    text = Scraped(generate_latest(metrics.registry).decode())
    name = "copyloop_join_latency_seconds"
    buckets = {le: text(f"{name}_bucket", status="closed", le=le) for le in ("0.005", "0.01")}
    assert buckets == {"0.005": 3, "0.01": 4}
    assert text(f"{name}_bucket", status="closed", le="3600.0") == 4
    assert text(f"{name}_bucket", status="closed", le="+Inf") == 5
    assert text(f"{name}_count", status="closed") == 5
    assert text(f"{name}_sum", status="closed") == pytest.approx(10_001.0 + 0.011)
    assert text(f"{name}_count", status="corrected") == 0


def test_an_ingest_tells_what_became_of_records_from_another_log(tmp_path, caplog):
    theirs = SqliteLog(tmp_path / "theirs.db")
    theirs.create_topic("clicks", partitions=2)
    ours = SqliteLog(tmp_path / "ours.db")
    create_topics(ours)
    write(theirs, click(1), click(2, "view"), b"no json", click(3, "buy"))
    counts = IngestCounts()
    with scraped_process(caplog) as (metrics, ask):
        metrics.add_counts("ingest", counts, INGEST)
        log, source = metrics.metered(ours, "log"), metrics.metered(theirs, "source")
        ingest_all(log, tmp_path / "checkpoints", source=source, counts=counts)
        answer = ask()
    told = [answer(f"copyloop_ingest_{name}_total") for name in INGEST]
    assert told == [4, 2, 1, 1] == list(dataclasses.astuple(counts))
    read, appended = "copyloop_log_read_records_total", "copyloop_log_appended_messages_total"
    assert answer(read, log="source", topic="clicks") == 4
    assert answer(appended, log="log", topic=OUTCOMES) == 2
    assert (answer("copyloop_log_reachable", log="source"), answer(read, log="log")) == (1, None)
    for log in (ours, theirs):
        log.close()


def test_an_archive_tells_what_it_wrote(tmp_path):
    log, stop, counts = MemoryLog(), threading.Event(), ArchiveCounts()
    create_topics(log)
    log.append([Message(ARCHIVED[0], b"k", b"1")] * 5 + [Message(ARCHIVED[1], b"k", b"2")] * 2)
    stop.set()
    run_archive(log, tmp_path, stop=stop, counts=counts)
    assert (counts.rows, counts.files) == (7, 2)


def test_the_lag_is_that_of_the_moment_it_is_asked_for(caplog):
    with scraped_process(caplog) as (metrics, ask):
        log = metrics.metered(MemoryLog(), "log")
        log.create_topic("t")
        consumer = log.consumer(["t"], Follower(), group="g")
        consumer.poll(0.0)
        labels = {"log": "log", "group": "g", "topic": "t", "partition": 0}
        seen = []
        for _ in range(2):
            log.append([Message("t", b"k", b"v")] * 3)
            seen.append(ask()("copyloop_consumer_lag_records", **labels))
            consumer.poll(0.0, limit=2)
        seen.append(ask()("copyloop_consumer_lag_records", **labels))
        consumer.close()
    assert seen == [3, 4, 2]


class Moody(MemoryLog):
    """A log that can be gone, or take forever to say so."""

    def __init__(self):
        super().__init__()
        self.gone = False
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0

    def end_offset(self, partition):
        self.asked += 1
        self.answers.wait(30)
        if self.gone:
            raise LogUnavailable("gone fishing")
        return super().end_offset(partition)


@pytest.fixture
def moody(caplog):
    """A log with a consumer, and what asks for its metrics."""
    log = Moody()
    with scraped_process(caplog) as (metrics, ask):
        metered = metrics.metered(log, "log")
        metered.create_topic("t")
        metered.append([Message("t", b"k", b"v")])
        consumer = metered.consumer(["t"], Follower())
        consumer.poll(0.0)
        yield log, ask
        consumer.close()


def lag_and_reachable(answer):
    assert answer("copyloop_log_read_records_total", log="log", topic="t") == 1
    return answer.all("copyloop_consumer_lag_records"), answer("copyloop_log_reachable", log="log")


def test_a_log_that_is_gone_takes_its_lag_with_it_and_nothing_else(moody, caplog):
    log, ask = moody
    assert lag_and_reachable(ask()) == ([0], 1)
    log.gone = True
    assert lag_and_reachable(ask()) == ([], 0)
    assert "gone fishing" in caplog.text
    log.gone = False
    assert lag_and_reachable(ask()) == ([0], 1)


def test_a_log_that_does_not_answer_is_not_waited_for_and_asked_once(moody, monkeypatch):
    monkeypatch.setattr(metrics_module, "PATIENCE_SECONDS", 0.05)
    log, ask = moody
    log.answers.clear()
    assert [lag_and_reachable(ask()) for _ in range(3)] == [([], 0)] * 3
    assert log.asked == 1
    log.answers.set()
    while lag_and_reachable(ask()) != ([0], 1):
        pass


@pytest.mark.kafka
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("collected")
def test_lag_on_kafka_is_told_and_a_broker_that_hangs_is_not_waited_for(kafka_broker, caplog):
    from streams.logs.kafka import KafkaLog

    topic = f"t-{uuid4().hex[:8]}"
    kafka = KafkaLog(kafka_broker.bootstrap, prefix="metrics.", request_timeout_ms=5_000)
    with scraped_process(caplog) as (metrics, ask), closing(metrics.metered(kafka, "log")) as log:

        def told():
            """Returns the lag of both partitions, and whether the log is told to be there."""
            answer, labels = ask(), {"log": "log", "group": "g", "topic": topic}
            lags = [answer("copyloop_consumer_lag_records", **labels, partition=n) for n in (0, 1)]
            return lags, answer("copyloop_log_reachable", log="log")

        log.create_topic(topic, partitions=2)
        consumer = log.consumer([topic], Follower(), group="g")
        log.append([Message(topic, b"", b"v", partition=n) for n in (0, 1, 1)])
        assert len(poll_until(consumer, 3)) == 3
        assert told() == ([0, 0], 1)
        log.append([Message(topic, b"", b"v", partition=1)] * 4)
        assert told() == ([0, 4], 1)
        kafka_broker.suspend()
        try:
            # The broker answers nothing for as long as it is asked, and the process is told so.
            assert [told() for _ in range(2)] == [([None, None], 0)] * 2
        finally:
            kafka_broker.resume()
        wait_until(lambda: told() == ([0, 4], 1))
        assert len(poll_until(consumer, 4)) == 4
        assert told() == ([0, 0], 1)
        consumer.close()


def test_names_and_types_are_as_prometheus_wants_them(tmp_path, caplog):
    counts = JoinCounts()
    with scraped_process(caplog) as (metrics, ask):
        log = metrics.metered(MemoryLog(), "log")
        create_topics(log)
        log.append([Message(OUTCOMES, b"k", b"v")])
        metrics.add_counts("join", counts, JOIN)
        metrics.add_latency(counts.latency)
        families = ask().families
    ours = {name: family for name, family in families.items() if name.startswith("copyloop_")}
    assert len(ours) == len(JOIN) + 7
    for name, family in ours.items():
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        if family.type == "counter":
            assert all(sample.name == f"{name}_total" for sample in family.samples)
    assert "process_resident_memory_bytes" in families


def test_nobody_listens_without_a_port_or_after_the_end(caplog):
    with caplog.at_level(logging.INFO), served(CollectorRegistry(), "127.0.0.1", None):
        assert caplog.text == ""
    with scraped_process(caplog) as (_, ask):
        ask()
    with pytest.raises(URLError):
        ask()


def test_a_port_that_is_taken_is_an_error_with_a_code():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ListenError, match=f"port {port}: Address already in use") as refusal,
            served(CollectorRegistry(), "127.0.0.1", port),
        ):
            pass
    assert (refusal.value.code, refusal.value.retriable) == ("listen_failed", False)


@pytest.mark.parametrize("process", ["join", "archive"])
def test_a_process_whose_port_is_taken_ends_with_2_and_says_why(process, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "streams", process, "--data", str(tmp_path)]
        done = subprocess.run(
            [*command, "--metrics-port", str(port)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert f"copyloop: listen_failed: cannot serve metrics on host '127.0.0.1', port {port}" in (
        done.stderr
    )
    assert not (tmp_path / "log.db").exists(), "it has done nothing yet"

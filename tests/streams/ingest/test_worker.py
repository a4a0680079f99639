"""What ingest makes of a team's topic, where it goes on, and what it refuses to do."""

import json
import threading
from contextlib import suppress

import pytest

from streams.dead_letters import read_dead_letters, replay
from streams.errors import MappingError, TopicError
from streams.events import DEAD_LETTER, OUTCOMES, TOPICS, decode
from streams.ingest.mapping import TopicMapping
from streams.ingest.worker import run_ingest
from streams.logs.embedded import MemoryLog
from tests.streams.ingest.ingesting import (
    CLICKS,
    PARTITIONS,
    Crash,
    Fragile,
    click,
    ingest_all,
    outcomes,
    read,
    running,
    wait_until,
    with_clicks,
    write,
)

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def log(empty_log):
    return with_clicks(empty_log)


def test_records_become_outcomes_keyed_by_their_event(log, tmp_path):
    write(log, click(1), click(2, "view"), click(3, "buy", v=9.5))
    ingest_all(log, tmp_path)
    found = {o.event_id: (o.kind, o.value) for o in outcomes(log)}
    assert found == {"e-1": ("click", 1.0), "e-3": ("sale", 9.5)}
    assert {r.key for r in read(log, OUTCOMES)} == {b"e-1", b"e-3"}
    assert not read(log, DEAD_LETTER)


def test_what_became_of_the_records_is_counted(log, tmp_path):
    write(log, click(1), click(2, "view"), b"{", click(4))
    stop = threading.Event()
    stop_soon = threading.Timer(0.3, stop.set)
    stop_soon.start()
    counts = run_ingest(log, tmp_path, [CLICKS], stop=stop)
    assert (counts.records, counts.outcomes, counts.skipped, counts.refused) == (4, 2, 1, 1)


def test_the_trace_goes_with_the_outcome(log, tmp_path):
    headers = (("traceparent", TRACE), ("tracestate", b"shop=1"), ("other", b"x"))
    write(log, click(1), headers=headers)
    ingest_all(log, tmp_path)
    (record,) = read(log, OUTCOMES)
    assert record.headers == headers[:2]
    assert decode(record.value).traceparent == TRACE.decode()


def test_a_record_that_cannot_be_mapped_is_laid_aside_as_it_is(log, tmp_path):
    write(log, b"{\xff", headers=(("traceparent", TRACE),))
    ingest_all(log, tmp_path)
    (letter,) = read_dead_letters(log)
    assert letter.reason == "mapping_not_json"
    assert (letter.key, letter.value, letter.headers) == (b"0", b"{\xff", (("traceparent", TRACE),))
    assert letter.source[0] == "clicks"


def test_it_goes_on_where_it_was(log, tmp_path):
    write(log, click(1), b"{")
    ingest_all(log, tmp_path)
    write(log, click(2), b"{")
    ingest_all(log, tmp_path)
    assert sorted(o.event_id for o in outcomes(log)) == ["e-1", "e-2"]
    assert len(read(log, DEAD_LETTER)) == 2


def test_without_its_checkpoints_it_goes_on_where_the_group_was(log, tmp_path):
    write(log, click(1), b"{")
    ingest_all(log, tmp_path / "one machine")
    write(log, click(2), b"{")
    ingest_all(log, tmp_path / "another")
    # The first machine's checkpoints are old by now.
    write(log, click(3))
    ingest_all(log, tmp_path / "one machine")
    assert sorted(o.event_id for o in outcomes(log)) == ["e-1", "e-2", "e-3"]
    assert len(read(log, DEAD_LETTER)) == 2


def test_it_can_begin_with_what_comes_from_now_on(log, tmp_path):
    write(log, click(1), b"{")
    fragile = Fragile(log, 1, Crash(), written=False)
    options = {"begin": "newest", "checkpoint_seconds": 1000}
    with suppress(Crash), running(run_ingest, fragile, tmp_path, [CLICKS], **options) as thread:
        wait_until(lambda: len([*tmp_path.glob("*.checkpoint")]) == PARTITIONS, thread)
        write(log, click(3))
        thread.join()
    # Begun is begun: what came since, and before anything else was saved, is not left out.
    with running(run_ingest, log, tmp_path, [CLICKS], **options) as thread:
        wait_until(lambda: outcomes(log), thread)
    assert [o.event_id for o in outcomes(log)] == ["e-3"]
    assert not read(log, DEAD_LETTER)


def test_topics_may_be_in_another_log(log, tmp_path):
    source = MemoryLog()
    source.create_topic("clicks", partitions=PARTITIONS)
    write(source, click(1), b"{")
    ingest_all(log, tmp_path, source=source)
    assert [o.event_id for o in outcomes(log)] == ["e-1"]
    (letter,) = read_dead_letters(log)
    replay(source, [letter], value=json.dumps(click(2)).encode())
    ingest_all(log, tmp_path, source=source)
    assert {o.event_id for o in outcomes(log)} == {"e-1", "e-2"}


@pytest.mark.parametrize(
    ("topic", "error", "words"),
    [("absent", TopicError, "absent"), *((topic, MappingError, "own") for topic in TOPICS)],
)
def test_a_topic_that_is_missing_or_our_own_is_not_mapped(log, tmp_path, topic, error, words):
    mapping = TopicMapping(topic=topic, event_id="e", kind="k")
    with pytest.raises(error, match=words):
        run_ingest(log, tmp_path, [mapping], stop=threading.Event())


def test_a_topic_has_one_mapping(log, tmp_path):
    with pytest.raises(MappingError, match="two mappings"):
        run_ingest(log, tmp_path, [CLICKS, CLICKS], stop=threading.Event())

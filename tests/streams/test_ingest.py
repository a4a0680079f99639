import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress

import pytest

from streams.catalogue import catalogue_message
from streams.checkpoint import Checkpoints
from streams.dead_letters import find_letter, read_letters, replay
from streams.errors import CheckpointError, LockError, LogUnavailable, MappingError, TopicError
from streams.events import (
    DEAD_LETTER,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    TOPICS,
    Action,
    Decision,
    Placement,
    Raw,
    RewardKind,
    RewardRule,
    decode,
    encode,
)
from streams.ingest import run_ingest
from streams.joiner import run_joiner
from streams.log import Message, TopicPartition, open_log
from streams.mapping import Kind, TopicMapping
from streams.memory import MemoryLog
from streams.sqlite import SqliteLog
from streams.topics import INGEST_GROUP, create_topics

PARTITIONS = 2
PATIENCE_SECONDS = 60
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLICKS = TopicMapping(
    topic="clicks",
    event_id="e",
    kind=Kind(path="t", table={"click": "click", "buy": "sale"}, others="skip"),
    value="v || `1`",
)
QUICKLY = {"checkpoint_seconds": 0.01}


@pytest.fixture(params=["memory", "sqlite"])
def log(request, tmp_path):
    opened = MemoryLog() if request.param == "memory" else SqliteLog(tmp_path / "log.db")
    create_topics(opened, partitions=PARTITIONS)
    opened.create_topic("clicks", partitions=PARTITIONS)
    yield opened
    opened.close()


def write(log, *documents, headers=()):
    """Appends records to the team's topic; bytes as they are, all else as JSON."""
    log.append(
        [
            Message(
                "clicks", b"%d" % n, d if isinstance(d, bytes) else json.dumps(d).encode(), headers
            )
            for n, d in enumerate(documents)
        ]
    )


def click(n, kind="click", **more):
    return {"e": f"e-{n}", "t": kind} | more


def read(log, topic):
    records = []
    for partition in (TopicPartition(topic, n) for n in range(log.partitions(topic))):
        offset = 0
        while found := log.read(partition, offset):
            records += found
            offset = found[-1].offset + 1
    return records


def outcomes(log):
    return [decode(r.value) for r in read(log, OUTCOMES) if b'"tick"' not in r.value]


def committed(log):
    return [
        log.committed(INGEST_GROUP, TopicPartition("clicks", n)) or 0 for n in range(PARTITIONS)
    ]


def caught_up(log):
    ends = [log.end_offset(TopicPartition("clicks", n)) for n in range(PARTITIONS)]
    return committed(log) == ends


@contextmanager
def running(target, *arguments, **options):
    """Runs a process of ours in a thread; what it raised is raised at the end."""
    stop, raised = threading.Event(), []

    def run():
        try:
            target(*arguments, stop=stop, **options)
        except BaseException as error:  # noqa: BLE001  # raised again below
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join()
    if raised:
        raise raised[0]


def wait_until(condition, thread):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert thread.is_alive(), "it ended"
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.005)


def ingest_all(log, directory, mappings=(CLICKS,), *, source=None, **options):
    with running(
        run_ingest, log, directory, mappings, source=source, **QUICKLY, **options
    ) as thread:
        wait_until(lambda: caught_up(source or log), thread)


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
    (letter,) = read_letters(log)
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
    (letter,) = read_letters(log)
    replay(source, [letter], value=json.dumps(click(2)).encode())
    ingest_all(log, tmp_path, source=source)
    assert {o.event_id for o in outcomes(log)} == {"e-1", "e-2"}


class Fragile:
    """A log that fails at its n-th append, before or after it is written."""

    def __init__(self, log, n, error, *, written):
        self._log, self._left, self._error, self._written = log, n, error, written

    def append(self, messages):
        self._left -= 1
        if self._left:
            return self._log.append(messages)
        if self._written:
            self._log.append(messages)
        raise self._error

    def __getattr__(self, name):
        return getattr(self._log, name)


class Crash(Exception):
    pass


@pytest.mark.parametrize("saving", [{"checkpoint_seconds": 0}, {}], ids=["saving", "not saving"])
@pytest.mark.parametrize("written", [True, False], ids=["written", "not written"])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_crash_loses_nothing_and_lays_nothing_aside_twice(log, tmp_path, n, written, saving):
    rows = [b"{%d" % i if i % 3 == 0 else click(i) for i in range(60)]
    write(log, *rows)
    # Once at n, then at the very next append, with nothing saved in between.
    for appends in (n, 1):
        fragile = Fragile(log, appends, Crash(), written=written)
        with pytest.raises(Crash):
            run_ingest(fragile, tmp_path, [CLICKS], stop=threading.Event(), batch=10, **saving)
    ingest_all(log, tmp_path)
    letters = Counter(letter.value for letter in read_letters(log))
    assert letters == Counter(row for row in rows if isinstance(row, bytes))
    by_id = {o.outcome_id: o.event_id for o in outcomes(log)}
    assert sorted(by_id.values()) == sorted(r["e"] for r in rows if isinstance(r, dict))


def test_it_waits_for_a_log_that_is_out_of_reach(log, tmp_path, monkeypatch):
    monkeypatch.setattr("streams.ingest.RETRY_SECONDS", 0.01)
    write(log, click(1))
    ingest_all(Fragile(log, 1, LogUnavailable("away"), written=False), tmp_path)
    assert [o.event_id for o in outcomes(log)] == ["e-1"]


def test_one_process_at_a_time(tmp_path):
    logs = [SqliteLog(tmp_path / "log.db") for _ in range(2)]
    create_topics(logs[0])
    logs[0].create_topic("clicks", partitions=PARTITIONS)
    write(logs[0], click(1))
    with running(run_ingest, logs[0], tmp_path, [CLICKS], **QUICKLY) as thread:
        wait_until(lambda: caught_up(logs[0]), thread)
        with pytest.raises(LockError):
            run_ingest(logs[1], tmp_path, [CLICKS], stop=threading.Event())
    for log in logs:
        log.close()


def test_a_checkpoint_of_another_log_is_refused(log, tmp_path):
    Checkpoints(tmp_path).save("ingest-clicks-1", b"", {TopicPartition("clicks", 1): 99})
    with pytest.raises(CheckpointError, match="99, beyond the end 0"):
        run_ingest(log, tmp_path, [CLICKS], stop=threading.Event())


def test_a_topic_that_is_missing_is_an_error(log, tmp_path):
    mapping = TopicMapping(topic="absent", event_id="e", kind="k")
    with pytest.raises(TopicError, match="absent"):
        run_ingest(log, tmp_path, [mapping], stop=threading.Event())


@pytest.mark.parametrize("topic", TOPICS)
def test_our_own_topics_are_not_mapped(log, tmp_path, topic):
    mapping = TopicMapping(topic=topic, event_id="e", kind="k")
    with pytest.raises(MappingError, match="own"):
        run_ingest(log, tmp_path, [mapping], stop=threading.Event())


def test_a_topic_has_one_mapping(log, tmp_path):
    with pytest.raises(MappingError, match="two mappings"):
        run_ingest(log, tmp_path, [CLICKS, CLICKS], stop=threading.Event())


def last_rewards(log):
    found = dict.fromkeys(("e-0", "e-1", "e-2", "e-3"), 0.0)
    for record in read(log, INTERACTIONS):
        interaction = decode(record.value)
        found[interaction.decision.event_id] = interaction.reward
    return found


def test_from_the_teams_topic_to_the_reward_each_counts_once(log, tmp_path):
    """Read twice, mended, sent again twice: a click is a click, and a sale its value."""
    rule = RewardRule(
        kinds={"click": RewardKind(), "sale": RewardKind()}, maximum=100, window_seconds=600
    )
    log.append([catalogue_message(Placement(name="p", reward=rule))])
    now_ms = int(time.time() * 1000)
    decided = [
        Decision(
            event_id=f"e-{n}",
            placement="p",
            timestamp_ms=now_ms - 1000,
            context=Raw(b"{}"),
            actions=(Action("a"),),
            pmf=(1.0,),
            index=0,
            policy_version="v",
        )
        for n in range(4)
    ]
    log.append([Message(DECISIONS, d.event_id.encode(), encode(d)) for d in decided])
    write(log, click(0), click(1, "buy", v="49.90"), b'{"t":"click","e":"e-2"')
    ingest_all(log, tmp_path / "first")
    # Whoever has neither checkpoints nor the group's commits reads it all a second time.
    forgetful = Forgetful(log)
    with running(run_ingest, forgetful, tmp_path / "second", [CLICKS]) as thread:
        wait_until(lambda: len(outcomes(log)) == 4, thread)
    (letter, *_) = read_letters(log)
    for _ in range(2):
        replay(log, [find_letter(log, letter.id)], value=letter.value + b"}")
    ingest_all(log, tmp_path / "first")
    # Whatever counts by the time that these do was before them.
    write(log, *(click(n, "buy", v=10) for n in range(4)))
    ingest_all(log, tmp_path / "first")
    expected = {"e-0": 11.0, "e-1": 59.9, "e-2": 11.0, "e-3": 10.0}
    with running(run_joiner, log, tmp_path / "join") as thread:
        wait_until(lambda: all(r >= 10 for r in last_rewards(log).values()), thread)
    assert last_rewards(log) == expected


class Forgetful:
    """A log that knows of no commits."""

    def __init__(self, log):
        self._log = log

    def committed(self, group, partition):
        return None

    def __getattr__(self, name):
        return getattr(self._log, name)


def test_killed_again_and_again_it_loses_nothing(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    create_topics(log, partitions=PARTITIONS)
    log.create_topic("clicks", partitions=PARTITIONS)
    rows = [b"{%d" % i if i % 50 == 0 else click(i) for i in range(3000)]
    mapping = tmp_path / "clicks.yaml"
    mapping.write_text("topic: clicks\nevent_id: e\nkind: t\n")
    command = [sys.executable, "-m", "streams", "ingest", "--data", str(tmp_path)]
    for start in range(0, 3000, 1000):
        write(log, *rows[start : start + 1000])
        before = len(outcomes(log))
        process = subprocess.Popen([*command, "--mapping", str(mapping)], stderr=subprocess.PIPE)
        while process.poll() is None and len(outcomes(log)) == before:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said
    ingest_all(log, tmp_path / "checkpoints")
    letters = Counter(letter.value for letter in read_letters(log))
    assert letters == Counter(row for row in rows if isinstance(row, bytes))
    assert {o.event_id for o in outcomes(log)} == {r["e"] for r in rows if isinstance(r, dict)}
    log.close()


def test_the_command_ends_when_asked_to(tmp_path):
    data = tmp_path / "data"
    log = open_log(f"sqlite:///{data / 'log.db'}")
    create_topics(log)
    log.create_topic("clicks", partitions=PARTITIONS)
    write(log, click(1))
    mapping = tmp_path / "clicks.toml"
    mapping.write_text('topic = "clicks"\nevent_id = "e"\nkind = "t"\n')
    command = [sys.executable, "-m", "streams", "ingest", "--data", str(data)]
    process = subprocess.Popen([*command, "--mapping", str(mapping)], stderr=subprocess.PIPE)
    while process.poll() is None and not outcomes(log):
        time.sleep(0.01)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert caught_up(log)
    log.close()

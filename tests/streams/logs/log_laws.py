"""What holds of every log. A suite inherits `LogLaws` and overrides one fixture, `log`."""

import itertools
import threading
import time
from functools import partial
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.errors import LogError, TopicError
from streams.logs.base import Message, Record, Shared, TopicPartition

PATIENCE_SECONDS = 30.0

# One log serves all examples, since their topics are new each time; and an example that fails
# on one log is worth trying on the others, so that the suites may share what was found.
on_one_log = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
keys = st.binary(max_size=3)
values = st.binary(max_size=40)
headers = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=2).map(tuple)
batches = st.lists(st.lists(st.tuples(keys, values, headers), max_size=6), max_size=6)


class Follower:
    """An assignee that starts where it is told, and notes what it was told."""

    def __init__(self, starts=None, ends=None):
        self.starts = starts or {}
        self.ends = ends or {}
        self.told = []

    def assigned(self, partitions):
        self.told.append(("assigned", sorted(partitions)))
        return self.starts

    def revoked(self, partitions):
        self.told.append(("revoked", sorted(partitions)))
        return self.ends


def poll_until(consumer, count):
    """Returns what the consumer gives until there are `count` records, or patience ends."""
    records = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(records) < count and time.monotonic() < deadline:
        records += consumer.poll(0.5)
    return records


def in_threads(*targets):
    """Runs each in a thread of its own, and waits for all."""
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def read_all(log, topic, *, limit=1000):
    """Returns the topic's records, partition by partition."""
    found = []
    for number in range(log.partitions(topic)):
        partition = TopicPartition(topic, number)
        offset = log.start_offset(partition)
        while page := log.read(partition, offset, limit=limit):
            found += page
            offset = page[-1].offset + 1
    return found


class LogLaws:
    """The suite; `log` is the one thing that an implementation brings."""

    @pytest.fixture
    def log(self):
        raise NotImplementedError("a suite brings its own log")

    @pytest.fixture
    def new_topic(self, log):
        names = (f"t{n}-{uuid4().hex[:8]}" for n in itertools.count())

        def create(partitions=1, *, compact=False):
            topic = next(names)
            log.create_topic(topic, partitions=partitions, compact=compact)
            return topic

        return create

    @on_one_log
    @given(batches=batches)
    def test_what_is_appended_is_read_where_append_said(self, log, new_topic, batches):
        topic = new_topic(3)
        expected = []
        for batch in batches:
            written = log.append([Message(topic, k, v, h) for k, v, h in batch])
            assert len(written) == len(batch)
            expected += [
                Record(at.topic, at.partition, at.offset, at.timestamp_ms, *fields)
                for at, fields in zip(written, batch, strict=True)
            ]
        assert read_all(log, topic) == sorted(expected, key=lambda r: (r.partition, r.offset))
        assert len({(r.partition, r.offset) for r in expected}) == len(expected)

    @on_one_log
    @given(sent=st.lists(keys, max_size=30))
    def test_records_of_a_key_keep_their_order_in_one_partition(self, log, new_topic, sent):
        topic = new_topic(4)
        log.append([Message(topic, key, b"%d" % n) for n, key in enumerate(sent)])
        records = read_all(log, topic)
        for key in set(sent):
            of_key = [r for r in records if r.key == key]
            assert [int(r.value) for r in of_key] == [n for n, k in enumerate(sent) if k == key]
            assert len({r.partition for r in of_key}) == 1

    def test_its_time_is_what_an_append_gets(self, log, new_topic):
        topic = new_topic()
        before = log.time()
        (at,) = log.append([Message(topic, b"k", b"")])
        after = log.time()
        # A broker's clock is another one.
        assert before.log_ms - 2000 <= at.timestamp_ms <= after.log_ms + 2000
        assert before.ahead_ms >= 0

    @on_one_log
    @given(times=st.lists(st.integers(0, 2**42), min_size=1, max_size=12))
    def test_timestamps_never_go_back(self, log, new_topic, times):
        topic = new_topic()
        for ms in times:
            log.append([Message(topic, b"k", b"", timestamp_ms=ms)])
        raised = list(itertools.accumulate(times, max))
        assert [r.timestamp_ms for r in read_all(log, topic)] == raised

    def test_the_log_gives_the_time_of_an_append(self, log, new_topic):
        topic = new_topic()
        written = [log.append([Message(topic, b"k", b"")])[0] for _ in range(3)]
        times = [at.timestamp_ms for at in written]
        assert times == sorted(times)
        assert times[0] > 1_600_000_000_000

    def test_a_partition_that_is_named_is_the_one(self, log, new_topic):
        topic = new_topic(3)
        log.append([Message(topic, b"", b"%d" % n, partition=n) for n in (2, 0, 1)])
        assert [(r.partition, r.value) for r in read_all(log, topic)] == [
            (0, b"0"),
            (1, b"1"),
            (2, b"2"),
        ]

    def test_empty_and_binary_fields_are_kept(self, log, new_topic):
        topic = new_topic()
        every_byte = bytes(range(256))
        names = (("same", b"1"), ("same", b"2"), ("", every_byte), ("ä", b""))
        log.append([Message(topic, b"", b""), Message(topic, every_byte, every_byte * 50, names)])
        kept = [(r.key, r.value, r.headers) for r in read_all(log, topic)]
        assert kept == [(b"", b"", ()), (every_byte, every_byte * 50, names)]

    def test_values_that_share_a_part_are_read_whole(self, log, new_topic):
        topic = new_topic()
        part = bytes(range(256)) * 8
        values = [b"%d" % n + part + b"tail" * n for n in range(3)]
        sent = [Message(topic, b"", v, shared=Shared(part, start=1)) for v in values]
        log.append(sent[:1])
        log.append([*sent[1:], Message(topic, b"", part), Message(topic, b"", b"")])
        assert [r.value for r in read_all(log, topic)] == [*values, part, b""]

    def test_a_hint_of_a_part_that_is_not_there_changes_nothing(self, log, new_topic):
        topic = new_topic()
        part = bytes(500)
        log.append(
            [Message(topic, b"", b"v" * 600, shared=Shared(part, start=s)) for s in (0, 900)]
        )
        assert [r.value for r in read_all(log, topic)] == [b"v" * 600] * 2

    def test_reading_takes_up_where_it_is_told_and_stops_at_the_limit(self, log, new_topic):
        topic = new_topic()
        written = log.append([Message(topic, b"k", b"%d" % n) for n in range(7)])
        partition = TopicPartition(topic, 0)
        assert [r.value for r in log.read(partition, written[2].offset, limit=3)] == [
            b"2",
            b"3",
            b"4",
        ]
        assert log.read(partition, written[-1].offset + 1) == []
        assert log.read(partition, written[-1].offset + 1000) == []
        assert [int(r.value) for r in read_all(log, topic, limit=2)] == list(range(7))

    def test_start_and_end_frame_what_is_kept(self, log, new_topic):
        partition = TopicPartition(new_topic(), 0)
        assert log.start_offset(partition) == log.end_offset(partition)
        start = log.end_offset(partition)
        written = log.append([Message(partition.topic, b"k", b"v")] * 3)
        assert log.start_offset(partition) == start == written[0].offset
        assert log.end_offset(partition) == written[-1].offset + 1

    def test_appending_nothing_writes_nothing(self, log):
        assert log.append([]) == []

    def test_making_a_topic_again_leaves_it_as_it_is(self, log, new_topic):
        topic = new_topic(2)
        log.append([Message(topic, b"k", b"v")])
        log.create_topic(topic, partitions=2)
        assert log.partitions(topic) == 2
        assert len(read_all(log, topic)) == 1

    @pytest.mark.parametrize("partition", [None, -1, 2])
    def test_an_append_that_cannot_be_placed_writes_nothing(self, log, new_topic, partition):
        topic = new_topic(2)
        wrong = f"absent-{uuid4().hex}" if partition is None else topic
        with pytest.raises(TopicError):
            log.append(
                [Message(topic, b"k", b"v"), Message(wrong, b"k", b"v", (), None, partition)]
            )
        assert read_all(log, topic) == []

    def test_an_unknown_topic_or_partition_is_an_error_everywhere(self, log, new_topic):
        absent = f"absent-{uuid4().hex}"
        with pytest.raises(TopicError):
            log.partitions(absent)
        with pytest.raises(TopicError):
            log.consumer([absent], Follower())
        for partition in (TopicPartition(absent, 0), TopicPartition(new_topic(), 5)):
            for ask in (log.start_offset, log.end_offset, lambda p: log.read(p, 0)):
                with pytest.raises(TopicError):
                    ask(partition)
        with pytest.raises(TopicError):
            log.create_topic(absent, partitions=0)

    def test_a_compact_topic_keeps_the_last_of_each_key(self, log, new_topic):
        topic = new_topic(compact=True)
        partition = TopicPartition(topic, 0)
        first = log.append([Message(topic, b"%d" % (n % 3), b"%d" % n) for n in range(10)])
        second = log.append([Message(topic, b"1", b"10"), Message(topic, b"1", b"11")])
        records = read_all(log, topic)
        last = {r.key: r.value for r in records}
        assert last == {b"0": b"9", b"1": b"11", b"2": b"8"}
        assert [r.offset for r in records] == sorted(r.offset for r in records)
        assert second[0].offset > first[-1].offset
        assert log.end_offset(partition) == second[-1].offset + 1
        assert log.start_offset(partition) == records[0].offset

    def test_appenders_in_threads_lose_and_mix_up_nothing(self, log, new_topic):
        topic = new_topic(2)
        failures = []

        def append(name):
            try:
                for n in range(0, 40, 2):
                    log.append([Message(topic, b"%d" % name, b"%d" % m) for m in (n, n + 1)])
            except LogError as error:
                failures.append(error)

        in_threads(*(partial(append, name) for name in range(4)))
        assert failures == []
        records = read_all(log, topic)
        for name in range(4):
            assert [int(r.value) for r in records if r.key == b"%d" % name] == list(range(40))
        for number in range(2):
            of_partition = [r for r in records if r.partition == number]
            assert [r.timestamp_ms for r in of_partition] == sorted(
                r.timestamp_ms for r in of_partition
            )

    def test_a_consumer_reads_everything_in_order(self, log, new_topic):
        topics = [new_topic(2), new_topic()]
        follower = Follower()
        consumer = log.consumer(topics, follower)
        assert follower.told == []
        for topic in topics:
            log.append([Message(topic, b"%d" % n, b"%d" % n) for n in range(20)])
        records = poll_until(consumer, 40)
        consumer.close()
        for topic in topics:
            of_topic = [r for r in records if r.topic == topic]
            assert sorted(of_topic, key=lambda r: r.partition) == read_all(log, topic)
        held = sorted([TopicPartition(topics[0], n) for n in (0, 1)] + [(topics[1], 0)])
        assert follower.told == [("assigned", held), ("revoked", held)]

    def test_a_consumer_starts_where_its_assignee_says(self, log, new_topic):
        topic = new_topic(2)
        written = log.append([Message(topic, b"", b"%d" % n, partition=0) for n in range(5)])
        log.append([Message(topic, b"", b"other", partition=1)])
        consumer = log.consumer([topic], Follower({TopicPartition(topic, 0): written[3].offset}))
        assert sorted(r.value for r in poll_until(consumer, 3)) == [b"3", b"4", b"other"]
        consumer.close()

    def test_a_poll_waits_for_the_first_record(self, log, new_topic):
        topic = new_topic()
        consumer = log.consumer([topic], Follower())
        assert consumer.poll(0.0) == []
        appender = threading.Timer(0.1, lambda: log.append([Message(topic, b"k", b"late")]))
        appender.start()
        records = consumer.poll(PATIENCE_SECONDS)
        appender.join()
        consumer.close()
        assert [r.value for r in records] == [b"late"]

    def test_a_poll_keeps_about_to_its_limit(self, log, new_topic):
        topic = new_topic()
        log.append([Message(topic, b"k", b"%d" % n) for n in range(30)])
        consumer = log.consumer([topic], Follower())
        pages = []
        while sum(map(len, pages)) < 30:
            pages.append(consumer.poll(PATIENCE_SECONDS, limit=10))
        consumer.close()
        assert max(map(len, pages)) <= 10
        assert [int(r.value) for page in pages for r in page] == list(range(30))

    def test_consumers_without_a_group_each_read_everything(self, log, new_topic):
        topic = new_topic(2)
        log.append([Message(topic, b"%d" % n, b"") for n in range(10)])
        consumers = [log.consumer([topic], Follower()) for _ in range(2)]
        for consumer in consumers:
            assert sorted(poll_until(consumer, 10)) == read_all(log, topic)
            consumer.close()

    def test_what_is_paused_waits_and_is_not_lost(self, log, new_topic):
        topic = new_topic(2)
        both = [TopicPartition(topic, n) for n in (0, 1)]
        consumer = log.consumer([topic], Follower())
        log.append([Message(topic, b"", b"a", partition=p.partition) for p in both])
        assert len(poll_until(consumer, 2)) == 2
        consumer.pause(both[:1])
        log.append([Message(topic, b"", b"b", partition=p.partition) for p in both])
        assert [r.partition for r in poll_until(consumer, 1) + consumer.poll(0.2)] == [1]
        consumer.pause(both[1:])
        assert consumer.poll(0.05) == []
        consumer.resume(both)
        assert [(r.partition, r.value) for r in poll_until(consumer, 1)] == [(0, b"b")]
        consumer.close()

    def test_a_group_goes_on_from_what_it_committed(self, log, new_topic):
        topic, group = new_topic(), f"g-{uuid4().hex}"
        partition = TopicPartition(topic, 0)
        assert log.committed(group, partition) is None
        log.append([Message(topic, b"k", b"%d" % n) for n in range(6)])
        first = log.consumer([topic], Follower(), group=group)
        records = poll_until(first, 6)
        first.commit({partition: records[2].offset + 1})
        first.commit({partition: records[3].offset + 1})
        first.close()
        committed = log.committed(group, partition)
        assert committed == records[4].offset
        second = log.consumer([topic], Follower({partition: committed}), group=group)
        assert [r.value for r in poll_until(second, 2)] == [b"4", b"5"]
        second.close()
        assert log.committed(f"{group}-other", partition) is None

    def test_closing_commits_what_the_assignee_saved(self, log, new_topic):
        topic, group = new_topic(), f"g-{uuid4().hex}"
        partition = TopicPartition(topic, 0)
        log.append([Message(topic, b"k", b"v")] * 3)
        follower = Follower(ends={partition: 2})
        consumer = log.consumer([topic], follower, group=group)
        poll_until(consumer, 3)
        consumer.close()
        consumer.close()
        assert follower.told == [("assigned", [partition]), ("revoked", [partition])]
        assert log.committed(group, partition) == 2

    def test_what_was_not_committed_comes_again(self, log, new_topic):
        topic, group = new_topic(), f"g-{uuid4().hex}"
        partition = TopicPartition(topic, 0)
        log.append([Message(topic, b"k", b"%d" % n) for n in range(4)])
        seen = []
        for _ in range(2):
            start = log.committed(group, partition)
            starts = {} if start is None else {partition: start}
            consumer = log.consumer([topic], Follower(starts), group=group)
            seen.append([r.value for r in poll_until(consumer, 4)])
            consumer.close()
        assert seen[0] == seen[1] == [b"0", b"1", b"2", b"3"]

    def test_a_consumer_without_a_group_has_nothing_to_commit_for(self, log, new_topic):
        topic = new_topic()
        consumer = log.consumer([topic], Follower(ends={TopicPartition(topic, 0): 1}))
        consumer.poll(0.0)
        with pytest.raises(LogError):
            consumer.commit({TopicPartition(topic, 0): 1})
        consumer.close()

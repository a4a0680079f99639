import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import LogUnavailable, TopicError
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from streams.logs.wrappers import Behind, MeteredLog, RetryingLog
from tests.streams.logs.log_laws import Follower, LogLaws, in_threads, on_one_log, poll_until
from tests.streams.logs.patient import CALLS, AwayAtTimes


class TestMeteredMemoryLog(LogLaws):
    @pytest.fixture
    def log(self):
        return MeteredLog(MemoryLog())


class TestMeteredSqliteLog(LogLaws):
    @pytest.fixture
    def log(self, tmp_path):
        log = MeteredLog(SqliteLog(tmp_path / "log.db"))
        yield log
        log.close()


@pytest.fixture
def log():
    log = MeteredLog(MemoryLog())
    log.create_topic("t", partitions=2)
    log.create_topic("u")
    return log


def messages(topic, *values, partition=None):
    return [Message(topic, b"k", value, partition=partition) for value in values]


@on_one_log
@given(sent=st.lists(st.tuples(st.sampled_from(["t", "u"]), st.binary(max_size=9)), max_size=30))
def test_what_goes_in_and_comes_out_is_counted_by_topic(sent):
    log = MeteredLog(MemoryLog())
    for topic in ("t", "u"):
        log.create_topic(topic, partitions=2)
    log.append([Message(topic, value[:2], value) for topic, value in sent])
    consumer = log.consumer(["t", "u"], Follower())
    poll_until(consumer, len(sent))
    consumer.close()
    for topic in {topic for topic, _ in sent}:
        sizes = [len(value[:2]) + len(value) for name, value in sent if name == topic]
        for traffic in (log.appended, log.taken):
            assert (traffic.records[topic], traffic.bytes[topic]) == (len(sizes), sum(sizes))


def test_what_is_read_without_a_consumer_counts_as_well(log):
    log.append(messages("u", b"12", b"345"))
    log.read(TopicPartition("u", 0), 1)
    log.read(TopicPartition("u", 0), 2)
    assert (log.taken.records, log.taken.bytes) == ({"u": 1}, {"u": 4})


def test_an_append_that_failed_is_not_counted(log):
    with pytest.raises(TopicError):
        log.append(messages("t", b"1") + messages("absent", b"2"))
    assert not log.appended.records


def test_counting_from_many_threads_loses_nothing(log):
    def append():
        for _ in range(300):
            log.append(messages("u", b"1"))

    in_threads(*[append] * 4)
    assert log.appended.records["u"] == 1200


def test_a_consumer_is_behind_by_what_it_has_not_read(log):
    log.append(messages("t", b"1", b"2", b"3", partition=1))
    consumer = log.consumer(["t"], Follower(), group="g")
    assert log.behind() == [], "nothing is held before the first poll"
    assert len(consumer.poll(0.0, limit=4)) == 2
    assert sorted(log.behind()) == [Behind("g", "t", 0, 0), Behind("g", "t", 1, 1)]
    consumer.poll(0.0)
    log.append(messages("t", b"4", b"5", partition=0))
    assert sorted(log.behind()) == [Behind("g", "t", 0, 2), Behind("g", "t", 1, 0)]
    consumer.commit({TopicPartition("t", 0): 0})
    consumer.poll(0.0)
    assert {behind.records for behind in log.behind()} == {0}
    consumer.close()
    assert log.behind() == []


def test_a_consumer_is_behind_from_where_its_assignee_starts(log):
    log.append(messages("u", b"1", b"2", b"3"))
    partition = TopicPartition("u", 0)
    for starts, behind in (({}, 3), ({partition: 2}, 1)):
        consumer = log.consumer(["u"], Follower(starts))
        consumer.pause([partition])
        consumer.poll(0.0)
        assert log.behind() == [Behind("", "u", 0, behind)]
        consumer.close()


def test_of_two_consumers_alike_the_one_further_behind_counts(log):
    log.append(messages("u", b"1", b"2", b"3"))
    behind, ahead = (log.consumer(["u"], Follower()) for _ in range(2))
    behind.poll(0.0, limit=1)
    ahead.poll(0.0)
    assert log.behind() == [Behind("", "u", 0, 2)]
    behind.close()
    assert log.behind() == [Behind("", "u", 0, 0)]
    ahead.close()


def test_a_partition_that_was_revoked_is_no_longer_told(log):
    class Handing(MemoryLog):
        def consumer(self, topics, assignee, *, group=None):
            self.assignee = assignee
            return super().consumer(topics, assignee, group=group)

    inner = Handing()
    log = MeteredLog(inner)
    log.create_topic("t", partitions=2)
    consumer = log.consumer(["t"], Follower())
    consumer.poll(0.0)
    inner.assignee.revoked([TopicPartition("t", 0)])
    log.append(messages("t", b"1", partition=0) + messages("t", b"2", partition=1))
    assert len(consumer.poll(0.0)) == 2
    assert log.behind() == [Behind("", "t", 1, 0)]
    consumer.close()


def test_a_log_that_is_away_is_noticed_even_if_nothing_is_held():
    class Away(MemoryLog):
        def end_offset(self, partition):
            raise LogUnavailable("gone")

    log = MeteredLog(Away())
    log.create_topic("u")
    assert log.behind() == [], "nothing was read or written that could be asked for"
    log.append(messages("u", b"1"))
    with pytest.raises(LogUnavailable):
        log.behind()


class TestRetryingLog(LogLaws):
    @pytest.fixture
    def log(self):
        away = AwayAtTimes(MemoryLog(), seed=1)
        return RetryingLog(away, stop=threading.Event(), retry_seconds=0.0)


def test_every_call_is_made_until_it_goes_through():
    away = AwayAtTimes(MemoryLog(), seed=2, calls=CALLS | {"create_topic"})
    log = RetryingLog(away, stop=threading.Event(), retry_seconds=0.0)
    partition = TopicPartition("t", 0)
    for n in range(20):
        log.create_topic("t")
        log.append([Message("t", b"", b"%d" % n)])
        assert log.partitions("t") == 1
        assert log.start_offset(partition) == 0
        assert log.end_offset(partition) == n + 1
        assert log.end_offsets([partition]) == {partition: n + 1}
        assert len(log.read(partition, 0)) == n + 1
        consumer = log.consumer(["t"], Follower(), group="g")
        consumer.commit({partition: n})
        consumer.close()
        assert log.committed("g", partition) == n
    assert away.failed == CALLS | {"create_topic"}


def test_what_waiting_does_not_help_is_told_at_once():
    log = RetryingLog(MemoryLog(), stop=threading.Event(), retry_seconds=60.0)
    with pytest.raises(TopicError):
        log.partitions("none")


def test_it_gives_up_when_it_is_to_stop():
    class Away(MemoryLog):
        def append(self, messages):
            raise LogUnavailable("away")

    stop = threading.Event()
    stop.set()
    log = RetryingLog(Away(), stop=stop, retry_seconds=60.0)
    with pytest.raises(LogUnavailable, match="away"):
        log.append([Message("t", b"", b"")])
    assert log.append([]) == []

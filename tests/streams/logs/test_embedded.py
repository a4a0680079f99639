import pytest

from streams.errors import LockError, LogError
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog, partition_of
from streams.logs.opening import open_log
from tests.streams.logs.log_laws import Follower, LogLaws, read_all


class TestMemoryLog(LogLaws):
    @pytest.fixture
    def log(self):
        return MemoryLog()


def test_the_url_opens_it():
    assert isinstance(open_log("memory://"), MemoryLog)


def test_the_clock_that_is_handed_in_gives_the_time():
    times = iter([50, 40, 60])
    log = MemoryLog(clock=lambda: next(times))
    log.create_topic("t")
    for _ in range(3):
        log.append([Message("t", b"", b""), Message("t", b"", b"")])
    assert [r.timestamp_ms for r in read_all(log, "t")] == [50, 50, 50, 50, 60, 60]


def test_a_compact_topic_drops_what_was_replaced():
    log = MemoryLog()
    log.create_topic("t", compact=True)
    log.append([Message("t", key, b"v") for key in (b"a", b"b", b"a", b"a")])
    assert [(r.offset, r.key) for r in read_all(log, "t")] == [(1, b"b"), (3, b"a")]
    assert log.start_offset(TopicPartition("t", 0)) == 1


@pytest.fixture
def log(empty_log):
    empty_log.create_topic("t")
    return empty_log


def test_a_group_has_one_member_at_a_time(log):
    first = log.consumer(["t"], Follower(), group="g")
    with pytest.raises(LockError):
        log.consumer(["t"], Follower(), group="g")
    first.close()
    log.consumer(["t"], Follower(), group="g").close()


def test_a_closed_consumer_says_so(log):
    consumer = log.consumer(["t"], Follower())
    consumer.close()
    with pytest.raises(LogError, match="closed"):
        consumer.poll(0.0)


def test_a_member_that_fails_to_save_leaves_all_the_same(log):
    class Failing(Follower):
        def revoked(self, partitions):
            raise OSError("disk full")

    consumer = log.consumer(["t"], Failing(), group="g")
    consumer.poll(0.0)
    with pytest.raises(OSError, match="disk full"):
        consumer.close()
    assert log.committed("g", TopicPartition("t", 0)) is None
    log.consumer(["t"], Follower(), group="g").close()


@pytest.mark.parametrize(("key", "partition"), [(b"", 0), (b"event-1", 0), (b"event-2", 2)])
def test_a_key_keeps_its_partition_from_version_to_version(key, partition):
    assert partition_of(key, 4) == partition

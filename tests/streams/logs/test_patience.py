import threading

import pytest

from streams.errors import LogUnavailable, TopicError
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.logs.wrappers import RetryingLog
from tests.streams.logs.log_laws import Follower, LogLaws
from tests.streams.logs.patient import CALLS, AwayAtTimes


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

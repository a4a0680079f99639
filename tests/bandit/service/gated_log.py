"""A log in memory that hangs and fails as a test says."""

import threading

from streams.errors import LogUnavailable
from streams.events import OUTCOMES, Outcome, encode
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics

AT = TopicPartition(OUTCOMES, 0)


class GatedLog(MemoryLog):
    """A log whose appends and ends wait for gates; appends fail for as long as they are told to.

    A failing append writes the first `prefix` of its messages, as a cluster may.
    """

    def __init__(self):
        super().__init__()
        create_topics(self)
        self.gate = threading.Event()
        self.gate.set()
        self.end_gate = threading.Event()
        self.end_gate.set()
        self.groups = []
        self.failures = 0
        self.failure = LogUnavailable("busy on purpose")
        self.prefix = 0

    def append(self, messages):
        assert self.gate.wait(30)
        if self.failures:
            self.failures -= 1
            super().append(messages[: self.prefix])
            raise self.failure
        self.groups.append(len(messages))
        return super().append(messages)

    def end_offset(self, partition):
        self.end_gate.wait(5)
        return super().end_offset(partition)

    def ids(self):
        return [record.key.decode() for record in self.read(AT, 0, limit=10_000)]


def message(name):
    event = Outcome(event_id=str(name), outcome_id="o", kind="click", timestamp_ms=1)
    return Message(OUTCOMES, str(name).encode(), encode(event))

"""One partition of decisions and outcomes, joined: records in, messages to write out.

Around the state machine it merges the two sides, reads bytes, writes dead letters, leaves out
what was written before a crash, asks for ticks, and counts.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from math import inf
from typing import Final

import msgspec

from streams.catalogue.state import PARTITION as CATALOGUE_PARTITION
from streams.checkpoint import Checkpoint
from streams.dead_letters import TIME_AHEAD
from streams.errors import EventError, SchemaError
from streams.events import (
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    Decision,
    Outcome,
    Slate,
    Tick,
    decode,
    encode,
)
from streams.join.counts import JoinCounts as JoinCounts
from streams.join.counts import JoinLatency as JoinLatency
from streams.join.machine import Join
from streams.join.merge import SIDES, TICK, Merge
from streams.join.routing import forwarded, layouts_told, next_partition, visited_by
from streams.join.state import Emitted, Refusal, together
from streams.join.written import JoinWritten, check_size
from streams.logs.base import Log, Message, Record, TopicPartition
from streams.logs.cloudevents import trace_headers_of, traced

IDLE_SECONDS: Final = 0.02
"""A side that had no record for this long is idle, and moved on by a tick if the other waits."""
UNSEEN_SECONDS: Final = 10.0
"""A tick that is not read back for so long is sent again."""
OVERDUE_MS: Final = 100
"""A window that ended this long ago, with nothing going on, is closed by ticks."""
COUNTED: Final = {"late": "late", "orphan": "orphan"} | dict.fromkeys(
    ("duplicate_outcome", "duplicate_decision", "repeated_decision"), "duplicate"
)
"""By refusal code, what of `JoinCounts` it counts as; all others are `refused`."""
REPEATED: Final = ("duplicate_outcome", "repeated_decision")
_encode = msgspec.json.Encoder().encode


class JoinedPartition:
    """The join of one partition, between its records and the messages that follow from them.

    Args:
        join: its state, as of the records before `offsets`.
        offsets: the next offset to read of each side; one that is left out is at its start.
        written: what was written of the records from there on; not to be written again.
        counts: where to count.
    """

    def __init__(
        self,
        join: Join,
        offsets: dict[TopicPartition, int],
        written: JoinWritten,
        counts: JoinCounts,
    ) -> None:
        self.join = join
        self.merge = Merge(join.time_ms)
        self.changed = False
        self.paused: set[str] = set()
        """The sides that are not read for now."""
        self._offsets = offsets
        self.wrote = written
        self.written = (written.interactions, written.letters.written)
        self._counts = counts
        self._seen_at = {DECISIONS: -inf, OUTCOMES: -inf}
        self._ahead: list[Record] = []
        # When a side got a tick that has not come back yet.
        self._unseen: dict[str, float] = {}
        self.told_layout = 0
        """How many partitions there were when that was last looked at."""

    def add(self, record: Record, now: float, latest_ms: float = inf) -> None:
        """Takes in the next record of either side, read at `now` (monotonic, in seconds).

        One with a later time than `latest_ms`, which its producer gave it, is laid aside: the
        partition would stand still until that time has come.
        """
        self.changed = True
        self._offsets[TopicPartition(record.topic, record.partition)] = record.offset + 1
        if self.wrote.ahead(record):
            return
        if not record.is_log_time and record.timestamp_ms > latest_ms:
            self._ahead.append(record)
            return
        if record.value == TICK:
            self._unseen.pop(record.topic, None)
        self.merge.add(record)
        self._seen_at[record.topic] = now

    def advance(self, log: Log) -> list[Message]:
        """Joins as far as the records reach; returns what is to be written of that."""
        letters = [each for record in self._ahead for each in self._laid_aside_ahead(record)]
        self._ahead.clear()
        sent_on: list[Message] = []
        released = self.merge.release()
        for record in released:
            try:
                sent_on += self._feed(log, record)
            except EventError as error:
                self._counts.refused += 1
                self.join.tick(record.timestamp_ms)
                letters += self.lay_aside(record, error.code, str(error))
        interactions, refusals = self.join.take()
        refusals += self.join.take_unknown()
        if refusals:
            at_hand = {(record.topic, record.offset): record for record in released}
            for refusal in refusals:
                letters += self._refused(log, refusal, at_hand)
        # Letters go first: a decision that was laid aside stays so when it is read again.
        runs = groupby(interactions, key=_told_together)
        return letters + sent_on + [m for _, run in runs for m in self._to_write(list(run))]

    def offsets(self) -> dict[TopicPartition, int]:
        """Returns the offset of each side from which the join's state goes on."""
        return {
            side: offset if (first := self.merge.first_waiting(side.topic)) is None else first
            for side, offset in self._offsets.items()
        }

    def checkpoint(self) -> Checkpoint:
        """Returns what to save: the join, and the offsets of its inputs."""
        offsets = self.offsets()
        if self.join.source == CATALOGUE_PARTITION.partition:
            offsets[CATALOGUE_PARTITION] = self.wrote.catalogue_offset
        return Checkpoint(self.join.to_bytes(), offsets)

    def tick_due(self, now: float, now_ms: int) -> tuple[float, tuple[str, ...]]:
        """Returns in how many seconds time must be helped on, and on which sides.

        A side that keeps the other waiting gets a tick once it is idle. When all is quiet and
        a window has ended, both sides get one. (inf, ()) if there is nothing to wait for.
        """
        blocked = self.merge.blocked_by()
        if blocked is not None:
            side, past_ms = blocked
            idle_in = self._seen_at[side] + IDLE_SECONDS - now
            due_in = max(idle_in, (past_ms + 1 - now_ms) / 1000)
            return max(due_in, self._unseen_seconds(now, side)), (side,)
        deadline_ms = self.join.deadline_ms()
        if deadline_ms is None:
            return inf, ()
        idle_in = max(self._seen_at.values()) + IDLE_SECONDS - now
        due_in = max(idle_in, (deadline_ms + OVERDUE_MS - now_ms) / 1000)
        return max(due_in, self._unseen_seconds(now, *SIDES)), SIDES

    def _unseen_seconds(self, now: float, *sides: str) -> float:
        """Returns for how long ticks that are on their way are waited for.

        An open transaction of others holds back whatever comes after it, ticks as well.
        """
        sent = [self._unseen[side] for side in sides if side in self._unseen]
        return max(sent, default=-inf) + UNSEEN_SECONDS - now

    def tell_layout(self, count: int) -> bool:
        """Returns whether the join is to be told now that there are so many partitions."""
        layouts = self.join.layouts
        if count == 1 and not layouts:
            # Nothing follows from that, and so no record has to say it.
            layouts.add(1)
        untold = count not in layouts and self.told_layout != count
        self.told_layout = count
        return untold

    def ticks(self, now: float, now_ms: int) -> list[Message]:
        """Returns the ticks that are due."""
        due_in, sides = self.tick_due(now, now_ms)
        if due_in > 0:
            return []
        for side in sides:
            self._seen_at[side] = self._unseen[side] = now
        self._counts.ticks += len(sides)
        return [Message(side, b"", TICK, partition=self.join.source) for side in sides]

    def _laid_aside_ahead(self, record: Record) -> list[Message]:
        if record.value == TICK:
            return []
        self._counts.events += 1
        self._counts.refused += 1
        error = f"its producer gave it the time {record.timestamp_ms}, which is yet to come"
        return self.lay_aside(record, TIME_AHEAD, error)

    def lay_aside(self, record: Record, code: str, error: str) -> list[Message]:
        """Returns the record's dead letter, or nothing if that is written already."""
        letters = self.wrote.letters.message(record, code, error)
        self._counts.dead_lettered += len(letters)
        return letters

    def _feed(self, log: Log, record: Record) -> list[Message]:
        """Feeds the join one record; returns the outcomes that go on to another partition.

        Raises:
            EventError: the record cannot be used.
        """
        if record.value == TICK:
            self.join.tick(record.timestamp_ms)
            return self._laid_out(log, layouts_told(record)) if record.headers else []
        self._counts.events += 1
        # Its placement may be known by now, but it was not when this decision was refused.
        if record.topic == DECISIONS and self.wrote.letters.take(record):
            self.join.tick(record.timestamp_ms)
            return []
        check_size(record)
        event = decode(record.value)
        match event:
            case Decision() | Slate() if record.topic == DECISIONS:
                self.join.decide(event, record.value, record.timestamp_ms, record.offset)
            case Outcome() if record.topic == OUTCOMES:
                return self._observe(log, event, record)
            case Tick():
                self.join.tick(record.timestamp_ms)
            case _:
                kind = type(event).__name__.lower()
                raise SchemaError(f"a {kind} is in the topic {record.topic!r} by mistake")
        return []

    def _observe(self, log: Log, outcome: Outcome, record: Record) -> list[Message]:
        """Has the join take the outcome in, or returns it for the partition where it belongs."""
        self.join.tick(record.timestamp_ms)
        if not self.join.knows(outcome):
            to = self._elsewhere(log, outcome.event_id, visited_by(record))
            if to is not None:
                return [self._sent_on(record, outcome, to)]
        if record.headers:
            outcome = traced(outcome, record.headers)
        self.join.observe(outcome, record.timestamp_ms, record.offset)
        return []

    def _laid_out(self, log: Log, layouts: list[int]) -> list[Message]:
        """Takes in which layouts there were; returns early outcomes that belong elsewhere."""
        if self.join.layouts.issuperset(layouts):
            return []
        self.join.layouts.update(layouts)
        messages = []
        for arrival in self.join.take_early(lambda event: self._elsewhere(log, event) is not None):
            outcome = arrival.outcome
            to = self._elsewhere(log, outcome.event_id)
            if to is not None:
                record = self._read_again(log, OUTCOMES, arrival.offset, outcome)
                messages.append(self._sent_on(record, outcome, to))
        return messages

    def _elsewhere(self, log: Log, event_id: str, visited: Collection[int] = ()) -> int | None:
        here, layouts = self.join.source, self.join.layouts
        return next_partition(event_id, here, visited, layouts, log.partition_of)

    def _sent_on(self, record: Record, outcome: Outcome, to: int) -> Message:
        self._counts.forwarded += 1
        return forwarded(record, outcome, to)

    def _refused(
        self, log: Log, refusal: Refusal, at_hand: dict[tuple[str, int], Record]
    ) -> list[Message]:
        counted = COUNTED.get(refusal.code, "refused")
        setattr(self._counts, counted, getattr(self._counts, counted) + 1)
        if refusal.code in REPEATED:
            # What it repeats was used, so that nothing of it is lost.
            return []
        record = at_hand.get((refusal.topic, refusal.offset)) or self._read_again(
            log, refusal.topic, refusal.offset, refusal.event
        )
        return self.lay_aside(record, refusal.code, refusal.error)

    def _read_again(
        self, log: Log, topic: str, offset: int, event: Decision | Slate | Outcome
    ) -> Record:
        """Returns the record of an event that came long ago."""
        side = TopicPartition(topic, self.join.source)
        records = log.read(side, offset, limit=1)
        if records and records[0].offset == offset:
            return records[0]
        # The log kept it for less long than its window: what is left of it is the event.
        return Record(*side, offset, self.join.time_ms, event.event_id.encode(), encode(event))

    def _to_write(self, run: list[Emitted]) -> list[Message]:
        """Returns the record of one interaction, or of several of one slate."""
        fresh = []
        for emitted in run:
            interaction = emitted.interaction
            self._counts.interactions += 1
            if interaction.status == "closed":
                self._counts.closed += 1
                self._counts.defaulted += emitted.defaulted
            if not self.wrote.interaction(interaction.sequence):
                self._counts.latency.due(interaction.status, interaction.timestamp_ms)
                fresh.append(emitted)
        if not fresh:
            return []
        headers = trace_headers_of(fresh[0].interaction.decision)
        value = _encode(together(fresh))
        return [Message(INTERACTIONS, fresh[0].placement.encode(), value, headers)]


def _told_together(emitted: Emitted) -> tuple[object, ...]:
    """Returns what interactions that follow each other share if one record holds them."""
    interaction = emitted.interaction
    if emitted.of_slate is None:
        return (interaction.sequence,)
    return emitted.of_slate, interaction.status, interaction.timestamp_ms

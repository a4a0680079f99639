"""The two sides of a partition, decisions and outcomes, put in the one order in which they join."""

from __future__ import annotations

from collections import deque
from typing import Final

from streams.events import DECISIONS, OUTCOMES, Tick, encode
from streams.join.routing import layouts_told
from streams.logs.base import Record

TICK: Final = encode(Tick())
SIDES: Final = (DECISIONS, OUTCOMES)
OTHER: Final = {DECISIONS: OUTCOMES, OUTCOMES: DECISIONS}


class Merge:
    """The two sides of one partition, each in the order of its offsets, made one.

    A timestamp that goes back within a side, as not every log prevents, is raised to the one
    before it. `start_ms` is the time that the records before these led up to, -1 if there
    were none: no record counts as older.
    """

    def __init__(self, start_ms: int = -1) -> None:
        self._sides: dict[str, deque[Record]] = {DECISIONS: deque(), OUTCOMES: deque()}
        self._seen_ms = {DECISIONS: start_ms, OUTCOMES: start_ms}

    def add(self, record: Record) -> None:
        """Takes in the next record of its side."""
        seen_ms = self._seen_ms[record.topic]
        if record.timestamp_ms < seen_ms:
            record = record._replace(timestamp_ms=seen_ms)
        self._sides[record.topic].append(record)
        self._seen_ms[record.topic] = record.timestamp_ms

    def release(self) -> list[Record]:
        """Returns the next records of the merged order, as far as it is settled."""
        decisions, outcomes = self._sides[DECISIONS], self._sides[OUTCOMES]
        released: list[Record] = []
        while decisions or outcomes:
            decided_ms = decisions[0].timestamp_ms if decisions else self._seen_ms[DECISIONS]
            outcome_ms = outcomes[0].timestamp_ms if outcomes else self._seen_ms[OUTCOMES]
            # An outcome of the same millisecond comes after the decision, so it settles the tie.
            if decisions and outcome_ms >= decided_ms:
                released.append(decisions.popleft())
            elif outcomes and decided_ms > outcome_ms:
                released.append(outcomes.popleft())
            else:
                break
        return released

    def waiting(self, topic: str) -> int:
        """Returns how many records of that side wait for the other."""
        return len(self._sides[topic])

    def blocked_by(self) -> tuple[str, int] | None:
        """Returns the side that must move on, and past when, for what waits to be released.

        None if nothing waits but plain ticks, which are worth nothing by themselves.
        """
        for topic, side in self._sides.items():
            if any(record.value != TICK or layouts_told(record) for record in side):
                return OTHER[topic], side[-1].timestamp_ms
        return None

    def first_waiting(self, topic: str) -> int | None:
        """Returns the offset of the side's first record that waits, None if none does."""
        side = self._sides[topic]
        return side[0].offset if side else None

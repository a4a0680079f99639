"""Takes in the logs that Personalizer exported, so that a placement starts from what they say.

They become interactions in the log, from which the learner folds the policy as from any other. A
decision that is there already is passed over, so the same file may be taken in again.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bandit.errors import ReaderError
from bandit.learning.versions import interactions_of
from bandit.ope.readers import open_reader
from bandit.ope.readers.events import LoggedEvent
from streams.events import INTERACTIONS, Interaction, Placement, encode
from streams.logs.base import Log, Message

BATCH: Final = 500
FIRST_SOURCE: Final = 2**31
"""No partition that is joined has so high a number; imports of a placement have one each."""

Progress = Callable[[int], None]


class Contents(NamedTuple):
    """What the files hold, found by reading them through before anything is written."""

    events: int
    lowest: float
    highest: float
    first_ms: int
    last_ms: int


class ImportedEvents(NamedTuple):
    """How many decisions were taken in, and how many were there before."""

    new: int
    known: int


def read_logs(paths: Sequence[Path]) -> Iterator[LoggedEvent]:
    """Yields the decisions of the files, one file after the other.

    Raises:
        ReaderError: a file that cannot be read, or a line of it; it names both.
    """
    for path in paths:
        yield from open_reader("dsjson", path)


def look_through(paths: Sequence[Path], placement: Placement) -> Contents:
    """Returns what the files hold, if the placement can learn from all of it.

    Raises:
        ReaderError: a line that cannot be read, no decision at all, or a reward that is outside
            the placement's range.
    """
    events, lowest, highest = 0, math.inf, -math.inf
    first_ms, last_ms = 2**53, 0
    for event in read_logs(paths):
        events += 1
        lowest, highest = min(lowest, event.reward), max(highest, event.reward)
        at_ms = event.decision.timestamp_ms
        first_ms, last_ms = min(first_ms, at_ms), max(last_ms, at_ms)
    if not events:
        files = ", ".join(str(path) for path in paths)
        raise ReaderError(f"{files}: no decision that counts; expected one a line")
    rule = placement.reward
    if lowest < rule.minimum or highest > rule.maximum:
        raise ReaderError(
            f"rewards go from {lowest:g} to {highest:g}, and those of placement "
            f"{placement.name!r} from {rule.minimum:g} to {rule.maximum:g}; widen its reward's "
            "minimum and maximum"
        )
    return Contents(events, lowest, highest, first_ms, last_ms)


def take_in(
    log: Log, placement: str, events: Iterable[LoggedEvent], *, progress: Progress
) -> ImportedEvents:
    """Writes the decisions with their rewards as interactions of the placement.

    They are learned in the order of `events`. One writer at a time: who writes must keep others
    from it. After each batch `progress` is told how many events were looked at since the last.
    """
    source = FIRST_SOURCE + zlib.crc32(placement.encode())
    there, sequence = set(), 0
    for interaction in interactions_of(log, placement):
        there.add((interaction.decision.event_id, interaction.decision.slot))
        if interaction.source == source:
            sequence = interaction.sequence + 1
    new = known = 0
    rest = iter(events)
    while batch := list(islice(rest, BATCH)):
        messages = []
        for event in batch:
            decision = msgspec.structs.replace(event.decision, placement=placement)
            if (decision.event_id, decision.slot) in there:
                known += 1
                continue
            there.add((decision.event_id, decision.slot))
            interaction = Interaction(
                source=source,
                sequence=sequence,
                decision=decision,
                reward=event.reward,
                status="closed",
                timestamp_ms=decision.timestamp_ms,
            )
            messages.append(Message(INTERACTIONS, placement.encode(), encode(interaction)))
            sequence += 1
        if messages:
            log.append(messages)
        new += len(messages)
        progress(len(batch))
    return ImportedEvents(new, known)

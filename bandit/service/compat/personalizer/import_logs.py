"""Takes in the logs that Personalizer exported, so that a placement starts from what they say.

They become interactions in the log, from which the learner folds the policy as from any other. A
decision that is there already is passed over, so the same file may be taken in again.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bandit.errors import ReaderError
from bandit.learning.fold import FIRST_IMPORT_SOURCE
from bandit.learning.versions import interactions_of
from bandit.ope.readers.dsjson import read_dsjson
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.readers.rows import OnBadRow, Reading, RowCounts, SkippedRows
from streams.events import INTERACTIONS, Interaction, Placement, encode
from streams.logs.base import Log, Message

BATCH: Final = 500

Progress = Callable[[int], None]


class Contents(NamedTuple):
    """What the files hold, found by reading them through before anything is written.

    `repeated` counts decisions whose event came before, of which the first counts; `skipped` counts
    the lines that are no decision, by reason; `notes` say how the files were read.
    """

    events: int
    lowest: float
    highest: float
    first_ms: int
    last_ms: int
    repeated: int = 0
    skipped: tuple[SkippedRows, ...] = ()
    notes: tuple[str, ...] = ()


class ImportedEvents(NamedTuple):
    """How many decisions were taken in, and how many were there before."""

    new: int
    known: int


def read_logs(paths: Sequence[Path], on_bad_row: OnBadRow = "stop") -> Reading:
    """Returns the decisions of the files, one file after the other.

    Reading them raises:
        ReaderError: a file that cannot be read, or a line of it; it names both.
    """
    counts = RowCounts(on_bad_row)
    return Reading(chain.from_iterable(read_dsjson(path, counts) for path in paths), counts)


def look_through(
    paths: Sequence[Path], placement: Placement, on_bad_row: OnBadRow = "stop"
) -> Contents:
    """Returns what the files hold, if the placement can learn from all of it.

    Raises:
        ReaderError: a line that cannot be read, no decision at all, or a reward that is outside
            the placement's range.
    """
    seen, lowest, highest = set[tuple[str, int]](), math.inf, -math.inf
    events = 0
    first_ms, last_ms = 2**53, 0
    reading = read_logs(paths, on_bad_row)
    for event in reading:
        events += 1
        seen.add((event.decision.event_id, event.decision.slot))
        lowest, highest = min(lowest, event.reward), max(highest, event.reward)
        at_ms = event.decision.timestamp_ms
        first_ms, last_ms = min(first_ms, at_ms), max(last_ms, at_ms)
    if not events:
        files = ", ".join(str(path) for path in paths)
        said = "; ".join([f"{files}: no decision that counts", *map(str, reading.skipped)])
        raise ReaderError(f"{said}; expected an event of decision-service JSON a line")
    rule = placement.reward
    if lowest < rule.minimum or highest > rule.maximum:
        raise ReaderError(
            f"rewards go from {lowest:g} to {highest:g}, and those of placement "
            f"{placement.name!r} from {rule.minimum:g} to {rule.maximum:g}; widen its reward's "
            "minimum and maximum"
        )
    return Contents(
        events=events,
        lowest=lowest,
        highest=highest,
        first_ms=first_ms,
        last_ms=last_ms,
        repeated=events - len(seen),
        skipped=reading.skipped,
        notes=reading.notes,
    )


def take_in(
    log: Log, placement: str, events: Iterable[LoggedEvent], *, progress: Progress
) -> ImportedEvents:
    """Writes the decisions with their rewards as interactions of the placement.

    They are learned in the order of `events`. One writer at a time: who writes must keep others
    from it. After each batch `progress` is told how many events were looked at since the last.
    """
    # imports of a placement have one source each
    source = FIRST_IMPORT_SOURCE + zlib.crc32(placement.encode())
    there, sequence = set[tuple[str, int]](), 0
    for interaction in interactions_of(log, placement):
        there.add((interaction.decision.event_id, interaction.decision.slot))
        if interaction.source == source:
            sequence = interaction.sequence + 1
    known, here = 0, set[tuple[str, int]]()
    rest = iter(events)
    while batch := list(islice(rest, BATCH)):
        messages = []
        for event in batch:
            decision = msgspec.structs.replace(event.decision, placement=placement)
            key = decision.event_id, decision.slot
            known += key in there
            if key in there or key in here:
                continue
            here.add(key)
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
        progress(len(batch))
    return ImportedEvents(len(here), known)

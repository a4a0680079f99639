"""Takes in the logs that Personalizer exported, so that a placement starts from what they say.

They become interactions in the log (`bandit.learning.imported`), from which the learner folds the
policy as from any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from bandit.errors import ReaderError
from bandit.ope.readers.dsjson import read_dsjson
from bandit.ope.readers.rows import OnBadRow, Reading, RowCounts, SkippedRows
from streams.events import Placement


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

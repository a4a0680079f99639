"""Logs of decisions, whoever wrote them, as one stream of decisions with what each earned.

A reader is a function from a path to an iterator, so that a log of any length is read once, in
order, without being held. It tells the rows that it cannot use to a `RowCounts`, with file and
line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bandit.errors import ReaderError
from bandit.ope.readers.archive import read_archived
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.readers.rows import OnBadRow, Reading, RowCounts

READERS: Final = ("archive", "dsjson", "vw", "obd", "table")


def open_reader(
    name: str,
    path: Path,
    *,
    placement: str | None = None,
    slot: int | None = None,
    columns: Mapping[str, str] | None = None,
    propensities: bool = True,
    on_bad_row: OnBadRow = "stop",
) -> Reading:
    """Returns the decisions in `path`, in the order of the log.

    Args:
        name: `archive` (a folder that copyloop's archive writes), `dsjson` (decision-service JSON,
            one event a line), `vw` (Vowpal Wabbit's text format with `cb_adf` labels), `obd` (a
            folder of the Open Bandit Dataset) or `table` (CSV, JSON lines or Parquet).
        path: the file or folder; of a table, also a pattern with `*`.
        placement: which placement of an archive; None takes all.
        slot: which decision of events that have several; None takes all.
        columns: what each column of a table is; see `read_table`, and `read_obd`.
        propensities: whether the log has them; if not, a table needs no column of them, and what
            stands in their place is no propensity (`bandit.ope.models` makes
            them).
        on_bad_row: what happens at a row that cannot be read: `stop` raises, `skip` counts it.

    Raises:
        ReaderError: there is no such reader, or the log cannot be read.
        ArchiveError: the archive is missing or damaged.
    """
    if name != "table" and not path.exists():
        raise ReaderError(f"{path} does not exist; expected a log for the reader {name!r}")
    if name == "archive" and not path.is_dir():
        raise ReaderError(
            f"{path} is a file, and an archive is a folder; name the reader of such a log, as "
            "--reader table or --reader dsjson"
        )
    counts = RowCounts(on_bad_row)
    events: Iterator[LoggedEvent]
    match name:
        case "archive":
            events = read_archived(path, counts, placement=placement)
        case "dsjson":
            from bandit.ope.readers.dsjson import read_dsjson

            events = read_dsjson(path, counts)
        case "vw":
            from bandit.ope.readers.vw_text import read_vw_text

            events = read_vw_text(path, counts)
        case "obd":
            from bandit.ope.readers.obd import read_obd

            events = read_obd(path, columns or {}, counts=counts)
        case "table":
            from bandit.ope.readers.tables.table import read_table

            events = read_table(path, columns or {}, propensities=propensities, counts=counts)
        case _:
            raise ReaderError(f"reader is {name!r}; expected one of: {', '.join(READERS)}")
    found = Reading(events, counts)
    if slot is None:
        return found
    return found.through(lambda rows: (event for event in rows if event.decision.slot == slot))

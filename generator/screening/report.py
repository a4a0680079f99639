"""What became of a batch: by gate, how many texts it saw, refused, and what it says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.markup import escape
from rich.table import Table

from generator.screening.screen import Verdict, Written


class GateRow(NamedTuple):
    """One gate in a report; `example` is the first text that it refused, None if none."""

    gate: str
    seen: int
    refused: int
    example: str | None
    why: str | None


def report(
    gates: Sequence[str], batch: Sequence[Written], verdicts: Sequence[Verdict]
) -> list[GateRow]:
    """Returns a row for each gate, in the order in which they ran.

    A gate has seen what those before it let through.
    """
    rows, left = [], len(batch)
    for gate in gates:
        refused = [
            (written.text, verdict.rejection.words)
            for written, verdict in zip(batch, verdicts, strict=True)
            if verdict.rejection is not None and verdict.rejection.code == gate
        ]
        example, why = refused[0] if refused else (None, None)
        rows.append(GateRow(gate, left, len(refused), example, why))
        left -= len(refused)
    return rows


def to_table(rows: Sequence[GateRow]) -> Table:
    """Returns the report as a table to print."""
    table = Table(
        "gate", "seen", "refused", "for example", "why", title="gates", title_justify="left"
    )
    for row in rows:
        style = None if row.refused else "dim"
        said = (escape(row.example or ""), escape(row.why or ""))
        table.add_row(row.gate, str(row.seen), str(row.refused), *said, style=style)
    return table

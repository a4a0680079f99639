"""What was found when decisions were derived again: how many agree, and which do not."""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct
from rich.box import HEAVY_HEAD
from rich.table import Table

from streams.counting import count_of

TOLERANCE: Final = 1e-9
"""The most that a logged and a derived probability may differ by, and an inclusion by its share."""
SHOWN: Final = 20
"""How many mismatches the table lists; the JSON lists all."""

Reason: TypeAlias = Literal[
    "pmf_differs",
    "sample_differs",
    "shortlist_differs",
    "version_unknown",
    "decision_unreadable",
    "features_invalid",
]


class Mismatch(Struct, frozen=True, kw_only=True):
    """One decision that cannot be derived again, and where it stands in the log."""

    reason: Reason
    event_id: str
    slot: int
    placement: str
    policy_version: str
    partition: int
    offset: int
    detail: str


class AuditReport(Struct, frozen=True, kw_only=True):
    """How many decisions and policy versions were looked at, and what did not agree.

    `forgotten` decisions had something taken out of their context, so that their propensities
    cannot be derived again; nor can those of `unprovable` ones, whose policy learned from such.
    Of `undrawn` ones it cannot be told how their shortlist was drawn: creatives were capped, or
    the catalogue was compacted since. `imported` ones were made by another system, so that there is
    no draw and no policy of this log to derive them from; they do not count as `decisions`.
    """

    decisions: int
    versions: int
    versions_verified: int
    tolerance: float
    mismatches: tuple[Mismatch, ...]
    forgotten: int = 0
    unprovable: int = 0
    undrawn: int = 0
    imported: int = 0

    @property
    def clean(self) -> bool:
        """Whether everything agreed."""
        return not self.mismatches

    def counts(self) -> dict[str, int]:
        """Returns how many mismatches there are, by reason."""
        return dict(sorted(Counter(found.reason for found in self.mismatches).items()))

    def summary(self) -> str:
        """Returns the verdict in one line."""
        if self.clean:
            verdict = "everything agrees" if self.decisions else "there is nothing to check"
        else:
            verdict = ", ".join(f"{count} {reason}" for reason, count in self.counts().items())
        if lost := self.forgotten + self.unprovable:
            verdict += f", but for {lost} that cannot be proved since something was forgotten"
        if self.undrawn:
            verdict += f", but for {self.undrawn} whose shortlists cannot be drawn again"
        if self.imported:
            verdict += (
                f"; {count_of(self.imported, 'imported decision')} of another system cannot be "
                "derived from this log"
            )
        return (
            f"{count_of(self.decisions, 'decision')}, {self.versions_verified} of "
            f"{count_of(self.versions, 'policy version')} verified: {verdict}"
        )

    def to_json(self) -> str:
        """Returns the report as one JSON object."""
        fields = {"clean": self.clean, "counts": self.counts(), **msgspec.structs.asdict(self)}
        return msgspec.json.encode(fields).decode()

    def to_table(self) -> Table:
        """Returns the report as a table to print."""
        table = Table(
            title=self.summary(),
            caption=f"probabilities compared to {self.tolerance:g}",
            show_header=not self.clean,
            box=None if self.clean else HEAVY_HEAD,
        )
        for column in ("reason", "event id", "slot", "placement", "decisions at", "detail"):
            table.add_column(column, overflow="fold")
        for found in self.mismatches[:SHOWN]:
            place = f"{found.partition}@{found.offset}"
            row = (found.reason, found.event_id, str(found.slot), found.placement, place)
            table.add_row(*row, found.detail)
        if len(self.mismatches) > SHOWN:
            table.add_row("…", f"{len(self.mismatches) - SHOWN} more", "", "", "", "see the JSON")
        return table

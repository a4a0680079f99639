"""Which creative earns the most in a segment, and whether that is sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Struct

from bandit.service.figures.counts import Counts, PlacementCounts, Scale
from streams.events import Creative
from streams.events.fields import doc


class WinnerView(Struct, frozen=True, kw_only=True):
    """The creative of a segment that earns the most on average."""

    creative: str
    sure: Annotated[
        bool,
        doc("Its band is clear of every other live creative's, also of those hardly ever shown."),
    ]


def winners_of(
    tally: PlacementCounts, creatives: dict[str, Creative], scale: Scale
) -> dict[str, dict[str, WinnerView]]:
    """Returns the best creative of each segment, among those that are live or were brought."""
    rivals = {
        name
        for name in (*creatives, *tally.creatives)
        if name not in creatives or creatives[name].status == "live"
    }
    found: dict[str, dict[str, WinnerView]] = {}
    for field, values in tally.segments.items():
        for value, shown in values.items():
            winner = winner_of({name: shown.get(name, Counts()) for name in rivals}, scale)
            if winner is not None:
                found.setdefault(field, {})[value] = winner
    return found


def winner_of(shown: Mapping[str, Counts], scale: Scale) -> WinnerView | None:
    """Returns which earns the most on average, and whether that is sure; None if none was shown.

    It is sure if its band is clear of the band of every other. Nothing is known of one that was
    never shown, so beside that none is.
    """
    known = {name: counts for name, counts in shown.items() if counts.n}
    if not known:
        return None
    best = max(sorted(known), key=lambda name: known[name].total / known[name].n)
    low, _ = known[best].band(scale)
    others = [counts.band(scale)[1] for name, counts in shown.items() if name != best]
    sure = bool(others) and all(
        high is not None and low is not None and high < low for high in others
    )
    return WinnerView(creative=best, sure=sure)

"""How long rewards take, from the log: what tells a policy how far a young decision counts.

Delays of conversions have no shape that one could assume (most come at once, some after days), so
the curve is the delays' own quantiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from bandit.errors import ReplayError
from streams.archive import read_archive
from streams.events import INTERACTIONS, Interaction, decode

QUANTILES: Final = 20
FEWEST: Final = 100
LEAST_SECONDS: Final = 1e-3


def fit_delay(interactions: Iterable[Interaction]) -> list[float]:
    """Returns twenty quantiles, in seconds, of the time from a decision to what it earned.

    A reward has the time of the newest outcome that it came from, by the events' own clocks, and
    counts as much as it adds. Decisions younger than the longest delay are left out: of theirs,
    only the quick rewards have come.

    Raises:
        ReplayError: fewer than a hundred rewards to learn from.
    """
    found: list[tuple[int, float, float]] = []
    newest_ms = 0
    for each in interactions:
        decided_ms = each.decision.timestamp_ms
        newest_ms = max(newest_ms, decided_ms)
        added = each.reward - (each.previous_reward or 0.0)
        if added > 0.0 and each.outcomes:
            came_ms = max(outcome.timestamp_ms for outcome in each.outcomes)
            found.append((decided_ms, (came_ms - decided_ms) / 1000.0, added))
    if found:
        longest_ms = 1000.0 * max(delay for _, delay, _ in found)
        found = [each for each in found if each[0] <= newest_ms - longest_ms]
    if len(found) < FEWEST:
        raise ReplayError(
            f"{len(found)} rewards older than the longest delay, expected at least {FEWEST} to "
            "learn from; wait for more, or take more placements"
        )
    delays, weights = np.array([each[1:] for each in found]).T
    order = np.argsort(delays, kind="stable")
    come = np.cumsum(weights[order]) / weights.sum()
    shares = np.arange(1, QUANTILES + 1) / QUANTILES
    at = np.minimum(np.searchsorted(come, shares - 1e-12), len(order) - 1)
    found_seconds: list[float] = np.maximum(delays[order][at], LEAST_SECONDS).round(3).tolist()
    return found_seconds


def interactions_in(directory: Path, placement: str | None = None) -> Iterator[Interaction]:
    """Yields the interactions of an archive, of one placement if that is named.

    Raises:
        ArchiveError: there is no archive in the directory, or a file of it is damaged.
    """
    for record in read_archive(directory, INTERACTIONS):
        event = decode(record.value)
        if isinstance(event, Interaction) and placement in (None, event.decision.placement):
            yield event

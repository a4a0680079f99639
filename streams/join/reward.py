"""What outcomes are worth: a placement's reward rule, worked out for one decision.

The reward is a function of the set of outcomes that count, whatever the order in which they
came. Any engine that joins must compute it the same way, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import UNSET, Struct

from streams.events import ACTIVATION, SLOT_ACTIVATION, Outcome, Placement, RewardKind


class KindTerms(Struct, frozen=True, array_like=True):
    """How one kind counts, and until how many milliseconds after the decision."""

    weight: float
    aggregation: str
    window_ms: int
    cap: float = math.inf


class Terms(Struct, frozen=True, array_like=True):
    """The rules that hold for a decision from its start: its placement's, in milliseconds.

    `longest_ms` is the longest of all windows, within which the reward may still change.
    """

    placement: str
    realtime: bool
    default: float
    minimum: float
    maximum: float
    window_ms: int
    grace_ms: int
    longest_ms: int
    kinds: dict[str, KindTerms]

    def window_of(self, kind: str) -> int:
        """Returns the window of a kind: the placement's for an activation, or an unknown kind."""
        own = self.kinds.get(kind)
        if own is None or kind in (ACTIVATION, SLOT_ACTIVATION):
            return self.window_ms
        return own.window_ms


def terms_of(placement: Placement) -> Terms:
    """Returns the terms on which the placement's decisions are joined."""
    rule = placement.reward
    window_ms = round(rule.window_seconds * 1000)
    kinds = {name: _kind_terms(kind, window_ms) for name, kind in rule.kinds.items()}
    return Terms(
        placement=placement.name,
        realtime=placement.learn == "realtime",
        default=rule.default,
        minimum=rule.minimum,
        maximum=rule.maximum,
        window_ms=window_ms,
        grace_ms=round(rule.grace_seconds * 1000),
        longest_ms=max([window_ms, *(kind.window_ms for kind in kinds.values())]),
        kinds=kinds,
    )


def in_order(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """Returns the outcomes by timestamp, those of one millisecond by their id."""
    return tuple(sorted(outcomes, key=lambda outcome: (outcome.timestamp_ms, outcome.outcome_id)))


def earned(terms: Terms, outcomes: tuple[Outcome, ...]) -> float | None:
    """Returns the reward that the outcomes, in order, earn; None where none of them counts.

    Per kind, the values are aggregated, capped and weighted; the sum over the kinds, in the order
    of the rule, is clipped to [`minimum`, `maximum`]. Sums run left to right.
    """
    total: float | None = None
    for name, kind in terms.kinds.items():
        values = [outcome.value for outcome in outcomes if outcome.kind == name]
        if values:
            worth = min(kind.cap, _aggregate(kind.aggregation, values))
            total = (total or 0.0) + kind.weight * worth
    if total is None:
        return None
    # Infinities of both signs add up to nan, which this order of comparing makes the maximum.
    return max(terms.minimum, min(terms.maximum, total))


def _aggregate(aggregation: str, values: list[float]) -> float:
    match aggregation:
        case "max":
            return max(values)
        case "first":
            return values[0]
        case "last":
            return values[-1]
        case "mean":
            return sum(values) / len(values)
        case _:
            return sum(values)


def _kind_terms(kind: RewardKind, window_ms: int) -> KindTerms:
    if kind.window_seconds is not None:
        window_ms = round(kind.window_seconds * 1000)
    cap = math.inf if kind.cap is UNSET else kind.cap
    return KindTerms(kind.weight, kind.aggregation, window_ms, cap)

"""Which creatives won: interactions ranked by how good each surely is.

An arm's plain click rate depends on who it was shown to and how often the policy chose it.
Weighting each decision by one over its propensity takes the policy's choice out; the effective
sample size of those weights says how much is left to believe.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from streams.events import Interaction

Z_95: Final = 1.6448536269514722
"""The one-sided 95 % quantile of the normal distribution."""


class Winner(NamedTuple):
    """A creative and its reward: self-normalised IPS estimate and one-sided lower bound."""

    creative_id: str
    shown: int
    estimate: float
    lower: float
    effective_n: float


class _Tally:
    __slots__ = ("shown", "weight", "weight_squared", "weighted_reward")

    def __init__(self) -> None:
        self.shown = 0
        self.weight = self.weight_squared = self.weighted_reward = 0.0


class Winners:
    """Keeps a few sums for each creative, so that a log need not fit into memory."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def add(self, interaction: Interaction) -> None:
        """Counts an interaction; one that corrects another replaces its reward.

        One whose decision was taken in place of the policy says nothing, and is passed over.
        """
        decision = interaction.decision
        if decision.fallback:
            return
        tally = self._tallies.setdefault(decision.action.id, _Tally())
        weight = 1.0 / decision.propensity
        if interaction.previous_reward is None:
            tally.shown += 1
            tally.weight += weight
            tally.weight_squared += weight * weight
        earned = interaction.reward - (interaction.previous_reward or 0.0)
        tally.weighted_reward += weight * earned

    def ranked(self) -> list[Winner]:
        """Returns the creatives that were shown, the surest first (see `rank_winners`)."""
        ranked = [_winner(creative_id, t) for creative_id, t in self._tallies.items() if t.shown]
        return sorted(ranked, key=lambda winner: (-winner.lower, winner.creative_id))


def rank_winners(interactions: Iterable[Interaction]) -> list[Winner]:
    """Returns the creatives of these interactions, the surest first.

    Rewards are taken as lying in [0, 1]; of a decision with several interactions the last
    counts. The estimate is SNIPS (Swaminathan and Joachims 2015), the bound Wilson's score
    interval (1927) at the effective sample size.
    """
    winners = Winners()
    for interaction in interactions:
        winners.add(interaction)
    return winners.ranked()


def _winner(creative_id: str, tally: _Tally) -> Winner:
    estimate = tally.weighted_reward / tally.weight
    effective_n = tally.weight**2 / tally.weight_squared
    lower, _ = wilson_interval(estimate, effective_n)
    return Winner(creative_id, tally.shown, estimate, lower, effective_n)


def wilson_interval(rate: float, n: float, *, z: float = Z_95) -> tuple[float, float]:
    """Returns the score interval of a rate seen in `n` trials, clipped to [0, 1].

    >>> [round(bound, 3) for bound in wilson_interval(0.5, 100)]
    [0.419, 0.581]
    """
    rate = min(max(rate, 0.0), 1.0)
    centre = rate + z * z / (2 * n)
    margin = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale)

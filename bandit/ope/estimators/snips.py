"""SNIPS of many keys at once, such as creatives: a few sums each, to which corrections are added.

A creative's plain click rate depends on who it was shown to and how often the policy chose it.
Weighting each decision by one over its propensity takes the policy's choice out; the effective
sample size of those weights says how much is left to believe.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from bandit.ope.intervals import wilson_interval
from streams.events import Interaction


class SnipsSums(msgspec.Struct, array_like=True):
    """SNIPS of one key: Σw, Σw², Σw·reward, and how many decisions these are of.

    >>> sums = SnipsSums()
    >>> sums.add(4.0, 1.0)
    >>> sums.add(4.0, 0.0)
    >>> sums.add(4.0, 1.0, previous=0.0)
    >>> sums.estimate, sums.effective_n
    (1.0, 2.0)
    """

    weight: float = 0.0
    squared: float = 0.0
    earned: float = 0.0
    shown: int = 0

    def add(self, weight: float, reward: float, *, previous: float | None = None) -> None:
        """Takes in a decision's reward, or what it is now in place of what it was."""
        if previous is None:
            self.shown += 1
            self.weight += weight
            self.squared += weight * weight
        self.earned += weight * (reward - (previous or 0.0))

    def add_interaction(self, interaction: Interaction) -> None:
        """Takes in an interaction of the key; one that corrects another replaces its reward."""
        weight = 1.0 / interaction.decision.propensity
        self.add(weight, interaction.reward, previous=interaction.previous_reward)

    def __add__(self, other: SnipsSums) -> SnipsSums:
        return SnipsSums(
            self.weight + other.weight,
            self.squared + other.squared,
            self.earned + other.earned,
            self.shown + other.shown,
        )

    @property
    def effective_n(self) -> float:
        """How many decisions at one propensity would tell as much, (Σ w)² / Σ w² (Kish 1965)."""
        return self.weight**2 / self.squared if self.squared else 0.0

    @property
    def estimate(self) -> float:
        """The self-normalised reward a decision (Swaminathan & Joachims 2015, equation 9)."""
        return self.earned / self.weight if self.weight else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper bound of that, each at 95 %; (0, 1) where nothing was seen."""
        return wilson_interval(self.estimate, self.effective_n) if self.weight else (0.0, 1.0)


class Winner(NamedTuple):
    """A creative and its reward: self-normalised IPS estimate and one-sided lower bound."""

    creative_id: str
    shown: int
    estimate: float
    lower: float
    effective_n: float


class Winners:
    """Ranks creatives by how good each surely is, from sums of each."""

    def __init__(self) -> None:
        self._sums: dict[str, SnipsSums] = {}

    def add(self, interaction: Interaction) -> None:
        """Counts an interaction; one whose decision was taken in place of the policy is not."""
        decision = interaction.decision
        if not decision.fallback:
            self._sums.setdefault(decision.action.id, SnipsSums()).add_interaction(interaction)

    def ranked(self) -> list[Winner]:
        """Returns the creatives that were shown, the surest first (see `rank_winners`)."""
        ranked = [
            Winner(creative_id, sums.shown, sums.estimate, sums.bounds[0], sums.effective_n)
            for creative_id, sums in self._sums.items()
            if sums.shown
        ]
        return sorted(ranked, key=lambda winner: (-winner.lower, winner.creative_id))


def rank_winners(interactions: Iterable[Interaction]) -> list[Winner]:
    """Returns the creatives of these interactions, the surest first.

    Rewards are taken as lying in [0, 1]; of a decision with several interactions the last
    counts. The estimate is SNIPS, the bound Wilson's at the effective sample size.
    """
    winners = Winners()
    for interaction in interactions:
        winners.add(interaction)
    return winners.ranked()

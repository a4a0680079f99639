"""Policies that read no features: uniform and epsilon-greedy, and what they remember.

A count and a sum a creative do not depend on the order of decisions, and a reward can be taken
back from them exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Final, Generic, NamedTuple

import msgspec
import numpy as np

from bandit.errors import PolicyStateError
from bandit.policies.base import (
    LARGEST_REWARD,
    MOST_COUNTS,
    Config,
    Configured,
    Finite,
    PolicyConfig,
    Positive,
    Share,
    check_reward,
    least_of,
)
from bandit.policy import Pmf
from streams.events import Action, Context, Decision


class Arm(NamedTuple):
    """One creative's history: how many rewards it earned, and their sum."""

    n: int
    total: float


FRESH: Final = Arm(0, 0.0)
FORGETTING: Final = MOST_COUNTS - MOST_COUNTS // 4
"""With fewer arms than these none was ever forgotten."""

_decoder = msgspec.msgpack.Decoder(dict[str, Arm])


class Arms:
    """The arms by creative id; one that was never rewarded is `FRESH`."""

    def __init__(self, state: bytes | None = None) -> None:
        try:
            self._arms = _decoder.decode(state) if state else {}
        except msgspec.DecodeError as error:
            raise PolicyStateError(f"not the state of arms: {error}") from error

    def of(self, actions: Sequence[Action]) -> list[Arm]:
        """Returns the arm of each action."""
        return self.by_id([action.id for action in actions])

    def by_id(self, ids: Sequence[str]) -> list[Arm]:
        """Returns the arm of each id."""
        arms = self._arms
        return [arms.get(each, FRESH) for each in ids]

    def learn(self, creative_id: str, reward: float) -> None:
        """Adds one reward."""
        n, total = self._arms.get(creative_id, FRESH)
        self._arms[creative_id] = Arm(n + 1, total + reward)
        if len(self._arms) > MOST_COUNTS:
            for name in least_of({each: arm.n for each, arm in self._arms.items()}, MOST_COUNTS):
                del self._arms[name]

    def correct(self, creative_id: str, old: float, new: float) -> None:
        """Replaces one reward by another, unless the creative is forgotten."""
        if creative_id not in self._arms and len(self._arms) >= FORGETTING:
            return
        n, total = self._arms.get(creative_id, FRESH)
        self._arms[creative_id] = Arm(n, total + (new - old))

    def to_bytes(self) -> bytes:
        """Returns the arms, sorted by id."""
        return msgspec.msgpack.encode(self._arms, order="sorted")


class ArmPolicy(Configured[Config], Generic[Config]):
    """A policy that reads no features: what it knows is a count and a sum a creative."""

    context_free = True
    lowest: ClassVar[float] = -LARGEST_REWARD
    highest: ClassVar[float] = LARGEST_REWARD
    """Between which a reward must lie to be learned from."""

    def __init__(self, config: Config, state: bytes | None = None) -> None:
        super().__init__(config)
        self._arms = Arms(state)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the reward to the chosen creative's."""
        self._arms.learn(decision.action.id, self._checked(reward))

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward of the chosen creative by another."""
        self._arms.correct(decision.action.id, self._checked(old), self._checked(new))

    def _checked(self, reward: float) -> float:
        return check_reward(reward, low=self.lowest, high=self.highest)

    def _state(self) -> bytes:
        return self._arms.to_bytes()


class UniformConfig(PolicyConfig, frozen=True, tag="uniform"):
    """Uniform has no parameters."""


class Uniform(Configured[UniformConfig]):
    """Gives each of K actions 1/K: what others are measured against, and logs are best made with.

    >>> from streams.events import EMPTY
    >>> Uniform(UniformConfig()).pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    Config = UniformConfig
    context_free = True

    def __init__(self, config: UniformConfig, state: bytes | None = None) -> None:
        if state:
            raise PolicyStateError(f"{len(state)} bytes of state; uniform has none")
        super().__init__(config)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns 1/K for each of the K actions, shape (n_actions,)."""
        return np.full(len(actions), 1.0 / len(actions))

    def learn(self, decision: Decision, reward: float) -> None:
        """Learns nothing."""

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Has nothing to correct."""

    def _state(self) -> bytes:
        return b""


class EpsilonGreedyConfig(PolicyConfig, frozen=True, kw_only=True, tag="epsilon_greedy"):
    """`epsilon` is explored; every creative starts as if it had been shown `weight` times.

    Those earned `mean` each: without it a creative that is clicked at its first showing stays
    ahead until hundreds of showings have refuted it. The default is what all that are offered
    earned together, whatever the size of rewards.
    """

    epsilon: Share = 0.1
    mean: Finite | None = None
    weight: Positive = 100.0


class EpsilonGreedy(ArmPolicy[EpsilonGreedyConfig]):
    """Plays the creative with the highest posterior mean, and with `epsilon` any.

    Those whose mean is the highest share evenly (Sutton & Barto 2018, section 2.2).

    >>> from streams.events import EMPTY
    >>> policy = EpsilonGreedy(EpsilonGreedyConfig(epsilon=0.5))
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    Config = EpsilonGreedyConfig

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns epsilon / K each, and the rest on the best, shape (n_actions,)."""
        config, arms = self._config, self._arms.of(actions)
        level = level_of(arms) if config.mean is None else config.mean
        prior = level * config.weight
        means = np.array([(prior + a.total) / (config.weight + a.n) for a in arms])
        best = means == means.max()
        if config.mean is None:
            # Means that differ by a rounding are equal: all are, while one is all that was shown.
            best = means >= means.max() - 1e-12 * (1.0 + abs(means.max()))
            shown = best & (np.array([arm.n for arm in arms]) > 0)
            # Of those, what earns stays ahead until another is found out to earn more.
            best = shown if level > 0.0 and shown.any() else best
        greedy: Pmf = (1.0 - config.epsilon) * best / best.sum()
        return greedy + config.epsilon / len(means)


def level_of(arms: Sequence[Arm]) -> float:
    """Returns the mean reward over these arms, in whichever order, 0 where there was none."""
    n = sum(arm.n for arm in arms)
    return math.fsum(arm.total for arm in arms) / n if n else 0.0

"""Epsilon-greedy per creative: the best mean so far, and now and then any other.

Plain, robust, and hard to beat over short horizons; it reads no features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from bandit.policies.arms import Arms
from bandit.policies.envelope import seal
from bandit.policies.rewards import check_reward
from bandit.policies.spec import Finite, Positive, Share, write_spec
from bandit.policy import Pmf
from streams.events import Action, Context, Decision, PolicySpec


class EpsilonGreedyConfig(
    Struct,
    frozen=True,
    kw_only=True,
    tag_field="name",
    tag="epsilon_greedy",
    forbid_unknown_fields=True,
):
    """`epsilon` is explored; every creative starts as if it had been shown `weight` times.

    Those earned `mean` each. The default is what clicks on adverts are like (see
    `ThompsonConfig`): without it a creative that is clicked at its first showing stays ahead
    until hundreds of showings have refuted it.
    """

    epsilon: Share = 0.1
    mean: Finite = 0.01
    weight: Positive = 100.0


class EpsilonGreedy:
    """Plays the creative with the highest posterior mean, and with `epsilon` any.

    Those whose mean is the highest share evenly (Sutton & Barto 2018, section 2.2).

    >>> from streams.events import EMPTY
    >>> policy = EpsilonGreedy(EpsilonGreedyConfig(epsilon=0.5))
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    context_free = True

    def __init__(self, config: EpsilonGreedyConfig, state: bytes | None = None) -> None:
        self._config = config
        self._arms = Arms(state)

    @property
    def spec(self) -> PolicySpec:
        """The name, epsilon, and the prior."""
        return write_spec(self._config)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns epsilon / K each, and the rest on the best, shape (n_actions,)."""
        config = self._config
        prior = config.mean * config.weight
        means = np.array(
            [(prior + a.total) / (config.weight + a.n) for a in self._arms.of(actions)]
        )
        best = means == means.max()
        greedy: Pmf = (1.0 - config.epsilon) * best / best.sum()
        return greedy + config.epsilon / len(means)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the reward to the chosen creative's.

        Raises:
            LearnError: `reward_out_of_range`, a reward beyond a billion.
        """
        self._arms.learn(decision.action.id, check_reward(reward))

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward of the chosen creative by another.

        Raises:
            LearnError: `reward_out_of_range`, a reward beyond a billion.
        """
        self._arms.correct(decision.action.id, check_reward(old), check_reward(new))

    def to_bytes(self) -> bytes:
        """Returns spec and arms."""
        return seal(self.spec, self._arms.to_bytes())

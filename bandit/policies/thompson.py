"""Thompson sampling per creative, with the exact probability that each is the best as its pmf.

Plays every creative with the probability that it is the best, given what it earned so far
(Thompson 1933; Chapelle & Li 2011). It reads no features: one posterior a creative. Corrections
are exact, so it can learn in real time from rewards that come late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeAlias

import numpy as np
from msgspec import Meta, Struct

from bandit.distributions import beta_quantile, quantile
from bandit.policies.arms import Arms
from bandit.policies.best import Floats, beta_best, normal_best
from bandit.policies.envelope import seal
from bandit.policies.rewards import check_reward, check_share
from bandit.policies.spec import Finite, Positive, write_spec
from bandit.policy import Belief, Pmf
from streams.events import Action, Context, Decision, PolicySpec

CACHE_SIZE: Final = 16_384
"""Of how many arms, taken together, the answers are kept."""

Pseudocount: TypeAlias = Annotated[float, Meta(ge=0.01, le=1e9)]


class ThompsonConfig(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="thompson", forbid_unknown_fields=True
):
    """The prior Beta(alpha, beta) of every creative's rate.

    The default is one click in a hundred showings: what clicks on adverts are like. Under
    Beta(1, 1) a new creative is expected to be clicked every second time, and is shown hundreds
    of times only to refute that. Where rewards are far more frequent (above some 10 %), take
    alpha=1, beta=1: a prior far below the truth explores too little.
    """

    alpha: Pseudocount = 1.0
    beta: Pseudocount = 99.0


class GaussianThompsonConfig(
    Struct,
    frozen=True,
    kw_only=True,
    tag_field="name",
    tag="gaussian_thompson",
    forbid_unknown_fields=True,
):
    """The prior N(mean, sd²) of every creative's mean reward, and the noise of one reward."""

    mean: Finite = 0.0
    sd: Positive = 1.0
    noise: Positive = 1.0


class Thompson:
    """Beta-Bernoulli Thompson sampling for rewards in [0, 1].

    A reward r counts as r successes and 1 − r failures: for 0 and 1 that is the exact posterior,
    in between a Beta with the right mean that is, if anything, too wide.

    >>> from streams.events import EMPTY
    >>> policy = Thompson(ThompsonConfig(alpha=1.0, beta=1.0))
    >>> policy.pmf(EMPTY, [Action("a"), Action("b"), Action("c"), Action("d")]).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    context_free = True

    def __init__(self, config: ThompsonConfig, state: bytes | None = None) -> None:
        self._config = config
        self._arms = Arms(state)
        self._cache: Cache = {}

    @property
    def spec(self) -> PolicySpec:
        """The name and the prior."""
        return write_spec(self._config)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns how probably each action is the best, shape (n_actions,), within 2e-4."""
        return best_pmf(self._arms.of(actions), self._best, self._cache)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the reward to the chosen creative's.

        Raises:
            LearnError: `reward_out_of_range`, a reward that is not in [0, 1].
        """
        self._arms.learn(decision.action.id, check_share(reward))

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward of the chosen creative by another.

        Raises:
            LearnError: `reward_out_of_range`, a reward that is not in [0, 1].
        """
        self._arms.correct(decision.action.id, check_share(old), check_share(new))

    def beliefs(self, actions: Sequence[Action]) -> list[Belief]:
        """Returns each creative's posterior: its mean, and its 2.5 and 97.5 % quantiles."""
        return beta_beliefs(actions, self._arms.of(actions), self._config.alpha, self._config.beta)

    def to_bytes(self) -> bytes:
        """Returns spec and arms."""
        return seal(self.spec, self._arms.to_bytes())

    def _best(self, n: Floats, total: Floats, count: Floats) -> Floats:
        prior = self._config
        # Corrections of fractional rewards may leave a sum a rounding outside what is possible.
        total = np.minimum(np.maximum(total, 0.0), n)
        return beta_best(prior.alpha + total, prior.beta + n - total, count)


class GaussianThompson:
    """Thompson sampling for rewards of any size, as Normal with a known noise.

    The posterior of a mean after n rewards summing to s has precision 1/sd² + n/noise² and mean
    (mean/sd² + s/noise²) / precision (Murphy 2007, equations 20 and 24).

    >>> from streams.events import EMPTY
    >>> policy = GaussianThompson(GaussianThompsonConfig(sd=10.0))
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    context_free = True

    def __init__(self, config: GaussianThompsonConfig, state: bytes | None = None) -> None:
        self._config = config
        self._arms = Arms(state)
        self._cache: Cache = {}

    @property
    def spec(self) -> PolicySpec:
        """The name, the prior and the noise."""
        return write_spec(self._config)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns how probably each action is the best, shape (n_actions,), within 2e-4."""
        return best_pmf(self._arms.of(actions), self._best, self._cache)

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

    def beliefs(self, actions: Sequence[Action]) -> list[Belief]:
        """Returns each creative's posterior: its mean ± 1.96 standard deviations."""
        arms = np.array(self._arms.of(actions), dtype=np.float64).reshape(-1, 2)
        mean, sd = self._posterior(arms[:, 0], arms[:, 1])
        half = quantile(0.95) * sd
        return [
            Belief(action.id, middle, middle - apart, middle + apart)
            for action, middle, apart in zip(actions, mean.tolist(), half.tolist(), strict=True)
        ]

    def to_bytes(self) -> bytes:
        """Returns spec and arms."""
        return seal(self.spec, self._arms.to_bytes())

    def _best(self, n: Floats, total: Floats, count: Floats) -> Floats:
        return normal_best(*self._posterior(n, total), count)

    def _posterior(self, n: Floats, total: Floats) -> tuple[Floats, Floats]:
        prior, noise = self._config.sd**-2, self._config.noise**-2
        precision = prior + n * noise
        return (self._config.mean * prior + total * noise) / precision, precision**-0.5


History: TypeAlias = tuple[float, float]
"""An arm's rewards, how many and their sum."""
Cache: TypeAlias = dict[tuple[History, ...], dict[History, float]]


def beta_beliefs(
    actions: Sequence[Action], arms: Sequence[History], alpha: float, beta: float
) -> list[Belief]:
    """Returns the posteriors of rates with the prior Beta(alpha, beta): mean, 2.5 and 97.5 %."""
    found = []
    for action, (n, total) in zip(actions, arms, strict=True):
        # Corrections of fractional rewards may leave a sum a rounding outside what is possible.
        total = min(max(total, 0.0), n)
        a, b = alpha + total, beta + n - total
        low, high = beta_quantile(0.025, a, b), beta_quantile(0.975, a, b)
        found.append(Belief(action.id, a / (a + b), low, high))
    return found


def best_pmf(
    arms: Sequence[History], best: Callable[[Floats, Floats, Floats], Floats], cache: Cache
) -> Pmf:
    """Returns each arm's probability of being the best.

    Computed once for the same arms in any order, and in one order, so that neither what was
    asked before nor the order of the actions shows in the last digit.
    """
    key = tuple(sorted(arms))
    known = cache.get(key)
    if known is None:
        counted: dict[History, float] = {}
        for arm in key:
            counted[arm] = counted.get(arm, 0.0) + 1.0
        kinds = np.array(list(counted), dtype=np.float64)
        count = np.array(list(counted.values()))
        found = best(kinds[:, 0], kinds[:, 1], count)
        known = dict(zip(counted, found.tolist(), strict=True))
        if len(cache) * len(key) >= CACHE_SIZE:
            cache.clear()
        cache[key] = known
    return np.array([known[arm] for arm in arms], dtype=np.float64)

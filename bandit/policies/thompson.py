"""Thompson sampling per creative, with the exact probability that each is the best as its pmf.

Plays every creative with the probability that it is the best, given what it earned so far
(Thompson 1933; Chapelle & Li 2011): one posterior a creative, and no features.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Generic, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta

from bandit.distributions import beta_quantile, quantile
from bandit.errors import PolicyStateError
from bandit.policies.base import (
    CACHE_SIZE,
    MOST_COUNTS,
    Config,
    Configured,
    Finite,
    PolicyConfig,
    Positive,
    Share,
    check_share,
    least_of,
    spread_of,
    unseal,
)
from bandit.policies.best import Floats, beta_best, normal_best
from bandit.policies.simple import ArmPolicy
from bandit.policy import Belief, Pmf, Verdict
from streams.events import EMPTY, Action, Context, Decision

Pseudocount: TypeAlias = Annotated[float, Meta(ge=0.01, le=1e9)]

History: TypeAlias = tuple[float, float]
"""An arm's rewards, how many and their sum."""
Cache: TypeAlias = dict[tuple[History, ...], dict[History, float]]

# Two creatives that can never be the best are as good rivals of the leader as each other.
_LEAST: Final = 1e-300


class BetaConfig(PolicyConfig, frozen=True, kw_only=True):
    """The prior Beta(alpha, beta) of every creative's rate.

    The default is one click in a hundred showings: what clicks on adverts are like. Under
    Beta(1, 1) a new creative is expected to be clicked every second time, and is shown hundreds
    of times only to refute that. Where rewards are far more frequent (above some 10 %), take
    alpha=1, beta=1: a prior far below the truth explores too little.
    """

    alpha: Pseudocount = 1.0
    beta: Pseudocount = 99.0


class ThompsonConfig(BetaConfig, frozen=True, tag="thompson"):
    """The prior Beta(alpha, beta) of every creative's rate; see `BetaConfig`."""


class GaussianThompsonConfig(PolicyConfig, frozen=True, kw_only=True, tag="gaussian_thompson"):
    """The prior N(mean, sd²) of every creative's mean reward, and the noise of one reward.

    What is not given is found: `mean` is what all that are offered earned together, `noise` the
    standard deviation of all rewards, and `sd` as large as that.
    """

    mean: Finite | None = None
    sd: Positive | None = None
    noise: Positive | None = None


_gaussian_decoder = msgspec.msgpack.Decoder(tuple[bytes, tuple[int, float, float]])


class _BestOfArms(ArmPolicy[Config], Generic[Config]):
    """Plays each creative with the probability that it is the best under `_best`."""

    def __init__(self, config: Config, state: bytes | None = None) -> None:
        super().__init__(config, state)
        self._cache: Cache = {}

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns how probably each action is the best, shape (n_actions,), within 2e-4."""
        return best_pmf(self._arms.of(actions), self._best, self._cache)

    @abstractmethod
    def _best(self, n: Floats, total: Floats, count: Floats) -> Floats: ...


class Thompson(_BestOfArms[ThompsonConfig]):
    """Beta-Bernoulli Thompson sampling for rewards in [0, 1].

    A reward r counts as r successes and 1 − r failures: for 0 and 1 that is the exact posterior,
    in between a Beta with the right mean that is, if anything, too wide.

    >>> from streams.events import EMPTY
    >>> policy = Thompson(ThompsonConfig(alpha=1.0, beta=1.0))
    >>> policy.pmf(EMPTY, [Action("a"), Action("b"), Action("c"), Action("d")]).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    Config = ThompsonConfig
    lowest, highest = 0.0, 1.0

    def beliefs(self, actions: Sequence[Action]) -> list[Belief]:
        """Returns each creative's posterior: its mean, and its 2.5 and 97.5 % quantiles."""
        return beta_beliefs(actions, self._arms.of(actions), self._config.alpha, self._config.beta)

    def _best(self, n: Floats, total: Floats, count: Floats) -> Floats:
        return beta_arms_best(self._config, n, total, count)


class GaussianThompson(_BestOfArms[GaussianThompsonConfig]):
    """Thompson sampling for rewards of any size, as Normal.

    The posterior of a mean after n rewards summing to s has precision 1/sd² + n/noise² and mean
    (mean/sd² + s/noise²) / precision (Murphy 2007, equations 20 and 24).

    >>> from streams.events import EMPTY
    >>> policy = GaussianThompson(GaussianThompsonConfig(sd=10.0))
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    Config = GaussianThompsonConfig

    def __init__(self, config: GaussianThompsonConfig, state: bytes | None = None) -> None:
        self._finds = config.noise is None or config.sd is None
        arms, self._totals = state, (0, 0.0, 0.0)
        if state is not None and self._finds:
            try:
                arms, self._totals = _gaussian_decoder.decode(state)
            except msgspec.DecodeError as error:
                raise PolicyStateError(f"not the state of gaussian_thompson: {error}") from error
        super().__init__(config, arms)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the reward to the chosen creative's."""
        super().learn(decision, reward)
        self._count(1, reward, reward * reward)

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward of the chosen creative by another."""
        super().correct(decision, old, new)
        self._count(0, new - old, new * new - old * old)

    def beliefs(self, actions: Sequence[Action]) -> list[Belief]:
        """Returns each creative's posterior: its mean ± 1.96 standard deviations."""
        arms = np.array(self._arms.of(actions), dtype=np.float64).reshape(-1, 2)
        mean, sd = self._posterior(arms[:, 0], arms[:, 1], np.ones(len(arms)))
        half = quantile(0.95) * sd
        return [
            Belief(action.id, middle, middle - apart, middle + apart)
            for action, middle, apart in zip(actions, mean.tolist(), half.tolist(), strict=True)
        ]

    def _state(self) -> bytes:
        arms = super()._state()
        return msgspec.msgpack.encode((arms, self._totals)) if self._finds else arms

    def _count(self, n: int, total: float, square: float) -> None:
        if self._finds:
            known = self._totals
            self._totals = known[0] + n, known[1] + total, known[2] + square
            # What was answered was by another noise.
            self._cache.clear()

    def _best(self, n: Floats, total: Floats, count: Floats) -> Floats:
        return normal_best(*self._posterior(n, total, count), count)

    def _posterior(self, n: Floats, total: Floats, count: Floats) -> tuple[Floats, Floats]:
        """Returns mean and standard deviation of arms of which there are so many each."""
        config, shown = self._config, float(count @ n)
        level = (math.fsum(count * total) / shown if shown else 0.0) if config.mean is None else 0.0
        mean = level if config.mean is None else config.mean
        noise = config.noise or spread_of(*self._totals)
        prior = (config.sd or noise) ** -2
        precision = prior + n * noise**-2
        return (mean * prior + total * noise**-2) / precision, precision**-0.5


class DiscountedThompsonConfig(BetaConfig, frozen=True, kw_only=True, tag="discounted_thompson"):
    """The prior Beta(alpha, beta) of every creative's rate, and how fast evidence fades."""

    half_life_seconds: Positive = 7 * 86_400.0


class FadingArm(NamedTuple):
    """One creative's history as it weighed at `at_ms`, its latest decision: rewards, and sum."""

    n: float
    total: float
    at_ms: int


_fading_decoder = msgspec.msgpack.Decoder(tuple[int, dict[str, FadingArm]])


class DiscountedThompson(Configured[DiscountedThompsonConfig]):
    """Beta-Bernoulli Thompson sampling on discounted counts, for rewards in [0, 1].

    For rates that drift, as they do with season and fatigue (Raj & Kalyani 2017): a creative that
    was good once is tried again. Forgetting costs where nothing changes; `bandit.ope.drift` tells
    whether anything does.

    A reward whose decision is of time t weighs 2^−((now − t) / half-life), where now is the
    latest decision that was learned: n = Σ w and s = Σ w·r give Beta(α + s, β + n − s), which
    falls back to the prior while a creative is not shown. A correction finds its weight in its
    decision's own time, so it is exact up to rounding, however late it comes.

    >>> from streams.events import EMPTY
    >>> policy = DiscountedThompson(DiscountedThompsonConfig())
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    Config = DiscountedThompsonConfig
    context_free = True

    def __init__(self, config: DiscountedThompsonConfig, state: bytes | None = None) -> None:
        super().__init__(config)
        self._half_life_ms = config.half_life_seconds * 1000.0
        try:
            self._now_ms, self._arms = _fading_decoder.decode(state) if state else (0, {})
        except msgspec.DecodeError as error:
            raise PolicyStateError(f"not the state of fading arms: {error}") from error
        self._cache: Cache = {}

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns how probably each action is the best, shape (n_actions,), within 2e-4."""
        return best_pmf([self._faded(action.id) for action in actions], self._best, self._cache)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the reward to the chosen creative's, at the weight of its decision's time."""
        reward, at_ms = check_share(reward), decision.timestamp_ms
        n, total, known_ms = self._arms.get(decision.action.id, FadingArm(0.0, 0.0, at_ms))
        latest = max(known_ms, at_ms)
        kept, weight = self._weight(latest - known_ms), self._weight(latest - at_ms)
        self._arms[decision.action.id] = FadingArm(
            n * kept + weight, total * kept + weight * reward, latest
        )
        self._now_ms = max(self._now_ms, at_ms)
        if len(self._arms) > MOST_COUNTS:
            latest_ms = {name: float(arm.at_ms) for name, arm in self._arms.items()}
            for name in least_of(latest_ms, MOST_COUNTS):
                del self._arms[name]

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward that was learned by another, at the weight that it had."""
        change = check_share(new) - check_share(old)
        if decision.action.id not in self._arms:
            return
        n, total, at_ms = self._arms[decision.action.id]
        weight = self._weight(at_ms - decision.timestamp_ms)
        self._arms[decision.action.id] = FadingArm(n, total + weight * change, at_ms)

    def beliefs(self, actions: Sequence[Action]) -> list[Belief]:
        """Returns each creative's posterior as it weighs now: mean, 2.5 and 97.5 % quantiles."""
        arms = [self._faded(action.id) for action in actions]
        return beta_beliefs(actions, arms, self._config.alpha, self._config.beta)

    def _state(self) -> bytes:
        return msgspec.msgpack.encode((self._now_ms, self._arms), order="sorted")

    def _weight(self, age_ms: int) -> float:
        return float(2.0 ** (-age_ms / self._half_life_ms))

    def _faded(self, creative_id: str) -> tuple[float, float]:
        """Returns what the creative's history weighs now."""
        arm = self._arms.get(creative_id)
        if arm is None:
            return 0.0, 0.0
        weight = self._weight(self._now_ms - arm.at_ms)
        return arm.n * weight, arm.total * weight

    def _best(self, n: Floats, total: Floats, count: Floats) -> Floats:
        return beta_arms_best(self._config, n, total, count)


class TopTwoConfig(BetaConfig, frozen=True, kw_only=True, tag="top_two"):
    """The prior Beta(alpha, beta) of every creative's rate, and how the search is run.

    `share` is how often the draw itself is shown and not its rival; at 1 this is `thompson`.
    `threshold` is how probably the best a creative must be for the search to be over.
    """

    share: Share = 0.5
    threshold: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.95


class TopTwo(Configured[TopTwoConfig]):
    """Top-two Thompson sampling (Russo 2016, section 3.3) for rewards in [0, 1].

    Thompson sampling earns, and so hardly shows what is probably second: to be sure takes it
    long. This policy gives the rivals of the leader a share of their own, and says when it is
    sure.

    Draws a creative as `thompson` does; shows it `share` of the time, and else draws on until
    another comes. With p_i the posterior of i being the best that is a pmf in closed form:
    pmf_i = p_i · (share + (1 − share) · Σ_{j≠i} p_j / (1 − p_j)).

    >>> from streams.events import EMPTY
    >>> policy = TopTwo(TopTwoConfig())
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).round(3).tolist()
    [0.5, 0.5]
    """

    Config = TopTwoConfig
    context_free = True

    def __init__(self, config: TopTwoConfig, state: bytes | None = None) -> None:
        super().__init__(config)
        # It keeps the arms, and the posteriors that were asked for last.
        prior = ThompsonConfig(alpha=config.alpha, beta=config.beta)
        self._thompson = Thompson(prior, None if state is None else unseal(state)[1])
        self.learn = self._thompson.learn
        self.correct = self._thompson.correct
        self.beliefs = self._thompson.beliefs

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns the mixture of draw and rival, shape (n_actions,), within 1e-3.

        It is exact but for the posteriors, which are an integral.
        """
        best = self._thompson.pmf(context, actions)
        if len(best) == 1:
            return best
        return _top_two(best, self._config.share)

    def verdict(self, actions: Sequence[Action]) -> Verdict:
        """Returns which action is the best, how probably, and whether that is enough."""
        best = self._thompson.pmf(EMPTY, actions)
        leader = int(best.argmax())
        posterior = float(best[leader])
        return Verdict(actions[leader].id, posterior, posterior >= self._config.threshold)

    def _state(self) -> bytes:
        return self._thompson.to_bytes()


def _top_two(best: Floats, share: float) -> Pmf:
    """Returns the pmf of `TopTwo`, from the posteriors of at least two actions."""
    best = np.maximum(best, _LEAST)
    leader = int(best.argmax())
    # Sums are rounded once, so that the order of the actions does not show in them.
    # What a clear leader leaves to the others is added up, since 1 − p would lose it.
    clear = best[leader] > 0.5
    rest = 1.0 - best
    if clear:
        rest[leader] = math.fsum(np.delete(best, leader))
    odds = best / rest
    others = math.fsum(odds) - odds
    if clear:
        others[leader] = math.fsum(np.delete(odds, leader))
    pmf: Pmf = best * (share + (1.0 - share) * others)
    return pmf / math.fsum(pmf)


def beta_arms_best(prior: BetaConfig, n: Floats, total: Floats, count: Floats) -> Floats:
    """Returns P(an arm of each kind is the best) under Beta posteriors, shape (n_kinds,)."""
    # Corrections of fractional rewards may leave a sum a rounding outside what is possible.
    total = np.minimum(np.maximum(total, 0.0), n)
    return beta_best(prior.alpha + total, prior.beta + n - total, count)


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
        counted = Counter(key)
        kinds = np.array(list(counted), dtype=np.float64)
        count = np.array(list(counted.values()), dtype=np.float64)
        found = best(kinds[:, 0], kinds[:, 1], count)
        known = dict(zip(counted, found.tolist(), strict=True))
        if len(cache) * len(key) >= CACHE_SIZE:
            cache.clear()
        cache[key] = known
    return np.array([known[arm] for arm in arms], dtype=np.float64)

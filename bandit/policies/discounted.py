"""Thompson sampling that forgets: for rates that drift, as they do with season and fatigue.

What was seen counts half as much after every half-life (Raj & Kalyani 2017), so a creative that
was good once is tried again. Time is the decisions' own, so the same log gives the same bytes.
Forgetting costs where nothing changes; `bandit.ope.drift` tells whether anything does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from bandit.errors import PolicyStateError
from bandit.policies.best import Floats, beta_best
from bandit.policies.envelope import seal
from bandit.policies.rewards import check_share
from bandit.policies.spec import Positive, write_spec
from bandit.policies.thompson import Cache, Pseudocount, best_pmf, beta_beliefs
from bandit.policy import Belief, Pmf
from streams.events import Action, Context, Decision, PolicySpec


class DiscountedThompsonConfig(
    Struct,
    frozen=True,
    kw_only=True,
    tag_field="name",
    tag="discounted_thompson",
    forbid_unknown_fields=True,
):
    """The prior Beta(alpha, beta) of every creative's rate, and how fast evidence fades."""

    alpha: Pseudocount = 1.0
    beta: Pseudocount = 99.0
    half_life_seconds: Positive = 7 * 86_400.0


class FadingArm(NamedTuple):
    """One creative's history as it weighed at `at_ms`, its latest decision: rewards, and sum."""

    n: float
    total: float
    at_ms: int


_decoder = msgspec.msgpack.Decoder(tuple[int, dict[str, FadingArm]])


class DiscountedThompson:
    """Beta-Bernoulli Thompson sampling on discounted counts, for rewards in [0, 1].

    A reward whose decision is of time t weighs 2^−((now − t) / half-life), where now is the
    latest decision that was learned: n = Σ w and s = Σ w·r give Beta(α + s, β + n − s), which
    falls back to the prior while a creative is not shown. A correction finds its weight in its
    decision's own time, so it is exact up to rounding, however late it comes.

    >>> from streams.events import EMPTY
    >>> policy = DiscountedThompson(DiscountedThompsonConfig())
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    context_free = True

    def __init__(self, config: DiscountedThompsonConfig, state: bytes | None = None) -> None:
        self._config = config
        self._half_life_ms = config.half_life_seconds * 1000.0
        try:
            self._now_ms, self._arms = _decoder.decode(state) if state else (0, {})
        except msgspec.DecodeError as error:
            raise PolicyStateError(f"not the state of fading arms: {error}") from error
        self._cache: Cache = {}

    @property
    def spec(self) -> PolicySpec:
        """The name, the prior and the half-life."""
        return write_spec(self._config)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns how probably each action is the best, shape (n_actions,), within 2e-4."""
        return best_pmf([self._faded(action.id) for action in actions], self._best, self._cache)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the reward to the chosen creative's, at the weight of its decision's time.

        Raises:
            LearnError: `reward_out_of_range`, a reward that is not in [0, 1].
        """
        reward, at_ms = check_share(reward), decision.timestamp_ms
        n, total, known_ms = self._arms.get(decision.action.id, FadingArm(0.0, 0.0, at_ms))
        latest = max(known_ms, at_ms)
        kept, weight = self._weight(latest - known_ms), self._weight(latest - at_ms)
        self._arms[decision.action.id] = FadingArm(
            n * kept + weight, total * kept + weight * reward, latest
        )
        self._now_ms = max(self._now_ms, at_ms)

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward that was learned by another, at the weight that it had.

        Raises:
            LearnError: `reward_out_of_range`, a reward that is not in [0, 1].
        """
        change = check_share(new) - check_share(old)
        n, total, at_ms = self._arms[decision.action.id]
        weight = self._weight(at_ms - decision.timestamp_ms)
        self._arms[decision.action.id] = FadingArm(n, total + weight * change, at_ms)

    def beliefs(self, actions: Sequence[Action]) -> list[Belief]:
        """Returns each creative's posterior as it weighs now: mean, 2.5 and 97.5 % quantiles."""
        arms = [self._faded(action.id) for action in actions]
        return beta_beliefs(actions, arms, self._config.alpha, self._config.beta)

    def to_bytes(self) -> bytes:
        """Returns spec, the latest time and the arms."""
        state = msgspec.msgpack.encode((self._now_ms, self._arms), order="sorted")
        return seal(self.spec, state)

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
        prior = self._config
        # Corrections may leave a sum a rounding outside what is possible.
        total = np.minimum(np.maximum(total, 0.0), n)
        return beta_best(prior.alpha + total, prior.beta + n - total, count)

"""The policy that needs no choosing: what matters in a placement it finds in the placement's data.

How high rates are and how far apart, whether they drift, what texts promise, whether contexts
matter and to whom: each is weighed by how well it explains what was seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta

from bandit.distributions import gamma_quantile, quantile
from bandit.errors import FeatureError, PolicyStateError
from bandit.features.flatten import Feature, flatten, standardised
from bandit.policies.adaptive.age_blocks import Blocks
from bandit.policies.adaptive.preferences import Preferences
from bandit.policies.adaptive.slopes import Columns, ColumnsState, Reading, Slopes
from bandit.policies.base import (
    LARGEST_REWARD,
    Configured,
    PolicyConfig,
    Positive,
    Share,
    check_reward,
    order_of,
)
from bandit.policies.best import Floats, normal_best
from bandit.policies.headlines import HEADLINES
from bandit.policies.rates import Posterior, Scale, block_weights, rates, scale_of, signed_means
from bandit.policies.text_thompson import Weight
from bandit.policy import Belief, Pmf, Policy
from streams.events import Action, Context, Decision

MOST_CONTEXTS: Final = 1000
"""How many contexts are kept as they were read."""


class AdaptiveConfig(PolicyConfig, frozen=True, kw_only=True, tag="adaptive"):
    """There is nothing to choose but what nobody can learn from rewards alone.

    `signed` says that rewards may be negative. `weights` and `trust` are as of `text_thompson`.
    `width` scales the posterior's standard deviation (1 is Thompson sampling), and `epsilon` is
    shared by all.
    """

    signed: bool = False
    weights: dict[str, Weight] = msgspec.field(default_factory=lambda: dict(HEADLINES))
    trust: Positive = 5.0
    width: Annotated[float, Meta(ge=0.01, le=1.0)] = 0.4
    epsilon: Share = 0.01


class _Fitted(NamedTuple):
    """What is known of a tuple of actions, in the order of their ids."""

    actions: Sequence[Action]
    order: list[int]
    scale: Scale
    n: Floats
    posterior: Posterior
    reading: Reading | None
    pmf: list[Pmf]


class Adaptive(Configured[AdaptiveConfig]):
    """Thompson sampling on a model whose scales are found by empirical Bayes.

    >>> from streams.events import EMPTY
    >>> policy = Adaptive(AdaptiveConfig())
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).round(3).tolist()
    [0.5, 0.5]
    """

    Config = AdaptiveConfig

    def __init__(self, config: AdaptiveConfig, state: bytes | None = None) -> None:
        super().__init__(config)
        sums, columns, *parts = _unpack(state)
        self._sums = np.array(sums)
        self._columns = Columns(columns)
        self._blocks, self._slopes = Blocks(parts[0]), Slopes(parts[1])
        self._texts = Preferences(config.weights, config.trust, parts[2])
        self._fitted: _Fitted | None = None
        self._weights: tuple[Sequence[Action], tuple[float, ...], Floats] | None = None
        self._contexts: dict[bytes, list[Feature]] = {}

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns the share of each action, shape (n_actions,), none below epsilon / n_actions."""
        features = self._features(context)
        fitted = self._fit(actions)
        if len(actions) == 1:
            return np.ones(1)
        mean, variance = fitted.posterior
        reading = fitted.reading
        if reading is None:
            if not fitted.pmf:
                fitted.pmf.append(self._best(fitted, mean, variance))
            return fitted.pmf[0].copy()
        apart = self._columns.vector(features) - reading.centre
        rise = (reading.slope * apart).sum(axis=1)
        spread = (np.einsum("kij,kj->ki", reading.covariance, apart) * apart).sum(axis=1)
        spread *= self._noise(fitted.scale, mean)
        return self._best(fitted, mean + rise, variance + spread)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the decision to all that is kept."""
        reward = self._checked(reward)
        features = self._features(decision.context)
        self._texts.check(decision.actions)
        if self._columns.learn(features, decision.timestamp_ms):
            self._slopes.widen(len(self._columns))
        self._texts.learn(decision, reward)
        self._blocks.learn(decision.action.id, decision.timestamp_ms, reward)
        if gone := self._blocks.forget_least():
            self._texts.forget(gone)
        self._slopes.learn(decision.action.id, self._vector(decision), reward)
        self._sums += (1.0, reward, reward * reward, abs(reward))
        self._fitted = None

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward in all sums."""
        old, new = self._checked(old), self._checked(new)
        x = self._vector(decision)
        self._texts.correct(decision, new - old)
        self._blocks.correct(decision.action.id, decision.timestamp_ms, new - old)
        self._slopes.correct(decision.action.id, x, new - old)
        self._sums += (0.0, new - old, new * new - old * old, abs(new) - abs(old))
        self._fitted = None

    def beliefs(self, actions: Sequence[Action]) -> list[Belief]:
        """Returns each creative's posterior in the average context: mean, 2.5 and 97.5 %."""
        if not actions:
            return []
        fitted = self._fit(actions)
        found: list[Belief | None] = [None] * len(actions)
        for place, mean, variance in zip(
            fitted.order, *(each.tolist() for each in fitted.posterior), strict=True
        ):
            if self._config.signed:
                half = quantile(0.95) * variance**0.5
                low, high = mean - half, mean + half
            else:
                shape = mean * mean / variance
                low = mean * gamma_quantile(0.025, shape) / shape
                high = mean * gamma_quantile(0.975, shape) / shape
            found[place] = Belief(actions[place].id, mean, low, high)
        return [each for each in found if each is not None]

    def take_over(self, before: Policy) -> None:
        """Takes over what the other has read of texts."""
        if isinstance(before, Adaptive):
            self._texts.take_over(before._texts)

    def _state(self) -> bytes:
        parts = self._blocks.to_bytes(), self._slopes.to_bytes(), self._texts.to_bytes()
        return msgspec.msgpack.encode((self._sums.tolist(), self._columns.state(), *parts))

    def _checked(self, reward: float) -> float:
        return check_reward(reward, low=-LARGEST_REWARD if self._config.signed else 0.0)

    def _fit(self, actions: Sequence[Action]) -> _Fitted:
        fitted = self._fitted
        if fitted is not None and fitted.actions is actions:
            return fitted
        order = order_of(actions)
        ordered = [actions[i] for i in order]
        ids = [action.id for action in ordered]
        scale = scale_of(self._sums.tolist(), signed=self._config.signed)
        n, total = self._blocks.of(ids)
        weights = self._block_weights(actions, n, total, scale)
        n, total = n @ weights, np.maximum(total @ weights, -np.inf if self._config.signed else 0.0)
        if self._config.signed:
            posterior = signed_means(n, total, scale)
            self._texts.check(ordered)
        else:
            posterior = rates(n, total, self._texts.ahead(ordered, _rounded(scale.unit)), scale)
        reading = self._slopes.read(ids, scale.variance)
        # A list may be another one the next time that it is seen; a tuple stays what it is.
        kept = actions if isinstance(actions, tuple) else ()
        fitted = self._fitted = _Fitted(kept, order, scale, n, posterior, reading, [])
        return fitted

    def _block_weights(
        self, actions: Sequence[Action], n: Floats, total: Floats, scale: Scale
    ) -> Floats:
        """Returns what each block weighs: once, until a block but the newest changes."""
        # The scale is rounded to quarters of a power of two, so that it seldom changes.
        scale = Scale(*map(_rounded, scale))
        key: tuple[float, ...] = (self._blocks.closed, *scale)
        known = self._weights
        if known is not None and known[0] is actions and known[1] == key:
            return known[2]
        found = block_weights(self._blocks.sizes, n, total, scale, self._config.signed)
        self._weights = (actions if isinstance(actions, tuple) else ()), key, found
        return found

    def _vector(self, decision: Decision) -> Floats:
        """Returns a decision's context as it was read when it was learned."""
        known = self._columns.known_at(decision.timestamp_ms)
        return self._columns.vector(self._features(decision.context), known)

    def _features(self, context: Context) -> list[Feature]:
        """Returns what can be read of a context, kept from last time.

        A context that holds what is no feature (an array in an array, a number beyond 1e15) is as
        one without features: who chose no policy is served whatever is sent along.
        """
        key = bytes(context)
        found = self._contexts.get(key)
        if found is None:
            try:
                found = list(standardised(flatten(context, namespace="context", zeros=True)))
            except FeatureError:
                found = []
            if len(self._contexts) >= MOST_CONTEXTS:
                self._contexts.clear()
            self._contexts[key] = found
        return found

    def _noise(self, scale: Scale, mean: Floats) -> Floats:
        """Returns the variance of a creative's reward around its mean."""
        if self._config.signed:
            return np.full(len(mean), scale.variance)
        return scale.unit * np.maximum(mean, 0.3 * scale.mean)

    def _best(self, fitted: _Fitted, mean: Floats, variance: Floats) -> Pmf:
        n = len(mean)
        sd = self._config.width * np.sqrt(variance)
        if not self._config.signed:
            # The cube root of a Gamma variable is as good as Normal (Wilson & Hilferty 1931).
            mean = np.maximum(mean, 0.05 * fitted.scale.mean)
            shape = np.maximum((mean / sd) ** 2, 0.25)
            mean, sd = (
                np.cbrt(mean) * (1.0 - 1.0 / (9.0 * shape)),
                np.cbrt(mean) / (3.0 * np.sqrt(shape)),
            )
        best = normal_best(mean, np.maximum(sd, 1e-12), np.ones(n))
        epsilon = self._config.epsilon
        pmf = np.empty(n)
        pmf[fitted.order] = (1.0 - epsilon) * best + epsilon / n
        return pmf


def _rounded(size: float) -> float:
    """Returns the nearest quarter of a power of two, of the same sign."""
    if not size:
        return 0.0
    return math.copysign(2.0 ** (round(4.0 * math.log2(abs(size))) / 4.0), size)


_decoder = msgspec.msgpack.Decoder(tuple[list[float], ColumnsState, bytes, bytes, bytes])


_Unpacked: TypeAlias = tuple[list[float], ColumnsState, bytes | None, bytes | None, bytes | None]


def _unpack(state: bytes | None) -> _Unpacked:
    if state is None:
        return [0.0] * 4, Columns().state(), None, None, None
    try:
        return _decoder.decode(state)
    except msgspec.DecodeError as error:
        raise PolicyStateError(f"not the state of an adaptive policy: {error}") from error

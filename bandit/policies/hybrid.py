"""A contextual policy for creatives that come and go: Thompson sampling on a hierarchical model.

A new creative starts from what similar ones earned in such contexts; one that has been shown is
judged by what it earned itself (`fit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct

from bandit.errors import PolicyStateError
from bandit.features.flatten import Codebook, balanced, flatten, standardised
from bandit.policies.base import (
    Configured,
    PolicyConfig,
    Positive,
    Seed,
    Share,
    check_reward,
    keep,
    order_of,
)
from bandit.policies.best import Floats, normal_best
from bandit.policy import Pmf, Policy
from streams.events import Action, Context, Decision

DAY_MS: Final = 86_400_000
CODE_SIZE: Final = 64
"""Dimensions in which a creative's features are kept; of these the fit takes the widest."""


PRIOR_DECISIONS: Final = 100.0
"""Mean and noise start as if one reward had been earned in so many decisions."""


class ArmSums(Struct):
    """What one creative's decisions sum to: all that the model needs to know of them.

    `code` is its vector before it is shortened, shape (n_code,); `second` is Σ φφᵀ, shape (m, m),
    and `response` Σ rφ, shape (m,).
    """

    code: Floats
    second: Floats
    response: Floats


class Totals(NamedTuple):
    """How many decisions there were, and sums over their rewards: r, r², and |r|."""

    n: float
    reward: float
    square: float
    size: float


class Fit(NamedTuple):
    """The posterior of W, and what it takes to read a creative by it.

    W has the mean `weights`, shape (p, m), and with its rows strung together the covariance
    `noise² · covariance`, shape (p·m, p·m). `own` and the entries of `covariance` are in units of
    the noise's variance; `centre` and `directions` shorten a code to ψ.
    """

    mean: float
    noise: float
    own: float
    centre: Floats
    directions: Floats
    weights: Floats
    covariance: Floats

    def creatives(self, arms: list[ArmSums], scale: float) -> tuple[Floats, Floats]:
        """Returns mean and covariance of each creative's Wψ + u, given all that it earned.

        Args:
            arms: the creatives' sums; of those never shown, sums of 0.
            scale: what the sums are multiplied by.

        Returns:
            Shapes (n, m) and (n, m, m). The covariance is noise²·(G + own²·G C G), where own·I is
            the prior precision of u, G = (S + own·I)⁻¹, and C the covariance of Wψ; the mean
            leaves out the mean reward, which all have in common.
        """
        psi, second, response = _stacked(arms, self, scale)
        n, m = response.shape
        spread = _inverse(second + self.own * np.eye(m))
        mean = np.einsum("kij,kj->ki", spread, response + self.own * psi @ self.weights)
        p = psi.shape[1]
        blocks = self.covariance.reshape(p, m, p, m).swapaxes(1, 2).reshape(p * p, m * m)
        shared = (_outer(psi) @ blocks).reshape(n, m, m)
        covariance = self.noise**2 * (spread + self.own**2 * spread @ shared @ spread)
        return mean, covariance


def fit(arms: list[ArmSums], totals: Totals, config: HybridConfig, scale: float) -> Fit:
    """Returns the posterior of what creatives share, given the sums of all of them.

    With u integrated out, a creative's sums say of Wψ what an observation of precision
    J = own·I − own²·G would, with G as in `Fit.creatives`; the precision of W is then
    shared·I + Σ ψψᵀ ⊗ J. That is the hybrid model of Li et al. 2010 (algorithm 2) where a
    creative's own part has a prior too, and the rewards' mean and noise are estimated first.

    Args:
        arms: at least one.
        totals: of all decisions, on the same scale as the sums.
        config: the prior, and into how many dimensions creatives are shortened.
        scale: what sums and totals are multiplied by.
    """
    mean, variance, size = _moments(totals, scale)
    own, shared = (variance / (part * size) ** 2 for part in (config.own, config.shared))
    codes = np.array([arm.code for arm in arms])
    centre = codes.mean(axis=0)
    # Where the codes vary most. Among no more creatives than dimensions nothing is lost, and the
    # prior is the same whichever way a direction is turned.
    apart = codes - centre
    rank = config.creative_dimensions
    directions: Floats = np.linalg.eigh(apart.T @ apart)[1][:, ::-1][:, :rank].T
    start = Fit(mean, variance**0.5, own, centre, directions, *_NONE)
    psi, second, response = _stacked(arms, start, scale)
    (k, m), p = response.shape, psi.shape[1]
    spread = _inverse(second + own * np.eye(m))
    told = own * np.eye(m) - own * own * spread
    blocks = (_outer(psi).T @ told.reshape(k, -1)).reshape(p, p, m, m)
    precision = blocks.swapaxes(1, 2).reshape(p * m, p * m) + shared * np.eye(p * m)
    covariance = _inverse(precision)
    right = psi.T @ (own * np.einsum("kij,kj->ki", spread, response))
    weights = (covariance @ right.ravel()).reshape(p, m)
    return start._replace(weights=weights, covariance=covariance)


_NONE: Final = (np.zeros((0, 0)), np.zeros((0, 0)))


def _moments(totals: Totals, scale: float) -> tuple[float, float, float]:
    """Returns the rewards' mean and variance, and how large a mean is to be thought of."""
    # A reward is as large as those that came so far; 1 until there are any.
    typical = totals.square / totals.size if totals.size > 0.0 else 1.0
    n = totals.n * scale + PRIOR_DECISIONS
    mean = (totals.reward * scale + typical) / n
    variance = max((totals.square * scale + typical**2) / n - mean * mean, 1e-30)
    # Of rewards that are 0 on average the mean has no size; its standard error has.
    return mean, variance, max(abs(mean), (variance / n) ** 0.5)


def _inverse(matrices: Floats) -> Floats:
    """Returns the inverse of each symmetric matrix, as symmetric as rounding lets it be."""
    found = np.linalg.inv(matrices).astype(np.float64)
    return (found + found.swapaxes(-1, -2)) / 2.0


def _outer(psi: Floats) -> Floats:
    """Returns ψψᵀ of each creative, strung together, shape (n, p²)."""
    return (psi[:, :, None] * psi[:, None, :]).reshape(len(psi), -1)


def _stacked(arms: list[ArmSums], of: Fit, scale: float) -> tuple[Floats, Floats, Floats]:
    """Returns ψ, shape (n, p), Σ φφᵀ and Σ (r − mean)φ of each creative."""
    codes = np.array([arm.code for arm in arms]) - of.centre
    psi = np.hstack([np.ones((len(arms), 1)), codes @ of.directions.T])
    second = scale * np.array([arm.second for arm in arms])
    # φ starts with 1, so the first column of Σ φφᵀ is Σ φ.
    response = scale * np.array([arm.response for arm in arms]) - of.mean * second[:, :, 0]
    return psi, second, response


class HybridConfig(PolicyConfig, frozen=True, kw_only=True, tag="hybrid"):
    """How much creatives are expected to differ, and how to explore.

    Scale is learned: `shared` and `own` are prior standard deviations as shares of the mean
    reward, of what context and text together change and of what is a creative's own. `explore`
    is how many times its posterior standard deviation a score is drawn with: 1 is Thompson
    sampling, and less earns more where creatives live for days. `epsilon` is spread evenly over
    all. With `half_life_days`, a decision counts half as much as one that is so much newer.
    `context_dimensions` should exceed the different values that a context's fields take
    together, up to some twenty; a creative's state takes its square, and a fit its cube.
    """

    shared: Positive = 1.5
    own: Positive = 0.5
    explore: Annotated[float, Meta(ge=0.01, le=10.0)] = 0.3
    epsilon: Share = 0.01
    half_life_days: Annotated[float, Meta(gt=0.0, le=36_500.0)] | None = None
    context_dimensions: Annotated[int, Meta(ge=2, le=64)] = 24
    creative_dimensions: Annotated[int, Meta(ge=1, le=32)] = 12
    seed: Seed = 0


class _Shown(NamedTuple):
    """What is prepared of a tuple of actions: their order by id, and their scores' posterior."""

    actions: Sequence[Action]
    order: list[int]
    mean: Floats
    covariance: Floats


class Hybrid(Configured[HybridConfig]):
    """Thompson sampling where every creative's score is drawn on its own.

    The pmf is how probably each score is the highest, by an integral within 2e-4. The scores'
    correlation, small once contexts are known, is left out of it.

    A decision weighs 2^(its time / half-life), by its own timestamp and whenever it is learned
    or corrected (Cormode et al. 2009, forward decay); what is read is relative to the newest
    decision. So a correction replaces just what was learned, and order does not matter.

    >>> from streams.events import EMPTY
    >>> policy = Hybrid(HybridConfig())
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).round(3).tolist()
    [0.5, 0.5]
    """

    Config = HybridConfig

    def __init__(self, config: HybridConfig, state: bytes | None = None) -> None:
        super().__init__(config)
        days = config.half_life_days
        self._half_life_ms = None if days is None else days * DAY_MS
        self._contexts = Codebook(config.context_dimensions - 1, seed=2 * config.seed + 1)
        self._creatives = Codebook(CODE_SIZE, seed=2 * config.seed)
        self._codes: dict[tuple[str, bytes], Floats] = {}
        self._newest_ms, self._totals, self._arms = _unpack(state, config.context_dimensions)
        self._fit: Fit | None = None
        self._shown: _Shown | None = None
        if state is not None:
            # Whoever loads a policy means to ask it, and this is the slow part.
            self._fitted()

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns how probably each action is the best, shape (n_actions,), with the floor."""
        x, shown, n = self._read(context), self._show(actions), len(actions)
        if n == 1:
            return np.ones(1)
        variance = np.maximum((shown.covariance @ x) @ x, 1e-30)
        best = normal_best(shown.mean @ x, self._config.explore * np.sqrt(variance), np.ones(n))
        pmf = np.empty(n)
        pmf[shown.order] = (1.0 - self._config.epsilon) * best + self._config.epsilon / n
        return pmf

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the decision to the sums."""
        check_reward(reward)
        x, code = self._read(decision.context), self._code(decision.action)
        weight = self._weight(decision.timestamp_ms)
        arm = self._arm(decision.action.id)
        arm.code = code
        arm.second += weight * np.outer(x, x)
        arm.response += weight * reward * x
        self._totals += weight * np.array([1.0, reward, reward * reward, abs(reward)])
        self._fit = self._shown = None

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward in the sums, at the weight with which it was learned."""
        change = check_reward(new) - check_reward(old)
        x = self._read(decision.context)
        weight = self._weight(decision.timestamp_ms)
        self._arm(decision.action.id).response += weight * change * x
        sums = [0.0, change, new * new - old * old, abs(new) - abs(old)]
        self._totals += weight * np.array(sums)
        self._fit = self._shown = None

    def take_over(self, before: Policy) -> None:
        """Takes over the creatives' codes, where the other makes the same."""
        if isinstance(before, Hybrid) and before._config.seed == self._config.seed:
            self._codes = before._codes

    def _state(self) -> bytes:
        upper = np.triu_indices(self._config.context_dimensions)
        arms = {
            name: _bytes(np.concatenate([arm.code, arm.second[upper], arm.response]))
            for name, arm in self._arms.items()
        }
        state = _State(self._newest_ms, _bytes(self._totals), arms)
        return msgspec.msgpack.encode(state, order="sorted")

    def _weight(self, timestamp_ms: int) -> float:
        """Returns what a decision of that time weighs, relative to the newest one's half-life."""
        half_life_ms = self._half_life_ms
        if half_life_ms is None:
            return 1.0
        newest_ms = max(self._newest_ms, timestamp_ms)
        passed = newest_ms // half_life_ms - self._newest_ms // half_life_ms
        if passed:
            # A power of two, so nothing is rounded.
            factor = 2.0**-passed
            self._totals *= factor
            for arm in self._arms.values():
                arm.second *= factor
                arm.response *= factor
        self._newest_ms = newest_ms
        return float(2.0 ** (timestamp_ms / half_life_ms - newest_ms // half_life_ms))

    def _fitted(self) -> Fit:
        if self._fit is None:
            # By id, since a policy that was loaded must add up in the same order.
            arms = [self._arms[name] for name in sorted(self._arms)] or [self._fresh(_NO_CODE)]
            totals = Totals(*self._totals.tolist())
            self._fit = fit(arms, totals, self._config, self._age())
        return self._fit

    def _age(self) -> float:
        """Returns what sums are multiplied by so that the newest decision has weight 1."""
        return 1.0 / self._weight(self._newest_ms)

    def _show(self, actions: Sequence[Action]) -> _Shown:
        """Returns what is prepared of the actions: once, until something is learned."""
        shown = self._shown
        if shown is None or shown.actions is not actions:
            order = order_of(actions)
            arms = [self._seen(actions[i]) for i in order]
            prepared = self._fitted().creatives(arms, self._age())
            # A list may be another one the next time that it is seen; a tuple stays what it is.
            kept = actions if isinstance(actions, tuple) else ()
            shown = self._shown = _Shown(kept, order, *prepared)
        return shown

    def _seen(self, action: Action) -> ArmSums:
        """Returns the action's sums, with what it looks like now."""
        known, code = self._arms.get(action.id), self._code(action)
        return ArmSums(code, known.second, known.response) if known else self._fresh(code)

    def _arm(self, creative_id: str) -> ArmSums:
        """Returns the creative's sums, to be added to."""
        return self._arms.setdefault(creative_id, self._fresh(_NO_CODE))

    def _fresh(self, code: Floats) -> ArmSums:
        m = self._config.context_dimensions
        return ArmSums(code, np.zeros((m, m)), np.zeros(m))

    def _read(self, context: Context) -> Floats:
        """Returns φ, shape (context_dimensions,): 1, and the context's code."""
        features = flatten(context, namespace="context", zeros=True)
        return np.append(1.0, self._contexts.vector(balanced(standardised(features))))

    def _code(self, action: Action) -> Floats:
        """Returns the creative's code, shape (CODE_SIZE,), kept from last time."""
        key = (action.id, bytes(action.features))
        found = self._codes.get(key)
        if found is None:
            features = flatten(action.features, namespace="action", zeros=True)
            found = self._creatives.vector(balanced(standardised(features)))
            keep(self._codes, key, found)
        return found


_NO_CODE: Final = np.zeros(CODE_SIZE)


class _State(Struct, frozen=True, array_like=True):
    """Arrays as bytes; of an arm: code, upper triangle of Σ φφᵀ, Σ rφ."""

    newest_ms: int
    totals: bytes
    arms: dict[str, bytes]


def _bytes(values: Floats) -> bytes:
    return values.astype("<f8").tobytes()


def _floats(data: bytes, size: int) -> Floats:
    if len(data) != 8 * size:
        raise PolicyStateError(f"{len(data)} bytes of sums; expected {8 * size}")
    return np.frombuffer(data, dtype="<f8").astype(np.float64)


def _unpack(state: bytes | None, m: int) -> tuple[int, Floats, dict[str, ArmSums]]:
    """Returns the newest decision's time, the totals and the arms, of contexts of size m."""
    if state is None:
        return 0, np.zeros(4), {}
    try:
        saved = msgspec.msgpack.decode(state, type=_State)
    except msgspec.DecodeError as error:
        raise PolicyStateError(f"not the state of a hybrid policy: {error}") from error
    arms = {name: _unpack_arm(data, m) for name, data in saved.arms.items()}
    return saved.newest_ms, _floats(saved.totals, 4), arms


def _unpack_arm(data: bytes, m: int) -> ArmSums:
    n_upper = m * (m + 1) // 2
    code, upper, response = np.split(
        _floats(data, CODE_SIZE + n_upper + m), [CODE_SIZE, CODE_SIZE + n_upper]
    )
    second = np.zeros((m, m))
    second[np.triu_indices(m)] = upper
    second += np.triu(second, 1).T
    return ArmSums(code.copy(), second, response.copy())

"""A contextual policy for creatives that come and go: Thompson sampling on a hierarchical model.

A new creative starts from what similar ones earned in such contexts; one that has been shown is
judged by what it earned itself (`fit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType
from numpy.typing import NDArray

from bandit.errors import PolicyStateError
from bandit.features.flatten import Codebook, balanced, flatten, standardised
from bandit.policies.base import (
    CONTEXTS_KEPT,
    Configured,
    PolicyConfig,
    Positive,
    Seed,
    Share,
    check_reward,
    keep,
    order_of,
)
from bandit.policies.best import Floats, normal_best, quick_normal_best
from bandit.policies.linear.hybrid_fit import ArmSums, Fit, Prior, Totals, fit
from bandit.policies.linear.refits import RunningFit
from bandit.policy import Pmf, Policy
from streams.events import Action, Context, Decision

DAY_MS: Final = 86_400_000
CODE_SIZE: Final = 64
"""Dimensions in which a creative's features are kept; of these the fit takes the widest."""


class HybridConfig(PolicyConfig, frozen=True, kw_only=True, tag="hybrid"):
    """How much creatives are expected to differ, and how to explore.

    Scale is learned: `shared` and `own` are prior standard deviations as shares of the mean
    reward, of what context and text together change and of what is a creative's own. `explore`
    is how many times its posterior standard deviation a score is drawn with: 1 is Thompson
    sampling, and less earns more where creatives live for days. `epsilon` is spread evenly over
    all. With `half_life_days`, a decision counts half as much as one that is so much newer.
    `context_dimensions` should exceed the different values that a context's fields take
    together, up to some twenty; a creative's state takes its square, and a fit its cube.

    Scale is estimated anew with every eighth part more of rewards, and after `refit` rewards at
    the latest; in between each reward costs a matrix of rank one. Policies in older logs have no
    `refit`, and are fitted after every reward; `creative_dimensions` were 12 there, and are 8 now.
    """

    added: ClassVar[Mapping[str, object]] = {"refit": 256, "creative_dimensions": 8}

    shared: Positive = 1.5
    own: Positive = 0.5
    explore: Annotated[float, Meta(ge=0.01, le=10.0)] = 0.3
    epsilon: Share = 0.01
    half_life_days: Annotated[float, Meta(gt=0.0, le=36_500.0)] | None = None
    context_dimensions: Annotated[int, Meta(ge=2, le=64)] = 24
    creative_dimensions: Annotated[int, Meta(ge=1, le=32)] = 12
    refit: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType = UNSET
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
        self._prior = Prior(config.shared, config.own, config.creative_dimensions)
        days = config.half_life_days
        self._half_life_ms = None if days is None else days * DAY_MS
        self._contexts = Codebook(config.context_dimensions - 1, seed=2 * config.seed + 1)
        self._creatives = Codebook(CODE_SIZE, seed=2 * config.seed)
        self._codes: dict[tuple[str, bytes], Floats] = {}
        self._contexts_read: dict[bytes, Floats] = {}
        self._fit: Fit | None = None
        self._shown: _Shown | None = None
        self._running: RunningFit | None = None
        if config.refit is UNSET:
            saved, journal = _decoded(state, _State), []
        else:
            saved, journal = _decoded(state, tuple[_State, list[_Entry]]) or (None, [])
        self._newest_ms, self._totals, self._arms = _unpack(saved, config.context_dimensions)
        if config.refit is not UNSET:
            self._refit()
            for entry in journal:
                self._take(entry)
        elif state is not None:
            # Whoever loads a policy means to ask it, and this is the slow part.
            self._fitted()

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns how probably each action is the best, shape (n_actions,), with the floor."""
        x, n, explore = self._read(context), len(actions), self._config.explore
        order: Sequence[int] | NDArray[np.intp]
        if self._running is not None:
            order, mean, variance = self._running.scores(x, actions, self._code)
            best = quick_normal_best(mean, explore * np.sqrt(np.maximum(variance, 1e-30)))
        else:
            shown = self._show(actions)
            order, variance = shown.order, np.maximum((shown.covariance @ x) @ x, 1e-30)
            best = normal_best(shown.mean @ x, explore * np.sqrt(variance), np.ones(n))
        if n == 1:
            return np.ones(1)
        pmf = np.empty(n)
        pmf[order] = (1.0 - self._config.epsilon) * best + self._config.epsilon / n
        return pmf

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the decision to the sums."""
        check_reward(reward)
        x, code = self._read(decision.context), self._code(decision.action)
        known = self._arms.get(decision.action.id)
        seen = known is not None and np.array_equal(known.code, code)
        self._take(_entry(decision, 1, 0.0, reward, x, None if seen else code))

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward in the sums, at the weight with which it was learned."""
        x = self._read(decision.context)
        self._take(_entry(decision, 0, check_reward(old), check_reward(new), x, None))

    def take_over(self, before: Policy) -> None:
        """Takes over the creatives' codes, where the other makes the same."""
        if isinstance(before, Hybrid) and before._config.seed == self._config.seed:
            self._codes = before._codes

    def _state(self) -> bytes:
        if self._running is None:
            return msgspec.msgpack.encode(self._packed(), order="sorted")
        return msgspec.msgpack.encode((self._base, self._journal), order="sorted")

    def _packed(self) -> _State:
        upper = np.triu_indices(self._config.context_dimensions)
        arms = {
            name: _bytes(np.concatenate([arm.code, arm.second[upper], arm.response]))
            for name, arm in self._arms.items()
        }
        return _State(self._newest_ms, _bytes(self._totals), arms)

    def _take(self, entry: _Entry) -> None:
        """Takes a decision or a correction into the sums, and into what is fitted to them."""
        before_ms, name, x = self._newest_ms, entry.creative_id, np.frombuffer(entry.x)
        weight, arm, change = self._weight(entry.at_ms), self._arm(name), entry.new - entry.old
        if entry.code:
            arm.code = np.frombuffer(entry.code)
        if entry.count:
            arm.second += weight * np.outer(x, x)
        arm.response += weight * change * x
        squares = entry.new * entry.new - entry.old * entry.old
        sizes = abs(entry.new) - abs(entry.old)
        self._totals += weight * np.array([float(entry.count), change, squares, sizes])
        running = self._running
        if running is None:
            self._fit = self._shown = None
            return
        self._journal.append(entry)
        # A creative that the fit does not know, or sums that were halved, want another fit.
        if entry.code or self._halved(before_ms) or len(self._journal) >= self._limit:
            self._refit()
        elif entry.count:
            running.learn(name, x, weight, entry.new)
        else:
            running.correct(name, x, weight, change)

    def _refit(self) -> None:
        """Fits anew; the state is the sums until now, and what comes after them."""
        self._base, self._journal, self._fit = self._packed(), list[_Entry](), None
        arms = {name: self._arms[name] for name in sorted(self._arms)}
        self._running = RunningFit(self._fitted(), arms, self._age())
        n, refit = float(self._totals[0]) * self._age(), self._config.refit
        self._limit = max(min(int(n / 8.0), 1 if refit is UNSET else refit), 1)

    def _halved(self, before_ms: int) -> bool:
        """Returns whether sums were halved since the newest decision was of that time."""
        half_life_ms = self._half_life_ms
        if half_life_ms is None:
            return False
        return self._newest_ms // half_life_ms != before_ms // half_life_ms

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
            self._fit = fit(arms, totals, self._prior, self._age())
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
        key = bytes(context)
        found = self._contexts_read.get(key)
        if found is None:
            features = standardised(flatten(context, namespace="context", zeros=True))
            book, older = self._contexts, self._config.refit is UNSET
            # The other way of adding up differs by a rounding, which older logs would notice.
            code = book.vector(balanced(features)) if older else book.balanced_vector(features)
            found = np.append(1.0, code)
            if len(self._contexts_read) >= CONTEXTS_KEPT:
                self._contexts_read.clear()
            self._contexts_read[key] = found
        return found

    def _code(self, action: Action) -> Floats:
        """Returns the creative's code, shape (CODE_SIZE,), kept from last time."""
        key = (action.id, bytes(action.features))
        found = self._codes.get(key)
        if found is None:
            features = flatten(action.features, namespace="action", zeros=True)
            found = self._creatives.vector(balanced(standardised(features)))
            keep(self._codes, key, found)
        return found


Saved = TypeVar("Saved")
_NO_CODE: Final = np.zeros(CODE_SIZE)


class _State(Struct, frozen=True, array_like=True):
    """Arrays as bytes; of an arm: code, upper triangle of Σ φφᵀ, Σ rφ."""

    newest_ms: int
    totals: bytes
    arms: dict[str, bytes]


class _Entry(Struct, frozen=True, array_like=True):
    """A decision that was learned (`count` 1) or corrected (0), its context and code as bytes.

    `code` is empty where it is the one that the creative had already.
    """

    creative_id: str
    at_ms: int
    count: int
    old: float
    new: float
    x: bytes
    code: bytes


def _entry(
    decision: Decision, count: int, old: float, new: float, x: Floats, code: Floats | None
) -> _Entry:
    coded = b"" if code is None else _bytes(code)
    name, at_ms = decision.action.id, decision.timestamp_ms
    return _Entry(name, at_ms, count, old, new, _bytes(x), coded)


def _bytes(values: Floats) -> bytes:
    return values.astype("<f8").tobytes()


def _floats(data: bytes, size: int) -> Floats:
    if len(data) != 8 * size:
        raise PolicyStateError(f"{len(data)} bytes of sums; expected {8 * size}")
    return np.frombuffer(data, dtype="<f8").astype(np.float64)


def _decoded(state: bytes | None, kind: type[Saved]) -> Saved | None:
    try:
        return None if state is None else msgspec.msgpack.decode(state, type=kind)
    except msgspec.DecodeError as error:
        raise PolicyStateError(f"not the state of a hybrid policy: {error}") from error


def _unpack(saved: _State | None, m: int) -> tuple[int, Floats, dict[str, ArmSums]]:
    """Returns the newest decision's time, the totals and the arms, of contexts of size m."""
    if saved is None:
        return 0, np.zeros(4), {}
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

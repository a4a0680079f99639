"""A linear model with weights of each creative's own beside weights that all creatives share.

It has a dimension for each name that contexts bring, and still costs little: a decision or a
reward takes the square of the context's dimensions for each creative, not of all dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bandit.errors import PolicyStateError
from bandit.features.flatten import Codebook, balanced, compressed, flatten, name_hash, standardised
from bandit.policies.base import CONTEXTS_KEPT, MOST_ARMS, keep, least_of, order_of, spread_of
from bandit.policies.best import Floats, quick_normal_best
from streams.events import Action, Context, Decision

LEAST_VARIANCE: Final = 1e-15
"""Below it a variance is what rounding has left of 0."""
MOST_NAMES: Final = 128
"""So many dimensions has a context at most; names beyond them are hashed into those."""
_CONSTANT: Final = 0
"""Stands for the constant among the names, which are kept by their hashes alone: what a context
says of a visitor is not to be read in a policy's state."""
LEVEL_VARIANCE: Final = 1e6
"""The prior variance of the level that all rewards have in common, in the noise's: any level."""


class Scores(NamedTuple):
    """What a linear model says of each action, in one order, so that none shows in a rounding.

    Attributes:
        order: which action each is, shape (n_actions,).
        mean: expected rewards.
        variance: of the mean's posterior, in `noise²`; or, where scores are told apart, of its
            distance to the mean over all actions, K/(K − 1) times.
        noise: the standard deviation of a reward around its mean, as far as it is explored with.
    """

    order: NDArray[np.intp]
    mean: Floats
    variance: Floats
    noise: Floats | float

    def unordered(self, values: Floats) -> Floats:
        """Returns one value an action in the order in which the actions came."""
        found = np.empty(len(values))
        found[self.order] = values
        return found


class _Own(Struct):
    """What is known of one creative's own weights, given those that are shared.

    Attributes:
        covariance: (ridge·I + Σ φφᵀ)⁻¹, shape (m, m).
        cross: Σ φzᵀ, shape (m, q).
        response: Σ rφ, shape (m,).
    """

    covariance: Floats
    cross: Floats
    response: Floats


class _Shown(NamedTuple):
    """What is prepared of a tuple of actions: their blocks, stacked in one order."""

    actions: Sequence[Action]
    order: NDArray[np.intp]
    rows: dict[str, int]
    codes: Floats
    covariance: Floats
    cross: Floats
    response: Floats


class _State(Struct, frozen=True, array_like=True):
    """Arrays as bytes; of a creative: how many dimensions, and its block."""

    names: list[int]
    totals: tuple[float, float, float]
    shared: bytes
    own: dict[str, tuple[int, bytes]]


class BlockModel:
    """Bayesian ridge regression of rewards on what a context and a creative are together.

    A reward is zᵀβ + φᵀθ_k + noise: φ is 1 and the context's features, θ_k the creative's own
    weights; z is ψ ⊗ χ, short codes of the creative's features and of φ, so β tells of creatives
    that were never shown. With θ integrated out, a decision says of β what one with the vector
    u = z − (Σ φzᵀ)ᵀA⁻¹φ and a noise 1 + φᵀA⁻¹φ times as large would, so all updates are of rank
    one (Li et al. 2010, algorithm 2; Sherman & Morrison 1950).

    The level of rewards has a flat prior, and their noise, where it is not given, is their own
    standard deviation: rewards of any size and level lead to the same choices.

    Args:
        rank: of the codes; `rank²` weights are shared. 1 shares nothing but the level.
        ridge: how many observations the prior of no effect is worth.
        noise: the standard deviation of a reward, None to find it.
        sharpness: what a noise that is found is multiplied by, unless a creative falls behind its
            share of the showings (as in MOSS, Audibert & Bubeck 2009).
        seed: of the codes.
        state: what `to_bytes` gave.
    """

    def __init__(
        self,
        rank: int,
        ridge: float,
        noise: float | None,
        sharpness: float,
        *,
        seed: int,
        state: bytes | None = None,
    ) -> None:
        self._rank, self._ridge, self._seed = rank, ridge, seed
        self._noise, self._sharpness = noise, sharpness
        self._contexts = Codebook(max(rank - 1, 1), seed=2 * seed + 1)
        self._creatives = Codebook(max(rank - 1, 1), seed=2 * seed)
        self._kept: dict[tuple[str, bytes], Floats] = {}
        self._contexts_read: dict[bytes, list[tuple[int, float]]] = {}
        self._shown: _Shown | None = None
        self._asked: tuple[Floats, Floats | float] | None = None
        self._own: dict[str, _Own] = {}
        self._names: dict[int, int] = {_CONSTANT: 0}
        self._totals = (0.0, 0.0, 0.0)
        size = rank * rank
        self._covariance = np.eye(size) / ridge
        self._covariance[0, 0] = LEVEL_VARIANCE
        self._response = np.zeros(size)
        if state is not None:
            self._load(state)
        self._projection = np.array([self._direction(name) for name in self._names])

    def scores(
        self, context: Context, actions: Sequence[Action], *, relative: bool = False
    ) -> Scores:
        """Returns what the model says of each action; `relative` is to tell them apart."""
        shown = self._prepare(actions)
        phi = self._read(context)
        n = len(actions)
        z = (shown.codes[:, :, None] * (phi @ self._projection)).reshape(n, -1)
        gain = shown.covariance @ phi
        u = z - (gain[:, None, :] @ shown.cross)[:, 0]
        weights, noises = self._asked or self._ask(shown)
        mean = (gain * shown.response).sum(axis=1) + u @ weights
        factor = 1.0
        if relative:
            # What all scores have in common does not tell which one is the best.
            u -= u.sum(axis=0) / n
            factor = n / max(n - 1, 1)
        variance = gain @ phi + factor * ((u @ self._covariance) * u).sum(axis=1)
        return Scores(shown.order, mean, np.maximum(variance, LEAST_VARIANCE), noises)

    def _ask(self, shown: _Shown) -> tuple[Floats, Floats | float]:
        """Returns the mean of the shared weights, and the noises, until something is learned."""
        self._asked = self._covariance @ self._response, self._noises(shown)
        return self._asked

    def _noises(self, shown: _Shown) -> Floats | float:
        """Returns with which noise each action is explored: with the whole as it falls behind."""
        if self._noise is not None:
            return self._noise
        # φ and z both start with 1, so this is how often each was shown.
        n = shown.cross[:, 0, 0]
        behind = np.log(np.maximum(n.sum() / (len(n) * (n + 1.0)), 1.0))
        width = np.minimum(self._sharpness * np.sqrt(1.0 + behind), 1.0)
        found: Floats = spread_of(*self._totals) * width
        return found

    def best(self, mean: Floats, sd: Floats) -> Floats:
        """Returns how probably each score is the highest."""
        return quick_normal_best(mean, sd)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds a decision."""
        code = self._code(decision.action)
        phi = self._read(decision.context, grows=True)
        z = (code[:, None] * (phi @ self._projection)).ravel()
        own = self._own[decision.action.id] = self._sized(self._own.get(decision.action.id))
        gain = own.covariance @ phi
        scale = 1.0 + float(phi @ gain)
        u = z - gain @ own.cross
        missed = reward - float(gain @ own.response)
        told = self._covariance @ u
        # Products commute exactly, so covariances stay symmetric to the last bit.
        self._covariance -= np.outer(told, told) / (scale + u @ told)
        self._response += u * (missed / scale)
        own.covariance -= np.outer(gain, gain) / scale
        own.cross += np.outer(phi, z)
        own.response += reward * phi
        self._asked = None
        self._count(1.0, reward, reward * reward)
        self._show(decision.action.id, own)
        if len(self._own) > MOST_ARMS:
            # φ and z both start with 1, so this is how often each was shown.
            shown = {name: float(each.cross[0, 0]) for name, each in self._own.items()}
            for name in least_of(shown, MOST_ARMS):
                del self._own[name]
            self._shown = None

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward, on which covariances do not depend, unless it is forgotten."""
        if decision.action.id not in self._own:
            return
        code, own = self._code(decision.action), self._own[decision.action.id]
        phi = self._read(decision.context)
        z = (code[:, None] * (phi @ self._projection)).ravel()
        # Names that came after the creative's last decision are none of this one's.
        phi = phi[: len(own.response)]
        change = new - old
        self._response += change * (z - (own.covariance @ phi) @ own.cross)
        own.response += change * phi
        self._asked = None
        self._count(0.0, change, new * new - old * old)
        self._show(decision.action.id, own)

    def take_over(self, before: object) -> None:
        """Takes over the creatives' codes, where the other makes the same."""
        mine = self._rank, self._seed
        if isinstance(before, BlockModel) and (before._rank, before._seed) == mine:
            self._kept = before._kept

    def to_bytes(self) -> bytes:
        """Returns the whole state, covariances by their upper triangles."""
        own = {
            name: (
                len(each.response),
                _packed(each.covariance, each.cross.ravel(), each.response),
            )
            for name, each in self._own.items()
        }
        shared = _packed(self._covariance, self._response)
        state = _State(list(self._names)[1:], self._totals, shared, own)
        return msgspec.msgpack.encode(state, order="sorted")

    def _load(self, state: bytes) -> None:
        try:
            saved = msgspec.msgpack.decode(state, type=_State)
        except msgspec.DecodeError as error:
            raise PolicyStateError(f"not the state of a linear policy: {error}") from error
        self._names.update((name, at) for at, name in enumerate(saved.names, start=1))
        self._totals = saved.totals
        size = self._rank * self._rank
        self._covariance, self._response = _unpacked(saved.shared, size, size)
        for name, (m, data) in saved.own.items():
            covariance, rest = _unpacked(data, m, m * size + m)
            cross, response = np.split(rest, [m * size])
            self._own[name] = _Own(covariance, cross.reshape(m, size).copy(), response.copy())

    def _count(self, n: float, total: float, square: float) -> None:
        known = self._totals
        self._totals = known[0] + n, float(known[1] + total), float(known[2] + square)

    def _read(self, context: Context, *, grows: bool = False) -> Floats:
        """Returns φ: 1, and the context's features."""
        found = self._features(context)
        if grows:
            self._grow([name for name, _ in found])
        names = self._names
        phi = [0.0] * len(names)
        phi[0] = 1.0
        for name, value in found:
            at = names.get(name)
            if at is not None:
                phi[at] += value
            elif len(names) == MOST_NAMES:
                phi[1 + (name >> 1) % (MOST_NAMES - 1)] += value if name & 1 else -value
        return np.array(phi)

    def _features(self, context: Context) -> list[tuple[int, float]]:
        """Returns the context's features by name, kept from last time."""
        key = bytes(context)
        found = self._contexts_read.get(key)
        if found is None:
            features = compressed(flatten(context, namespace="context", zeros=True))
            found = [(name_hash(namespace, name), value) for namespace, name, value in features]
            if len(self._contexts_read) >= CONTEXTS_KEPT:
                self._contexts_read.clear()
            self._contexts_read[key] = found
        return found

    def _grow(self, found: Sequence[int]) -> None:
        """Gives each new name a dimension, while there are any."""
        known = len(self._names)
        new = dict.fromkeys(name for name in found if name not in self._names)
        taken = list(new)[: MOST_NAMES - known]
        if taken:
            self._names.update((name, at) for at, name in enumerate(taken, start=known))
            directions = [self._direction(name) for name in taken]
            self._projection = np.vstack([self._projection, directions])
            self._shown = None

    def _prepare(self, actions: Sequence[Action]) -> _Shown:
        """Returns what is prepared of the actions: once, for as long as the same tuple is shown."""
        shown = self._shown
        if shown is None or shown.actions is not actions:
            order = order_of(actions)
            ordered = [actions[i] for i in order]
            own = [self._sized(self._own.get(action.id)) for action in ordered]
            self._asked = None
            shown = self._shown = _Shown(
                # A list may be another one the next time that it is seen; a tuple stays what it is.
                actions if isinstance(actions, tuple) else (),
                np.array(order),
                {action.id: row for row, action in enumerate(ordered)},
                np.array([self._code(action) for action in ordered]),
                np.array([each.covariance for each in own]),
                np.array([each.cross for each in own]),
                np.array([each.response for each in own]),
            )
        return shown

    def _show(self, creative_id: str, own: _Own) -> None:
        """Brings what is prepared up to date with a creative's block."""
        shown = self._shown
        row = None if shown is None else shown.rows.get(creative_id)
        if shown is not None and row is not None:
            shown.covariance[row], shown.cross[row] = own.covariance, own.cross
            shown.response[row] = own.response

    def _sized(self, own: _Own | None) -> _Own:
        """Returns the block with a row for every name that there is by now."""
        m, size = len(self._names), self._rank * self._rank
        known = 0 if own is None else len(own.response)
        if own is not None and known == m:
            return own
        grown = _Own(np.eye(m) / self._ridge, np.zeros((m, size)), np.zeros(m))
        if own is not None:
            grown.covariance[:known, :known] = own.covariance
            grown.cross[:known], grown.response[:known] = own.cross, own.response
        return grown

    def _direction(self, name: int) -> Floats:
        """Returns what a feature adds to χ, shape (rank,): the first entry is the constant's."""
        direction = np.zeros(self._rank)
        if name == _CONSTANT:
            direction[0] = 1.0
        elif self._rank > 1:
            direction[1:] = self._contexts.direction("", f"{name:x}")
        return direction

    def _code(self, action: Action) -> Floats:
        """Returns ψ, shape (rank,), kept from last time."""
        key = (action.id, bytes(action.features))
        found = self._kept.get(key)
        if found is None:
            features = balanced(
                standardised(flatten(action.features, namespace="action", zeros=True))
            )
            found = np.append(1.0, self._creatives.vector(features))[: self._rank]
            keep(self._kept, key, found)
        return found


def _packed(covariance: Floats, *rest: Floats) -> bytes:
    upper = covariance[np.triu_indices(len(covariance))]
    return np.concatenate([upper, *rest]).astype("<f8").tobytes()


def _unpacked(data: bytes, size: int, n_rest: int) -> tuple[Floats, Floats]:
    """Returns a symmetric matrix of this size, and the numbers that come after it."""
    n_upper = size * (size + 1) // 2
    if len(data) != 8 * (n_upper + n_rest):
        raise PolicyStateError(
            f"{len(data)} bytes of a linear model; expected {8 * (n_upper + n_rest)}"
        )
    values = np.frombuffer(data, dtype="<f8").astype(np.float64)
    matrix = np.zeros((size, size))
    matrix[np.triu_indices(size)] = values[:n_upper]
    matrix += np.triu(matrix, 1).T
    return matrix, values[n_upper:].copy()

"""Linear Thompson sampling and LinUCB: what one creative earned tells of similar ones.

A score is linear in a hashed vector of the action's features and their products with the
context's; the two policies differ in how they explore.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from msgspec import UNSET, Meta, UnsetType
from numpy.typing import NDArray

from bandit.errors import PolicyStateError
from bandit.features.flatten import Feature, flatten, hash_vector, standardised
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
from bandit.policies.linear.blocks import LEAST_VARIANCE, BlockModel, Scores
from bandit.policy import Pmf, Policy
from streams.events import Action, Context, Decision

Dimensions = Annotated[int, Meta(ge=2, le=1024)]
Ridge = Annotated[float, Meta(ge=1e-3, le=1e9)]

UNDECIDED: Final = 1e-3
"""The share of decisions that linear Thompson sampling spreads evenly: none is ever ruled out."""
SHARPNESS: Final = 0.35
"""The share of the noise that scores are drawn with where it is found and not given: contexts
explain a part of it, and less than all earns more (Chapelle & Li 2011, section 3)."""
RANK: Final = 8
"""Of the codes by which creatives tell of each other."""


class LinearConfig(PolicyConfig, frozen=True, kw_only=True):
    """The model's size and prior.

    Each creative has weights of its own, a dimension for each name that contexts bring, up to
    128, and what creatives share takes 64 dimensions more, or about as many as `dimensions` says.
    `noise` is the standard deviation of a reward around its mean, and scales all exploration; it
    is found if it is not given. `ridge` is how many observations the prior of no effect is worth.
    `seed` is of the hashing.

    With both `dimensions` and `noise`, the model is that of older logs: all features share so
    many dimensions by hashing, and learning costs their square.
    """

    # Left out of the spec where they are found, so that naming both tells the older model.
    dimensions: Dimensions | UnsetType = UNSET
    noise: Positive | UnsetType = UNSET
    ridge: Ridge = 1.0
    seed: Seed = 0


class LinTsConfig(LinearConfig, frozen=True, tag="lin_ts"):
    """The model's size and prior; see `LinearConfig`."""


class LinUcbConfig(LinearConfig, frozen=True, kw_only=True, tag="lin_ucb"):
    """The model as of `lin_ts`; `alpha` is how many standard deviations a score is raised by.

    `epsilon` is the share of decisions that is spread evenly. Without it the logged pmf would be
    all or nothing, from which no other policy can be judged.
    """

    alpha: Annotated[float, Meta(ge=0.0, le=1e3)] = 1.0
    epsilon: Share = 0.05


class DisjointLinTsConfig(PolicyConfig, frozen=True, kw_only=True, tag="disjoint_lin_ts"):
    """The prior of every creative's own weights; `noise` and `ridge` as of `lin_ts`."""

    noise: Positive | UnsetType = UNSET
    ridge: Ridge = 1.0


class _PreparedSpectra(NamedTuple):
    """What is prepared of a tuple of actions: their order by id, and their spectra in it."""

    actions: Sequence[Action]
    order: NDArray[np.intp]
    spectra: NDArray[np.complex128]


class HashedModel:
    """A Bayesian linear regression on one hashed vector, up to the scale of the noise.

    With precision A = ridge·I + Σ x xᵀ and response b = Σ r x, weights are N(A⁻¹b, noise²·A⁻¹).
    The state is A⁻¹ and b. Learning changes A⁻¹ by Sherman & Morrison (1950); a correction
    changes b alone, since A does not depend on rewards.
    """

    def __init__(
        self, size: int, ridge: float, noise: float, seed: int, state: bytes | None = None
    ) -> None:
        self._size, self._seed, self._noise = size, seed, noise
        self._covariance, self._response = _unpack(state, size, ridge)
        self._shown: _PreparedSpectra | None = None
        self._kept: dict[tuple[str, bytes], NDArray[np.complex128]] = {}

    def scores(
        self, context: Context, actions: Sequence[Action], *, relative: bool = False
    ) -> Scores:
        """Returns what the model says of each action; `relative` is to tell them apart."""
        shown = self._prepare(actions)
        x = self._cross(context, shown.spectra)
        mean = x @ (self._covariance @ self._response)
        if relative:
            n = len(actions)
            # What all scores have in common does not tell which one is the best.
            apart = self._variances(x - x.mean(axis=0)) * (n / max(n - 1, 1))
            return Scores(shown.order, mean, apart, self._noise)
        return Scores(shown.order, mean, self._variances(x), self._noise)

    def best(self, mean: Floats, sd: Floats) -> Floats:
        """Returns how probably each score is the highest, as older logs have it."""
        return normal_best(mean, sd, np.ones(len(mean)))

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds a decision."""
        x = self._vector(decision)
        gain = self._covariance @ x
        # Products commute exactly, so the covariance stays symmetric to the last bit.
        self._covariance -= np.outer(gain, gain) / (1.0 + x @ gain)
        self._response += reward * x

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward in the response."""
        self._response += (new - old) * self._vector(decision)

    def take_over(self, before: object) -> None:
        """Takes over the spectra of actions, where the other hashes as this one does."""
        mine = self._size, self._seed
        if isinstance(before, HashedModel) and (before._size, before._seed) == mine:
            self._kept = before._kept

    def to_bytes(self) -> bytes:
        """Returns covariance (its upper triangle) and response."""
        upper = self._covariance[np.triu_indices(self._size)]
        return np.concatenate([upper, self._response]).astype("<f8").tobytes()

    def _variances(self, x: Floats) -> Floats:
        """Returns xᵀA⁻¹x of each row of `x`, shape (n,): the score's variance, in noise²."""
        found: Floats = np.einsum("ij,ij->i", x @ self._covariance, x)
        return np.maximum(found, LEAST_VARIANCE)

    def _vector(self, decision: Decision) -> Floats:
        (x,) = self._cross(decision.context, self._spectrum(decision.action)[None])
        found: Floats = x
        return found

    def _cross(self, context: Context, spectra: NDArray[np.complex128]) -> Floats:
        """Returns what the model sees of each action in the context, shape (n_actions, size).

        The tensor sketch of (action) ⊗ (1, context): the circular convolution of the two hashed
        vectors, so each product of two features is hashed without being written out (Pham &
        Pagh 2013). Both are scaled to length 1.
        """
        features = standardised(flatten(context, namespace="context", zeros=True))
        hashed = _unit(hash_vector(features, self._size, seed=2 * self._seed + 1))
        return np.fft.irfft(spectra * (1.0 + np.fft.rfft(hashed)), n=self._size, axis=1)

    def _prepare(self, actions: Sequence[Action]) -> _PreparedSpectra:
        """Returns what is prepared of the actions: once, for as long as the same tuple is shown."""
        shown = self._shown
        if shown is None or shown.actions is not actions:
            order = order_of(actions)
            spectra = np.array([self._spectrum(actions[i]) for i in order])
            # A list may be another one the next time that it is seen; a tuple stays what it is.
            kept = actions if isinstance(actions, tuple) else ()
            shown = self._shown = _PreparedSpectra(kept, np.array(order), spectra)
        return shown

    def _spectrum(self, action: Action) -> NDArray[np.complex128]:
        """Returns the Fourier transform of the action's hashed features, kept from last time."""
        key = (action.id, bytes(action.features))
        found = self._kept.get(key)
        if found is None:
            features = list(standardised(flatten(action.features, namespace="action", zeros=True)))
            features += (Feature("id", action.id, 1.0), Feature("", "constant", 1.0))
            found = np.fft.rfft(_unit(hash_vector(features, self._size, seed=2 * self._seed)))
            keep(self._kept, key, found)
        return found


AnyConfig: TypeAlias = LinTsConfig | LinUcbConfig | DisjointLinTsConfig
Config = TypeVar("Config", bound=AnyConfig)


class LinearPolicy(Configured[Config], Generic[Config]):
    """A policy whose scores are a Bayesian linear regression."""

    def __init__(self, config: Config, state: bytes | None = None) -> None:
        super().__init__(config)
        self._model = _model(config, state)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds a decision."""
        self._model.learn(decision, check_reward(reward))

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward."""
        self._model.correct(decision, check_reward(old), check_reward(new))

    def take_over(self, before: Policy) -> None:
        """Takes over what is prepared of actions, where the other prepares the same."""
        if isinstance(before, LinearPolicy):
            self._model.take_over(before._model)

    def _state(self) -> bytes:
        return self._model.to_bytes()


def _model(config: AnyConfig, state: bytes | None) -> HashedModel | BlockModel:
    ridge, sharpness = config.ridge, 1.0 if isinstance(config, LinUcbConfig) else SHARPNESS
    noise = None if config.noise is UNSET else config.noise
    if isinstance(config, DisjointLinTsConfig):
        return BlockModel(1, ridge, noise, sharpness, seed=0, state=state)
    if config.dimensions is UNSET:
        return BlockModel(RANK, ridge, noise, sharpness, seed=config.seed, state=state)
    if noise is None:
        rank = math.isqrt(config.dimensions)
        return BlockModel(rank, ridge, noise, sharpness, seed=config.seed, state=state)
    return HashedModel(config.dimensions, ridge, noise, config.seed, state)


class _LinearThompson(LinearPolicy[Config], Generic[Config]):
    """Plays each action with the probability that its score is the highest."""

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns how probably each action is the best, shape (n_actions,)."""
        scores = self._model.scores(context, actions, relative=True)
        n = len(actions)
        if n == 1:
            return np.ones(1)
        best = self._model.best(scores.mean, scores.noise * np.sqrt(scores.variance))
        return scores.unordered((1.0 - UNDECIDED) * best + UNDECIDED / n)


class LinTs(_LinearThompson[LinTsConfig]):
    """Linear Thompson sampling (Agrawal & Goyal 2013, algorithm 1).

    The pmf is how probably each action's score is the highest where the scores are drawn one by
    one: each with its mean, and with the variance of its distance from the mean over all
    actions, K/(K − 1) times. That is exact for two actions, and for any number whose scores are
    equally correlated; otherwise it is off that of scores drawn together by some percent, and by
    0.12 at most in what the tests try. The integral itself is exact to 2e-4.

    >>> from streams.events import EMPTY
    >>> policy = LinTs(LinTsConfig())
    >>> policy.pmf(EMPTY, [Action("a")]).tolist()
    [1.0]
    """

    Config = LinTsConfig


class DisjointLinTs(_LinearThompson[DisjointLinTsConfig]):
    """Linear Thompson sampling with a model for each creative, which share but a level.

    For creatives that are few and live long: the features of creatives are not read, and a new
    one starts from nothing. The pmf is that of `LinTs`.

    >>> from streams.events import EMPTY
    >>> policy = DisjointLinTs(DisjointLinTsConfig())
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    Config = DisjointLinTsConfig


class LinUcb(LinearPolicy[LinUcbConfig]):
    """LinUCB with one model for all actions (Li et al. 2010, equation 5; Chu et al. 2011).

    Plays the action with the highest mean + alpha · sd, but for `epsilon` of the time any. The
    pmf is exact; actions whose bounds are equal share.

    >>> from streams.events import EMPTY
    >>> policy = LinUcb(LinUcbConfig(epsilon=0.1))
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    Config = LinUcbConfig

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns epsilon / n_actions of each action, and the rest on the highest bound."""
        scores = self._model.scores(context, actions)
        width = self._config.alpha * scores.noise
        bound = scores.mean + width * np.sqrt(scores.variance)
        # Bounds that differ by a rounding are equal, or another machine's pmf would be another.
        highest = bound >= bound.max() - 1e-12 * (1.0 + math.fabs(bound.max()))
        epsilon = self._config.epsilon
        pmf = (1.0 - epsilon) * highest / highest.sum() + epsilon / len(actions)
        return scores.unordered(pmf)


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0.0 else vector


def _unpack(state: bytes | None, size: int, ridge: float) -> tuple[Floats, Floats]:
    if state is None:
        return np.eye(size) / ridge, np.zeros(size)
    n_upper = size * (size + 1) // 2
    if len(state) != 8 * (n_upper + size):
        raise PolicyStateError(
            f"{len(state)} bytes of state; a linear policy of {size} dimensions has "
            f"{8 * (n_upper + size)}"
        )
    values = np.frombuffer(state, dtype="<f8").astype(np.float64)
    covariance = np.zeros((size, size))
    covariance[np.triu_indices(size)] = values[:n_upper]
    covariance += np.triu(covariance, 1).T
    return covariance, values[n_upper:].copy()

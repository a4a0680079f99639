"""Thompson sampling on a linear model of reward: what one creative earned tells of similar ones.

A score is linear in a hashed vector of the action's features and their products with the
context's. Precision and response are kept as sums over decisions, so a correction is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import numpy as np
from msgspec import Meta, Raw, Struct
from numpy.typing import NDArray

from bandit.errors import PolicyStateError
from bandit.features import Feature, flatten, hash_vector
from bandit.policies.envelope import seal
from bandit.policies.rewards import check_reward
from bandit.policies.spec import Positive, Seed, write_spec
from bandit.policy import Pmf
from streams.events import Action, Context, Decision, PolicySpec

DRAWS: Final = 1024
BATCHES: Final = 16
CACHE_SIZE: Final = 4096

Floats = NDArray[np.float64]


class LinTsConfig(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="lin_ts", forbid_unknown_fields=True
):
    """The model's size and prior.

    `noise` is the standard deviation of a reward around its mean, and scales all exploration:
    the default fits clicks at a rate of 1 % (the root of the rate). `ridge` is how many
    observations the prior of no effect is worth. `dimensions` are shared by all features by
    hashing with `seed`; learning costs their square.
    """

    dimensions: Annotated[int, Meta(ge=2, le=1024)] = 64
    noise: Positive = 0.1
    ridge: Annotated[float, Meta(ge=1e-3, le=1e9)] = 1.0
    seed: Seed = 0


class _Posterior(NamedTuple):
    """N(mean, noise²·root·rootᵀ) of the weights: mean (d,), root (d, d) upper triangular."""

    mean: Floats
    root: Floats


class LinTs:
    """Linear Thompson sampling (Agrawal & Goyal 2013, algorithm 1).

    With precision A = ridge·I + Σ x xᵀ and response b = Σ r x, weights are N(A⁻¹b, noise²·A⁻¹).
    The pmf counts in how many of 1,024 fixed draws of the weights (512 and their mirror images)
    an action is the best: off the exact value by at most 1.6 %, one standard deviation of a
    count. One more draw is shared by all, so that none is ever ruled out.

    >>> from streams.events import EMPTY
    >>> policy = LinTs(LinTsConfig(dimensions=8))
    >>> policy.pmf(EMPTY, [Action("a")]).tolist()
    [1.0]
    """

    def __init__(self, config: LinTsConfig, state: bytes | None = None) -> None:
        self._config = config
        size = config.dimensions
        self._precision, self._response = _unpack(state, size, config.ridge)
        # RandomState, since its streams are promised never to change.
        half = np.random.RandomState(config.seed).standard_normal((size, DRAWS // 2))
        draws = np.hstack([half, -half]) * config.noise
        # In batches, since products small enough are not spread over threads, which at these
        # sizes costs more than it saves; shape (batches, dimensions, draws per batch).
        self._draws = np.ascontiguousarray(draws.reshape(size, BATCHES, -1).swapaxes(0, 1))
        self._posterior: _Posterior | None = None
        self._spectra: dict[tuple[str, bytes], NDArray[np.complex128]] = {}

    @property
    def spec(self) -> PolicySpec:
        """The name, the model's size and its prior."""
        return write_spec(self._config)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns how often each action is the best of those drawn, shape (n_actions,).

        Raises:
            FeatureError: the context or an action has features that cannot be read.
        """
        # In one order, so that the order of the actions does not show in a rounding.
        order = sorted(
            range(len(actions)), key=lambda i: (actions[i].id, bytes(actions[i].features))
        )
        x = self._vectors(context, [actions[i] for i in order])
        mean, root = self._posterior or self._solve()
        scores = np.matmul(x @ root, self._draws)
        scores += (x @ mean)[:, None]
        wins = np.bincount(scores.argmax(axis=1).ravel(), minlength=len(order))
        pmf = np.empty(len(order))
        pmf[order] = (wins + 1.0 / len(order)) / (DRAWS + 1.0)
        return pmf

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the decision to precision and response.

        Raises:
            FeatureError: features that cannot be read; nothing was learned.
            LearnError: `reward_out_of_range`, a reward beyond a billion.
        """
        check_reward(reward)
        (x,) = self._vectors(decision.context, [decision.action])
        # Products commute exactly, so the precision stays symmetric to the last bit.
        self._precision += np.outer(x, x)
        self._response += reward * x
        self._posterior = None

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward in the response; the precision does not depend on rewards.

        Raises:
            FeatureError: features that cannot be read; nothing was corrected.
            LearnError: `reward_out_of_range`, a reward beyond a billion.
        """
        (x,) = self._vectors(decision.context, [decision.action])
        self._response += (check_reward(new) - check_reward(old)) * x
        self._posterior = None

    def to_bytes(self) -> bytes:
        """Returns spec, precision (its upper triangle) and response."""
        upper = self._precision[np.triu_indices(self._config.dimensions)]
        return seal(self.spec, np.concatenate([upper, self._response]).astype("<f8").tobytes())

    def _solve(self) -> _Posterior:
        # A = L Lᵀ, so that L⁻ᵀ z has covariance A⁻¹.
        inverse = np.linalg.inv(np.linalg.cholesky(self._precision))
        self._posterior = _Posterior(inverse.T @ (inverse @ self._response), inverse.T)
        return self._posterior

    def _vectors(self, context: Context, actions: Sequence[Action]) -> Floats:
        """Returns what the model sees of each action, shape (n_actions, dimensions).

        The tensor sketch of (action) ⊗ (1, context): the circular convolution of the two hashed
        vectors, so each product of two features is hashed without being written out (Pham &
        Pagh 2013). Both are scaled to length 1.
        """
        size, seed = self._config.dimensions, self._config.seed
        features = flatten(context, namespace="context")
        hashed = _unit(hash_vector(features, size, seed=2 * seed + 1))
        spectra = np.array([self._spectrum(action) for action in actions])
        return np.fft.irfft(spectra * (1.0 + np.fft.rfft(hashed)), n=size, axis=1)

    def _spectrum(self, action: Action) -> NDArray[np.complex128]:
        """Returns the Fourier transform of the action's hashed features, kept from last time."""
        key = (action.id, bytes(action.features))
        found = self._spectra.get(key)
        if found is None:
            found = np.fft.rfft(_unit(self._hash(action.id, action.features)))
            if len(self._spectra) >= CACHE_SIZE:
                self._spectra.clear()
            self._spectra[key] = found
        return found

    def _hash(self, creative_id: str, raw: Raw) -> Floats:
        features = flatten(raw, namespace="action")
        features += (Feature("id", creative_id, 1.0), Feature("", "constant", 1.0))
        return hash_vector(features, self._config.dimensions, seed=2 * self._config.seed)


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0.0 else vector


def _unpack(state: bytes | None, size: int, ridge: float) -> tuple[Floats, Floats]:
    if state is None:
        return ridge * np.eye(size), np.zeros(size)
    n_upper = size * (size + 1) // 2
    if len(state) != 8 * (n_upper + size):
        raise PolicyStateError(
            f"{len(state)} bytes of state; a linear policy of {size} dimensions has "
            f"{8 * (n_upper + size)}"
        )
    values = np.frombuffer(state, dtype="<f8").astype(np.float64)
    precision = np.zeros((size, size))
    precision[np.triu_indices(size)] = values[:n_upper]
    precision += np.triu(precision, 1).T
    return precision, values[n_upper:].copy()

"""Linear Thompson sampling and LinUCB: what one creative earned tells of similar ones.

A score is linear in a hashed vector of the action's features and their products with the
context's (`linear_model`); the two differ in how they explore. `hybrid` also tells creatives
apart that look alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np
from msgspec import Meta, Struct

from bandit.policies.best import normal_best
from bandit.policies.envelope import seal
from bandit.policies.linear_model import Dimensions, LinearModel, Ridge
from bandit.policies.spec import Positive, Seed, Share, write_spec
from bandit.policy import Pmf, Policy
from streams.events import Action, Context, Decision, PolicySpec

UNDECIDED: Final = 1e-3
"""The share of decisions that linear Thompson sampling spreads evenly: none is ever ruled out."""


class LinTsConfig(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="lin_ts", forbid_unknown_fields=True
):
    """The model's size and prior.

    `noise` is the standard deviation of a reward around its mean, and scales all exploration:
    the default fits clicks at a rate of 1 % (the root of the rate). `ridge` is how many
    observations the prior of no effect is worth. `dimensions` are shared by all features by
    hashing with `seed`; learning costs their square.
    """

    dimensions: Dimensions = 64
    noise: Positive = 0.1
    ridge: Ridge = 1.0
    seed: Seed = 0


class LinUcbConfig(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="lin_ucb", forbid_unknown_fields=True
):
    """The model as of `lin_ts`; `alpha` is how many standard deviations a score is raised by.

    `epsilon` is the share of decisions that is spread evenly. Without it the logged pmf would be
    all or nothing, from which no other policy can be judged.
    """

    dimensions: Dimensions = 64
    noise: Positive = 0.1
    ridge: Ridge = 1.0
    alpha: Annotated[float, Meta(ge=0.0, le=1e3)] = 1.0
    epsilon: Share = 0.05
    seed: Seed = 0


class LinTs:
    """Linear Thompson sampling (Agrawal & Goyal 2013, algorithm 1).

    The pmf is how probably each action's score is the highest where the scores are drawn one by
    one: each with its mean, and with the variance of its distance from the mean over all
    actions, K/(K − 1) times. That is exact for two actions, and for any number whose scores are
    equally correlated; otherwise it is off that of scores drawn together by some percent, and by
    0.12 at most in what the tests try. The integral itself is exact to 2e-4.

    >>> from streams.events import EMPTY
    >>> policy = LinTs(LinTsConfig(dimensions=8))
    >>> policy.pmf(EMPTY, [Action("a")]).tolist()
    [1.0]
    """

    def __init__(self, config: LinTsConfig, state: bytes | None = None) -> None:
        self._config = config
        self._model = LinearModel(config.dimensions, config.ridge, config.seed, state)

    @property
    def spec(self) -> PolicySpec:
        """The name, the model's size and its prior."""
        return write_spec(self._config)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns how probably each action is the best, shape (n_actions,).

        Raises:
            FeatureError: the context or an action has features that cannot be read.
        """
        read = self._model.read(context, actions)
        n = len(actions)
        if n == 1:
            return np.ones(1)
        # What all scores have in common does not tell which one is the best.
        apart = self._model.variances(read.x - read.x.mean(axis=0)) * (n / (n - 1))
        best = normal_best(read.mean, self._config.noise * np.sqrt(apart), np.ones(n))
        return read.unordered((1.0 - UNDECIDED) * best + UNDECIDED / n)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the decision to the model.

        Raises:
            FeatureError: features that cannot be read; nothing was learned.
            LearnError: `reward_out_of_range`, a reward beyond a billion.
        """
        self._model.learn(decision, reward)

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward in the model.

        Raises:
            FeatureError: features that cannot be read; nothing was corrected.
            LearnError: `reward_out_of_range`, a reward beyond a billion.
        """
        self._model.correct(decision, old, new)

    def take_over(self, before: Policy) -> None:
        """Takes over the creatives' spectra, where the other makes the same."""
        if isinstance(before, LinTs | LinUcb):
            self._model.take_over(before._model)

    def to_bytes(self) -> bytes:
        """Returns spec and model."""
        return seal(self.spec, self._model.to_bytes())


class LinUcb:
    """LinUCB with one model for all actions (Li et al. 2010, equation 5; Chu et al. 2011).

    Plays the action with the highest mean + alpha · sd, but for `epsilon` of the time any. The
    pmf is exact; actions whose bounds are equal share.

    >>> from streams.events import EMPTY
    >>> policy = LinUcb(LinUcbConfig(dimensions=8, epsilon=0.1))
    >>> sorted(policy.pmf(EMPTY, [Action("a"), Action("b")]).round(3).tolist())
    [0.05, 0.95]
    """

    def __init__(self, config: LinUcbConfig, state: bytes | None = None) -> None:
        self._config = config
        self._model = LinearModel(config.dimensions, config.ridge, config.seed, state)

    @property
    def spec(self) -> PolicySpec:
        """The name, the model's size and prior, and how it explores."""
        return write_spec(self._config)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns epsilon / n_actions of each action, and the rest on the highest bound.

        Raises:
            FeatureError: the context or an action has features that cannot be read.
        """
        read = self._model.read(context, actions)
        width = self._config.alpha * self._config.noise
        bound = read.mean + width * np.sqrt(self._model.variances(read.x))
        # Bounds that differ by a rounding are equal, or another machine's pmf would be another.
        highest = bound >= bound.max() - 1e-12 * (1.0 + math.fabs(bound.max()))
        epsilon = self._config.epsilon
        pmf = (1.0 - epsilon) * highest / highest.sum() + epsilon / len(actions)
        return read.unordered(pmf)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the decision to the model.

        Raises:
            FeatureError: features that cannot be read; nothing was learned.
            LearnError: `reward_out_of_range`, a reward beyond a billion.
        """
        self._model.learn(decision, reward)

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward in the model.

        Raises:
            FeatureError: features that cannot be read; nothing was corrected.
            LearnError: `reward_out_of_range`, a reward beyond a billion.
        """
        self._model.correct(decision, old, new)

    def take_over(self, before: Policy) -> None:
        """Takes over the creatives' spectra, where the other makes the same."""
        if isinstance(before, LinTs | LinUcb):
            self._model.take_over(before._model)

    def to_bytes(self) -> bytes:
        """Returns spec and model."""
        return seal(self.spec, self._model.to_bytes())

"""The policy protocol, and the only place where a creative is picked.

A policy returns a pmf; `sample` draws from it. So the propensity that is logged cannot disagree
with the draw, and every decision can be derived again from its event id, policy and context.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from streams.events import Action, Context, Decision, PolicySpec
from streams.events.fields import doc

Pmf: TypeAlias = NDArray[np.float64]


class Policy(Protocol):
    """Chooses among actions, and learns from what came of it.

    What a policy answers depends on its state and the arguments alone: no clock, no random
    state that moves, no trace of being asked. So `pmf` may be called anywhere, any number of
    times, and the same interactions always lead to the same bytes.
    """

    @property
    def spec(self) -> PolicySpec:
        """The name and parameters from which `open_policy` makes the same policy anew."""

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns the probability of each action, shape (n_actions,), float64, summing to 1.

        It does not depend on the order of the actions but for permuting with it (an apprentice's
        does: its baseline may be the first).

        Raises:
            FeatureError: the context or an action has features that cannot be read.
        """

    def learn(self, decision: Decision, reward: float) -> None:
        """Takes in that the decision earned `reward`.

        Raises:
            FeatureError: features that cannot be read; nothing was learned.
            LearnError: `reward_out_of_range`, a reward that the policy cannot learn from: beyond a
                billion, or outside [0, 1] where it takes shares.
        """

    def to_bytes(self) -> bytes:
        """Returns the whole state: equal for equal histories, byte for byte."""


@runtime_checkable
class Correctable(Protocol):
    """A policy that can replace a reward that it learned by another, exactly.

    After any corrections the state equals, up to rounding, the state had the final rewards been
    known from the start.
    """

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Takes back that the decision earned `old`, and learns that it earned `new`.

        Raises:
            FeatureError: features that cannot be read; nothing was corrected.
            LearnError: as `Policy.learn`.
        """


@runtime_checkable
class ContextFree(Protocol):
    """A policy that may say that its pmf is the same whatever the context, readable or not.

    Then it is asked once for the same actions, and not at every request.
    """

    @property
    def context_free(self) -> bool:
        """True if the pmf never depends on the context."""


class Verdict(Struct, frozen=True):
    """Which creative a policy takes for the best, and whether it is sure enough."""

    creative_id: str
    posterior: Annotated[float, doc("How probably it is the best of those not capped.")]
    decided: Annotated[bool, doc("Whether that is the policy's threshold or more.")]


@runtime_checkable
class Deciding(Protocol):
    """A policy that looks for the best creative, and says when it has found it."""

    def verdict(self, actions: Sequence[Action]) -> Verdict:
        """Returns the verdict on these actions, at least one."""


def is_context_free(policy: Policy) -> bool:
    """Returns whether the policy says so."""
    return isinstance(policy, ContextFree) and policy.context_free


@runtime_checkable
class Estimating(Protocol):
    """A policy of which nothing else runs while it answers, and that knows how long it takes."""

    def steps(self, context: Context, actions: Sequence[Action]) -> int:
        """Returns how many steps an answer takes, at most; a product of two features is one.

        Raises:
            FeatureError: the context or an action has features that cannot be read.
        """


def steps_of(policy: Policy, context: Context, actions: Sequence[Action]) -> int:
    """Returns how many steps an answer takes, at most; 0 of a policy that others interrupt."""
    return policy.steps(context, actions) if isinstance(policy, Estimating) else 0


@runtime_checkable
class Preparing(Protocol):
    """A policy that prepares something of each creative, which another of its kind can use."""

    def take_over(self, before: Policy) -> None:
        """Takes over what the other has prepared, where it would prepare the same."""


def take_over(policy: Policy, before: Policy) -> None:
    """Has a policy start with what the one before it has prepared, if it can."""
    if isinstance(policy, Preparing):
        policy.take_over(before)


class Belief(NamedTuple):
    """What a policy takes a creative to earn: the mean, and the middle 95 % of its posterior."""

    creative_id: str
    mean: float
    low: float
    high: float


@runtime_checkable
class HasPosterior(Protocol):
    """A policy that has a posterior of each creative's mean reward, whatever the context.

    To be asked changes nothing, so it may be asked while another thread asks for a pmf.
    """

    def beliefs(self, actions: Sequence[Action]) -> list[Belief]:
        """Returns what it believes of each of these actions.

        Raises:
            FeatureError: an action has features that cannot be read.
        """


def sample(pmf: Sequence[float] | Pmf, seed: str) -> int:
    """Returns the index drawn from `pmf`; the same seed and pmf give the same index.

    Args:
        pmf: probabilities, shape (n_actions,), summing to 1 up to rounding.
        seed: usually the event id (`sample_seed`), uniform enough whatever its form.

    >>> sample([0.0, 1.0], "event-1")
    1
    """
    # For the few actions that a decision has, this is several times as quick as numpy's.
    return draw(list(accumulate(pmf.tolist() if isinstance(pmf, np.ndarray) else pmf)), seed)


def draw(cumulative: Sequence[float], seed: str) -> int:
    """Returns what `sample` returns for the pmf whose running sums these are."""
    digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") >> 11) * 2.0**-53
    return min(bisect_right(cumulative, uniform * cumulative[-1]), len(cumulative) - 1)


def sample_seed(event_id: str, slot: int = 0) -> str:
    """Returns the seed with which a decision is sampled: the event id, and the slot if not 0."""
    return event_id if slot == 0 else f"{event_id}/{slot}"


def policy_version(state: bytes, offset: int) -> str:
    """Returns the version of a policy with these bytes, folded up to `offset`."""
    return f"{hashlib.sha256(state).hexdigest()[:16]}@{offset}"

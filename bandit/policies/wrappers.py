"""Policies around another policy: an even floor, a baseline shown, and two caps.

The one beneath learns from every decision; these change what is made of its pmf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Annotated, Any, ClassVar, Final, Generic, NamedTuple, Self, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from bandit.eligibility import limited
from bandit.errors import LearnError, PolicyStateError
from bandit.policies.base import Configured, PolicyConfig, Share
from bandit.policy import (
    Correctable,
    Estimating,
    HasPosterior,
    Pmf,
    Policy,
    is_context_free,
    take_over,
)
from streams.events import Action, Context, Decision, PolicySpec

CLICK: Final = 0.25
CONVERSION: Final = 0.75
"""What a click and a conversion are worth in the reward: four sums that are exact, and differ."""
_EARNED: Final = {
    0.0: (0.0, 0.0),
    CLICK: (1.0, 0.0),
    CONVERSION: (0.0, 1.0),
    CLICK + CONVERSION: (1.0, 1.0),
}


class WrapperConfig(PolicyConfig, frozen=True):
    """`policy` is the spec of the one beneath."""

    policy: PolicySpec


Config = TypeVar("Config", bound=WrapperConfig)


class Wrapper(Configured[Config], Generic[Config]):
    """A policy around another, which has what the other has: corrections, beliefs, steps.

    Args:
        config: the parameters; of `policy` the spec in full is kept, with every default.
        policy: the one beneath.
        known: what this one learned itself, as `split` gave it.
    """

    kept: ClassVar[msgspec.msgpack.Decoder[Any] | None] = None
    """Decodes what a wrapper learns itself, with the bytes beneath; None if it learns nothing."""
    same_rewards: ClassVar[bool] = True
    """True if the policy beneath learns from the rewards as they are."""

    def __init__(self, config: Config, policy: Policy, known: dict[str, Any] | None = None) -> None:
        super().__init__(msgspec.structs.replace(config, policy=policy.spec))
        self._policy = policy
        self._known = known or {}
        self.context_free = is_context_free(policy)
        if self.same_rewards and isinstance(policy, Correctable):
            self.correct = policy.correct
        if self.same_rewards and isinstance(policy, HasPosterior):
            self.beliefs = policy.beliefs
        if isinstance(policy, Estimating):
            self.steps = policy.steps

    @classmethod
    def split(cls, state: bytes) -> tuple[dict[str, Any] | None, bytes]:
        """Returns what the wrapper learned itself, and the bytes of the policy beneath."""
        if cls.kept is None:
            return None, state
        try:
            known, beneath = cls.kept.decode(state)
        except msgspec.DecodeError as error:
            raise PolicyStateError(f"not the state of a {cls.__name__} policy: {error}") from error
        return known, beneath

    def learn(self, decision: Decision, reward: float) -> None:
        """Has the policy beneath learn."""
        self._policy.learn(decision, reward)

    def take_over(self, before: Self) -> None:
        """Has the policy beneath take over from the other's."""
        if isinstance(before, type(self)):
            take_over(self._policy, before._policy)

    def _state(self) -> bytes:
        beneath = self._policy.to_bytes()
        if self.kept is None:
            return beneath
        return msgspec.msgpack.encode((self._known, beneath), order="sorted")


class FloorConfig(WrapperConfig, frozen=True, kw_only=True, tag="floor"):
    """`epsilon` is what all actions share evenly; `policy` is the spec of the one beneath."""

    epsilon: Share = 0.05


class Floor(Wrapper[FloorConfig]):
    """Mixes a policy with the uniform one: pmf = (1 − epsilon) · pmf + epsilon / K.

    Without a floor, an action that a policy has ruled out is never logged again, and no replay
    can say what another policy would have earned with it.

    >>> from bandit.policies.simple import EpsilonGreedy, EpsilonGreedyConfig
    >>> from streams.events import EMPTY
    >>> greedy = EpsilonGreedy(EpsilonGreedyConfig(epsilon=0.0))
    >>> policy = Floor(FloorConfig(policy=greedy.spec, epsilon=0.1), greedy)
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).round(3).tolist()
    [0.5, 0.5]
    """

    Config = FloorConfig

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns the mixture, shape (n_actions,): nothing is below epsilon / n_actions."""
        pmf, epsilon = self._policy.pmf(context, actions), self._config.epsilon
        return (1.0 - epsilon) * pmf + epsilon / len(pmf)


class ApprenticeConfig(WrapperConfig, frozen=True, kw_only=True, tag="apprentice"):
    """`policy` is the spec of the one that learns; `baseline` the id of what is shown.

    Without a baseline, or where it cannot be chosen, it is the first action. `epsilon` is what
    all actions share evenly: without a share, nothing but the baseline is ever learned of.
    """

    baseline: str | None = None
    epsilon: Share = 0.0


class Apprentice(Wrapper[ApprenticeConfig]):
    """Answers the baseline: pmf = (1 − epsilon) · [action = baseline] + epsilon / K.

    For a policy that is not trusted yet: what is shown stays what it was, while the one beneath
    learns from it; the learner tells how often the two agree, and what the apprentice would earn.
    Where the first action is the baseline, the pmf depends on the order of the actions, as that
    of no other policy does.

    >>> from bandit.policies.simple import Uniform, UniformConfig
    >>> from streams.events import EMPTY
    >>> uniform = Uniform(UniformConfig())
    >>> policy = Apprentice(ApprenticeConfig(policy=uniform.spec, baseline="b"), uniform)
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.0, 1.0]
    """

    Config = ApprenticeConfig

    def __init__(self, config: ApprenticeConfig, policy: Policy, known: None = None) -> None:
        super().__init__(config, policy, known)
        self.context_free = True

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns all but epsilon for the baseline, shape (n_actions,)."""
        epsilon = self._config.epsilon
        pmf = np.full(len(actions), epsilon / len(actions))
        pmf[baseline_index(self._config.baseline, actions)] += 1.0 - epsilon
        return pmf


def baseline_index(baseline: str | None, actions: Sequence[Action]) -> int:
    """Returns where the baseline stands among the actions; 0, the first, if it does not."""
    for index, action in enumerate(actions):
        if action.id == baseline:
            return index
    return 0


class ColdStartCapConfig(WrapperConfig, frozen=True, kw_only=True, tag="newcomers"):
    """`share` is the most that newcomers get together; `showings` is when one ceases to be one."""

    share: Share = 0.2
    showings: Annotated[int, Meta(ge=1, le=10**9)] = 500


class ColdStartCap(Wrapper[ColdStartCapConfig]):
    """Scales a policy's pmf so that actions shown fewer than `showings` times keep to `share`.

    New creatives come by the dozen, and a policy that explores gives each a try: together they
    may take more traffic than the advertiser wants to risk. Where all are newcomers, or none is,
    the pmf is the policy's own; so it is where theirs is within the share already. Showings are
    those that were learned, so the cap lags as learning does.

    >>> from bandit.policies.simple import Uniform, UniformConfig
    >>> from streams.events import EMPTY
    >>> inner = Uniform(UniformConfig())
    >>> policy = ColdStartCap(ColdStartCapConfig(policy=inner.spec, share=0.1, showings=1), inner)
    >>> old = Decision(event_id="1", placement="home", timestamp_ms=0, context=EMPTY,
    ...     actions=(Action("old"),), pmf=(1.0,), index=0, policy_version="x")
    >>> policy.learn(old, 0.0)
    >>> policy.pmf(EMPTY, [Action("old"), Action("new"), Action("newer")]).round(2).tolist()
    [0.9, 0.05, 0.05]
    """

    Config = ColdStartCapConfig
    kept = msgspec.msgpack.Decoder(tuple[dict[str, int], bytes])

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns the scaled pmf, shape (n_actions,)."""
        pmf = self._policy.pmf(context, actions)
        new = np.array(
            [self._known.get(action.id, 0) < self._config.showings for action in actions]
        )
        return limited(pmf, new, self._config.share)

    def learn(self, decision: Decision, reward: float) -> None:
        """Has the policy beneath learn, and counts the showing."""
        super().learn(decision, reward)
        shown = self._known.get(decision.action.id, 0)
        # A creative that is no newcomer any more need not be counted.
        if shown < self._config.showings:
            self._known[decision.action.id] = shown + 1


class GuardedConfig(WrapperConfig, frozen=True, kw_only=True, tag="guarded"):
    """`policy` is the spec of the one beneath, which learns of conversions alone.

    Creatives are shown that are not surely, at the level `sure` for each bound, clicked less than
    `least` times as often as the best; `epsilon` is what all share evenly, these too.
    """

    least: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.9
    sure: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.95
    epsilon: Share = 0.02


class Clicked(NamedTuple):
    """How often a creative was shown, and how often clicked."""

    n: int
    clicks: float


class Guarded(Wrapper[GuardedConfig]):
    """Leaves out of a policy's pmf what is surely clicked too seldom, and scales up the rest.

    The creative that converts best may be one that few click: fewer visitors, and a page that
    pays for clicks. A creative is left out if the upper bound of its click rate lies below
    `least` times the highest lower bound. Bounds are Wilson's (1927), one-sided, of the showings
    so far; they hold for one look, not for all of them, and `epsilon` lets a creative back in that
    was unlucky. Rewards are 0.25 for a click plus 0.75 for a conversion.

    >>> from bandit.policies.simple import Uniform, UniformConfig
    >>> from streams.events import EMPTY
    >>> inner = Uniform(UniformConfig())
    >>> policy = Guarded(GuardedConfig(policy=inner.spec, epsilon=0.0), inner)
    >>> for number in range(200):
    ...     actions = Action("clicked"), Action("passed over")
    ...     decision = Decision(event_id=f"{number}", placement="home", timestamp_ms=0,
    ...         context=EMPTY, actions=actions, pmf=(0.5, 0.5), index=number % 2,
    ...         policy_version="x")
    ...     policy.learn(decision, 0.25 if number % 8 == 0 else 0.0)
    >>> policy.pmf(EMPTY, actions).tolist()
    [1.0, 0.0]
    """

    Config = GuardedConfig
    kept = msgspec.msgpack.Decoder(tuple[dict[str, Clicked], bytes])
    same_rewards = False

    def __init__(
        self, config: GuardedConfig, policy: Policy, known: dict[str, Clicked] | None = None
    ) -> None:
        super().__init__(config, policy, known)
        self._z = NormalDist().inv_cdf(config.sure)
        if isinstance(policy, Correctable):
            self._beneath = policy
            self.correct = self._correct

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns the pmf over what may be shown, shape (n_actions,), with the floor."""
        pmf = self._policy.pmf(context, actions)
        known = [self._known.get(action.id, Clicked(0, 0.0)) for action in actions]
        bounds = [self._bounds(each) for each in known]
        bar = self._config.least * max(low for low, _ in bounds)
        kept = np.array([high >= bar for _, high in bounds])
        # Exact sums, so that the order of the actions does not show in a rounding.
        left = math.fsum(pmf[kept])
        # A policy may give nothing to the creatives that may be shown; they then share evenly.
        shares = np.where(kept, pmf / left, 0.0) if left > 0.0 else kept / np.count_nonzero(kept)
        epsilon = self._config.epsilon
        found: Pmf = (1.0 - epsilon) * shares + epsilon / len(actions)
        return found

    def learn(self, decision: Decision, reward: float) -> None:
        """Counts the click, and has the policy beneath learn of the conversion.

        Raises:
            LearnError: `reward_not_of_objective`, a reward that is no sum of 0.25 and 0.75.
        """
        click, conversion = _earned(reward)
        super().learn(decision, conversion)
        n, clicks = self._known.get(decision.action.id, Clicked(0, 0.0))
        self._known[decision.action.id] = Clicked(n + 1, clicks + click)

    def _correct(self, decision: Decision, old: float, new: float) -> None:
        (was, had), (click, conversion) = _earned(old), _earned(new)
        self._beneath.correct(decision, had, conversion)
        n, clicks = self._known[decision.action.id]
        self._known[decision.action.id] = Clicked(n, clicks + click - was)

    def _bounds(self, known: Clicked) -> tuple[float, float]:
        """Returns below and above which the click rate lies with 1 - `sure`: 0 and 1 if unshown."""
        n, clicks = known
        if n == 0:
            return 0.0, 1.0
        z = self._z
        middle = clicks + z * z / 2.0
        half = z * math.sqrt(max(clicks * (n - clicks) / n, 0.0) + z * z / 4.0)
        return max(middle - half, 0.0) / (n + z * z), (middle + half) / (n + z * z)


def _earned(reward: float) -> tuple[float, float]:
    """Returns whether there was a click, and a conversion."""
    found = _EARNED.get(reward)
    if found is None:
        raise LearnError(
            "reward_not_of_objective",
            f"reward {reward}; expected {CLICK} for a click plus {CONVERSION} for a conversion, "
            "as the objective 'conversions_with_clicks' makes them",
        )
    return found

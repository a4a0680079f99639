"""The most conversions, but not of creatives that hardly anyone clicks.

What converts best may be what few click: fewer visitors, and a page that pays for clicks. So
creatives that are surely clicked too seldom get next to nothing, whatever they convert.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Annotated, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct

from bandit.errors import LearnError, PolicyStateError
from bandit.policies.envelope import seal
from bandit.policies.spec import Share, write_spec
from bandit.policy import Correctable, Pmf, Policy, is_context_free, take_over
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


class GuardedConfig(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="guarded", forbid_unknown_fields=True
):
    """`policy` is the spec of the one beneath, which learns of conversions alone.

    Creatives are shown that are not surely, at the level `sure` for each bound, clicked less than
    `least` times as often as the best; `epsilon` is what all share evenly, these too.
    """

    policy: PolicySpec
    least: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.9
    sure: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.95
    epsilon: Share = 0.02


class Clicked(NamedTuple):
    """How often a creative was shown, and how often clicked."""

    n: int
    clicks: float


_decoder = msgspec.msgpack.Decoder(tuple[dict[str, Clicked], bytes])


class Guarded:
    """Leaves out of a policy's pmf what is surely clicked too seldom, and scales up the rest.

    A creative is, if the upper bound of its click rate lies below `least` times the highest lower
    bound. Bounds are Wilson's (1927), one-sided, of the showings so far; they hold for one look,
    not for all of them, and `epsilon` lets a creative back in that was unlucky. Rewards are 0.25
    for a click plus 0.75 for a conversion. It can be corrected if the policy beneath can.

    >>> from bandit.policies.uniform import Uniform, UniformConfig
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

    def __init__(
        self, config: GuardedConfig, policy: Policy, clicked: dict[str, Clicked] | None = None
    ) -> None:
        self._config = config
        self._policy = policy
        self._clicked = clicked or {}
        self._z = NormalDist().inv_cdf(config.sure)
        self.context_free = is_context_free(policy)
        if isinstance(policy, Correctable):
            self._beneath = policy
            self.correct = self._correct

    @property
    def spec(self) -> PolicySpec:
        """The name, the three numbers, and the spec of the policy beneath."""
        config = self._config
        return write_spec(msgspec.structs.replace(config, policy=self._policy.spec))

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns the pmf over what may be shown, shape (n_actions,), with the floor."""
        pmf = self._policy.pmf(context, actions)
        known = [self._clicked.get(action.id, Clicked(0, 0.0)) for action in actions]
        bounds = [self._bounds(each) for each in known]
        bar = self._config.least * max(low for low, _ in bounds)
        kept = np.array([high >= bar for _, high in bounds])
        # exact sums, so that the order of the actions does not show in a rounding
        left = math.fsum(pmf[kept])
        # a policy that gives nothing to whoever may be shown has nothing to be scaled up
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
        self._policy.learn(decision, conversion)
        n, clicks = self._clicked.get(decision.action.id, Clicked(0, 0.0))
        self._clicked[decision.action.id] = Clicked(n + 1, clicks + click)

    def take_over(self, before: Policy) -> None:
        """Has the policy beneath take over from the other's."""
        if isinstance(before, Guarded):
            take_over(self._policy, before._policy)

    def to_bytes(self) -> bytes:
        """Returns the spec, and the clicks with the bytes of the policy beneath as the state."""
        state = msgspec.msgpack.encode((self._clicked, self._policy.to_bytes()), order="sorted")
        return seal(self.spec, state)

    def _correct(self, decision: Decision, old: float, new: float) -> None:
        (was, had), (click, conversion) = _earned(old), _earned(new)
        self._beneath.correct(decision, had, conversion)
        n, clicks = self._clicked[decision.action.id]
        self._clicked[decision.action.id] = Clicked(n, clicks + click - was)

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


def read_state(state: bytes) -> tuple[dict[str, Clicked], bytes]:
    """Returns the clicks on each creative, and the bytes of the policy beneath.

    Raises:
        PolicyStateError: this is no such state.
    """
    try:
        return _decoder.decode(state)
    except msgspec.DecodeError as error:
        raise PolicyStateError(f"not the state of a guarded policy: {error}") from error

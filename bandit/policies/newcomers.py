"""A lid on what creatives nobody knows may take together, whatever the policy hopes of them.

New creatives come by the dozen, and a policy that explores gives each a try. Together they may
then take more traffic than who pays for it wants to risk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from bandit.errors import PolicyStateError
from bandit.lid import limited
from bandit.policies.envelope import seal
from bandit.policies.spec import Share, write_spec
from bandit.policy import Believing, Correctable, Pmf, Policy, is_context_free, take_over
from streams.events import Action, Context, Decision, PolicySpec

_decoder = msgspec.msgpack.Decoder(tuple[dict[str, int], bytes])


class NewcomersConfig(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="newcomers", forbid_unknown_fields=True
):
    """`share` is the most that newcomers get together; `showings` is when one ceases to be one.

    `policy` is the spec of the one beneath.
    """

    policy: PolicySpec
    share: Share = 0.2
    showings: Annotated[int, Meta(ge=1, le=10**9)] = 500


class Newcomers:
    """Scales a policy's pmf so that actions shown fewer than `showings` times keep to `share`.

    Where all are newcomers, or none is, the pmf is the policy's own; so it is where theirs is
    within the share already. Showings are those that were learned, so the lid lags as learning
    does. It can be corrected if the policy beneath can.

    >>> from bandit.policies.uniform import Uniform, UniformConfig
    >>> from streams.events import EMPTY
    >>> inner = Uniform(UniformConfig())
    >>> policy = Newcomers(NewcomersConfig(policy=inner.spec, share=0.1, showings=1), inner)
    >>> old = Decision(event_id="1", placement="home", timestamp_ms=0, context=EMPTY,
    ...     actions=(Action("old"),), pmf=(1.0,), index=0, policy_version="x")
    >>> policy.learn(old, 0.0)
    >>> policy.pmf(EMPTY, [Action("old"), Action("new"), Action("newer")]).round(2).tolist()
    [0.9, 0.05, 0.05]
    """

    def __init__(
        self, config: NewcomersConfig, policy: Policy, shown: dict[str, int] | None = None
    ) -> None:
        self._config = config
        self._policy = policy
        self._shown = shown or {}
        self.context_free = is_context_free(policy)
        if isinstance(policy, Correctable):
            self.correct = policy.correct
        if isinstance(policy, Believing):
            self.beliefs = policy.beliefs

    @property
    def spec(self) -> PolicySpec:
        """The name, both numbers, and the spec of the policy beneath."""
        config = self._config
        return write_spec(
            NewcomersConfig(policy=self._policy.spec, share=config.share, showings=config.showings)
        )

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns the scaled pmf, shape (n_actions,)."""
        pmf = self._policy.pmf(context, actions)
        new = np.array(
            [self._shown.get(action.id, 0) < self._config.showings for action in actions]
        )
        return limited(pmf, new, self._config.share)

    def learn(self, decision: Decision, reward: float) -> None:
        """Has the policy beneath learn, and counts the showing."""
        self._policy.learn(decision, reward)
        shown = self._shown.get(decision.action.id, 0)
        # what is no newcomer any more need not be counted on
        if shown < self._config.showings:
            self._shown[decision.action.id] = shown + 1

    def take_over(self, before: Policy) -> None:
        """Has the policy beneath take over from the other's."""
        if isinstance(before, Newcomers):
            take_over(self._policy, before._policy)

    def to_bytes(self) -> bytes:
        """Returns the spec, and the showings with the bytes of the policy beneath as the state."""
        state = msgspec.msgpack.encode((self._shown, self._policy.to_bytes()), order="sorted")
        return seal(self.spec, state)


def read_state(state: bytes) -> tuple[dict[str, int], bytes]:
    """Returns the showings of each creative, and the bytes of the policy beneath.

    Raises:
        PolicyStateError: this is no such state.
    """
    try:
        return _decoder.decode(state)
    except msgspec.DecodeError as error:
        raise PolicyStateError(f"not the state of newcomers: {error}") from error

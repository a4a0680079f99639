"""A floor under any policy: every action keeps a share, whatever the policy thinks.

Without one, an action that a policy has ruled out is never logged again, and no replay can say
what another policy would have earned with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from bandit.policies.envelope import seal
from bandit.policies.spec import Share, write_spec
from bandit.policy import Believing, Correctable, Pmf, Policy, is_context_free, take_over
from streams.events import Action, Context, Decision, PolicySpec


class FloorConfig(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="floor", forbid_unknown_fields=True
):
    """`epsilon` is what all actions share evenly; `policy` is the spec of the one beneath."""

    policy: PolicySpec
    epsilon: Share = 0.05


class Floor:
    """Mixes a policy with the uniform one: pmf = (1 − epsilon) · pmf + epsilon / K.

    It can be corrected if the policy beneath can.

    >>> from bandit.policies.epsilon_greedy import EpsilonGreedy, EpsilonGreedyConfig
    >>> from streams.events import EMPTY
    >>> greedy = EpsilonGreedy(EpsilonGreedyConfig(epsilon=0.0))
    >>> policy = Floor(FloorConfig(policy=greedy.spec, epsilon=0.1), greedy)
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).round(3).tolist()
    [0.5, 0.5]
    """

    def __init__(self, config: FloorConfig, policy: Policy) -> None:
        self._epsilon = config.epsilon
        self._policy = policy
        self.context_free = is_context_free(policy)
        if isinstance(policy, Correctable):
            self.correct = policy.correct
        if isinstance(policy, Believing):
            self.beliefs = policy.beliefs

    @property
    def spec(self) -> PolicySpec:
        """The name, epsilon, and the spec of the policy beneath."""
        return write_spec(FloorConfig(policy=self._policy.spec, epsilon=self._epsilon))

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns the mixture, shape (n_actions,): nothing is below epsilon / n_actions."""
        pmf = self._policy.pmf(context, actions)
        return (1.0 - self._epsilon) * pmf + self._epsilon / len(pmf)

    def learn(self, decision: Decision, reward: float) -> None:
        """Has the policy beneath learn."""
        self._policy.learn(decision, reward)

    def take_over(self, before: Policy) -> None:
        """Has the policy beneath take over from the other's."""
        if isinstance(before, Floor):
            take_over(self._policy, before._policy)

    def to_bytes(self) -> bytes:
        """Returns the spec, and the bytes of the policy beneath as the state."""
        return seal(self.spec, self._policy.to_bytes())

"""A policy that learns its trade without being trusted yet: the baseline is answered instead.

What is shown stays what it was before there was a policy, while the one beneath learns from it;
the learner tells how often the two agree, and what the apprentice would earn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from bandit.policies.envelope import seal
from bandit.policies.spec import Share, write_spec
from bandit.policy import Believing, Correctable, Pmf, Policy
from streams.events import Action, Context, Decision, PolicySpec


class ApprenticeConfig(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="apprentice",
    forbid_unknown_fields=True,
):  # fmt: skip
    """`policy` is the spec of the one that learns; `baseline` the id of what is shown.

    Without a baseline, or where it cannot be chosen, it is the first action. `epsilon` is what
    all actions share evenly: without a share, nothing but the baseline is ever learned of.
    """

    policy: PolicySpec
    baseline: str | None = None
    epsilon: Share = 0.0


class Apprentice:
    """Answers the baseline: pmf = (1 − epsilon) · [action = baseline] + epsilon / K.

    It can be corrected if the policy beneath can. Where the first action is the baseline, the pmf
    depends on the order of the actions, as that of no other policy does.

    >>> from bandit.policies.uniform import Uniform, UniformConfig
    >>> from streams.events import EMPTY
    >>> uniform = Uniform(UniformConfig())
    >>> policy = Apprentice(ApprenticeConfig(policy=uniform.spec, baseline="b"), uniform)
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.0, 1.0]
    """

    context_free = True

    def __init__(self, config: ApprenticeConfig, policy: Policy) -> None:
        self._config = config
        self._policy = policy
        if isinstance(policy, Correctable):
            self.correct = policy.correct
        if isinstance(policy, Believing):
            self.beliefs = policy.beliefs

    @property
    def spec(self) -> PolicySpec:
        """The name, baseline, epsilon, and the spec of the policy beneath."""
        config = self._config
        return write_spec(
            ApprenticeConfig(
                policy=self._policy.spec, baseline=config.baseline, epsilon=config.epsilon
            )
        )

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns all but epsilon for the baseline, shape (n_actions,)."""
        epsilon = self._config.epsilon
        pmf = np.full(len(actions), epsilon / len(actions))
        pmf[baseline_index(self._config.baseline, actions)] += 1.0 - epsilon
        return pmf

    def learn(self, decision: Decision, reward: float) -> None:
        """Has the policy beneath learn."""
        self._policy.learn(decision, reward)

    def to_bytes(self) -> bytes:
        """Returns the spec, and the bytes of the policy beneath as the state."""
        return seal(self.spec, self._policy.to_bytes())


def baseline_index(baseline: str | None, actions: Sequence[Action]) -> int:
    """Returns where the baseline stands among the actions; 0, the first, if it does not."""
    for index, action in enumerate(actions):
        if action.id == baseline:
            return index
    return 0

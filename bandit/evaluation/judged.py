"""The policies that an evaluation judges: ours, frozen or learning, and some that need no code.

What a policy would have done with a logged decision is a pmf over its actions, or, where the log
itself holds another system's answer, only the propensity of the chosen one.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from bandit.errors import PolicySpecError
from bandit.policies import load_policy, open_policy, parse_policy
from bandit.policy import Pmf, Policy
from bandit.readers.logged import LoggedEvent


class Answer(NamedTuple):
    """What a policy would have done: the chosen action's propensity, and the pmf if it is known."""

    target: float
    pmf: Pmf | None


class Judged(Protocol):
    """A policy as an evaluation asks it: decision by decision, in the order of the log."""

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns what the policy would have done, and then learns of the event if it does."""


class Learning:
    """A policy that learns from the log as it goes, and answers each decision before it does.

    Its value is the mean over the log of a policy that improves: progressive validation (Blum,
    Kalai & Langford 1999).
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns the policy's pmf from what came before the event.

        Raises:
            FeatureError: features that the policy cannot read.
            LearnError: a reward that it cannot learn from.
        """
        found = _of(self._policy, event)
        self._policy.learn(event.decision, event.reward)
        return found


class Frozen:
    """A policy that stays as it is."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns the policy's pmf.

        Raises:
            FeatureError: features that the policy cannot read.
        """
        return _of(self._policy, event)


class Logged:
    """The policy that made the log; what it is worth is what it earned."""

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns the logged pmf, or propensity."""
        decision = event.decision
        pmf = np.array(decision.pmf) if event.whole else None
        return Answer(decision.propensity, pmf)


class Constant:
    """Always the same action; where it could not be chosen, none that can be judged."""

    def __init__(self, action_id: str) -> None:
        self._id = action_id

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns 1 for the action, and 0 for all others."""
        decision = event.decision
        pmf = np.array([float(action.id == self._id) for action in decision.actions])
        return Answer(float(pmf[decision.index]), pmf)


class Column:
    """A policy whose answers are in the log."""

    def __init__(self, name: str) -> None:
        self._name = name

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns the propensity that the log says.

        Raises:
            PolicySpecError: the log holds no answers of that policy.
        """
        if self._name not in event.targets:
            known = ", ".join(event.targets) or "none"
            raise PolicySpecError(
                f"policy 'column:{self._name}': the log has no such target, but {known}; "
                f"name one with --column target.{self._name}=COLUMN"
            )
        return Answer(event.targets[self._name], None)


def open_judged(text: str) -> Judged:
    """Returns the policy that `text` stands for.

    `logged`; `constant:ID`, always the action ID; `column:NAME`, the answers in the log;
    `snapshot:PATH`, a policy's bytes in a file, frozen; or any policy of ours as on every command
    line, such as `thompson:alpha=1,beta=1`, learning from the log as it goes.

    Raises:
        PolicySpecError: it stands for none, or the file cannot be read.
        PolicyStateError: the file does not hold a policy's bytes.
    """
    kind, _, rest = text.partition(":")
    match kind:
        case "logged":
            return Logged()
        case "constant":
            return Constant(rest)
        case "column":
            return Column(rest)
        case "snapshot":
            try:
                return Frozen(load_policy(Path(rest).read_bytes()))
            except OSError as error:
                raise PolicySpecError(f"policy {text!r} cannot be read: {error}") from error
        case _:
            return Learning(open_policy(parse_policy(text)))


def _of(policy: Policy, event: LoggedEvent) -> Answer:
    decision = event.decision
    pmf = policy.pmf(decision.context, decision.actions)
    return Answer(float(pmf[decision.index]), pmf)

"""The policies that an evaluation judges: ours, frozen or learning, and some that need no code.

What a policy would have done with a logged decision is a pmf over its actions, or, where the log
itself holds another system's answer, only the propensity of the chosen one.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from bandit.errors import PolicySpecError
from bandit.ope.readers.events import LoggedEvent
from bandit.policies import load_policy, open_policy, parse_policy
from bandit.policy import Pmf, Policy, sample, sample_seed


class Answer(NamedTuple):
    """What a policy would have done.

    Attributes:
        target: the chosen action's propensity.
        pmf: over the decision's actions, if it is known.
        accepted: whether the policy would have made this very decision; None where it was not
            drawn.
    """

    target: float
    pmf: Pmf | None
    accepted: bool | None = None


class Judged(Protocol):
    """A policy as an evaluation asks it: decision by decision, in the order of the log."""

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns what the policy would have done, and then learns of the event if it does."""

    def train(self, event: LoggedEvent) -> None:
        """Learns of an event that comes before those that count, if it learns at all."""


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
        self.train(event)
        return found

    def train(self, event: LoggedEvent) -> None:
        """Learns of the event."""
        self._policy.learn(event.decision, event.reward)


class Exploring:
    """A policy that learns from what it would itself have tried, and from nothing else.

    What it would have chosen is accepted by rejection sampling, with the probability w / c, so
    that it sees what its own exploration would have brought it (Dudík et al. 2012, section 4).
    c is `largest`, or else 1 over the least propensity above 0 that the log has had so far.
    """

    def __init__(self, policy: Policy, largest: float | None = None) -> None:
        self._policy = policy
        self._given = largest
        self._largest = largest or 1.0

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns the policy's pmf, and learns if the decision is one that it made too.

        Raises:
            FeatureError: features that the policy cannot read.
            LearnError: a reward that it cannot learn from.
        """
        found = _of(self._policy, event)
        decision = event.decision
        if self._given is None:
            least = min(p for p in decision.pmf if p > 0.0)
            self._largest = max(self._largest, 1.0 / least)
        share = found.target / (decision.propensity * self._largest)
        seed = f"explore {sample_seed(decision.event_id, decision.slot)}"
        accepted = sample((max(1.0 - share, 0.0), share), seed) == 1
        if accepted:
            self.train(event)
        return found._replace(accepted=accepted)

    def train(self, event: LoggedEvent) -> None:
        """Learns of the event."""
        self._policy.learn(event.decision, event.reward)


class Trained:
    """A policy that learned from the log's first part, and stays as it was then."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns the policy's pmf.

        Raises:
            FeatureError: features that the policy cannot read.
        """
        return _of(self._policy, event)

    def train(self, event: LoggedEvent) -> None:
        """Learns of the event."""
        self._policy.learn(event.decision, event.reward)


class Frozen:
    """A policy that stays as it is."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def train(self, event: LoggedEvent) -> None:
        """Learns nothing."""

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns the policy's pmf.

        Raises:
            FeatureError: features that the policy cannot read.
        """
        return _of(self._policy, event)


class Logged:
    """The policy that made the log; what it is worth is what it earned."""

    def train(self, event: LoggedEvent) -> None:
        """Learns nothing."""

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns the logged pmf, or propensity."""
        decision = event.decision
        pmf = np.array(decision.pmf) if event.whole else None
        return Answer(decision.propensity, pmf)


class Constant:
    """Always the same action; where it could not be chosen, none that can be judged."""

    def __init__(self, action_id: str) -> None:
        self._id = action_id

    def train(self, event: LoggedEvent) -> None:
        """Learns nothing."""

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns 1 for the action, and 0 for all others."""
        decision = event.decision
        pmf = np.array([float(action.id == self._id) for action in decision.actions])
        return Answer(float(pmf[decision.index]), pmf)


class Column:
    """A policy whose answers are in the log."""

    def __init__(self, name: str) -> None:
        self._name = name

    def train(self, event: LoggedEvent) -> None:
        """Learns nothing."""

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


def open_judged(text: str, *, max_weight: float | None = None) -> Judged:
    """Returns the policy that `text` stands for.

    `logged`; `constant:ID`, always the action ID; `column:NAME`, the answers in the log;
    `snapshot:PATH`, a policy's bytes in a file, frozen; `trained:POLICY`, one that learns from
    the part of the log that is for training, and is frozen then; `explore:POLICY`, one that
    learns from what it would have tried itself; or any policy of ours as on every command line,
    such as `thompson:alpha=1,beta=1`, learning from all of the log as it goes.

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
        case "trained":
            return Trained(open_policy(parse_policy(rest)))
        case "explore":
            return Exploring(open_policy(parse_policy(rest)), max_weight)
        case _:
            return Learning(open_policy(parse_policy(text)))


def _of(policy: Policy, event: LoggedEvent) -> Answer:
    decision = event.decision
    pmf = policy.pmf(decision.context, decision.actions)
    return Answer(float(pmf[decision.index]), pmf)

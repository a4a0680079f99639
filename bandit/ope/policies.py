"""The target policies of an evaluation: ours, frozen or learning, and some that need no code.

What a policy would have done with a logged decision is a pmf over its actions, or, where the log
itself holds another system's answer, only the propensity of the chosen one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np

from bandit.errors import PolicySpecError
from bandit.ope.readers.events import LoggedEvent
from bandit.policies import load_policy, open_policy, parse_policy
from bandit.policy import Pmf, Policy, sample, sample_seed
from streams.events import PolicySpec

RUNS: Final = 8
"""In so many runs a candidate explores, each by other draws."""


class Candidate(NamedTuple):
    """A policy to be evaluated by its spec, which learns as it goes, and what to call it.

    With `tried_once_in`, it learns from what it would have tried itself alone, which is one in so
    many decisions at the least; see `ManyRuns`.
    """

    name: str
    spec: PolicySpec
    tried_once_in: float | None = None


FIRST_ACTION: Final = Candidate(
    "first action", {"name": "apprentice", "policy": {"name": "uniform"}}
)
"""What an application would show without a policy: the baseline, as Personalizer calls it."""


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


class TargetPolicy(Protocol):
    """A policy as an evaluation asks it: decision by decision, in the order of the log."""

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns what the policy would have done, and then learns of the event if it does.

        Raises:
            FeatureError: features that the policy cannot read.
            LearnError: a reward that it cannot learn from.
            PolicySpecError: the log holds no answers of that policy.
        """

    def train(self, event: LoggedEvent) -> None:
        """Learns of an event that comes before those that count, if it learns at all."""


class Learning:
    """A policy of ours, which answers each decision before it learns of it.

    Its value is the mean over the log of a policy that improves: progressive validation (Blum,
    Kalai & Langford 1999).

    Args:
        policy: as it is before the log.
        trains: whether it learns from the log's first part, which does not count.
        learns: whether it learns from the rest.
    """

    def __init__(self, policy: Policy, *, trains: bool = True, learns: bool = True) -> None:
        self._policy = policy
        self._trains = trains
        self.learns = learns

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns the policy's pmf from what came before the event."""
        found = _answer(self._policy, event)
        if self.learns:
            self._policy.learn(event.decision, event.reward)
        return found

    def train(self, event: LoggedEvent) -> None:
        """Learns of the event, if it trains."""
        if self._trains:
            self._policy.learn(event.decision, event.reward)


class Exploring:
    """A policy that learns from what it would itself have tried, and from nothing else.

    What it would have chosen is accepted by rejection sampling, with the probability w / c, so
    that it sees what its own exploration would have brought it (Dudík et al. 2012, section 4).
    c is `largest`, or else 1 over the least propensity above 0 that the log has had so far. Another
    `run` accepts by other draws.
    """

    def __init__(self, policy: Policy, largest: float | None = None, run: int = 0) -> None:
        self._policy = policy
        self._run = f" {run}" if run else ""
        self._given = largest
        self._largest = largest or 1.0

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns the policy's pmf, and learns if the decision is one that it made too."""
        found = _answer(self._policy, event)
        decision = event.decision
        if self._given is None:
            least = min(p for p in decision.pmf if p > 0.0)
            self._largest = max(self._largest, 1.0 / least)
        share = found.target / (decision.propensity * self._largest)
        seed = f"explore{self._run} {sample_seed(decision.event_id, decision.slot)}"
        accepted = sample((max(1.0 - share, 0.0), share), seed) == 1
        if accepted:
            self.train(event)
        return found._replace(accepted=accepted)

    def train(self, event: LoggedEvent) -> None:
        """Learns of the event."""
        self._policy.learn(event.decision, event.reward)


class ManyRuns:
    """A policy that explores, in several runs: its pmf is the mean of theirs.

    One run may be lucky or not, and so its value says little of the policy's.

    Attributes:
        weights: Σ w of each run, shape (n_runs,).
        earned: Σ w r of each run, likewise.
    """

    def __init__(self, spec: PolicySpec, once_in: float, runs: int) -> None:
        self._runs = [Exploring(open_policy(spec), once_in, run) for run in range(1, runs + 1)]
        self.weights = np.zeros(runs)
        self.earned = np.zeros(runs)

    def answer(self, event: LoggedEvent) -> Answer:
        """Returns the runs' mean pmf from what came before the event."""
        pmfs = [run.answer(event).pmf for run in self._runs]
        index = event.decision.index
        weights = np.array([0.0 if pmf is None else pmf[index] for pmf in pmfs])
        weights /= event.decision.propensity
        self.weights += weights
        self.earned += weights * event.reward
        pmf = np.mean([pmf for pmf in pmfs if pmf is not None], axis=0)
        return Answer(float(pmf[index]), pmf)

    def train(self, event: LoggedEvent) -> None:
        """Has every run learn of the event."""
        for run in self._runs:
            run.train(event)


class Fixed:
    """A policy that learns nothing: a function of the logged event."""

    def __init__(self, answer: Callable[[LoggedEvent], Answer]) -> None:
        self.answer = answer

    def train(self, event: LoggedEvent) -> None:
        """Learns nothing."""


def open_target(policy: str | Candidate, *, max_weight: float | None = None) -> TargetPolicy:
    """Returns the policy of a candidate, or the one that a text stands for.

    `logged`, the policy that made the log; `constant:ID`, always the action ID; `column:NAME`,
    the answers in the log; `snapshot:PATH`, a policy's bytes in a file, frozen; `trained:POLICY`,
    one that learns from the part of the log that is for training, and is frozen then;
    `explore:POLICY`, one that learns from what it would have tried itself; or any policy of ours
    as on every command line, such as `thompson:alpha=1,beta=1`, learning from all of the log as it
    goes.

    Raises:
        PolicySpecError: it stands for none, or the file cannot be read.
        PolicyStateError: the file does not hold a policy's bytes.
    """
    if isinstance(policy, Candidate):
        if policy.tried_once_in is None:
            return Learning(open_policy(policy.spec))
        return ManyRuns(policy.spec, policy.tried_once_in, RUNS)
    kind, _, rest = policy.partition(":")
    match kind:
        case "logged":
            return Fixed(_logged)
        case "constant":
            return Fixed(partial(_constant, rest))
        case "column":
            return Fixed(partial(_column, rest))
        case "snapshot":
            try:
                state = Path(rest).read_bytes()
            except OSError as error:
                raise PolicySpecError(f"policy {policy!r} cannot be read: {error}") from error
            return Learning(load_policy(state), trains=False, learns=False)
        case "trained":
            return Learning(open_policy(parse_policy(rest)), learns=False)
        case "explore":
            return Exploring(open_policy(parse_policy(rest)), max_weight)
        case _:
            return Learning(open_policy(parse_policy(policy)))


def text_of(spec: PolicySpec) -> str:
    """Returns a policy's spec as words for `--policy`.

    >>> text_of({"name": "thompson", "alpha": 1, "beta": 50})
    'thompson:alpha=1,beta=50'
    """
    rest = [f"{key}={value}" for key, value in spec.items() if key != "name"]
    if spec.get("name") == "vw":
        return f"vw:{spec.get('args', '')}"
    return f"{spec.get('name')}:{','.join(rest)}" if rest else str(spec.get("name"))


def name_of(policy: str | Candidate) -> str:
    """Returns what an evaluation calls the policy."""
    return policy if isinstance(policy, str) else policy.name


def unmasked(policy: PolicySpec) -> PolicySpec:
    """Returns the policy that an apprentice trains, which is the one to evaluate of it."""
    while policy["name"] == "apprentice":
        policy = msgspec.convert(policy["policy"], dict[str, object])
    return policy


def _answer(policy: Policy, event: LoggedEvent) -> Answer:
    decision = event.decision
    pmf = policy.pmf(decision.context, decision.actions)
    return Answer(float(pmf[decision.index]), pmf)


def _logged(event: LoggedEvent) -> Answer:
    decision = event.decision
    pmf = np.array(decision.pmf) if event.whole else None
    return Answer(decision.propensity, pmf, accepted=True)


def _constant(action_id: str, event: LoggedEvent) -> Answer:
    """Returns 1 for the action and 0 for all others; 0 for all where it could not be chosen.

    An action that a decision offers several times is as likely at each of its places.
    """
    decision = event.decision
    pmf = np.array([float(action.id == action_id) for action in decision.actions])
    pmf /= max(pmf.sum(), 1.0)
    return Answer(float(pmf[decision.index]), pmf)


def _column(name: str, event: LoggedEvent) -> Answer:
    if name in event.pmfs:
        pmf = np.array(event.pmfs[name])
        return Answer(float(pmf[event.decision.index]), pmf)
    if name not in event.targets:
        known = ", ".join((*event.targets, *event.pmfs)) or "none"
        raise PolicySpecError(
            f"policy 'column:{name}': the log has no such target, but {known}; "
            f"name one with --column target.{name}=COLUMN"
        )
    return Answer(event.targets[name], None)

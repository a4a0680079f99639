"""Plays contestants in the simulated market, all by the same rules.

Visits come in batches: whoever plays answers a batch with pmfs over the live creatives, one is
drawn, and what was reported in the meantime is fed back before the next batch. A policy that can
be corrected learns each decision at once and is corrected by a conversion; another waits for a
conversion as long as it wants to, and learns then.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bandit.policy import Pmf, sample
from benchmarks.segment_world import DAY_MS, SegmentWorld, Visit
from streams.events import Action, Context, Decision

BATCH = 100
HOUR_MS = 3_600_000
WINDOW_MS = DAY_MS
"""A conversion counts if it is reported within so long of its decision."""

Floats = NDArray[np.float64]


class Feedback(NamedTuple):
    """What a decision earned; `old` is what had been said of it before, None on the first."""

    visit: Visit
    decision: Decision
    reward: float
    old: float | None


class Contestant(Protocol):
    """Whoever plays; `wait_hours` None is who learns at once and is corrected."""

    wait_hours: float | None

    def choose(self, visits: Sequence[Visit], actions: tuple[Action, ...]) -> Floats:
        """Returns a pmf for each visit, shape (n_visits, n_actions)."""

    def learn(self, feedback: Sequence[Feedback]) -> None:
        """Takes in what came to be known since the last batch."""


class Learner(Protocol):
    """What `Played` needs of a policy."""

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """As of `bandit.policy.Policy`."""

    def learn(self, decision: Decision, reward: float) -> None:
        """As of `bandit.policy.Policy`."""


class Played:
    """A policy of copyloop's, Vowpal Wabbit among them."""

    def __init__(self, policy: Learner, wait_hours: float | None = None) -> None:
        self.policy = policy
        self.wait_hours = wait_hours

    def choose(self, visits: Sequence[Visit], actions: tuple[Action, ...]) -> Floats:
        """Returns what the policy says of each."""
        return np.array([self.policy.pmf(visit.context, actions) for visit in visits])

    def learn(self, feedback: Sequence[Feedback]) -> None:
        """Has the policy learn, or correct what it learned."""
        for _, decision, reward, old in feedback:
            if old is None:
                self.policy.learn(decision, reward)
            else:
                self.policy.correct(decision, old, reward)  # type: ignore[attr-defined]


def play(world: SegmentWorld, contestant: Contestant, n_visits: int) -> Floats:
    """Returns the expected regret of each visit, shape (n_visits,), in true conversion rate."""
    regret = np.empty(n_visits)
    due: list[tuple[int, int, Feedback]] = []
    for first in range(0, n_visits, BATCH):
        visits = [world.visit(number) for number in range(first, min(first + BATCH, n_visits))]
        known = []
        while due and due[0][0] <= visits[0].timestamp_ms:
            known.append(heappop(due)[2])
        if known:
            contestant.learn(known)
        actions = world.creatives(visits[0])
        for visit, pmf in zip(visits, contestant.choose(visits, actions), strict=True):
            rates = world.rates(visit, actions)
            regret[visit.number] = rates.max() - pmf @ rates
            decision = _decide(visit, actions, pmf)
            for at_ms, said in _said(world, visit, decision, contestant.wait_hours):
                heappush(due, (at_ms, 2 * visit.number + (said.old is not None), said))
    return regret


def _decide(visit: Visit, actions: tuple[Action, ...], pmf: Floats) -> Decision:
    event_id = f"visit-{visit.number}"
    return Decision(
        event_id=event_id,
        placement="market",
        timestamp_ms=visit.timestamp_ms,
        context=visit.context,
        actions=actions,
        pmf=tuple(pmf.tolist()),
        index=sample(pmf, event_id),
        policy_version="v",
    )


def _said(
    world: SegmentWorld, visit: Visit, decision: Decision, wait_hours: float | None
) -> list[tuple[int, Feedback]]:
    """Returns what will be said of the decision, and when."""
    delay_ms = world.respond(visit, decision.action)
    now_ms = visit.timestamp_ms
    if wait_hours is not None:
        waited_ms = int(wait_hours * HOUR_MS)
        came = delay_ms is not None and delay_ms <= waited_ms
        return [(now_ms + waited_ms, Feedback(visit, decision, float(came), None))]
    said = [(now_ms, Feedback(visit, decision, 0.0, None))]
    if delay_ms is not None and delay_ms <= WINDOW_MS:
        said.append((now_ms + delay_ms, Feedback(visit, decision, 1.0, 0.0)))
    return said

"""Logs of several policies as one: each decision weighs by the mixture of those that logged.

A propensity of the policy that happened to log a decision can be tiny where another of the
policies would have chosen the same readily. Over the mixture of all of them no weight is larger
than it has to be, and the estimate varies less (Veach & Guibas 1995; Agarwal et al. 2017).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from bandit.errors import EstimateError
from bandit.ope.batches import NOTHING, segment_of, unit_path
from bandit.ope.before import Open
from bandit.ope.readers.events import LoggedEvent, spread


def mixed(log: Open, logged_by: str) -> Open:
    """Returns the log with the mixture's propensities in place of each logging policy's own.

    With n_j decisions logged by the policy j, and μ_j(a) what j gives the chosen action, its
    propensity becomes Σ n_j μ_j(a) / Σ n_j (the balance heuristic, Veach & Guibas 1995, equation
    10). Of the logged policy's value nothing changes: it is the mean reward.

    Args:
        log: opens the log; its decisions have a target for every policy that logged some.
        logged_by: the path in the context that names the policy that logged a decision, such as
            `context.logger`.

    Raises:
        EstimateError: a decision that does not say who logged it, as the log is read.
    """
    return partial(_mixed, log, unit_path(logged_by))


def _mixed(log: Open, path: str) -> Iterator[LoggedEvent]:
    shares = _shares(log(), path)
    for event in log():
        decision = event.decision
        lacking = [name for name in shares if name not in event.targets]
        if lacking:
            raise EstimateError(
                f"decision {decision.event_id!r} does not say what {lacking[0]!r}, which logged "
                f"others, gives the chosen action; name it with --column target.{lacking[0]}=COLUMN"
            )
        propensity = sum(share * event.targets[name] for name, share in shares.items())
        if not 0.0 < propensity <= 1.0:
            raise EstimateError(
                f"decision {decision.event_id!r} has the propensity {propensity} under the mixture "
                "of those that logged; expected above 0 and at most 1"
            )
        pmf = spread(propensity, decision.index, len(decision.actions))
        yield event._replace(decision=msgspec.structs.replace(decision, pmf=pmf), whole=False)


def _shares(events: Iterable[LoggedEvent], path: str) -> dict[str, float]:
    """Returns what share of the decisions each policy logged."""
    counts: Counter[str] = Counter()
    for event in events:
        name = segment_of(event, path)
        if name == NOTHING:
            raise EstimateError(
                f"decision {event.decision.event_id!r} has no {path!r} in its context, which says "
                "which policy logged it"
            )
        counts[name] += 1
    return {name: count / counts.total() for name, count in sorted(counts.items())}

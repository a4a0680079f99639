"""A decision as every reader gives it, with what it earned.

Some logs hold the whole pmf and some only the chosen action's propensity; whoever asks which
actions the log's policy could have taken must know which.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from streams.events import Decision

NONE: Final[Mapping[str, float]] = MappingProxyType({})


class LoggedEvent(NamedTuple):
    """One decision of a log, and its final reward.

    Attributes:
        decision: as it was made.
        reward: what it earned.
        whole: whether the pmf was logged; if not, only the chosen action's entry is true, and the
            rest is spread evenly over the others.
        targets: for policies whose answers the log holds, the propensity that each gives the
            chosen action.
        estimated: whether the pmf was not logged but estimated.
    """

    decision: Decision
    reward: float
    whole: bool = True
    targets: Mapping[str, float] = NONE
    estimated: bool = False


def spread(propensity: float, index: int, n_actions: int) -> tuple[float, ...]:
    """Returns a pmf with this propensity at `index`, and the rest evenly on the others.

    >>> spread(0.5, 1, 3)
    (0.25, 0.5, 0.25)
    """
    if n_actions == 1:
        return (1.0,)
    rest = (1.0 - propensity) / (n_actions - 1)
    return tuple(propensity if number == index else rest for number in range(n_actions))

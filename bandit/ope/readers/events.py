"""A decision as every reader gives it, with what it earned.

Some logs hold the whole pmf and some only the chosen action's propensity; whoever asks which
actions the log's policy could have taken must know which.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Raw

from bandit.features.flatten import CACHE_SIZE, flatten
from streams.events import Action, Decision

NONE: Final[Mapping[str, float]] = MappingProxyType({})
NO_PMFS: Final[Mapping[str, tuple[float, ...]]] = MappingProxyType({})
UNNAMED: Final = ("logged", "other")
"""The ids of the actions of a log that names none."""


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
        pmfs: for policies whose whole pmf the log holds, that pmf over the decision's actions.
        actions_known: whether the log says which actions could be chosen; if not, the decision
            has all that the log names somewhere.
    """

    decision: Decision
    reward: float
    whole: bool = True
    targets: Mapping[str, float] = NONE
    estimated: bool = False
    pmfs: Mapping[str, tuple[float, ...]] = NO_PMFS
    actions_known: bool = True


def spread(propensity: float, index: int, n_actions: int) -> tuple[float, ...]:
    """Returns a pmf with this propensity at `index`, and the rest evenly on the others.

    >>> spread(0.5, 1, 3)
    (0.25, 0.5, 0.25)
    """
    if n_actions == 1:
        return (1.0,)
    rest = (1.0 - propensity) / (n_actions - 1)
    return tuple(propensity if number == index else rest for number in range(n_actions))


def check_features(context: Raw, actions: Iterable[Action]) -> None:
    """Refuses what no policy and no reward model could read.

    Raises:
        FeatureError: values that are no features.
    """
    flatten(context, namespace="context")
    for action in actions:
        _check_action(bytes(action.features))


@lru_cache(maxsize=CACHE_SIZE)
def _check_action(features: bytes) -> None:
    flatten(Raw(features), namespace="action")


def with_entry(pmf: Sequence[float], index: int, propensity: float) -> tuple[float, ...]:
    """Returns a pmf with this propensity at `index`, and the others in their proportions.

    Entries that were rounded do not sum to 1; the one of the chosen action is kept.

    >>> with_entry([0.33, 0.33, 0.33], 0, 0.34)
    (0.34, 0.33, 0.33)
    """
    others = math.fsum(pmf) - pmf[index]
    if others <= 0.0:
        return tuple(float(number == index) for number in range(len(pmf)))
    scale = (1.0 - propensity) / others
    return tuple(propensity if n == index else p * scale for n, p in enumerate(pmf))

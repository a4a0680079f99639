"""A decision as every reader gives it, with what it earned.

Some logs hold the whole pmf and some only the chosen action's propensity; whoever asks which
actions the log's policy could have taken must know which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from streams.archive import read_archive
from streams.events import INTERACTIONS, Decision, Interaction, decode

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


def read_interactions(directory: Path, *, placement: str | None = None) -> Iterator[LoggedEvent]:
    """Yields each decision with its final reward, in the order of the log.

    Only the corrections are held in memory: one number for each decision that had one.

    Raises:
        ArchiveError: there is no archive in the directory, or a file of it is damaged.
        EventError: a record in it cannot be read.
    """
    final: dict[tuple[str, int], float] = {}
    for interaction in _interactions(directory, placement):
        if interaction.previous_reward is not None:
            final[interaction.decision.event_id, interaction.decision.slot] = interaction.reward
    seen: dict[int, int] = {}
    for interaction in _interactions(directory, placement):
        # as for the learner, one that is not newer than the last of its source is a duplicate
        if interaction.sequence <= seen.get(interaction.source, -1):
            continue
        seen[interaction.source] = interaction.sequence
        if interaction.previous_reward is None and not interaction.decision.fallback:
            decision = interaction.decision
            reward = final.get((decision.event_id, decision.slot), interaction.reward)
            yield LoggedEvent(decision, reward)


def _interactions(directory: Path, placement: str | None) -> Iterator[Interaction]:
    for record in read_archive(directory, INTERACTIONS):
        event = decode(record.value)
        if isinstance(event, Interaction) and placement in (None, event.decision.placement):
            yield event

"""A decision as every reader gives it, with what it earned.

Some logs hold the whole pmf and some only the chosen action's propensity; whoever asks which
actions the log's policy could have taken must know which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from streams.archive import read_archive
from streams.events import INTERACTIONS, Decision, Interaction, interaction_in

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


def with_final_rewards(read: Callable[[], Iterable[Interaction]]) -> Iterator[LoggedEvent]:
    """Yields each decision once, where it was made, with the reward that it came to in the end.

    A decision learned in real time is there several times, first with the default reward. Only
    the corrections are held in memory: one number for each decision that had one. Decisions taken
    in place of the policy are left out.

    Args:
        read: reads the interactions, each once; called twice.
    """
    final = {
        (interaction.decision.event_id, interaction.decision.slot): interaction.reward
        for interaction in read()
        if interaction.previous_reward is not None
    }
    for interaction in read():
        decision = interaction.decision
        if interaction.previous_reward is None and not decision.fallback:
            key = decision.event_id, decision.slot
            yield LoggedEvent(decision, final.get(key, interaction.reward))


def read_archived(directory: Path, *, placement: str | None = None) -> Iterator[LoggedEvent]:
    """Yields the decisions of an archive, each with its final reward, in the order of the log.

    Raises:
        ArchiveError: there is no archive in the directory, or a file of it is damaged.
        SchemaVersionError: a newer copyloop wrote a record in it.
    """
    return with_final_rewards(partial(archived_interactions, directory, placement=placement))


def archived_interactions(
    directory: Path, *, placement: str | None = None
) -> Iterator[Interaction]:
    """Yields the interactions of an archive, each once, of one placement if that is named."""
    seen: dict[int, int] = {}
    for record in read_archive(directory, INTERACTIONS):
        event = interaction_in(record.value)
        if event is None or placement not in (None, event.decision.placement):
            continue
        # as for the learner, one that is not newer than the last of its source is a duplicate
        if event.sequence > seen.get(event.source, -1):
            seen[event.source] = event.sequence
            yield event

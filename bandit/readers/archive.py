"""Our own archive: each decision once, with the reward that it came to in the end.

A decision learned in real time is there several times, first with the default reward. What it
was corrected to counts, at the place where it was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bandit.readers.logged import LoggedEvent
from streams.archive import read_archive
from streams.events import INTERACTIONS, Interaction, decode


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

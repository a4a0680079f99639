"""Decisions that another system made, as interactions of a placement.

The learner folds the policy from them as from any other. A decision that is there already is passed
over, so the same file may be taken in again.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from bandit.learning.fold import FIRST_IMPORT_SOURCE
from bandit.learning.versions import interactions_of
from bandit.ope.readers.events import LoggedEvent
from streams.events import INTERACTIONS, Interaction, encode
from streams.logs.base import Log, Message

BATCH: Final = 500

Progress = Callable[[int], None]


class ImportedEvents(NamedTuple):
    """How many decisions were taken in, and how many were there before."""

    new: int
    known: int


def take_in(
    log: Log, placement: str, events: Iterable[LoggedEvent], *, progress: Progress
) -> ImportedEvents:
    """Writes the decisions with their rewards as interactions of the placement.

    They are learned in the order of `events`. One writer at a time: who writes must keep others
    from it. After each batch `progress` is told how many events were looked at since the last.
    """
    # imports of a placement have one source each
    source = FIRST_IMPORT_SOURCE + zlib.crc32(placement.encode())
    there, sequence = set[tuple[str, int]](), 0
    for interaction in interactions_of(log, placement):
        there.add((interaction.decision.event_id, interaction.decision.slot))
        if interaction.source == source:
            sequence = interaction.sequence + 1
    known, here = 0, set[tuple[str, int]]()
    rest = iter(events)
    while batch := list(islice(rest, BATCH)):
        messages = []
        for event in batch:
            decision = msgspec.structs.replace(event.decision, placement=placement)
            key = decision.event_id, decision.slot
            known += key in there
            if key in there or key in here:
                continue
            here.add(key)
            interaction = Interaction(
                source=source,
                sequence=sequence,
                decision=decision,
                reward=event.reward,
                status="closed",
                timestamp_ms=decision.timestamp_ms,
            )
            messages.append(Message(INTERACTIONS, placement.encode(), encode(interaction)))
            sequence += 1
        if messages:
            log.append(messages)
        progress(len(batch))
    return ImportedEvents(len(here), known)

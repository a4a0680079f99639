"""copyloop's own archive, as a log of decisions with their final rewards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bandit.errors import FeatureError
from bandit.ope.readers.events import LoggedEvent, check_features
from bandit.ope.readers.rows import RowCounts
from streams.archive.parquet import read_archive
from streams.errors import EventError
from streams.events import INTERACTIONS, Decision, Interaction, interactions_in
from streams.logs.base import Record


def with_final_rewards(
    read: Callable[[], Iterable[Interaction]], counts: RowCounts | None = None
) -> Iterator[LoggedEvent]:
    """Yields each decision once, where it was made, with the reward that it came to in the end.

    A decision learned in real time is there several times, first with the default reward. Only
    the corrections are held in memory: one number for each decision that had one. Decisions taken
    in place of the policy are left out.

    Args:
        read: reads the interactions, each once; called twice.
        counts: takes the decisions that no policy could read features of, which are left out.
    """
    counts = counts or RowCounts()
    final = {_key(each.decision): each.reward for each in read() if _corrects(each)}
    for each in read():
        decision = each.decision
        if _corrects(each) or decision.fallback:
            continue
        try:
            check_features(decision.context, decision.actions)
        except FeatureError as error:
            counts.leave_out("features_invalid", f"event {decision.event_id}", str(error))
            continue
        yield LoggedEvent(decision, final.get(_key(decision), each.reward))


def _corrects(interaction: Interaction) -> bool:
    """Returns whether it takes the place of an earlier interaction of the same decision."""
    return interaction.previous_reward is not None


def _key(decision: Decision) -> tuple[str, int]:
    return decision.event_id, decision.slot


def read_archived(
    directory: Path, counts: RowCounts | None = None, *, placement: str | None = None
) -> Iterator[LoggedEvent]:
    """Yields the decisions of an archive, each with its final reward, in the order of the log.

    Raises:
        ArchiveError: there is no archive in the directory, or a file of it is damaged.
        ReaderError: a record cannot be read, and is to stop the reader.
    """
    counts = counts or RowCounts()
    # the log is read twice, and its records are counted once
    passes = iter([RowCounts("skip"), counts])
    return with_final_rewards(
        lambda: archived_interactions(directory, next(passes), placement=placement), counts
    )


def archived_interactions(
    directory: Path, counts: RowCounts | None = None, *, placement: str | None = None
) -> Iterator[Interaction]:
    """Yields the interactions of an archive, each once, of one placement if that is named.

    Raises:
        ArchiveError: there is no archive in the directory, or a file of it is damaged.
        ReaderError: a record cannot be read, and is to stop the reader.
    """
    records = read_archive(directory, INTERACTIONS)
    return interactions_of(records, str(directory), counts or RowCounts(), placement=placement)


def interactions_of(
    records: Iterable[Record], source: str, counts: RowCounts, *, placement: str | None = None
) -> Iterator[Interaction]:
    """Yields the interactions that records hold, each once, of one placement if that is named.

    Raises:
        ReaderError: a record cannot be read, and is to stop the reader.
    """
    seen: dict[tuple[int, int], int] = {}
    for record in records:
        where = f"{source}, {record.topic} {record.partition}@{record.offset}"
        try:
            events = interactions_in(record.value)
        except EventError as error:
            counts.refuse("event_invalid", where, str(error))
            continue
        if not events:
            counts.leave_out("no_interaction", where, "the learner, too, leaves it out")
        for event in events:
            if placement not in (None, event.decision.placement):
                continue
            # As for the learner, one that is not newer than the last of its source is a duplicate.
            # A source writes to several partitions, each in its order.
            origin = record.partition, event.source
            if event.sequence > seen.get(origin, -1):
                seen[origin] = event.sequence
                yield event

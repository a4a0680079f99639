"""The process that learns: interactions in, policy snapshots and checkpoints out.

All learning is in `fold`, which does no IO. This module holds the partitions, publishes and saves
the policies, and writes records that cannot be learned from to the dead letters.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bandit.errors import BanditError, PolicyError
from bandit.learning.fold import PartitionFold, PlacementFold, Refold, current_plan
from bandit.learning.trials import Plan, verdict
from streams.catalogue.state import CatalogueReader
from streams.catalogue.writer import CatalogueWriter
from streams.checkpoint import Checkpoint
from streams.dead_letters import WrittenDeadLetters, append_or_lay_aside
from streams.errors import ChangeRefused, EventError, MessagesRefused
from streams.events import DEAD_LETTER, INTERACTIONS, POLICIES, Placement, PolicySpec, encode
from streams.events.placement import TrialResult
from streams.fold import AdaptiveInterval
from streams.logs.base import Log, Message, Record, TopicPartition
from streams.logs.wrappers import RetryingLog
from streams.partition_worker import CHECKPOINT_AGE_SECONDS, PartitionWorker, commit
from streams.readiness import nobody
from streams.topics import LEARNER_GROUP

logger = logging.getLogger(__name__)

GROUP: Final = LEARNER_GROUP
POLL_SECONDS: Final = 0.2
"""How long a poll waits for a first record, and so how soon `stop` is seen."""
BATCH: Final = 2000
CHECKPOINT_SECONDS: Final = 1.0
LEARN: Final = {
    "interactions": "Interactions folded into a policy.",
    "refused": "Records that could not be learned from; they are in the dead letters.",
    "snapshots": "Snapshots of policies published.",
    "refolds": "Placements whose policy was folded anew, after a change of it.",
}
"""The fields of `LearnCounts` in words."""


@dataclass
class LearnCounts:
    """What a learner has done since it started."""

    interactions: int = 0
    refused: int = 0
    snapshots: int = 0
    refolds: int = 0


def run_learner(
    log: Log,
    checkpoints_directory: Path,
    *,
    stop: threading.Event,
    publish_seconds: float = 0.05,
    counts: LearnCounts | None = None,
    around: Callable[[Sequence[Record]], AbstractContextManager[object]] = nullcontext,
    ready: Callable[[], None] = nobody,
) -> None:
    """Folds interactions into policies and publishes them until `stop` is set.

    1. Reads the catalogue to its end, then takes in a batch of interactions.
    2. Publishes the policies that changed, at most every `publish_seconds`.
    3. Saves a checkpoint (state and offsets in one), and only then commits the offsets.

    Large policies are published and saved more seldom, so that neither takes more than a
    twentieth of the time. A crash anywhere in between repeats work and changes nothing: the
    checkpoint resumes the fold, and duplicates are told by their sequence.

    Args:
        log: holds the topics of `create_topics`.
        checkpoints_directory: where the state is kept; the log is folded anew without it.
        stop: ends the run after the batch at hand.
        publish_seconds: the least time between two publications.
        counts: where to count, for who looks on meanwhile.
        around: entered for the time that a batch takes.
        ready: called once its partitions are taken up.

    Raises:
        LockError: another learner works on these checkpoints.
        CheckpointError: a checkpoint is damaged, or belongs to another log.
        LogUnavailable: the log was out of reach until `stop` was set.
    """
    learner = Learner(
        log,
        checkpoints_directory,
        stop=stop,
        publishing=AdaptiveInterval(publish_seconds, cost_clock=time.thread_time),
        saving=AdaptiveInterval(CHECKPOINT_SECONDS, longest_seconds=CHECKPOINT_AGE_SECONDS),
        counts=counts,
    )
    with learner.partitions.consumer([INTERACTIONS], group=GROUP, assignee=learner) as consumer:
        ready()
        while not stop.is_set():
            records = consumer.poll(learner.wait_seconds(), limit=BATCH)
            with around(records):
                learner.step(records)
            commit(consumer, learner.partitions.save_due())


class _Learned:
    """One partition: its policies, how far they are, and what of them is not yet published."""

    def __init__(
        self,
        partition: TopicPartition,
        fold: PartitionFold,
        position: int,
        dead_letters: WrittenDeadLetters,
    ) -> None:
        self.partition = partition
        self.fold = fold
        self.position = position
        self.dead_letters = dead_letters
        self.written = (dead_letters.written,)
        self.changed = False
        # All of them, since the crash may have come between saving and publishing.
        self.unpublished = set(fold.placements)
        self.refolds: dict[str, Refold] = {}

    def offsets(self) -> dict[TopicPartition, int]:
        return {self.partition: self.position}

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.fold.to_bytes(), self.offsets())


class Learner:
    """The partitions held, their folds, and what of them is not yet published or saved."""

    def __init__(
        self,
        log: Log,
        checkpoints_directory: Path,
        *,
        stop: threading.Event,
        publishing: AdaptiveInterval,
        saving: AdaptiveInterval,
        counts: LearnCounts | None = None,
    ) -> None:
        self._log = log = RetryingLog(log, stop=stop)
        self._reader = CatalogueReader(log)
        self.partitions = PartitionWorker(
            log,
            checkpoints_directory,
            self._take_up,
            name=lambda partition: f"learn-{partition.partition}",
            saving=saving,
            outputs=(DEAD_LETTER,),
            stop=stop,
        )
        self._publishing = publishing
        self.counts = counts or LearnCounts()

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Takes the partitions up from their checkpoints."""
        starts = self.partitions.assigned(partitions)
        self._reader.catch_up()
        self._start_refolds()
        return starts

    def revoked(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Publishes and saves what the partitions led to, and lets go of them."""
        self._publish()
        return self.partitions.revoked(partitions)

    def step(self, records: Sequence[Record]) -> None:
        """Takes in a batch, gets on with what is folded anew, and publishes when that is due."""
        if self._reader.catch_up():
            self._start_refolds()
        # The joiner dead-letters these.
        self._reader.unreadable.clear()
        dead = [(message, record[:3]) for record in records for message in self._take(record)]
        self._advance_refolds()
        letters = [message for message, _ in dead]
        append_or_lay_aside(self._log, letters, lambda position: dead[position][1])
        if self._anything_changed() and not self._publishing.wait_seconds():
            self._publishing.run(self._publish)

    def wait_seconds(self) -> float:
        """Returns how long the next batch may be waited for."""
        if any(held.refolds for held in self.partitions):
            return 0.0
        if self._anything_changed():
            return min(self._publishing.wait_seconds(), POLL_SECONDS)
        return POLL_SECONDS

    def _take_up(self, partition: TopicPartition, checkpoint: Checkpoint | None) -> _Learned:
        if checkpoint is None:
            fold, offsets = PartitionFold(), {}
        else:
            fold, offsets = PartitionFold.from_bytes(checkpoint.state), checkpoint.offsets
        position = offsets.get(partition)
        if position is None:
            position = self._log.start_offset(partition)
        return _Learned(partition, fold, position, WrittenDeadLetters([partition], offsets))

    def _take(self, record: Record) -> list[Message]:
        """Learns from the record; returns its dead letter if that cannot be and is not written."""
        held = self.partitions[record[:2]]
        held.position, held.changed = record.offset + 1, True
        try:
            changed = held.fold.take(record, self._reader.catalogue)
        except (EventError, BanditError) as error:
            self.counts.refused += 1
            logger.warning("%s/%d@%d not learned: %s", *record[:3], error)
            return held.dead_letters.message(record, error.code, str(error))
        self.counts.interactions += 1
        if changed is not None:
            held.unpublished.add(changed)
        return []

    def _anything_changed(self) -> bool:
        return any(held.unpublished for held in self.partitions)

    def _publish(self) -> None:
        changed = [
            (held.partition.partition, name, held.fold.placements[name])
            for held in self.partitions
            for name in sorted(held.unpublished)
        ]
        snapshots = [
            fold.snapshot(name, number, counted=self._reader.catalogue.capped(name))
            for number, name, fold in changed
        ]
        try:
            published = self._log.append(
                [Message(POLICIES, s.placement.encode(), encode(s)) for s in snapshots]
            )
        except MessagesRefused as error:
            # The API serves what was published before.
            published = list(error.written.values())
            for position, why in error.refused.items():
                name = snapshots[position].placement
                logger.error("the policy of placement %r is not published: %s", name, why)
        self.counts.snapshots += len(published)
        for held in self.partitions:
            held.unpublished.clear()
        tried = zip(changed, snapshots, strict=True)
        self._act_on({name: (fold, s.trials) for (_, name, fold), s in tried if s.trials})

    def _act_on(self, trials: Mapping[str, tuple[PlacementFold, dict[str, TrialResult]]]) -> None:
        """Makes the changes that placements want made by themselves, and logs why."""
        if not trials:
            return
        writer = CatalogueWriter(self._log, reader=self._reader)
        for name, (fold, results) in trials.items():
            judged = partial(self._verdict, name, fold, results)
            try:
                writer.commit([f"placement/{name}"], judged, None)
            except ChangeRefused as error:  # the next snapshot tries again
                logger.warning("placement %r: %s", name, error)
        self._start_refolds()

    def _verdict(
        self, name: str, fold: PlacementFold, results: dict[str, TrialResult]
    ) -> list[Placement]:
        """Returns what the placement wants made of itself, if it is still as it was folded."""
        placement = self._reader.catalogue.placement(name)
        if placement is None or fold.plan != current_plan(name, self._reader.catalogue):
            return []
        changed = verdict(placement, results)
        if changed is None:
            return []
        logger.warning("placement %r: %s", name, changed.why)
        return [changed]

    def _start_refolds(self) -> None:
        """Starts anew every placement whose policy is not the one that it is folded with."""
        for held in self.partitions:
            for name, fold in held.fold.placements.items():
                wanted = current_plan(name, self._reader.catalogue)
                under_way = held.refolds.get(name)
                if wanted == (under_way.fold if under_way else fold).plan:
                    continue
                held.refolds.pop(name, None)
                if wanted != fold.plan:
                    self._start_refold(held, name, *wanted)

    def _start_refold(self, held: _Learned, name: str, spec: PolicySpec, plan: Plan | None) -> None:
        start = self._log.start_offset(held.partition)
        try:
            held.refolds[name] = Refold(name, spec, start, plan)
        except PolicyError as error:
            logger.error("placement %r keeps its policy, the new one cannot be: %s", name, error)
        else:
            logger.info("placement %r is folded anew with policy %s", name, spec)

    def _advance_refolds(self) -> None:
        """Gives every refold one more batch; one that has caught up replaces the old policy."""
        for held in self.partitions:
            for name, refold in list(held.refolds.items()):
                limit = min(BATCH, held.position - refold.position)
                start = refold.position
                records = self._log.read(held.partition, start, limit=limit) if limit else []
                refold.take(records)
                # Offsets may have gaps, so an empty read also means that it has caught up.
                if not records or refold.position >= held.position:
                    held.fold.placements[name] = held.refolds.pop(name).fold
                    held.unpublished.add(name)
                    held.changed = True
                    self.counts.refolds += 1
                    logger.info("placement %r is folded anew, %d refused", name, refold.refused)

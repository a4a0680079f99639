"""The process that learns: interactions in, policy snapshots and checkpoints out.

All learning is in `bandit.learner`, a fold without IO; here are the partitions it holds, when it
publishes and saves, and what becomes of records that cannot be learned from.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Final

from bandit.errors import BanditError, PolicyError
from bandit.learner import PartitionFold, PlacementFold, Refold, current_plan
from bandit.service.learn_counts import LearnCounts
from bandit.service.pace import Pace
from bandit.trials import Plan, verdict
from streams.catalogue import CatalogueReader
from streams.catalogue_writer import CatalogueWriter
from streams.checkpoint import TAKEOVER_SECONDS, Checkpoints, exclusive
from streams.dead_letter import dead_letter_message, origin
from streams.errors import ChangeRefused, CheckpointError, EventError, LogUnavailable
from streams.events import DEAD_LETTER, INTERACTIONS, POLICIES, Placement, PolicySpec, encode
from streams.log import Consumer, Log, Message, Record, TopicPartition
from streams.patience import PatientLog
from streams.topics import LEARNER_GROUP
from streams.trials import TrialResult

logger = logging.getLogger(__name__)

GROUP: Final = LEARNER_GROUP
DEAD_LETTERS: Final = TopicPartition(DEAD_LETTER, 0)
POLL_SECONDS: Final = 0.2
"""How long a poll waits for a first record, and so how soon `stop` is seen."""
BATCH: Final = 2000
CHECKPOINT_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 0.5


def run_learner(
    log: Log,
    checkpoints_directory: Path,
    *,
    stop: threading.Event,
    publish_seconds: float = 0.05,
    clock: Callable[[], float] = time.monotonic,
    cpu_clock: Callable[[], float] = time.thread_time,
    counts: LearnCounts | None = None,
    around: Callable[[Sequence[Record]], AbstractContextManager[object]] = nullcontext,
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
        clock: says when steps are due, in seconds; nothing that is learned depends on it.
        cpu_clock: says what publishing costs, in seconds of processor time.
        counts: where to count, for who looks on meanwhile.
        around: entered for the time that a batch takes.

    Raises:
        LockError: another learner works on these checkpoints.
        CheckpointError: a checkpoint is damaged, or belongs to another log.
        LogUnavailable: the log was out of reach until `stop` was set.
    """
    learner = Learner(
        log,
        checkpoints_directory,
        stop=stop,
        publishing=Pace(publish_seconds, clock, cpu_clock),
        saving=Pace(CHECKPOINT_SECONDS, clock, clock),
        counts=counts,
    )
    consumer = log.consumer([INTERACTIONS], learner, group=GROUP)
    try:
        while not stop.is_set():
            records = consumer.poll(learner.wait_seconds(), limit=BATCH)
            with around(records):
                learner.step(records)
            if offsets := learner.save_when_due():
                _commit(consumer, offsets)
    except BaseException:
        # A batch that broke off halfway must not be saved: the next start folds it again.
        learner.abandon()
        raise
    finally:
        consumer.close()


class _Held:
    """One partition that this learner holds, by a lock that it lets go of at the end.

    `laid_aside` are the offsets of records that went to the dead letters before a crash, and
    are read again only because no checkpoint had been saved since.
    """

    def __init__(
        self, fold: PartitionFold, position: int, laid_aside: set[int], lock: ExitStack
    ) -> None:
        self.fold = fold
        self.position = position
        self.saved = True
        self.laid_aside = laid_aside
        self.lock = lock
        # All of them, since the crash may have come between saving and publishing.
        self.changed = set(fold.placements)
        self.refolds: dict[str, Refold] = {}


class Learner:
    """The partitions held, their folds, and what of them is not yet published or saved."""

    def __init__(
        self,
        log: Log,
        checkpoints_directory: Path,
        *,
        stop: threading.Event,
        publishing: Pace,
        saving: Pace,
        counts: LearnCounts | None = None,
    ) -> None:
        self._log = log = PatientLog(log, stop=stop, retry_seconds=RETRY_SECONDS)
        self._directory = checkpoints_directory
        self._checkpoints = Checkpoints(checkpoints_directory)
        self._reader = CatalogueReader(log)
        self._held: dict[TopicPartition, _Held] = {}
        self._publishing = publishing
        self._saving = saving
        self.counts = counts or LearnCounts()

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Takes the partitions up from their checkpoints."""
        for partition in partitions:
            self._held[partition] = self._resumed(partition)
        self._reader.catch_up()
        self._start_refolds()
        return {partition: self._held[partition].position for partition in partitions}

    def revoked(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Publishes and saves what the partitions led to, and lets go of them."""
        self._publish()
        offsets: dict[TopicPartition, int] = {}
        for partition in partitions:
            if partition in self._held:
                offsets[partition] = self._save(partition)
                self._held.pop(partition).lock.close()
        return offsets

    def abandon(self) -> None:
        """Lets go of all partitions as if killed: without saving them."""
        for held in self._held.values():
            held.lock.close()
        self._held.clear()

    def step(self, records: Sequence[Record]) -> None:
        """Takes in a batch, gets on with what is folded anew, and publishes when that is due."""
        if self._reader.catch_up():
            self._start_refolds()
        # The joiner lays these aside.
        self._reader.unreadable.clear()
        dead = [letter for record in records if (letter := self._take(record)) is not None]
        self._advance_refolds()
        self._log.append(dead)
        if self._anything_changed() and not self._publishing.wait_seconds():
            self._publishing.run(self._publish)

    def wait_seconds(self) -> float:
        """Returns how long the next batch may be waited for."""
        if any(held.refolds for held in self._held.values()):
            return 0.0
        if self._anything_changed():
            return min(self._publishing.wait_seconds(), POLL_SECONDS)
        return POLL_SECONDS

    def save_when_due(self) -> dict[TopicPartition, int]:
        """Saves what moved since the last checkpoint; returns the offsets that are now safe."""
        moved = [partition for partition, held in self._held.items() if not held.saved]
        if not moved or self._saving.wait_seconds():
            return {}
        offsets: dict[TopicPartition, int] = {}
        self._saving.run(lambda: offsets.update({p: self._save(p) for p in moved}))
        return offsets

    def _resumed(self, partition: TopicPartition) -> _Held:
        with ExitStack() as lock:
            lock.enter_context(
                exclusive(self._directory, _name(partition), patience_seconds=TAKEOVER_SECONDS)
            )
            checkpoint = self._checkpoints.load(_name(partition))
            if checkpoint is None:
                fold, offsets = PartitionFold(), {}
            else:
                fold, offsets = PartitionFold.from_bytes(checkpoint.state), checkpoint.offsets
            position = offsets.get(partition, self._log.start_offset(partition))
            if position > self._log.end_offset(partition):
                raise CheckpointError(
                    f"checkpoint {_name(partition)} is at offset {position} of {INTERACTIONS}, "
                    f"beyond its end: it belongs to another log; delete it to fold this one"
                )
            laid_aside = self._laid_aside(partition, offsets.get(DEAD_LETTERS))
            return _Held(fold, position, laid_aside, lock.pop_all())

    def _laid_aside(self, partition: TopicPartition, since: int | None) -> set[int]:
        """Returns the offsets of the partition's records among the dead letters since then."""
        offset = self._log.start_offset(DEAD_LETTERS) if since is None else since
        found: set[int] = set()
        while letters := self._log.read(DEAD_LETTERS, offset):
            places = (place for letter in letters if (place := origin(letter)))
            found.update(place[2] for place in places if place[:2] == partition)
            offset = letters[-1].offset + 1
        return found

    def _take(self, record: Record) -> Message | None:
        """Learns from the record; returns its dead letter if that cannot be and is not written."""
        held = self._held[TopicPartition(record.topic, record.partition)]
        held.position = record.offset + 1
        held.saved = False
        try:
            changed = held.fold.take(record, self._reader.catalogue)
        except (EventError, BanditError) as error:
            self.counts.refused += 1
            logger.warning("%s/%d@%d not learned: %s", *record[:3], error)
            if record.offset in held.laid_aside:
                return None
            return dead_letter_message(record, error.code, str(error))
        self.counts.interactions += 1
        if changed is not None:
            held.changed.add(changed)
        return None

    def _anything_changed(self) -> bool:
        return any(held.changed for held in self._held.values())

    def _publish(self) -> None:
        changed = [
            (partition, name, held.fold.placements[name])
            for partition, held in self._held.items()
            for name in sorted(held.changed)
        ]
        snapshots = [
            fold.snapshot(name, partition.partition, counted=self._reader.catalogue.capped(name))
            for partition, name, fold in changed
        ]
        self._log.append([Message(POLICIES, s.placement.encode(), encode(s)) for s in snapshots])
        self.counts.snapshots += len(snapshots)
        for held in self._held.values():
            held.changed.clear()
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

    def _save(self, partition: TopicPartition) -> int:
        held = self._held[partition]
        offsets = {partition: held.position, DEAD_LETTERS: self._log.end_offset(DEAD_LETTERS)}
        self._checkpoints.save(_name(partition), held.fold.to_bytes(), offsets)
        held.saved = True
        return held.position

    def _start_refolds(self) -> None:
        """Starts anew every placement whose policy is not the one that it is folded with."""
        for partition, held in self._held.items():
            for name, fold in held.fold.placements.items():
                wanted = current_plan(name, self._reader.catalogue)
                under_way = held.refolds.get(name)
                if wanted == (under_way.fold if under_way else fold).plan:
                    continue
                held.refolds.pop(name, None)
                if wanted != fold.plan:
                    self._start_refold(held, partition, name, *wanted)

    def _start_refold(
        self,
        held: _Held,
        partition: TopicPartition,
        name: str,
        spec: PolicySpec,
        plan: Plan | None,
    ) -> None:
        try:
            held.refolds[name] = Refold(name, spec, self._log.start_offset(partition), plan)
        except PolicyError as error:
            logger.error("placement %r keeps its policy, the new one cannot be: %s", name, error)
        else:
            logger.info("placement %r is folded anew with policy %s", name, spec)

    def _advance_refolds(self) -> None:
        """Gives every refold one more batch; one that has caught up replaces the old policy."""
        for partition, held in self._held.items():
            for name, refold in list(held.refolds.items()):
                limit = min(BATCH, held.position - refold.position)
                records = self._log.read(partition, refold.position, limit=limit) if limit else []
                refold.take(records)
                # Offsets may have gaps, so an empty read also means that it has caught up.
                if not records or refold.position >= held.position:
                    held.fold.placements[name] = held.refolds.pop(name).fold
                    held.changed.add(name)
                    held.saved = False
                    self.counts.refolds += 1
                    logger.info("placement %r is folded anew, %d refused", name, refold.refused)


def _commit(consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
    try:
        consumer.commit(offsets)
    except LogUnavailable as error:
        # The checkpoint is what counts; the next commit tells the group of this one as well.
        logger.warning("offsets not committed: %s", error)


def _name(partition: TopicPartition) -> str:
    return f"learn-{partition.partition}"

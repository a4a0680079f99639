"""Partition workers: who holds which partitions, and when state and offsets are saved together."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from streams.checkpoint import TAKEOVER_SECONDS, Checkpoint, Checkpoints, exclusive
from streams.errors import CheckpointError, LogUnavailable
from streams.fold import AdaptiveInterval, partitions
from streams.logs.base import Consumer, Log, RebalanceListener, TopicPartition
from streams.read_back import Written, read_back

REPORT_SECONDS: Final = 60.0
CHECKPOINT_AGE_SECONDS: Final = 8.0
"""A partition that changes is saved about this often at least, however many are held."""

logger = logging.getLogger(__name__)


class PartitionState(Protocol):
    """What a worker holds of a partition: the state of a fold, and how far it has read."""

    changed: bool
    """Whether anything was taken in that no checkpoint has."""

    @property
    def written(self) -> Sequence[Written]:
        """Returns what was written since the checkpoint, by output.

        It is read back before any record is taken in.
        """

    def offsets(self) -> dict[TopicPartition, int]:
        """Returns where to read on; a partition that is left out starts at its oldest record."""

    def checkpoint(self) -> Checkpoint:
        """Returns what to save: the state, those offsets, and any others that the fold needs.

        The worker adds where each output must be looked through from.
        """


class _StoppedEarly(Exception):  # no error: the process was asked to stop
    """Ends the block of `PartitionWorker.consumer` while partitions are taken up."""


State = TypeVar("State", bound=PartitionState)


class PartitionWorker(Generic[State]):
    """The partitions that one process folds, as they are assigned and revoked.

    1. An assigned partition is locked, and taken up from its checkpoint. What was written since
       is read back, once for all of them, while nothing of them is read.
    2. The process reads records, folds them, and writes what follows from them.
    3. From time to time one partition is saved, state and offsets in one: the one whose
       checkpoint is oldest, so that nobody waits for all.
    4. Only then are its offsets committed. They show how far the group is, and no more.
    5. A revoked partition is saved and let go of. After an error nothing is saved, since a batch
       that broke off halfway is to be read again.

    So all that follows from what was saved has been written, and a crash repeats work at most.

    Args:
        log: what is read.
        directory: of checkpoints and locks.
        take_up: returns a partition's state, from its checkpoint if it has one.
        name: returns a partition's name as a checkpoint; partitions of one name are folded as
            one.
        saving: spaces the checkpoints.
        outputs: the topics that are written to and read back.
        output_log: the log that has them, if it is another.
        stop: ends a take-up that is under way, and with it the block of `consumer`.
        counts: what to report to the process's log from time to time.
    """

    def __init__(
        self,
        log: Log,
        directory: Path,
        take_up: Callable[[TopicPartition, Checkpoint | None], State],
        *,
        name: Callable[[TopicPartition], str],
        saving: AdaptiveInterval,
        outputs: Sequence[str],
        output_log: Log | None = None,
        stop: threading.Event | None = None,
        counts: object = None,
    ) -> None:
        self._log = log
        self._output_log = output_log or log
        self._outputs = outputs
        self._directory = directory
        self._checkpoints = Checkpoints(directory)
        self._take_up = take_up
        self._name = name
        self._saving = saving
        self._stop = stop or threading.Event()
        self._consumer: Consumer | None = None
        self._locks: dict[str, ExitStack] = {}
        self._states: dict[str, State] = {}
        self._by_partition: dict[tuple[object, ...], State] = {}
        self._arriving: set[str] = set()
        self._loaded: dict[str, dict[TopicPartition, int]] = {}
        self._behind: dict[str, dict[TopicPartition, int]] = {}
        self._counts = counts
        self._reported = copy(counts)
        self._report_at = time.monotonic() + REPORT_SECONDS

    def __getitem__(self, partition: tuple[object, ...]) -> State:
        """Returns the state of a partition that is held; `record[:2]` is one."""
        return self._by_partition[partition]

    def __iter__(self) -> Iterator[State]:
        """Yields the states that are held."""
        return iter(list(self._states.values()))

    @contextmanager
    def consumer(
        self, topics: Iterable[str], *, group: str, assignee: RebalanceListener | None = None
    ) -> Iterator[Consumer]:
        """Yields a consumer for the block; after an error all partitions are abandoned.

        An `assignee` is told of partitions in place of the worker, which it then tells.
        """
        consumer = self._log.consumer(list(topics), assignee or self, group=group)
        self._consumer = consumer
        try:
            yield consumer
        except _StoppedEarly:
            self.abandon()
        except BaseException:
            # What is half folded must not be saved: the next start folds it again.
            self.abandon()
            raise
        finally:
            with suppress(_StoppedEarly):
                consumer.close()
            self._consumer = None
            self._report()

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Takes up each partition where its checkpoint says.

        A partition that is revoked meanwhile is let go of as it was.

        Raises:
            LockError: another process folds one of them with the same directory.
            CheckpointError: a checkpoint is of another log.
        """
        named: dict[str, list[TopicPartition]] = {}
        for partition in partitions:
            named.setdefault(self._name(partition), []).append(partition)
        new = [name for name in named if name not in self._states]
        self._arriving = set(new)
        deadline = time.monotonic() + TAKEOVER_SECONDS
        for name in new:
            if self._stay() and name in self._arriving:
                self._load(name, named[name][0], deadline - time.monotonic())
        self._read_back({name: named[name] for name in new if name in self._states})
        if self._stop.is_set():
            raise _StoppedEarly
        self._arriving = set()
        starts: dict[TopicPartition, int] = {}
        for name, own in named.items():
            if (state := self._states.get(name)) is not None:
                self._by_partition |= dict.fromkeys(own, state)
                starts |= state.offsets()
        states = self._states
        self._save_all([name for name in new if name in states and states[name].changed])
        return {partition: starts[partition] for partition in partitions if partition in starts}

    def revoked(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Saves these partitions and lets go of them; returns the offsets that are now safe."""
        names = [name for name in dict.fromkeys(map(self._name, partitions)) if name in self._locks]
        with ExitStack() as released:
            for name in names:
                released.enter_context(self._locks.pop(name))
            # What is being taken up is as its checkpoint has it.
            offsets = self._save_all([name for name in names if name not in self._arriving])
            self._arriving.difference_update(names)
            for name in names:
                self._states.pop(name, None)
                self._behind.pop(name, None)
        held = self._by_partition.items()
        self._by_partition = {place: one for place, one in held if one in self._states.values()}
        return {partition: offsets[partition] for partition in partitions if partition in offsets}

    def save_due(self) -> dict[TopicPartition, int]:
        """Saves the partition whose turn it is, if that is due; returns its offsets."""
        if time.monotonic() >= self._report_at:
            self._report()
        changed = [name for name, state in self._states.items() if state.changed]
        offsets: dict[TopicPartition, int] = {}
        if changed and not self._saving.wait_seconds():
            name, turns = changed[0], len(self._states)
            # To the end of the line.
            self._states[name] = self._states.pop(name)
            self._saving.run(lambda: offsets.update(self._save_all([name])), turns=turns)
        return offsets

    def abandon(self) -> None:
        """Lets go of all partitions as if killed: without saving them."""
        for lock in self._locks.values():
            lock.close()
        for held in (self._locks, self._states, self._by_partition, self._behind, self._arriving):
            held.clear()

    def _stay(self) -> bool:
        """Keeps the membership while partitions are taken up; false if that is to end."""
        if self._consumer is not None:
            self._consumer.stay()
        return not self._stop.is_set()

    def _load(self, name: str, partition: TopicPartition, patience_seconds: float) -> None:
        patience_seconds = max(patience_seconds, 0.0)
        with ExitStack() as lock:
            lock.enter_context(exclusive(self._directory, name, patience_seconds=patience_seconds))
            self._states[name] = self._taken_up(name, partition)
            self._locks[name] = lock.pop_all()

    def _read_back(self, named: Mapping[str, Sequence[TopicPartition]]) -> None:
        """Has the new states know what was written since their checkpoints."""
        read = {name: dict.fromkeys(own, 0) | self._inputs(name) for name, own in named.items()}
        ends = self._log.end_offsets(list({place for own in read.values() for place in own}))
        outputs = self._output_ends() if read else {}
        written: list[Written] = []
        for name, own in read.items():
            self._check_ends(name, ends)
            self._behind[name] = {place: ends[place] for place in named[name]}
            if all(offset == ends[place] for place, offset in own.items()):
                # Nothing was read since the checkpoint, and so nothing written.
                for each in self._states[name].written:
                    each.skip_to(outputs)
            else:
                written += self._states[name].written
        read_back(self._output_log, written, outputs, self._stay)

    def _inputs(self, name: str) -> dict[TopicPartition, int]:
        """Returns how far a partition's fold has read whatever it reads."""
        state = self._states[name]
        read = self._loaded.pop(name) | state.offsets()
        return {place: offset for place, offset in read.items() if place.topic not in self._outputs}

    def _check_ends(self, name: str, ends: Mapping[TopicPartition, int]) -> None:
        for place, offset in self._states[name].offsets().items():
            if offset > (end := ends[place]):
                raise CheckpointError(
                    f"checkpoint {self._checkpoints.path(name)} is at offset {offset}, beyond "
                    f"the end {end} of {place.topic}/{place.partition}: it belongs to another "
                    "log, or the topic was made anew; bring back the log that it belongs to, "
                    "or delete it, and on Kafka the group's offsets"
                )

    def _output_ends(self) -> dict[TopicPartition, int]:
        log = self._output_log
        return log.end_offsets([each for topic in self._outputs for each in partitions(log, topic)])

    def _taken_up(self, name: str, partition: TopicPartition) -> State:
        checkpoint = self._checkpoints.load(name)
        try:
            self._loaded[name] = checkpoint.offsets if checkpoint else {}
            return self._take_up(partition, checkpoint)
        except CheckpointError as error:
            if checkpoint is None:
                raise
            self._checkpoints.put_aside(name, error)
            self._loaded[name] = {}
            return self._take_up(partition, None)

    def _report(self) -> None:
        if self._counts != self._reported:
            logger.info("%s", self._counts)
        self._reported = copy(self._counts)
        self._report_at = time.monotonic() + REPORT_SECONDS

    def _save_all(self, names: Sequence[str]) -> dict[TopicPartition, int]:
        """Saves these partitions; returns the offsets that are now safe."""
        if not names:
            return {}
        saved: dict[TopicPartition, int] = {}
        ends = self._output_ends()
        for name in names:
            saved |= self._save(name, self._states[name], ends)
        return saved

    def _save(
        self, name: str, state: State, ends: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        offsets = state.offsets()
        behind = self._behind.get(name)
        if behind is not None and all(offsets.get(place, 0) >= behind[place] for place in behind):
            # What is left was written by no fold of these records.
            del self._behind[name]
            for each in state.written:
                each.forget()
        content, read = state.checkpoint()
        for each in state.written:
            read |= each.offsets(ends)
        try:
            self._checkpoints.save(name, content, read)
        except OSError as error:
            # The checkpoint before is whole; a start from there repeats work and no more.
            path = self._checkpoints.path(name)
            logger.error("%s cannot be written, make room for it: %s", path, error)
            return {}
        state.changed = False
        return offsets


def commit(consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
    """Makes known how far the group is, if the log is there; the checkpoints are what counts."""
    if not offsets:
        return
    try:
        consumer.commit(offsets)
    except LogUnavailable as error:
        logger.warning("offsets not committed, the next commit has them too: %s", error)

"""Reading and folding a log: scans of partitions, threads that follow it, and partition workers.

`state = fold(records)`: each fold supplies what one record does to its state. How records are
read, who holds a partition, and when state and offsets are saved together, is written once, here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from itertools import chain
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from streams.checkpoint import TAKEOVER_SECONDS, Checkpoint, Checkpoints, exclusive
from streams.errors import CheckpointError, LogUnavailable
from streams.logs.base import Consumer, Log, RebalanceListener, Record, TopicPartition

BATCH: Final = 1000
RETRY_SECONDS: Final = 0.5
SHARE: Final = 0.05
LONGEST_SECONDS: Final = 30.0
"""No step is put off for longer: one that took a minute may have waited for a broker."""
REPORT_SECONDS: Final = 60.0

Progress = Callable[[str, int, int], None]
"""Told the topic being read, how many of its records are done, and how many there are."""

logger = logging.getLogger(__name__)


def partitions(log: Log, topic: str) -> list[TopicPartition]:
    """Returns the topic's partitions.

    Raises:
        TopicError: there is no such topic.
    """
    return [TopicPartition(topic, number) for number in range(log.partitions(topic))]


def ends(log: Log, topic: str) -> dict[TopicPartition, int]:
    """Returns where each of the topic's partitions ends."""
    return {partition: log.end_offset(partition) for partition in partitions(log, topic)}


def batches(
    log: Log,
    partition: TopicPartition,
    start: int | None = None,
    *,
    end: int | None = None,
    limit: int = BATCH,
) -> Iterator[list[Record]]:
    """Yields the partition's records in batches of up to `limit`, none of them empty.

    Args:
        log: holds the partition.
        partition: what is read.
        start: the offset of the first record; the oldest that is kept if None.
        end: the offset before which to stop; where the log ends by then if None.
        limit: how many records are read at once.
    """
    offset = log.start_offset(partition) if start is None else start
    while (end is None or offset < end) and (records := log.read(partition, offset, limit=limit)):
        offset = records[-1].offset + 1
        if end is not None and offset > end:
            records = [record for record in records if record.offset < end]
        if records:
            yield records


def scan(
    log: Log,
    partition: TopicPartition,
    start: int | None = None,
    *,
    end: int | None = None,
    limit: int = BATCH,
) -> Iterator[Record]:
    """Yields the partition's records, as `batches` reads them."""
    return chain.from_iterable(batches(log, partition, start, end=end, limit=limit))


def scan_topic(
    log: Log, topic: str, offsets: dict[TopicPartition, int] | None = None
) -> Iterator[Record]:
    """Yields the topic's records, partition by partition, to where each ends by then.

    Each partition starts at its offset in `offsets`, or at the oldest record. An offset moves on
    before its record is yielded, so what the caller saves has that record in it.
    """
    offsets = {} if offsets is None else offsets
    for partition in partitions(log, topic):
        for record in scan(log, partition, offsets.get(partition)):
            offsets[partition] = record.offset + 1
            yield record


def history(log: Log, topic: str, progress: Progress | None = None) -> Iterator[list[Record]]:
    """Yields batches of the topic's records, by partition, to where it ends when this is called.

    After each batch `progress` is told how far the reading is.
    """
    until = ends(log, topic)
    starts = {partition: log.start_offset(partition) for partition in until}
    done, total = 0, sum(until.values()) - sum(starts.values())
    for partition, start in starts.items():
        for records in batches(log, partition, start, end=until[partition], limit=BATCH):
            yield records
            done += len(records)
            if progress is not None:
                progress(topic, done, total)


def follow(
    name: str,
    look: Callable[[], object],
    *,
    stop: threading.Event,
    every_seconds: float = 0.0,
    reset: Callable[[], object] = lambda: None,
) -> None:
    """Looks again and again for what is new in a log, also after the log was away.

    Args:
        name: of what is followed, for messages.
        look: takes in what is new; may wait for it. True if there is more to look at right away.
        stop: ends this after the look at hand.
        every_seconds: the pause between two looks.
        reset: called when the log went away, and at the end: lets go of what `look` opened.
    """
    away, more = False, False
    try:
        while not stop.is_set():
            try:
                more = look() is True
                away = False
            except LogUnavailable as error:
                if not away:
                    logger.warning("%s are not followed for now: %s", name, error)
                away, more = True, False
                with suppress(LogUnavailable):
                    reset()
            if not more:
                stop.wait(max(every_seconds, RETRY_SECONDS) if away else every_seconds)
    finally:
        with suppress(LogUnavailable):
            reset()


class Follower:
    """A thread that follows a log; see `follow` for its arguments."""

    def __init__(
        self,
        name: str,
        look: Callable[[], object],
        *,
        every_seconds: float = 0.0,
        reset: Callable[[], object] = lambda: None,
    ) -> None:
        self.ending = threading.Event()
        """Ends the thread after the look at hand; a long look asks for it."""
        options = {"stop": self.ending, "every_seconds": every_seconds, "reset": reset}
        self._thread = threading.Thread(
            target=follow, args=(name, look), kwargs=options, name=name, daemon=True
        )

    @property
    def following(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Starts the thread; it looks until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread, and waits for it."""
        self.ending.set()
        if self._thread.ident is not None:
            self._thread.join()


class Viewer:
    """Starts each partition at an offset, and saves nothing: for consumers that only look."""

    def __init__(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._offsets = offsets

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Returns where each partition starts."""
        return {partition: self._offsets[partition] for partition in partitions}

    def revoked(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Returns nothing, since nothing is to be committed."""
        return {}


class AdaptiveInterval:
    """Spaces a costly step, so that it leaves most of the time to the rest.

    From the beginning of one run to that of the next it takes at least the interval, at most
    `LONGEST_SECONDS`, and in between so long that the step takes at most `share` of the time.

    Args:
        interval_seconds: from one run to the next, at least.
        clock: the time in seconds, from any start.
        cost_clock: what a run costs, in seconds: the same clock, or one of processor time, by
            which waiting for others costs nothing.
        share: at most this share of the time goes into the step.
    """

    def __init__(
        self,
        interval_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        cost_clock: Callable[[], float] | None = None,
        *,
        share: float = SHARE,
    ) -> None:
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._cost_clock = cost_clock or clock
        self._share = share
        self._due_at = clock()

    def wait_seconds(self) -> float:
        """Returns how long until the step is due; 0 when it is."""
        return max(self._due_at - self._clock(), 0.0)

    def run(self, step: Callable[[], None], *, turns: int = 1) -> None:
        """Runs the step, one of so many that take turns, and puts off the next by what it cost."""
        started_at, cost = self._clock(), -self._cost_clock()
        step()
        cost += self._cost_clock()
        put_off_seconds = max(self._interval_seconds / turns, cost / self._share)
        self._due_at = started_at + min(put_off_seconds, LONGEST_SECONDS)


class PartitionState(Protocol):
    """What a worker holds of a partition: the state of a fold, and how far it has read."""

    changed: bool
    """Whether anything was taken in that no checkpoint has."""

    def offsets(self) -> dict[TopicPartition, int]:
        """Returns where to read on; a partition that is left out starts at its oldest record."""

    def checkpoint(self) -> Checkpoint:
        """Returns what to save: the state, those offsets, and any others that the fold needs."""


State = TypeVar("State", bound=PartitionState)


class PartitionWorker(Generic[State]):
    """The partitions that one process folds, as they are assigned and revoked.

    1. An assigned partition is locked, and taken up from its checkpoint.
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
        counts: object = None,
    ) -> None:
        self._log = log
        self._directory = directory
        self._checkpoints = Checkpoints(directory)
        self._take_up = take_up
        self._name = name
        self._saving = saving
        self._locks: dict[str, ExitStack] = {}
        self._states: dict[str, State] = {}
        self._by_partition: dict[tuple[object, ...], State] = {}
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
        try:
            yield consumer
        except BaseException:
            # What is half folded must not be saved: the next start folds it again.
            self.abandon()
            raise
        finally:
            consumer.close()
            self._report()

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Takes up each partition where its checkpoint says.

        Raises:
            LockError: another process folds one of them with the same directory.
            CheckpointError: a checkpoint is of another log.
        """
        starts: dict[TopicPartition, int] = {}
        for partition in partitions:
            name = self._name(partition)
            if name not in self._states:
                self._resume(name, partition)
            state = self._by_partition[partition] = self._states[name]
            starts |= state.offsets()
            if state.changed:
                self._save(name, state)
        return {partition: starts[partition] for partition in partitions if partition in starts}

    def revoked(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Saves these partitions and lets go of them; returns the offsets that are now safe."""
        offsets: dict[TopicPartition, int] = {}
        for name in dict.fromkeys(map(self._name, partitions)):
            if name in self._states:
                with self._locks.pop(name):
                    offsets |= self._save(name, self._states.pop(name))
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
            state = self._states[name] = self._states.pop(name)
            self._saving.run(lambda: offsets.update(self._save(name, state)), turns=turns)
        return offsets

    def abandon(self) -> None:
        """Lets go of all partitions as if killed: without saving them."""
        for lock in self._locks.values():
            lock.close()
        for held in (self._locks, self._states, self._by_partition):
            held.clear()

    def _resume(self, name: str, partition: TopicPartition) -> None:
        with ExitStack() as lock:
            lock.enter_context(exclusive(self._directory, name, patience_seconds=TAKEOVER_SECONDS))
            state = self._taken_up(name, partition)
            for place, offset in state.offsets().items():
                if offset > (end := self._log.end_offset(place)):
                    raise CheckpointError(
                        f"checkpoint {self._checkpoints.path(name)} is at offset {offset}, beyond "
                        f"the end {end} of {place.topic}/{place.partition}: it belongs to another "
                        "log, or the topic was made anew; bring back the log that it belongs to, "
                        "or delete it, and on Kafka the group's offsets"
                    )
            self._states[name], self._locks[name] = state, lock.pop_all()

    def _taken_up(self, name: str, partition: TopicPartition) -> State:
        checkpoint = self._checkpoints.load(name)
        try:
            return self._take_up(partition, checkpoint)
        except CheckpointError as error:
            if checkpoint is None:
                raise
            self._checkpoints.put_aside(name, error)
            return self._take_up(partition, None)

    def _report(self) -> None:
        if self._counts != self._reported:
            logger.info("%s", self._counts)
        self._reported = copy(self._counts)
        self._report_at = time.monotonic() + REPORT_SECONDS

    def _save(self, name: str, state: State) -> dict[TopicPartition, int]:
        offsets = state.offsets()
        try:
            self._checkpoints.save(name, *state.checkpoint())
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

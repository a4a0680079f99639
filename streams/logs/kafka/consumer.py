"""Consumers of the log on Kafka: shared among the members of a group, or by oneself.

In a group Kafka assigns partitions by range, so that the same numbers of co-partitioned topics
go to the same member; on every change all of them are saved, given up and assigned anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from kafka import OffsetAndMetadata
from kafka import errors as kafka
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener

from streams.errors import LogError, LogUnavailable
from streams.logs.base import RebalanceListener, Record, TopicPartition
from streams.logs.kafka.options import translated
from streams.logs.kafka.producer import Names, is_log_time, to_records

T = TypeVar("T")

logger = logging.getLogger(__name__)

STAY_SECONDS: Final = 1.0
STAY_MS: Final = 100
MOVED_ON: Final = (
    kafka.CommitFailedError,
    kafka.IllegalGenerationError,
    kafka.RebalanceInProgressError,
    kafka.UnknownMemberIdError,
)


class KafkaLogConsumer:
    """Reads the partitions that it holds; belongs to one thread at a time.

    The client's own thread keeps the membership alive while records are folded, but a member
    that does not poll for `max_poll_interval_ms` (five minutes) loses its partitions, and so
    does one whose assignee takes longer than `session_timeout_ms` (ten seconds) to save.

    The assignee loads within `poll`, which returns nothing of new partitions until then; one that
    takes long calls `stay`. It saves while `poll`, `stay` or `close` waits, though from the
    client's thread.
    """

    def __init__(
        self,
        client: Any,
        names: Names,
        topics: Sequence[str],
        assignee: RebalanceListener,
        *,
        group: str | None,
        partitions: Callable[[str], int],
    ) -> None:
        self._client = client
        self._what = f"Kafka at {','.join(client.config['bootstrap_servers'])}"
        self._timeout_ms: float = client.config["request_timeout_ms"]
        self._names = names
        self._topics = topics
        self._assignee = assignee
        self._group = group
        self._partitions = partitions
        self._held: list[TopicPartition] = []
        self._arrived: set[TopicPartition] = set()
        self._loading: set[TopicPartition] = set()
        self._stay_at = 0.0
        self._ids: dict[str, object] = {}
        self._warned: set[str] = set()
        self._look_at = 0.0
        self._failure: Exception | None = None
        self._closed = False
        if group is not None:
            # A leader that learns of a topic's partitions only while it joins hands out none of
            # them, and takes that for the latest word (kafka-python 3.0.12).
            with translated(self._what):
                known = [self._client.partitions_for_topic(names.prefix + t) for t in topics]
            if not all(known):
                raise LogUnavailable(f"{self._what} does not tell the partitions of {topics} yet")
            self._client.subscribe([names.prefix + topic for topic in topics], listener=_Told(self))

    def poll(self, timeout_seconds: float, *, limit: int = 5000) -> list[Record]:
        """Returns up to about `limit` next records; waits for the first at most the timeout.

        While no broker can be reached it returns nothing, and goes on once one can.

        Raises:
            LogError: what the assignee wants to start from is beyond the end of the log.
        """
        self._check_open()
        if self._group is None and time.monotonic() >= self._look_at:
            self._hold_all()
        self._check_topics()
        records = self._records(self._poll(max(int(timeout_seconds * 1000), 0), limit))
        while self._arrived:
            arrived, self._arrived = self._arrived, set()
            self._load(arrived)
        return records

    def stay(self) -> None:
        """Keeps the membership while the assignee loads; some partitions may be revoked by it."""
        if self._group is not None and self._loading and time.monotonic() >= self._stay_at:
            # All that is assigned is paused, so nothing is returned.
            self._poll(STAY_MS, 1)
            self._stay_at = time.monotonic() + STAY_SECONDS

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Returns nothing more from these until they are resumed, or assigned anew."""
        self._client.pause(*map(self._names.theirs, self._still_held(partitions)))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Takes these up again."""
        self._client.resume(*map(self._names.theirs, self._still_held(partitions)))

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Makes known how far the group is; nothing happens if the group has just moved on."""
        self._check_open()
        if self._group is None:
            raise LogError("this consumer has no group; give one to log.consumer() to commit")
        try:
            with translated(self._what):
                self._client.commit(self._to_commit(offsets), timeout_ms=self._timeout_ms)
        except LogError as error:
            if not isinstance(error.__cause__, MOVED_ON):
                raise
            # The next poll has these partitions revoked, which commits what is then saved.
            logger.info("nothing committed, since the group is rebalancing: %s", error)

    def close(self) -> None:
        """Has the assignee save what it holds (`revoked`), commits that, and leaves."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._group is None:
                self.give_up(map(self._names.theirs, self._held))
        finally:
            with translated(self._what):
                self._client.close(autocommit=False, timeout_ms=self._timeout_ms)
        if self._failure is not None:
            raise self._failure

    def arrive(self, places: Iterable[Any]) -> None:
        """Notes partitions that we now hold; nothing of them is read until they are loaded."""
        for place in places:
            # Anywhere, or the client would ask the group where.
            self._client.seek(place, 0)
            self._client.pause(place)
            self._arrived.add(self._names.ours(place))

    def give_up(self, places: Iterable[Any]) -> Mapping[TopicPartition, int]:
        """Has the assignee save what of these we still hold; returns the offsets to commit."""
        leaving = set(map(self._names.ours, places))
        self._arrived -= leaving
        gone = leaving & (set(self._held) | self._loading)
        self._loading -= gone
        self._held = [partition for partition in self._held if partition not in gone]
        return self._assignee.revoked(sorted(gone)) if gone else {}

    async def commit_revoked(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commits what was saved of partitions that are about to go."""
        try:
            await self._client.commit_async(self._to_commit(offsets))
        except kafka.KafkaError as error:
            # Whoever holds them next may read some again, which is no more than a crash does.
            logger.warning("what was read of %s is not committed: %s", list(offsets), error)

    def keep_failure(self, tell: Callable[[Iterable[Any]], T], places: Iterable[Any]) -> T | None:
        """Tells the assignee; an error of its own is kept for the one who polls or closes."""
        try:
            return tell(places)
        except Exception as error:  # noqa: BLE001  # poll() and close() raise it
            self._failure = error
            return None

    def _poll(self, timeout_ms: int, limit: int) -> Mapping[Any, Sequence[Any]]:
        batches: Mapping[Any, Sequence[Any]] = {}
        with translated(self._what):
            self._go_on_joining()
            self._go_on_reading()
            try:
                batches = self._client.poll(timeout_ms=timeout_ms, max_records=limit)
            except kafka.OffsetOutOfRangeError as error:
                for place, offset in error.args[0].items():
                    self._recover(place, offset)
            except kafka.KafkaError:
                # What the assignee raised comes wrapped; its own error is the one that tells.
                if self._failure is None:
                    raise
        if self._failure is not None:
            raise self._failure
        return batches

    def _load(self, partitions: Iterable[TopicPartition]) -> None:
        """Has the assignee load these partitions, and starts where it says those we still hold."""
        self._loading = set(partitions)
        try:
            starts = self._assignee.assigned(sorted(self._loading))
        except Exception as error:
            if self._group is not None:
                self._failure = self._failure or error
            raise
        finally:
            loaded, self._loading = sorted(self._loading), set()
        for partition in loaded:
            place = self._names.theirs(partition)
            if partition in starts:
                self._client.seek(place, starts[partition])
            else:
                self._client.seek_to_beginning(place)
            self._client.resume(place)
        self._held = sorted({*self._held, *loaded})

    def _to_commit(self, offsets: Mapping[TopicPartition, int]) -> dict[Any, Any]:
        return {
            self._names.theirs(partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
        }

    def _hold_all(self) -> None:
        try:
            places = [
                self._names.theirs(TopicPartition(topic, number))
                for topic in self._topics
                for number in range(self._partitions(topic))
            ]
        except LogUnavailable:
            if not self._held:
                raise
            # New partitions can wait; those that we hold go on as soon as a broker answers.
            places = []
        if new := [place for place in places if self._names.ours(place) not in self._held]:
            self._client.assign(places)
            self._load(map(self._names.ours, new))
        self._look_at = time.monotonic() + self._client.config["metadata_max_age_ms"] / 1000

    def _check_topics(self) -> None:
        """Asks for a topic that the client's metadata lack, or have made anew.

        Raises:
            LogLost: it was deleted.
        """
        cluster = self._client._client.cluster
        for topic in self._topics:
            name = self._names.prefix + topic
            told = cluster.topic_id(name) if cluster.partitions_for_topic(name) else None
            if told != self._ids.setdefault(topic, told):
                with suppress(LogUnavailable):
                    self._partitions(topic)
                    self._ids[topic] = told

    def _go_on_joining(self) -> None:
        """Has this poll wait for a join that the one before it began.

        The client forgets such a join if it was new partitions that led to it, and then holds
        nothing for good (kafka-python 3.0.12).
        """
        coordinator = self._client._coordinator
        if self._group is not None and coordinator.rejoining:
            coordinator.request_rejoin()

    def _go_on_reading(self) -> None:
        """Has this poll return what was at hand of a partition when that was paused.

        Once it is resumed, the client looks for that only if nothing is in line, and takes records
        that were all returned for something; then it never reads the partition again
        (kafka-python 3.0.12).
        """
        fetcher = self._client._fetcher
        if not fetcher._next_partition_records:
            fetcher._next_partition_records = None

    def _still_held(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        return [partition for partition in partitions if partition in self._held]

    def _recover(self, place: Any, offset: int) -> None:
        start = int(self._client.beginning_offsets([place], timeout_ms=self._timeout_ms)[place])
        if offset > start:
            raise LogError(
                f"offset {offset} of {place} is beyond the end of the log: records that were read "
                "are gone; if the topic was made anew, delete what was folded from the old one"
            )
        logger.error(
            "%d records of %s were removed by its retention before they were read; going on at %d",
            *(start - offset, place, start),
        )
        self._client.seek(place, start)

    def _records(self, batches: Mapping[Any, Sequence[Any]]) -> list[Record]:
        records: list[Record] = []
        for place, batch in batches.items():
            partition = self._names.ours(place)
            if partition not in self._held:
                continue
            from_broker = is_log_time(batch)
            if not from_broker and partition.topic not in self._warned:
                self._warned.add(partition.topic)
                logger.warning(
                    "topic %s has its producers' times; set its message.timestamp.type to "
                    "LogAppendTime, or late and early are told by clocks that disagree",
                    place.topic,
                )
            records += to_records(partition, batch, is_log_time=from_broker)
        return records

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("this consumer is closed; ask the log for another")


class _Told(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """Passes on what the group decides, within the client's thread, while `poll` waits.

    It never raises: the client would stop half-way, and lose the error.
    """

    def __init__(self, consumer: KafkaLogConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Has the next step of `poll` load these partitions."""
        self._consumer.arrive(assigned)

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Has the assignee save these partitions, and commits that while they are still ours."""
        offsets = self._consumer.keep_failure(self._consumer.give_up, revoked)
        if offsets:
            await self._consumer.commit_revoked(offsets)

    async def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        """Has the assignee save these partitions; others hold them, so nothing is committed."""
        logger.warning("lost %s, being too slow to poll; others go on with them", lost)
        self._consumer.keep_failure(self._consumer.give_up, lost)

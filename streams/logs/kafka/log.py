"""The log on a Kafka cluster: topics, and one client each for appending and for reading.

What is acknowledged is on all in-sync replicas. A record's time is its broker's, which is what
orders decisions and outcomes; the times of different brokers agree as well as their clocks do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer
from kafka import errors as kafka
from kafka.admin import ConfigResource, ConfigResourceType

from streams.errors import LogError, LogLost, LogUnavailable, TopicError
from streams.logs.base import Message, RebalanceListener, Record, TopicOffset, TopicPartition
from streams.logs.cloudevents import as_cloudevent
from streams.logs.embedded import check_count, check_partition, unknown_topic, wall_clock_ms
from streams.logs.kafka.assignment import assignor_for
from streams.logs.kafka.consumer import KafkaLogConsumer
from streams.logs.kafka.options import RETRY_SECONDS, open_client, patiently, translated
from streams.logs.kafka.producer import KafkaAppender, Names, is_log_time, partition_of, to_records
from streams.logs.log_clock import LogTime
from streams.logs.topic_settings import topic_settings

POLL_MS: Final = 200


class Reader:
    """One client for all threads, one at a time; it reads on without asking where it stands."""

    def __init__(self, bootstrap: str, names: Names, options: Mapping[str, object]) -> None:
        self._what = f"Kafka at {bootstrap}"
        self._names = names
        self._lock = threading.Lock()
        self._client: Any = open_client(
            KafkaConsumer,
            bootstrap,
            **options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        self._timeout_ms: float = self._client.config["request_timeout_ms"]
        self._at: tuple[Any, int] | None = None
        self._known_end: dict[Any, int] = {}

    def read(self, partition: TopicPartition, offset: int, *, limit: int) -> list[Record]:
        """Returns the next records at or after `offset`; empty at the end."""
        place = self._names.theirs(partition)
        with self._lock, translated(self._what):
            if offset >= self._known_end.get(place, -1):
                self._known_end[place] = self._end(place)
            if offset >= self._known_end[place]:
                return []
            if self._at != (place, offset):
                self._client.assign([place])
                self._client.seek(place, offset)
            self._at = None
            found = self._poll(place, limit)
            if found:
                self._at = (place, found[-1].offset + 1)
            return to_records(partition, found, is_log_time=is_log_time(found))

    def start(self, partition: TopicPartition) -> int:
        """Returns the offset of the oldest record that is kept."""
        place = self._names.theirs(partition)
        with self._lock, translated(self._what):
            return int(self._client.beginning_offsets([place], timeout_ms=self._timeout_ms)[place])

    def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Returns the offsets up to which records can be read, in one request to each broker."""
        places = {self._names.theirs(partition): partition for partition in partitions}
        deadline = time.monotonic() + self._timeout_ms / 1000
        with self._lock, translated(self._what):
            while True:
                try:
                    found = self._client.end_offsets(list(places), timeout_ms=self._timeout_ms)
                except KeyError as error:
                    # One whose leader it does not know yet (kafka-python 3.0.12).
                    if time.monotonic() > deadline:
                        raise LogUnavailable(f"{self._what} has no leader of {error}") from error
                    time.sleep(RETRY_SECONDS)
                else:
                    return {places[place]: int(end) for place, end in found.items()}

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            self._client.close()

    def _end(self, place: Any) -> int:
        return int(self._client.end_offsets([place], timeout_ms=self._timeout_ms)[place])

    def _poll(self, place: Any, limit: int) -> Sequence[Any]:
        deadline = time.monotonic() + self._timeout_ms / 1000
        while time.monotonic() < deadline:
            batches = self._client.poll(timeout_ms=POLL_MS, max_records=limit)
            if batches:
                found: Sequence[Any] = batches[place]
                return found
            position = self._client.position(place, timeout_ms=POLL_MS)
            if position is not None and position >= self._known_end[place]:
                return []
        raise LogUnavailable(f"{self._what} did not send {place} in {self._timeout_ms} ms")


T = TypeVar("T")

LOOK_BACK: Final = 1000
LOST_SECONDS: Final = 5.0
"""How long a topic that was there may not be before it counts as deleted."""
METADATA_AGE_MS: Final = 5000
"""How soon clients see that partitions were added; a window may be a minute."""
WAITS: Final[dict[str, object]] = {
    "metadata_max_age_ms": METADATA_AGE_MS,
    "session_timeout_ms": 10_000,
    # Members learn by their heartbeats that another one came or left, and wait for each other.
    "heartbeat_interval_ms": 1000,
    # A fetch sent while another's answer comes in may leave out the busiest partition
    # (kafka-python 3.0.12), which then has to wait until the broker gives up on the others.
    "fetch_max_wait_ms": 100,
}
CONSUMER: Final[dict[str, object]] = {
    "enable_auto_commit": False,
    # Offsets come from the assignee; one that is not there is told apart from a first start.
    "auto_offset_reset": "none",
}


class KafkaLog:
    """A log on the cluster that the bootstrap brokers belong to.

    Args:
        bootstrap: `host:port`, several with commas between.
        prefix: before the names of all topics and groups, for a cluster that is shared.
        replication_factor: of the topics that are made; -1 is the cluster's default.
        cloudevents: where our events come from, should they be CloudEvents as well.
        clock_ms: the time of those CloudEvents that have none of their own.
        client_options: what kafka-python's clients take: `security_protocol`, `ssl_cafile`,
            `sasl_mechanism`, `client_rack`, `linger_ms`, ...

    Raises:
        LogUnavailable: no broker answered.
        LogError: the cluster refused the login, or an option is wrong.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        prefix: str = "",
        replication_factor: int = -1,
        cloudevents: str | None = None,
        clock_ms: Callable[[], int] = wall_clock_ms,
        **client_options: object,
    ) -> None:
        self._bootstrap = bootstrap
        self._what = f"Kafka at {bootstrap}"
        self._names = Names(prefix)
        self._replication_factor = replication_factor
        self._cloudevents = cloudevents
        self._clock_ms = clock_ms
        self._options = client_options
        self._opening = threading.Lock()
        self._appender = KafkaAppender(bootstrap, self._names, client_options, self._last)
        self._reader: Reader | None = None
        self._counts: dict[str, int] = {}
        self._ids: dict[str, object] = {}
        self._closed = False
        self._admin: Any = open_client(KafkaAdminClient, bootstrap, **client_options)
        self._timeout_ms: float = self._admin.config["request_timeout_ms"]

    def create_topic(self, topic: str, *, partitions: int = 1, compact: bool = False) -> None:
        """Makes the topic unless it is there. Kafka compacts a compact one now and then.

        The brokers give each record its time, and nothing expires; whoever runs the cluster can
        set a retention later. Partitions cannot be added without parting keys from their past.
        """
        check_count(topic, partitions)
        # Many clusters let us use topics that we may not make, so this comes first.
        if self._look_up(topic) is not None:
            return
        name = self._names.prefix + topic
        layout = {
            "num_partitions": partitions,
            "replication_factor": self._replication_factor,
            "configs": topic_settings(compact=compact),
        }
        self._patiently(lambda: self._create(name, layout))
        self._patiently(lambda: self._admin.wait_for_topics([name], timeout_ms=self._timeout_ms))

    def partitions(self, topic: str) -> int:
        """Returns how many partitions the topic has."""
        count = self._look_up(topic)
        if count is None:
            raise unknown_topic(topic)
        return count

    def topic_settings(self, topics: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Returns the settings of these topics; none of one that this client may not describe."""
        self._check_open()
        names = {self._names.prefix + topic: topic for topic in topics}
        if not names:
            return {}
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        found = self._patiently(lambda: self._admin.describe_configs(asked, config_filter="all"))
        return {
            names[name]: {setting: told["value"] for setting, told in settings.items()}
            for name, settings in found.get("topic", {}).items()
        }

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes all the messages, and returns where; on all in-sync replicas by then.

        The client tries again by itself, and writes nothing twice by that. A time that a message
        brings along goes into a header, raised to that of the record before it as far as this
        process knows: history is for one writer, before anybody else writes.

        Raises:
            LogUnavailable: not all could be written in time: of each partition's messages a
                first part may be there, the rest is not. Appending them again is safe wherever
                a message twice is the same as once.
        """
        if not messages:
            return []
        self._check_open()
        for topic in {message.topic for message in messages}:
            if topic not in self._counts:
                self.partitions(topic)
        if self._cloudevents is not None:
            source, now_ms = f"{self._cloudevents}/{self._names.prefix}", self._clock_ms()
            messages = [as_cloudevent(m, source=source + m.topic, now_ms=now_ms) for m in messages]
        try:
            return self._appender.append(messages)
        except LogUnavailable:
            self._check_there({message.topic for message in messages})
            raise

    def read(self, partition: TopicPartition, offset: int, *, limit: int = 1000) -> list[Record]:
        """Returns the next records at or after `offset`, without waiting; empty at the end.

        What belongs to another producer's open transaction is not there yet.
        """
        self._check(partition)
        return self._open_reader().read(partition, offset, limit=limit)

    def start_offset(self, partition: TopicPartition) -> int:
        """Returns the offset of the oldest record that is kept."""
        self._check(partition)
        return self._open_reader().start(partition)

    def end_offset(self, partition: TopicPartition) -> int:
        """Returns the offset that the next append gets, or a transaction's mark before it."""
        return self.end_offsets([partition])[partition]

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Returns the end of each of these partitions, in one request to each broker."""
        for partition in partitions:
            self._check(partition)
        return self._open_reader().ends(partitions) if partitions else {}

    def consumer(
        self, topics: Sequence[str], assignee: RebalanceListener, *, group: str | None = None
    ) -> KafkaLogConsumer:
        """Returns a consumer of the topics' partitions, as a member of the group if given one."""
        for topic in topics:
            self.partitions(topic)
        return KafkaLogConsumer(
            open_client(
                KafkaConsumer,
                self._bootstrap,
                **self._consumer_options(group),
                partition_assignment_strategy=(assignor_for(topics),),
            ),
            self._names,
            topics,
            assignee,
            group=group,
            partitions=self.partitions,
        )

    def committed(self, group: str, partition: TopicPartition) -> int | None:
        """Returns the group's committed offset, None if it never committed."""
        self._check(partition)
        name, place = self._names.prefix + group, self._names.theirs(partition)
        found = self._patiently(lambda: self._admin.list_group_offsets({name: [place]}))
        at = found[name].get(place)
        return None if at is None or at.offset < 0 else int(at.offset)

    def partition_of(self, key: bytes, partitions: int) -> int:
        """Returns the partition that a message of this key gets where there are so many."""
        return partition_of(key, partitions)

    def time(self) -> LogTime:
        """Returns this machine's time: the brokers do not tell theirs.

        A record has the time of the broker that took it, and the join goes by records. Ticks are
        asked for by this time, so it should agree with the brokers'.
        """
        return LogTime(now_ms := self._clock_ms(), now_ms)

    def close(self) -> None:
        """Closes the connections; consumers have theirs, and are closed by themselves."""
        with self._opening:
            if self._closed:
                return
            self._closed = True
        for part in (self._appender, self._reader, self._admin):
            if part is not None:
                part.close()

    def _patiently(self, ask: Callable[[], T]) -> T:
        return patiently(self._what, ask, timeout_ms=self._timeout_ms)

    def _create(self, name: str, layout: dict[str, object]) -> None:
        try:
            self._admin.create_topics({name: layout}, timeout_ms=self._timeout_ms)
        except kafka.TopicAlreadyExistsError:
            # Another process was quicker, which is as good.
            return
        except kafka.InvalidTopicError as error:
            raise TopicError(f"Kafka takes no topic by the name {name!r}: {error}") from error

    def _look_up(self, topic: str) -> int | None:
        self._check_open()
        found = self._patiently(lambda: self._describe(self._names.prefix + topic))
        deadline = time.monotonic() + LOST_SECONDS
        # A broker may not have heard of a new topic yet.
        while found is None and topic in self._ids and time.monotonic() < deadline:
            time.sleep(RETRY_SECONDS)
            found = self._patiently(lambda: self._describe(self._names.prefix + topic))
        self._check_same(topic, found)
        if found is None:
            return None
        self._counts[topic], self._ids[topic] = found
        return found[0]

    def _check_same(self, topic: str, found: tuple[int, object] | None) -> None:
        """Refuses a topic that is not the one that was there before.

        Raises:
            LogLost: it was deleted, or made anew.
        """
        if topic not in self._ids:
            return
        if found is None or found[1] != self._ids[topic] or found[0] < self._counts[topic]:
            what = "was deleted" if found is None else "was deleted and made anew"
            raise LogLost(
                f"topic {self._names.prefix + topic!r} {what} at {self._what}, and its records are "
                "gone; stop all processes, bring it back (`copyloop streams restore`), and delete "
                "what was folded from the old one"
            )

    def _check_there(self, topics: Iterable[str]) -> None:
        """Says so if it is not the brokers that are away, but one of these topics.

        Raises:
            LogLost: as `_check_same`.
        """
        for topic in topics:
            with suppress(kafka.KafkaError):
                self._check_same(topic, self._describe(self._names.prefix + topic))

    def _describe(self, name: str) -> tuple[int, object] | None:
        """Returns how many partitions a topic has, and its id; None if it is not there."""
        (found,) = self._admin.describe_topics([name])
        error = kafka.for_code(found["error_code"])
        if error in (kafka.UnknownTopicOrPartitionError, kafka.InvalidTopicError):
            return None
        if error is not kafka.NoError:
            raise error(name)
        return len(found["partitions"]), found.get("topic_id")

    def _check(self, partition: TopicPartition) -> None:
        self._check_open()
        # Topics grow but do not shrink, so only what we do not know yet is asked for.
        if partition.partition >= self._counts.get(partition.topic, 0):
            self.partitions(partition.topic)
        check_partition(partition, self._counts[partition.topic])

    def _open_reader(self) -> Reader:
        with self._opening:
            self._check_open()
            if self._reader is None:
                self._reader = Reader(self._bootstrap, self._names, self._options)
            return self._reader

    def _last(self, partition: TopicPartition) -> tuple[int, int]:
        """Returns the time of the partition's last record, 0 if it has none, and its end."""
        start, end = self.start_offset(partition), self.end_offset(partition)
        last = self.read(partition, max(start, end - LOOK_BACK), limit=LOOK_BACK)
        return (last[-1].timestamp_ms if last else 0), end

    def _consumer_options(self, group: str | None) -> dict[str, object]:
        name = None if group is None else self._names.prefix + group
        return WAITS | self._options | CONSUMER | {"group_id": name}

    def _check_open(self) -> None:
        if self._closed:
            raise LogError(f"the log on {self._what} is closed; open it again")

"""Appends to Kafka: durable when it returns, each partition in order, and co-partitioned.

The key picks the partition as Java's clients do (murmur2), so that events which others write
straight into the topics land beside ours.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from struct import unpack_from
from typing import Any, Final, NamedTuple

import kafka
from kafka import KafkaProducer
from kafka import errors as kafka_errors

from streams.errors import (
    LogError,
    LogUnavailable,
    MessagesRefused,
    MessageTooLarge,
)
from streams.logs.base import Message, Record, TopicOffset, TopicPartition
from streams.logs.embedded import destination
from streams.logs.kafka.options import PASSING, open_client, translated
from streams.logs.kafka.refusals import DENIED, refusal

SEED: Final = 0x9747B28C
FACTOR: Final = 0x5BD1E995
MASK: Final = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """Returns MurmurHash2 of the key, from 0 to 2**32 - 1.

    >>> hex(murmur2(b"event-1"))
    '0xac226c32'
    """
    state = SEED ^ len(key)
    for word in unpack_from(f"<{len(key) >> 2}I", key):
        word = word * FACTOR & MASK
        state = (state * FACTOR ^ (word ^ word >> 24) * FACTOR) & MASK
    if rest := key[len(key) & ~3 :]:
        state = (state ^ int.from_bytes(rest, "little")) * FACTOR & MASK
    state = (state ^ state >> 13) * FACTOR & MASK
    return state ^ state >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Returns the partition of a key, as Java's clients pick it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


TIMESTAMP: Final = "copyloop-timestamp-ms"
"""The header that carries the time of a record that was written back."""
MOST_DIGITS: Final = 19
CREATE_TIME: Final = 0
"""The client's word for a time that the producer gave."""


def restored(timestamp_ms: int, place: TopicPartition, offset: int) -> bytes:
    """Returns the header of a record that is written back to this offset.

    It names the place: a header that others copy to a record of theirs says nothing there.

    >>> restored(900, TopicPartition("outcomes", 1), 7)
    b'900 outcomes/1@7'
    """
    return f"{timestamp_ms} {place.topic}/{place.partition}@{offset}".encode()


def restored_ms(header: bytes, place: TopicPartition, offset: int) -> int | None:
    """Returns the time that the header gives the record at this place, None if it gives none."""
    told = header.partition(b" ")[0]
    timestamp_ms = int(told) if told.isdigit() and len(told) < MOST_DIGITS else None
    same = timestamp_ms is not None and restored(timestamp_ms, place, offset) == header
    return timestamp_ms if same else None


class Names(NamedTuple):
    """What our topics and groups are called on the cluster."""

    prefix: str

    def theirs(self, partition: TopicPartition) -> Any:
        """Returns the partition as the client names it."""
        return kafka.TopicPartition(self.prefix + partition.topic, partition.partition)

    def ours(self, partition: Any) -> TopicPartition:
        """Returns the client's partition as we name it."""
        return TopicPartition(partition.topic.removeprefix(self.prefix), partition.partition)


def to_records(
    place: TopicPartition, found: Iterable[Any], *, is_log_time: bool = True
) -> list[Record]:
    """Returns what the client read of a partition; what others left null is empty here."""
    return [_to_record(place, record, is_log_time) for record in found]


def _to_record(place: TopicPartition, record: Any, is_log_time: bool) -> Record:
    topic, partition = place
    at, key, value = record.offset, record.key or b"", record.value or b""
    if not record.headers:
        return Record(topic, partition, at, record.timestamp, key, value, (), is_log_time)
    timestamp_ms = record.timestamp
    headers: list[tuple[str, bytes]] = []
    for header in record.headers:
        name, text = header
        if text is None:
            headers.append((name, b""))
        elif name == TIMESTAMP and (written_ms := restored_ms(text, place, at)) is not None:
            timestamp_ms = written_ms
        else:
            # The client's own tuple: what is not made anew costs the garbage collector nothing.
            headers.append(header)
    return Record(topic, partition, at, timestamp_ms, key, value, tuple(headers), is_log_time)


def is_log_time(batch: Iterable[Any]) -> bool:
    """Returns whether all of these have their broker's time."""
    return all(record.timestamp_type != CREATE_TIME for record in batch)


CLOSE_SECONDS: Final = 5.0
RECORD_OVERHEAD_BYTES: Final = 64
PRODUCER_DEFAULTS: Final[dict[str, object]] = {
    "acks": -1,
    "enable_idempotence": True,
    # Long enough for the cluster to elect another leader when a broker dies.
    "delivery_timeout_ms": 30_000,
    "max_block_ms": 10_000,
    "batch_size": 512 << 10,
    "max_request_size": 16 << 20,
    # Nothing lingers, since append() flushes; but until then a batch gathers and is sent whole.
    "linger_ms": 1000,
    "compression_type": "lz4",
    # How soon it sees that partitions were added.
    "metadata_max_age_ms": 5000,
}


class Sending(NamedTuple):
    """A message on its way: its position in the append, and where it goes."""

    position: int
    place: TopicPartition
    message: Message


class Failed(NamedTuple):
    """A message that was not written, and why; that may be the refusal of another one."""

    sending: Sending
    error: kafka_errors.KafkaError


class KafkaAppender:
    """The log's one producer, which its threads share.

    A message that the cluster refuses fails alone: the others are written.

    `last` tells the time of the last record of a partition, 0 if there is none, and its end.
    """

    def __init__(
        self,
        bootstrap: str,
        names: Names,
        options: Mapping[str, object],
        last: Callable[[TopicPartition], tuple[int, int]],
    ) -> None:
        self._bootstrap = bootstrap
        self._what = f"Kafka at {bootstrap}"
        self._names = names
        self._options = PRODUCER_DEFAULTS | dict(options)
        self._last_of = last
        self._last: dict[TopicPartition, tuple[int, int]] = {}
        self._history = threading.Lock()
        self._opening = threading.Lock()
        self._producer: Any = None

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes the messages of known topics, and returns where they went.

        Raises:
            TopicError: a partition is unknown; nothing was written.
            MessagesRefused: some were refused; the others are written.
            LogUnavailable: some or all could not be written, or nobody can tell.
        """
        written: dict[int, TopicOffset] = {}
        refused: dict[int, LogError] = {}
        producer = self._open()
        # History is written by one at a time, or its times would go back after all.
        dated = any(message.timestamp_ms is not None for message in messages)
        try:
            with translated(self._what), self._history if dated else nullcontext():
                sending = self._placed(producer, messages, refused)
                if dated:
                    sending = list(map(self._dated, sending))
                failed, left = self._send_all(producer, sending, written)
                if self._last:
                    self._note_ends(sending, written)
                if failed and dated:
                    self._replace(producer)
                    raise refusal(self._what, failed[0].sending.place.topic, failed[0].error)
        except LogUnavailable:
            self._last.clear()
            self._replace(producer)
            raise
        if failed:
            # One that was refused a record never sends another (kafka-python 3.0.12).
            self._replace(producer)
            self._settle(failed, left, written, refused)
        if refused:
            raise MessagesRefused(refused, written)
        return [written[position] for position in range(len(messages))]

    def close(self) -> None:
        """Sends what is under way, as far as that is quick, and closes the connections."""
        if self._producer is not None:
            try:
                self._producer.close(timeout=CLOSE_SECONDS)
            except kafka_errors.KafkaTimeoutError:
                # Pending appends fail through their own futures.
                abandon(self._producer)

    def _open(self) -> Any:
        with self._opening:
            if self._producer is None:
                self._producer = open_client(KafkaProducer, self._bootstrap, **self._options)
            return self._producer

    def _replace(self, producer: Any) -> None:
        """Has the next append open another producer.

        One that gave up on a batch after retries never gets a new producer id (kafka-python
        3.0.12), and what it still holds must not be written after the caller was told of failure.
        """
        with self._opening:
            if self._producer is not producer:
                return
            self._producer = None
        threading.Thread(target=abandon, args=(producer,), daemon=True).start()

    def _placed(
        self, producer: Any, messages: Sequence[Message], refused: dict[int, LogError]
    ) -> list[Sending]:
        """Returns the messages with their partitions; leaves out those that cannot be sent."""
        counts: dict[str, int] = {}
        denied: dict[str, LogError] = {}
        for topic in {message.topic for message in messages}:
            try:
                counts[topic] = self._count(producer, topic, messages)
            except kafka_errors.TopicAuthorizationFailedError as error:
                denied[topic] = refusal(self._what, topic, error)
        sending = []
        for position, message in enumerate(messages):
            size, largest = size_of(message), producer.config["max_request_size"]
            if message.topic in denied:
                refused[position] = denied[message.topic]
            elif size > largest:
                refused[position] = MessageTooLarge(
                    f"a message for {message.topic} has {size} bytes, and at most {largest} may "
                    "be sent; raise max_request_size, and max.message.bytes of the topic"
                )
            else:
                place = destination(message, counts[message.topic], partition_of)
                sending.append(Sending(position, place, message))
        return sending

    def _count(self, producer: Any, topic: str, messages: Sequence[Message]) -> int:
        """Returns how many partitions a topic has; asks again where a message names another."""
        name = self._names.prefix + topic
        count = len(producer.partitions_for(name))
        if any(m.topic == topic and (m.partition or 0) >= count for m in messages):
            # It may have been added since the client last asked.
            asked = threading.Event()
            producer._metadata.request_update().add_both(lambda *_: asked.set())
            asked.wait(producer.config["max_block_ms"] / 1000)
            count = len(producer.partitions_for(name))
        return count

    def _dated(self, sending: Sending) -> Sending:
        """Returns the message with its time, if it has one, raised and put into a header."""
        position, place, message = sending
        last_ms, end = self._last.get(place) or self._last_of(place)
        if message.timestamp_ms is None:
            self._last[place] = last_ms, end + 1
            return sending
        timestamp_ms = max(message.timestamp_ms, last_ms)
        self._last[place] = timestamp_ms, end + 1
        headers = (*message.headers, (TIMESTAMP, restored(timestamp_ms, place, end)))
        dated = message._replace(headers=headers, timestamp_ms=timestamp_ms)
        return Sending(position, place, dated)

    def _note_ends(self, sending: Sequence[Sending], written: Mapping[int, TopicOffset]) -> None:
        """Notes where history goes on, and sees that it went where its headers say.

        Raises:
            LogError: somebody else writes there, so that its times count for nothing.
        """
        for position, place, message in sending:
            at = written.get(position)
            if at is None or place not in self._last:
                self._last.pop(place, None)
                continue
            told = (TIMESTAMP, restored(at.timestamp_ms, place, at.offset))
            if message.timestamp_ms is not None and message.headers[-1] != told:
                self._last.clear()
                raise LogError(
                    f"somebody else writes to {place.topic}/{place.partition} while history is "
                    "written back; stop that, and write into an empty topic"
                )
            self._last[place] = max(self._last[place][0], at.timestamp_ms), at.offset + 1

    def _send_all(
        self, producer: Any, sending: Sequence[Sending], written: dict[int, TopicOffset]
    ) -> tuple[list[Failed], list[Sending]]:
        """Sends until something is refused; returns what failed, and what was not sent then."""
        chunks = list(_chunks(sending, producer.config["batch_size"]))
        for number, chunk in enumerate(chunks):
            failed = self._send(producer, chunk, written)
            if failed:
                return failed, [each for later in chunks[number + 1 :] for each in later]
        return [], []

    def _send(
        self, producer: Any, chunk: Sequence[Sending], written: dict[int, TopicOffset]
    ) -> list[Failed]:
        send, prefix = producer.send, self._names.prefix
        patience_seconds = producer.config["delivery_timeout_ms"] / 1000 + 1.0
        sent = [
            send(prefix + topic, value, key, list(headers), place.partition)
            for _, place, (topic, key, value, headers, *_) in chunk
        ]
        _flush(producer, patience_seconds)
        failed = []
        for sending, future in zip(chunk, sent, strict=True):
            position, place, message = sending
            try:
                # All but a batch that the client had to split are done by now.
                at = future.value if future.succeeded() else future.get(timeout=patience_seconds)
            except kafka_errors.KafkaError as error:
                if isinstance(error, PASSING):
                    raise
                failed.append(Failed(sending, error))
                continue
            written_ms = at.timestamp if message.timestamp_ms is None else message.timestamp_ms
            written[position] = TopicOffset(*place, at.offset, written_ms)
        return failed

    def _settle(
        self,
        failed: Sequence[Failed],
        left: Sequence[Sending],
        written: dict[int, TopicOffset],
        refused: dict[int, LogError],
    ) -> None:
        """Sends again what failed, in ever smaller parts, and notes what is refused by itself.

        Each part has a producer of its own, so that no other message's refusal is told for it.
        """
        waiting = [left, [each.sending for each in failed]]
        while waiting:
            if not (part := waiting.pop()):
                continue
            producer = open_client(KafkaProducer, self._bootstrap, **self._options)
            try:
                with translated(self._what):
                    failed, left = self._send_all(producer, part, written)
            finally:
                abandon(producer)
            waiting.append(left)
            topics = list(dict.fromkeys(each.sending.place.topic for each in failed))
            if len(topics) > 1:
                waiting += [[s for s, _ in failed if s.place.topic == t] for t in reversed(topics)]
            elif len(failed) == 1 or isinstance(failed and failed[0].error, DENIED):
                for (position, place, _), error in failed:
                    with translated(self._what):
                        refused[position] = refusal(self._what, place.topic, error)
            else:
                half = [each.sending for each in failed[len(failed) // 2 :]]
                waiting += [half, [each.sending for each in failed[: len(failed) // 2]]]


def _flush(producer: Any, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            producer.flush(timeout=patience_seconds)
            return
        except kafka_errors.UnknownError:
            # It waited for a batch that the client has split since (kafka-python 3.0.12).
            if time.monotonic() > deadline:
                raise


def size_of(message: Message) -> int:
    """Returns how many bytes a message takes, before it is compressed."""
    headers = sum(len(name) * 4 + len(value) for name, value in message.headers)
    return RECORD_OVERHEAD_BYTES + len(message.key) + len(message.value) + headers


def _chunks(sending: Sequence[Sending], batch_bytes: int) -> Iterator[Sequence[Sending]]:
    """Yields runs that fit into one batch a partition.

    A batch is written as a whole or not at all, and the next is sent only once it was: so what
    is missing after a failure is the end of each partition's messages, not their middle.
    """
    start = size = 0
    for end, (_, _, message) in enumerate(sending):
        needed = size_of(message)
        if size + needed > batch_bytes and end > start:
            yield sending[start:end]
            start, size = end, 0
        size += needed
    yield sending[start:]


def abandon(producer: Any) -> None:
    """Ends a producer without sending what it holds; what waits for it fails at once."""
    # close() would wait for just what cannot be sent, and has no way to be told otherwise.
    producer._sender.force_close()
    producer._sender.join()
    producer.close(timeout=0)

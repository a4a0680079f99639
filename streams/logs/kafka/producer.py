"""Appends to Kafka: durable when it returns, each partition in order, and co-partitioned.

The key picks the partition as Java's clients do (murmur2), so that events which others write
straight into the topics land beside ours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from struct import unpack_from
from typing import Any, Final, NamedTuple

import kafka
from kafka import KafkaProducer
from kafka import errors as kafka_errors

from streams.errors import LogError, LogUnavailable
from streams.logs.base import Headers, Message, Record, TopicOffset, TopicPartition
from streams.logs.embedded import destination
from streams.logs.kafka.options import open_client, translated

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


class Names(NamedTuple):
    """What our topics and groups are called on the cluster."""

    prefix: str

    def theirs(self, partition: TopicPartition) -> Any:
        """Returns the partition as the client names it."""
        return kafka.TopicPartition(self.prefix + partition.topic, partition.partition)

    def ours(self, partition: Any) -> TopicPartition:
        """Returns the client's partition as we name it."""
        return TopicPartition(partition.topic.removeprefix(self.prefix), partition.partition)


def to_records(place: TopicPartition, found: Iterable[Any]) -> list[Record]:
    """Returns what the client read of a partition; what others left null is empty here."""
    topic, partition = place
    return [
        _with_headers(place, record)
        if record.headers
        else Record(
            topic,
            partition,
            record.offset,
            record.timestamp,
            record.key or b"",
            record.value or b"",
        )
        for record in found
    ]


def _with_headers(place: TopicPartition, record: Any) -> Record:
    timestamp_ms = record.timestamp
    headers: list[tuple[str, bytes]] = []
    for header in record.headers:
        name, value = header
        if value is None:
            headers.append((name, b""))
        elif name == TIMESTAMP and value.isdigit():
            timestamp_ms = int(value)
        else:
            # The client's own tuple: what is not made anew costs the garbage collector nothing.
            headers.append(header)
    kept: Headers = tuple(headers)
    return Record(*place, record.offset, timestamp_ms, record.key or b"", record.value or b"", kept)


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


class KafkaAppender:
    """The log's one producer, which its threads share.

    `last_ms` tells the time of the last record of a partition, 0 if there is none.
    """

    def __init__(
        self,
        bootstrap: str,
        names: Names,
        options: Mapping[str, object],
        last_ms: Callable[[TopicPartition], int],
    ) -> None:
        self._bootstrap = bootstrap
        self._what = f"Kafka at {bootstrap}"
        self._names = names
        self._options = PRODUCER_DEFAULTS | dict(options)
        self._last_ms_of = last_ms
        self._last_ms: dict[TopicPartition, int] = {}
        self._history = threading.Lock()
        self._opening = threading.Lock()
        self._producer: Any = None

    def append(self, messages: Sequence[Message]) -> list[TopicOffset]:
        """Writes the messages of known topics, and returns where they went.

        Raises:
            TopicError: a partition is unknown; nothing was written.
            LogError: a message is larger than the client may send; nothing was written.
            LogUnavailable: some or all could not be written, or nobody can tell.
        """
        producer = self._open()
        try:
            with translated(self._what):
                return self._append(producer, messages)
        except LogUnavailable:
            self._replace(producer)
            raise

    def close(self) -> None:
        """Sends what is under way, as far as that is quick, and closes the connections."""
        if self._producer is not None:
            try:
                self._producer.close(timeout=CLOSE_SECONDS)
            except kafka_errors.KafkaTimeoutError:
                # Whoever appended it was told, or will be.
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

    def _append(self, producer: Any, messages: Sequence[Message]) -> list[TopicOffset]:
        counts = {
            topic: self._count(producer, topic, messages)
            for topic in {message.topic for message in messages}
        }
        places = [destination(m, counts[m.topic], partition_of) for m in messages]
        # History is written by one at a time, or its times would go back after all.
        dated = any(message.timestamp_ms is not None for message in messages)
        with self._history if dated else nullcontext():
            if dated:
                messages = list(map(self._dated, places, messages))
            chunks = list(_chunks(messages, producer.config))
            return [
                written
                for chunk in chunks
                for written in self._send(producer, places[chunk], messages[chunk])
            ]

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

    def _dated(self, place: TopicPartition, message: Message) -> Message:
        """Returns the message with its time, if it has one, raised and put into a header."""
        if message.timestamp_ms is None:
            return message
        last_ms = self._last_ms.get(place)
        if last_ms is None:
            last_ms = self._last_ms_of(place)
        self._last_ms[place] = timestamp_ms = max(message.timestamp_ms, last_ms)
        headers = (*message.headers, (TIMESTAMP, b"%d" % timestamp_ms))
        return message._replace(headers=headers, timestamp_ms=timestamp_ms)

    def _send(
        self, producer: Any, places: Sequence[TopicPartition], messages: Sequence[Message]
    ) -> Iterator[TopicOffset]:
        send, prefix = producer.send, self._names.prefix
        patience_seconds = producer.config["delivery_timeout_ms"] / 1000 + 1.0
        sent = [
            send(prefix + topic, value, key, list(headers), place.partition)
            for place, (topic, key, value, headers, *_) in zip(places, messages, strict=True)
        ]
        producer.flush(timeout=patience_seconds)
        for place, message, future in zip(places, messages, sent, strict=True):
            # All but a batch that the client had to split are done by now.
            at = future.value if future.succeeded() else future.get(timeout=patience_seconds)
            written_ms = at.timestamp if message.timestamp_ms is None else message.timestamp_ms
            if place in self._last_ms:
                self._last_ms[place] = max(self._last_ms[place], written_ms)
            yield TopicOffset(*place, at.offset, written_ms)


def _chunks(messages: Sequence[Message], config: Mapping[str, int]) -> Iterator[slice]:
    """Yields runs that fit into one batch a partition.

    A batch is written as a whole or not at all, and the next is sent only once it was: so what
    is missing after a failure is the end of each partition's messages, not their middle.
    """
    batch, largest = config["batch_size"], config["max_request_size"]
    start = size = 0
    for end, message in enumerate(messages):
        needed = RECORD_OVERHEAD_BYTES + len(message.key) + len(message.value)
        for name, value in message.headers:
            needed += len(name) * 4 + len(value)
        if needed > largest:
            raise LogError(
                f"a message for {message.topic} has {needed} bytes, and at most {largest} may be "
                "sent; raise max_request_size, and max.message.bytes of the topic"
            )
        if size + needed > batch and end > start:
            yield slice(start, end)
            start, size = end, 0
        size += needed
    yield slice(start, len(messages))


def abandon(producer: Any) -> None:
    """Ends a producer without sending what it holds; what waits for it fails at once."""
    # close() would wait for just what cannot be sent, and has no way to be told otherwise.
    producer._sender.force_close()
    producer._sender.join()
    producer.close(timeout=0)

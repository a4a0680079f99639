"""Outcomes from anywhere: a mapping says where a record of somebody else's topic holds what.

So a team keeps its click topic and its schema as they are. A mapping is a small file, or this
struct; `streams.ingest.mapping` does what it says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec
import yaml
from msgspec import Struct

from streams.dead_letters import origin_of
from streams.errors import MappingError, UnmappedError
from streams.events import UNREADABLE, Outcome, Slot
from streams.files.yaml_text import yaml_value
from streams.ingest.fields import (
    Given,
    at,
    found_at,
    given_or_at,
    is_in_value,
    number,
    shown,
    text,
    whole,
    word,
)
from streams.ingest.framing import decoder
from streams.ingest.times import TimeCheck, Timestamp, time_reader
from streams.logs.base import Record
from streams.logs.cloudevents import trace_in

MAX_TOPIC_LENGTH: Final = 200
"""So that the place of a record fits into an outcome's id."""
READERS: Final[dict[str, Callable[[bytes], Any]]] = {
    ".json": msgspec.json.decode,
    ".toml": msgspec.toml.decode,
    ".yaml": yaml_value,
    ".yml": yaml_value,
}


class Kind(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an outcome's kind is: one `constant`, or what is at `path`, by way of a `table`.

    A value that the table does not have is refused, or, with `others: skip`, makes no outcome;
    then neither does a record that has nothing there.
    """

    constant: str | None = None
    path: str | None = None
    table: dict[str, str] | None = None
    others: Literal["refuse", "skip"] = "refuse"

    def __post_init__(self) -> None:
        if (self.constant is None) == (self.path is None):
            raise ValueError("a kind has either a constant or a path")
        if self.table is None and self.others == "skip":
            raise ValueError("a kind that skips all but those in its table has a table")


class TopicMapping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the records of one topic become outcomes.

    A path is JMESPath (`payload.items[0].id`, with `||` for what to take instead), or
    `header:NAME`, or `record:key`. With `each` it starts from one of the batch, and `batch:PATH`
    from the whole record. Nothing but these fields gets into the outcome: what else a
    record holds stays in its own topic.

    Attributes:
        topic: whose records they are.
        each: the path of a list, each of which makes an outcome; None where the record does.
        when: the path of a condition: what is null, false or empty there makes no outcome.
        registry: the URL of the schema registry that values are framed with.
        event_id: the path of the decision's event id.
        kind: the path of the kind, or a `Kind`.
        value: a number, or the path of one; a decimal in a string will do.
        timestamp: when it happened; None for the record's own time.
        outcome_id: the path of what duplicates are told by; None for the record's place in
            the log, so that it counts once however often it is read.
        slot: a number, or the path of one.
    """

    topic: str
    event_id: str
    kind: str | Kind
    value: float | str = 1.0
    timestamp: Timestamp | None = None
    outcome_id: str | None = None
    slot: Slot | str = 0
    each: str | None = None
    when: str | None = None
    registry: str | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.topic) <= MAX_TOPIC_LENGTH:
            raise ValueError(f"topic has {len(self.topic)} characters; 1 to {MAX_TOPIC_LENGTH}")


def read_mapping(path: Path) -> TopicMapping:
    """Returns the mapping that a YAML, JSON or TOML file holds.

    Raises:
        MappingError: no such file, or no mapping in it; the message says what is wrong.
    """
    read = READERS.get(path.suffix)
    if read is None:
        raise MappingError(f"mapping {path}: expected a .yaml, .json or .toml file")
    try:
        return msgspec.convert(read(path.read_bytes()), TopicMapping)
    except OSError as error:
        raise MappingError(f"mapping {path}: {error.strerror}") from error
    except (*UNREADABLE, yaml.YAMLError) as error:
        raise MappingError(f"mapping {path}: {error}") from error


class Mapped(NamedTuple):
    """What a record led to: outcomes, how many were left out, and what could not be used of it."""

    outcomes: list[Outcome]
    skipped: int = 0
    refused: UnmappedError | None = None


class Mapper:
    """Makes outcomes of a topic's records.

    Args:
        mapping: how.
        stop: ends the waiting for a schema registry that does not answer.

    Raises:
        MappingError: a path of the mapping cannot be read.
    """

    def __init__(self, mapping: TopicMapping, stop: threading.Event | None = None) -> None:
        self.topic = mapping.topic
        self.reads_value = any(map(is_in_value, _paths(mapping)))
        """Whether a record without a value has nothing to map."""
        self._decode = decoder(mapping.registry, stop)
        self._each = mapping.each and found_at("each", mapping.each)
        self._when = mapping.when and found_at("when", mapping.when)
        self._kind = _kind(mapping.kind)
        self._event_id = at("event_id", mapping.event_id, text)
        self._timestamp_ms = mapping.timestamp and time_reader(mapping.timestamp)
        self._times = TimeCheck(mapping.topic)
        self._outcome_id = mapping.outcome_id and at("outcome_id", mapping.outcome_id, text)
        self._value = given_or_at("value", mapping.value, number)
        self._slot = given_or_at("slot", mapping.slot, lambda found: whole(number(found), 2**16))

    def outcome(self, record: Record) -> Outcome | None:
        """Returns the record's outcome, None where the mapping skips it.

        Raises:
            UnmappedError: it has none; the code says why, and the message where.
        """
        return self._outcome(Given(record, self._decode), origin_of(record))

    def outcomes(self, record: Record) -> Mapped:
        """Returns all that follows from a record, be it one or a batch.

        What cannot be used of a batch does not keep the rest from counting.
        """
        found = Mapped([])
        try:
            parts = self._parts(Given(record, self._decode))
        except UnmappedError as error:
            return found._replace(refused=error)
        for given, outcome_id in parts:
            try:
                outcome = self._outcome(given, outcome_id)
            except UnmappedError as error:
                found = found._replace(refused=found.refused or error)
                continue
            if outcome is None:
                found = found._replace(skipped=found.skipped + 1)
            else:
                found.outcomes.append(outcome)
        return found

    def _parts(self, given: Given) -> list[tuple[Given, str]]:
        """Returns what makes an outcome each, with the id that it has by its place."""
        place = origin_of(given.record)
        if not self._each:
            return [(given, place)]
        parts = self._each(given)
        if parts is None:
            raise UnmappedError("mapping_field_missing", "each: nothing, or null, at its path")
        if not isinstance(parts, list):
            raise UnmappedError("mapping_field_invalid", f"each: {shown(parts)} is no list")
        return [(given.each(part), f"{place}#{n}") for n, part in enumerate(parts)]

    def _outcome(self, given: Given, outcome_id: str) -> Outcome | None:
        if self._when and not _is_true(self._when(given)):
            return None
        kind = self._kind(given)
        if kind is None:
            return None
        record = given.record
        try:
            outcome = Outcome(
                event_id=self._event_id(given),
                outcome_id=self._outcome_id(given) if self._outcome_id else outcome_id,
                kind=kind,
                timestamp_ms=(
                    self._timestamp_ms(given) if self._timestamp_ms else record.timestamp_ms
                ),
                value=self._value(given),
                slot=self._slot(given),
                traceparent=trace_in(record.headers),
            )
        except ValueError as error:
            raise UnmappedError("mapping_field_invalid", str(error)) from error
        self._times.look(outcome.timestamp_ms, record.timestamp_ms)
        return outcome


def _paths(mapping: TopicMapping) -> Iterator[str]:
    """Yields all paths of a mapping."""
    given = (mapping.each, mapping.when, mapping.event_id, mapping.outcome_id)
    kind = mapping.kind if isinstance(mapping.kind, str) else mapping.kind.path
    parts: list[object] = [mapping.timestamp]
    for part in parts:
        if isinstance(part, Timestamp):
            yield part.path
            parts += [part.plus, part.minus]
    for path in (*given, kind, mapping.value, mapping.slot):
        if isinstance(path, str):
            yield path


def _is_true(found: object) -> bool:
    """Returns whether a condition holds, as JMESPath tells: 0 is something, and nothing is not."""
    return found is not None and found is not False and found not in ("", [], {})


def _kind(kind: str | Kind) -> Callable[[Given], str | None]:
    if isinstance(kind, str):
        return at("kind", kind, text)
    if kind.path is None:
        return lambda _: kind.constant
    if kind.table is None:
        return at("kind", kind.path, text)
    table, path = kind.table, kind.path
    if kind.others == "skip":
        find = found_at("kind", path)
        return lambda given: table.get(_asked(find(given)))
    named = at("kind", path, word)

    def kind_of(given: Given) -> str:
        found = named(given)
        if found in table:
            return table[found]
        raise UnmappedError(
            "mapping_kind_unknown",
            f"kind: {shown(found)} at {path!r} is not in the table; add it, or skip others",
        )

    return kind_of


def _asked(found: object) -> str:
    """Returns what a table is asked for; what is no word is among the others, as is nothing."""
    try:
        return word(found)
    except ValueError:
        return ""

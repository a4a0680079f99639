"""Forgets a value: finds it in a log and all that was made of it, and takes it out.

A SQLite log is rewritten in place. Kafka cannot rewrite records, so the report names theirs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw, Struct

from streams.archive import archive_files, rewrite_file
from streams.checkpoint import exclusive
from streams.errors import EventError, LogUrlError
from streams.events import (
    DEAD_LETTER,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    Decision,
    Event,
    Interaction,
    decode,
    encode,
)
from streams.fold import Progress, history
from streams.logs.base import Log, Record, TopicPartition
from streams.logs.opening import sqlite_path
from streams.logs.sqlite import SqliteLog
from streams.spool import spooled

_encode = msgspec.json.Encoder().encode
_object: Final[msgspec.json.Decoder[dict[str, Raw]]] = msgspec.json.Decoder(dict[str, Raw])
_array: Final[msgspec.json.Decoder[list[Raw]]] = msgspec.json.Decoder(list[Raw])


def changed_at(value: Raw, path: Sequence[str], change: Callable[[Raw], Raw]) -> Raw:
    """Returns the value with what is at the path changed, in every element of lists on the way.

    It is the same object where nothing is there, or `change` returned what it was given.

    >>> bytes(changed_at(Raw(b'{"a":[{"b":1.0},{"c":2}]}'), ["a", "b"], lambda _: Raw(b"0")))
    b'{"a":[{"b":0},{"c":2}]}'
    """
    first = bytes(memoryview(value)[:1])
    if first == b"[":
        elements = _array.decode(value)
        new = [changed_at(element, path, change) for element in elements]
        if all(one is other for one, other in zip(new, elements, strict=True)):
            return value
        return Raw(_encode(new))
    if not path:
        return change(value)
    if first != b"{":
        return value
    fields = _object.decode(value)
    inner = fields.get(path[0])
    if inner is None:
        return value
    after = changed_at(inner, path[1:], change)
    if after is inner:
        return value
    return Raw(_encode({**fields, path[0]: after}))


FORGOTTEN: Final = "forgotten"
"""The header of a record that something was taken out of; its value says when."""
TOMBSTONE: Final = Raw(b'"forgotten"')
"""What stands where the value was."""


class Wanted:
    """A field of contexts, and the values of it that are to go.

    Args:
        field: keys joined by dots.
        values: as JSON knows them, and what stands for them where the field is private.
        placement: only of this one; of every placement if None.
    """

    def __init__(self, field: str, values: Sequence[object], placement: str | None = None) -> None:
        self.field = field
        self._path = field.split(".")
        self._values = list(values)
        self._placement = placement
        texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
        self._spelt = {s.encode() for text in texts for s in (text, json.dumps(text)[1:-1])}

    def without(self, record: Record) -> bytes | None:
        """Returns the record's value without what is wanted, None if it has nothing of it."""
        try:
            event = decode(record.value)
        except EventError:
            letter = record.topic == DEAD_LETTER and self._placement is None
            return bytes(TOMBSTONE) if letter and self.is_in(record.value) else None
        changed = self._changed(event)
        return None if changed is None else encode(changed)

    def is_in(self, data: bytes) -> bool:
        """Returns whether bytes of any form spell one of the values, as far as can be seen."""
        return any(spelt in data for spelt in self._spelt)

    def _changed(self, event: Event) -> Event | None:
        if isinstance(event, Interaction):
            decision = self._changed(event.decision)
            return None if decision is None else msgspec.structs.replace(event, decision=decision)
        if not isinstance(event, Decision) or self._placement not in (None, event.placement):
            return None
        context = changed_at(event.context, self._path, self._tombstone)
        if context is event.context:
            return None
        return msgspec.structs.replace(event, context=context)

    def _tombstone(self, value: Raw) -> Raw:
        try:
            found = msgspec.json.decode(value)
        except msgspec.DecodeError:  # a number beyond what can be told apart is none that we know
            return value
        return TOMBSTONE if any(_same(found, wanted) for wanted in self._values) else value


def is_forgotten(record: Record) -> bool:
    """Returns whether something was taken out of the record."""
    return any(name == FORGOTTEN for name, _ in record.headers)


def values_of(text: str) -> list[object]:
    """Returns the values that a text may mean: itself, and the number or word of JSON it spells.

    >>> values_of("42"), values_of("ada")
    (['42', 42], ['ada'])
    """
    try:
        parsed = json.loads(text)
    except ValueError:
        return [text]
    return [text, parsed] if isinstance(parsed, int | float | bool) else [text]


def _same(found: object, wanted: object) -> bool:
    # True is 1 to Python, and not to anyone who asks to be forgotten.
    return found == wanted and isinstance(found, bool) == isinstance(wanted, bool)


TOPICS: Final = (DECISIONS, INTERACTIONS, DEAD_LETTER)
"""Where contexts are; outcomes have none."""
PATIENCE_SECONDS: Final = 30.0


def rewritten(record: Record, wanted: Wanted, now_ms: int) -> Record | None:
    """Returns the record without what is wanted, None if it has nothing of it."""
    value = wanted.without(record)
    if value is None:
        return None
    kept = tuple(header for header in record.headers if header[0] != FORGOTTEN)
    return record._replace(value=value, headers=(*kept, (FORGOTTEN, str(now_ms).encode())))


class Held(Struct, frozen=True, kw_only=True):
    """Records of one partition that have the value, from which offset and time to which."""

    topic: str
    partition: int
    records: int
    first_offset: int
    last_offset: int
    first_ms: int
    last_ms: int


class ForgetReport(Struct, frozen=True, kw_only=True):
    """What had the value, what was done about it, and what is left to do.

    Attributes:
        field: the field of contexts.
        dry_run: whether nothing was done yet.
        rewritten: whether the log's records are rewritten, which Kafka's cannot be.
        log: where in the log it was.
        archive: by file, how many records were rewritten.
        checkpoints_removed: had it, and are made anew from the log.
        checkpoints_noted: seem to have it; the policy learned from it, see `left`.
        spool: folders of messages that seem to have it, and go on to the log.
        left: what remains for people to do, or to know.
    """

    field: str
    dry_run: bool
    rewritten: bool
    log: tuple[Held, ...]
    archive: dict[str, int]
    checkpoints_removed: tuple[str, ...]
    checkpoints_noted: tuple[str, ...]
    spool: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def records(self) -> int:
        """How many records of the log had it."""
        return sum(held.records for held in self.log)


def forget(
    log: Log,
    url: str,
    data: Path,
    wanted: Wanted,
    *,
    now_ms: int,
    dry_run: bool,
    progress: Progress | None = None,
) -> ForgetReport:
    """Takes a value out of the log, the archive and the checkpoints, and reports it.

    With a SQLite log joiner, learner and archive must not run: what they have in mind they would
    write again. `url` is what the log was opened from, `data` the folder of checkpoints, archive
    and spool. Rewritten records carry the time `now_ms`; a `dry_run` rewrites none.

    Raises:
        LockError: one of them runs.
        LogUrlError: the log is in memory.
        LogError: it cannot be read or written.
        ArchiveError: a file of the archive is damaged.
    """
    path = sqlite_path(url)
    in_place = path is not None
    if not in_place and not url.startswith("kafka://"):
        raise LogUrlError(f"log URL {url!r}: nothing but a SQLite or a Kafka log remembers")
    with ExitStack() as held:
        file = None
        if path is not None and not dry_run:
            # Nobody may fold the log meanwhile.
            for group, topic in (("join", OUTCOMES), ("learn", INTERACTIONS)):
                for number in range(log.partitions(topic)):
                    held.enter_context(exclusive(data / "checkpoints", f"{group}-{number}"))
            held.enter_context(exclusive(data / "archive", "archive"))
            file = SqliteLog(path, patience_seconds=PATIENCE_SECONDS)
            held.enter_context(closing(file))
        found = _go_through(log, wanted, file, now_ms, progress)
        archived = {
            str(file.path.relative_to(data / "archive")): rewrite_file(
                file.path, lambda record: rewritten(record, wanted, now_ms), dry_run=dry_run
            )
            for topic in TOPICS
            for file in archive_files(data / "archive", topic)
        }
        joining, learning = _checkpoints(data / "checkpoints", wanted)
        if in_place and not dry_run:
            for checkpoint in joining:
                checkpoint.unlink()
    spool = {
        str(place) for place, message in spooled(data / "spool") if wanted.is_in(message.value)
    }
    return ForgetReport(
        field=wanted.field,
        dry_run=dry_run,
        rewritten=in_place,
        log=tuple(found),
        archive={name: count for name, count in archived.items() if count},
        checkpoints_removed=tuple(str(p) for p in joining) if in_place else (),
        checkpoints_noted=tuple(str(p) for p in (learning if in_place else joining + learning)),
        spool=tuple(sorted(spool)),
        left=tuple(_left(found, in_place, bool(spool), [*joining, *learning])),
    )


def _go_through(
    log: Log, wanted: Wanted, file: SqliteLog | None, now_ms: int, progress: Progress | None
) -> list[Held]:
    """Returns where the value is; with a file, it is not there any more by then."""
    found: dict[TopicPartition, Held] = {}
    for records in (batch for topic in TOPICS for batch in history(log, topic, progress)):
        changed = [new for r in records if (new := rewritten(r, wanted, now_ms)) is not None]
        if changed:
            partition = TopicPartition(*records[0][:2])
            first, last = changed[0], changed[-1]
            before = found.get(partition)
            found[partition] = Held(
                topic=partition.topic,
                partition=partition.partition,
                records=len(changed) + (before.records if before else 0),
                first_offset=before.first_offset if before else first.offset,
                last_offset=last.offset,
                first_ms=before.first_ms if before else first.timestamp_ms,
                last_ms=last.timestamp_ms,
            )
            if file is not None:
                file.rewrite(partition, changed)
    if file is not None and found:
        file.compact()
    return list(found.values())


def _checkpoints(directory: Path, wanted: Wanted) -> tuple[list[Path], list[Path]]:
    """Returns the checkpoints that seem to have the value: the joiner's, and the others."""
    found = sorted(directory.rglob("*")) if directory.is_dir() else ()
    files = (path for path in found if path.is_file() and path.suffix != ".lock")
    having = [path for path in files if wanted.is_in(path.read_bytes())]
    joining = [path for path in having if path.name.startswith("join-")]
    return joining, [path for path in having if path not in joining]


def _left(
    found: list[Held], in_place: bool, spooled: bool, checkpoints: list[Path]
) -> Iterator[str]:
    if found and in_place:
        yield (
            "copies that others made: backups, exports, what consumers of the log keep; and blocks "
            "that the disk has not written over"
        )
        yield (
            "what a policy learned from these decisions is in its weights still, mixed with all "
            "else; to learn without them, stop the learner, remove its checkpoints and start it"
        )
        yield (
            "`copyloop audit` counts these decisions as forgotten: their draw is proved, their "
            "propensities and the versions learned from them cannot be any more"
        )
    if found and not in_place:
        for held in found:
            yield (
                f"{held.topic}/{held.partition}: Kafka cannot rewrite records; those up to offset "
                f"{held.last_offset} go with `kafka-delete-records`, or with a retention.ms of the "
                f"topic below their age (the latest has the timestamp {held.last_ms})"
            )
        yield "joiners hold contexts until their windows end, and write them once more; ask again"
    if spooled:
        yield "what waits in the spool goes to the log once that is back; ask again then"
    if checkpoints and not in_place:
        yield "remove the checkpoints named above on every machine, or wait for longer windows"

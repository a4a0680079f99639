"""Forgets a value: finds it in a log and all that was made of it, and takes it out.

A SQLite log is rewritten in place. Kafka cannot rewrite records, so the report names theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from streams.archive.files import archive_lock, archives_in
from streams.archive.parquet import rewrite_file
from streams.checkpoint import SUFFIX, exclusive, read_checkpoint
from streams.errors import (
    ArchiveError,
    CheckpointError,
    EventError,
    LogError,
    LogUnavailable,
    LogUrlError,
    SpoolError,
)
from streams.events import (
    DEAD_LETTER,
    DECISIONS,
    EMPTY,
    INTERACTIONS,
    OUTCOMES,
    Decision,
    Event,
    Interaction,
    Slate,
    SlateInteraction,
    decode,
    encode,
)
from streams.events.slates import SLOT
from streams.files.json_values import changed_at, unescaped, values_at
from streams.files.writing import remove_unfinished
from streams.fold import Progress, history
from streams.forgetting.marks import begin
from streams.join.state import unpack
from streams.logs.base import Log, Record, TopicPartition
from streams.logs.opening import sqlite_path
from streams.logs.sqlite import SqliteLog
from streams.spool import spooled

FORGOTTEN: Final = "forgotten"
"""The header of a record that something was taken out of; its value says when."""
TOMBSTONE: Final = Raw(b'"forgotten"')
"""What stands where the value was."""
_NUMBER: Final = re.compile(r"-?\d[\d.eE+-]*|true|false")


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
        self.values = list(values)
        self.placement = placement
        texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
        # The digits of a number are within those of others.
        numbers = [text for text in texts if _NUMBER.fullmatch(text)]
        self._texts = [text.encode() for text in texts if text not in numbers]
        self._numbers = [_alone(number) for number in numbers]

    def without(self, topic: str, value: bytes) -> bytes | None:
        """Returns the value of a topic's record without what is wanted, None if it has none."""
        try:
            event = decode(value)
        except EventError:
            letter = topic == DEAD_LETTER and self.placement is None
            return bytes(TOMBSTONE) if letter and self.is_in(value) else None
        changed = self._changed(event)
        if changed is None and not self._is_hidden_in(value, event):
            return None
        # What stands beside a key of the same name is gone once the event is written anew.
        return encode(changed or event)

    def is_in(self, data: bytes) -> bool:
        """Returns whether JSON has the value in the field, or other bytes spell it in any way."""
        try:
            return any(self._is_one(found) for found in values_at(data, self._path))
        except (ValueError, RecursionError):
            return self.is_spelled_in(data)

    def is_spelled_in(self, data: bytes) -> bool:
        """Returns whether bytes spell one of the values, with escapes or without."""
        spelt = (data, unescaped(data))
        return any(text in each for text in self._texts for each in spelt) or any(
            number.search(each) for number in self._numbers for each in spelt
        )

    def _is_hidden_in(self, value: bytes, event: Event) -> bool:
        """Returns whether the value is in an event's JSON under a key that stands there twice."""
        if isinstance(event, Interaction | SlateInteraction):
            decision, outer = event.decision, ["decision", "context"]
        elif isinstance(event, Decision | Slate):
            decision, outer = event, ["context"]
        else:
            return False
        if self.placement not in (None, decision.placement):
            return False
        raw = Raw(value.strip())
        return changed_at(raw, [*outer, *self._path], self._tombstone) is not raw

    def _changed(self, event: Event) -> Event | None:
        if isinstance(event, Interaction | SlateInteraction):
            decision = self._changed(event.decision)
            return None if decision is None else replace(event, decision=decision)
        if not isinstance(event, Decision | Slate) or self.placement not in (None, event.placement):
            return None
        if isinstance(event, Slate) and self._path[0] == SLOT:
            return self._changed_slots(event)
        context = changed_at(event.context, self._path, self._tombstone)
        if context is event.context:
            return None
        return replace(event, context=context)

    def _changed_slots(self, slate: Slate) -> Slate | None:
        """Returns the slate with the features of its slots changed, None if none has any of it."""
        slots = []
        for each in slate.slots:
            features = each.features or EMPTY
            changed = changed_at(features, self._path[1:], self._tombstone)
            slots.append(each if changed is features else replace(each, features=changed))
        return None if tuple(slots) == slate.slots else replace(slate, slots=tuple(slots))

    def _tombstone(self, value: Raw) -> Raw:
        try:
            found = msgspec.json.decode(value)
        except msgspec.DecodeError:  # a number beyond what can be told apart is none that we know
            return value
        return TOMBSTONE if self._is_one(found) else value

    def _is_one(self, found: object) -> bool:
        return any(_same(found, wanted) for wanted in self.values)


def _alone(number: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?<![\w.])%b(?![\w.])" % re.escape(number.encode()))


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
    value = wanted.without(record.topic, record.value)
    if value is None:
        return None
    kept = tuple(
        # What was wrong with a dead letter may quote it.
        (name, FORGOTTEN.encode() if name == "error" and wanted.is_in(told) else told)
        for name, told in record.headers
        if name != FORGOTTEN
    )
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
        unfinished: files that could not be looked through, each with why; ask again once they can.
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
    unfinished: tuple[str, ...] = ()

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

    A mark in the data folder says what is being forgotten until all of it is. The same call again
    finishes what a crash or a damaged file has left.

    Raises:
        LockError: one of them runs.
        LogUrlError: the log is in memory.
        LogError: it cannot be read or written.
    """
    path = sqlite_path(url)
    in_place = path is not None
    if not in_place and not url.startswith("kafka://"):
        raise LogUrlError(f"log URL {url!r}: nothing but a SQLite or a Kafka log remembers")
    troubles: list[str] = []
    with ExitStack() as held:
        file = None
        if not dry_run:
            # Nobody may fold or archive the log meanwhile.
            for group, topic in (("join", OUTCOMES), ("learn", INTERACTIONS)) if in_place else ():
                for number in range(log.partitions(topic)):
                    held.enter_context(exclusive(data / "checkpoints", f"{group}-{number}"))
            held.enter_context(archive_lock(data / "archive"))
            mark = begin(data, wanted.field, wanted.placement, wanted.values, now_ms)
        if path is not None and not dry_run:
            file = SqliteLog(path, patience_seconds=PATIENCE_SECONDS)
            held.enter_context(closing(file))
        # These go first: a joiner that starts once this was killed would write them again.
        if file is not None:
            remove_unfinished(data / "checkpoints")
        joining, learning = _checkpoints(data / "checkpoints", wanted)
        if file is not None:
            for checkpoint in joining:
                checkpoint.unlink()
        found = _go_through(log, wanted, file, now_ms, progress)
        if file is not None:
            # Also where nothing was found: an earlier call may have been killed before this.
            try:
                file.compact()
            except LogUnavailable as error:
                troubles.append(str(error))
        archived = _archive(data / "archive", wanted, now_ms, troubles, dry_run=dry_run)
        spool = _spool(data / "spool", wanted, troubles)
        if not dry_run and not troubles:
            mark.unlink()
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
        unfinished=tuple(troubles),
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
    return list(found.values())


def _archive(
    directory: Path, wanted: Wanted, now_ms: int, troubles: list[str], *, dry_run: bool
) -> dict[str, int]:
    """Returns how many records of each file of the archive had the value, and takes it out.

    A file that cannot be read is noted among the troubles.
    """
    counts = {}
    if not dry_run:
        remove_unfinished(directory)
    folders = [place / topic for place in archives_in(directory) for topic in TOPICS]
    for path in (path for folder in folders for path in sorted(folder.glob("*.parquet"))):
        try:
            counts[str(path.relative_to(directory))] = rewrite_file(
                path, lambda record: rewritten(record, wanted, now_ms), dry_run=dry_run
            )
        except (ArchiveError, OSError) as error:
            troubles.append(str(error))
    return counts


def _spool(directory: Path, wanted: Wanted, troubles: list[str]) -> set[str]:
    """Returns the spools that have the value; one that cannot be read is noted as a trouble."""
    having = set()
    try:
        for place, message in spooled(directory):
            if wanted.without(message.topic, message.value) or wanted.is_in(message.value):
                having.add(str(place))
    except (SpoolError, LogError) as error:
        troubles.append(str(error))
    return having


def _checkpoints(directory: Path, wanted: Wanted) -> tuple[list[Path], list[Path]]:
    """Returns the checkpoints that have the value: the joiner's, and the others, which seem to."""
    found = sorted(directory.rglob("*")) if directory.is_dir() else ()
    files = [path for path in found if path.is_file() and path.suffix != ".lock"]
    joining = [path for path in files if path.name.startswith("join-")]
    others = [path for path in files if path not in joining]
    return (
        [path for path in joining if _joins(path, wanted)],
        [path for path in others if wanted.is_spelled_in(path.read_bytes())],
    )


def _joins(path: Path, wanted: Wanted) -> bool:
    """Returns whether a joiner's checkpoint has the value, or cannot be read, and so might."""
    if path.suffix != SUFFIX:
        return True
    try:
        entries = unpack(read_checkpoint(path, unquote(path.stem)).state).entries
    except CheckpointError:
        return True
    return any(wanted.without(DECISIONS, entry.json) is not None for entry in entries)


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

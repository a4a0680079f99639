"""Forgets a value: finds it in a log and all that was made of it, and takes it out.

A SQLite log is rewritten in place. A Kafka log cannot be: there it is said where the value is,
and what becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgspec import Struct

from streams.checkpoint import exclusive
from streams.errors import LogUrlError
from streams.events import INTERACTIONS, OUTCOMES
from streams.fold import Progress, history
from streams.forgetting.rewriting import TOPICS, SqliteFile, rewrite_archive, rewritten
from streams.forgetting.wanted import Wanted
from streams.log import Log, Record, TopicPartition
from streams.spool import spooled

SQLITE: Final = "sqlite:///"
KAFKA: Final = "kafka://"


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
    write again.

    Args:
        log: opened from the URL.
        url: the log's.
        data: the folder of checkpoints, archive and spool.
        wanted: what is to go.
        now_ms: the time that rewritten records carry.
        dry_run: only look.
        progress: told how far it is.

    Raises:
        LockError: one of them runs.
        LogUrlError: the log is in memory.
        LogError: it cannot be read or written.
    """
    if not url.startswith((SQLITE, KAFKA)):
        raise LogUrlError(f"log URL {url!r}: nothing but a SQLite or a Kafka log remembers")
    in_place = url.startswith(SQLITE)
    with ExitStack() as held:
        if in_place and not dry_run:
            _hold(held, log, data)
        path = Path(url.removeprefix(SQLITE)) if in_place and not dry_run else None
        found = _go_through(log, wanted, path, now_ms, progress)
        archive = rewrite_archive(data / "archive", wanted, now_ms, dry_run=dry_run)
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
        archive=archive,
        checkpoints_removed=tuple(str(p) for p in joining) if in_place else (),
        checkpoints_noted=tuple(str(p) for p in (learning if in_place else joining + learning)),
        spool=tuple(sorted(spool)),
        left=tuple(_left(found, in_place, bool(spool), [*joining, *learning])),
    )


def _go_through(
    log: Log, wanted: Wanted, path: Path | None, now_ms: int, progress: Progress | None
) -> list[Held]:
    """Returns where the value is; with a path, it is not there any more by then."""
    file = None if path is None else SqliteFile(path)
    found: dict[TopicPartition, Held] = {}
    try:
        for records in (batch for topic in TOPICS for batch in history(log, topic, progress)):
            changed = [new for r in records if (new := rewritten(r, wanted, now_ms)) is not None]
            if changed:
                partition = TopicPartition(*records[0][:2])
                found[partition] = _added(found.get(partition), changed)
                if file is not None:
                    file.write(partition, changed)
        if file is not None and found:
            file.compact()
    finally:
        if file is not None:
            file.close()
    return list(found.values())


def _added(held: Held | None, changed: Sequence[Record]) -> Held:
    first, last = changed[0], changed[-1]
    return Held(
        topic=first.topic,
        partition=first.partition,
        records=len(changed) + (held.records if held else 0),
        first_offset=held.first_offset if held else first.offset,
        last_offset=last.offset,
        first_ms=held.first_ms if held else first.timestamp_ms,
        last_ms=last.timestamp_ms,
    )


def _hold(held: ExitStack, log: Log, data: Path) -> None:
    """Sees to it that nobody folds the log meanwhile."""
    checkpoints = data / "checkpoints"
    for name in (
        *(f"join-{number}" for number in range(log.partitions(OUTCOMES))),
        *(f"learn-{number}" for number in range(log.partitions(INTERACTIONS))),
    ):
        held.enter_context(exclusive(checkpoints, name))
    held.enter_context(exclusive(data / "archive", "archive"))


def _checkpoints(directory: Path, wanted: Wanted) -> tuple[list[Path], list[Path]]:
    """Returns the checkpoints that seem to have the value: the joiner's, and the others."""
    having = [p for p in _files(directory) if wanted.is_in(p.read_bytes())]
    joining = [path for path in having if path.name.startswith("join-")]
    return joining, [path for path in having if path not in joining]


def _files(directory: Path) -> list[Path]:
    found = directory.rglob("*") if directory.is_dir() else ()
    return sorted(p for p in found if p.is_file() and p.suffix != ".lock")


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

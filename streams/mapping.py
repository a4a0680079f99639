"""Outcomes from anywhere: a mapping says where a record of somebody else's topic holds what.

So a team keeps its click topic and its schema as they are. A mapping is a small file, or this
struct; `streams.mapper` does what it says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from streams.errors import MappingError
from streams.events import UNREADABLE, Slot

MAX_TOPIC_LENGTH: Final = 200
"""So that the place of a record fits into an outcome's id."""
READERS: Final[dict[str, Callable[[bytes], Any]]] = {
    ".json": msgspec.json.decode,
    ".toml": msgspec.toml.decode,
    ".yaml": msgspec.yaml.decode,
    ".yml": msgspec.yaml.decode,
}


class Kind(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an outcome's kind is: one `constant`, or what is at `path`, by way of a `table`.

    A value that the table does not have is refused, or, with `others: skip`, makes no outcome.
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


class Timestamp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it says when it happened: milliseconds or seconds since 1970, or ISO 8601.

    ISO 8601 without an offset is UTC.
    """

    path: str
    unit: Literal["ms", "s", "iso"] = "ms"


class TopicMapping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the records of one topic become outcomes.

    A path is JMESPath (`payload.items[0].id`, with `||` for what to take instead), or
    `header:NAME`, or `record:key`. Nothing but these fields gets into the outcome: what else a
    record holds stays in its own topic.

    Attributes:
        topic: whose records they are.
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
    except UNREADABLE as error:
        raise MappingError(f"mapping {path}: {error}") from error

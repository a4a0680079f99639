"""What the fields of events are made of: schema versions, ids, times, raw JSON."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Raw

SCHEMA_VERSION: Final = 6
"""The newest schema, and so the newest that is read."""
FIRST_VERSION: Final = 1
"""What is written where nothing newer is used, so that older readers go on reading it."""
FALLBACK_VERSION: Final = 2
"""Before, nobody knew of a decision's `fallback`, and would learn from it."""
SHORTLIST_VERSION: Final = 3
"""Before, nobody knew of a decision's `shortlist`, and would drop it on the way to the archive."""
REACH_VERSION: Final = 4
"""Before, nobody knew of a key's `placements`, and would let it ask about all of them."""
SLATE_VERSION: Final = 5
"""Before, nobody knew of slates, and each slot's decision had the actions for itself."""
POSTED_VERSION: Final = 6
"""Before, nobody knew of a placement's `posted`, and would show what it keeps back."""

MAX_ID_LENGTH: Final = 256
EMPTY: Final = Raw(b"{}")

TimestampMs: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53)]
"""Milliseconds since 1970; bounded as JSON's own numbers are."""
Slot: TypeAlias = Annotated[int, Meta(ge=0, lt=2**16)]
"""Which of the decisions that share an event id."""

# What follows is for the schema that others read; the events check it themselves, or not at all.
Id: TypeAlias = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_ID_LENGTH})]
"""What tells one thing from others of its sort."""
Version: TypeAlias = Annotated[int, Meta(extra_json_schema={"maximum": SCHEMA_VERSION})]
"""The schema that an event was written by."""
JsonObject: TypeAlias = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
"""The bytes of one JSON object."""


def doc(text: str) -> Meta:
    """Returns the description of a field, which schemas show."""
    return Meta(description=text)


def value_at(context: object, path: str) -> str | None:
    """Returns the value at a path into a decoded context, as text; None where there is none.

    `context.user` is the same as `user`.

    >>> value_at({"user": {"id": 7}}, "context.user.id")
    '7'
    """
    value = context
    for step in path.removeprefix("context.").split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None or isinstance(value, dict | list):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def whole_number(text: str) -> int | None:
    """Returns the number that a text writes in digits, None if it is none, or beyond 2⁵³.

    So far go JSON's own numbers, and a log's offsets and times fit with room.

    >>> whole_number("42"), whole_number("-1"), whole_number("9" * 20)
    (42, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


def check_id(field: str, value: str) -> None:
    """Refuses an id that is empty or too long.

    Raises:
        ValueError: it is.
    """
    if not 0 < len(value) <= MAX_ID_LENGTH:
        raise ValueError(f"{field} has {len(value)} characters; 1 to {MAX_ID_LENGTH}")

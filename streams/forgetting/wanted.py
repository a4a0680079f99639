"""What is to be forgotten, and a record without it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from streams.errors import EventError
from streams.events import DEAD_LETTER, Decision, Event, Interaction, decode, encode
from streams.forgetting.fields import changed_at
from streams.log import Record

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
        self._spelt = [spelt for value in values for spelt in _spellings(value)]

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


def _spellings(value: object) -> set[bytes]:
    text = value if isinstance(value, str) else json.dumps(value)
    plain, escaped = text.encode(), json.dumps(text)[1:-1].encode()
    return {plain, escaped}

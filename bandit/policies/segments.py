"""Which segment a decision is of, by the fields of its context that a policy's spec names.

A policy keeps counts for each creative in each segment, so there must not be endlessly many: what
comes after the first thousand segments is taken together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from bandit.errors import FeatureError
from streams.events import Context

MOST_SEGMENTS: Final = 1000
OTHERS: Final = ""
"""The segment of all contexts whose own came too late to be kept apart."""

_encode = msgspec.json.Encoder().encode


def segment_of(context: Context, fields: Sequence[str]) -> str:
    """Returns the values of these fields, as a JSON array; null where a context has none.

    Args:
        context: one JSON object.
        fields: paths into it, keys joined by dots.

    Raises:
        FeatureError: the context is no object, or a field holds an object or an array.

    >>> segment_of(Context(b'{"device": "tv", "user": {"new": true}}'), ["device", "user.new", "x"])
    '["tv",true,null]'
    """
    try:
        top = msgspec.json.decode(context, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FeatureError(f"the context cannot be read: {error}") from error
    return _encode([_value(top, field) for field in fields]).decode()


def _value(top: dict[str, object], field: str) -> object:
    found: object = top
    for key in field.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    if isinstance(found, dict | list):
        raise FeatureError(
            f"segments are by {field}, which is an object or an array; expected a string, a "
            "number, a boolean or null"
        )
    return found


class Segments:
    """The segments that are kept apart, in the order in which they were first learned of."""

    def __init__(self, known: Sequence[str] = ()) -> None:
        self._known = dict.fromkeys(known)

    def kept(self, segment: str) -> str:
        """Returns the segment, or `OTHERS` where it would be one too many."""
        full = len(self._known) >= MOST_SEGMENTS
        return OTHERS if full and segment not in self._known else segment

    def learn(self, segment: str) -> str:
        """Returns what `kept` does, and keeps it apart from now on if that can be."""
        kept = self.kept(segment)
        if kept != OTHERS:
            self._known.setdefault(kept)
        return kept

    def to_list(self) -> list[str]:
        """Returns those that are kept apart."""
        return list(self._known)

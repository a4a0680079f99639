"""What `text_thompson` counts showings by: the segment of the context, and the delay of rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta, Struct

from bandit.errors import FeatureError, PolicyStateError
from streams.events import Context

BUCKETS: Final = 64
"""Into how many ages decisions are sorted until all of their rewards have come."""

Curve: TypeAlias = Annotated[
    list[Annotated[float, Meta(gt=0.0, le=366 * 86_400.0)]], Meta(min_length=1, max_length=64)
]
"""Delays in seconds, ascending: after the i-th of n, i / n of the rewards have come."""


class _State(Struct, array_like=True):
    """The newest bucket, and of each key how many showings wait in which."""

    now: int
    waiting: dict[str, list[tuple[int, int]]]


_decoder = msgspec.msgpack.Decoder(_State)


class DelayedFeedback:
    """How much of each creative's showings is not yet to be counted.

    A creative that went live an hour ago has few conversions because conversions take a day.
    With F the curve, a showing of age a counts as F(a): then clicks divided by showings is an
    unbiased rate at any time (Vernade et al. 2017, section 4; Chapelle 2014 has F exponential,
    which real delays are far from). Ages are known to a 64th of the longest delay. Rewards do not
    enter, so corrections change nothing here. Time is the decisions' own.

    Args:
        curve: quantiles of the delay of what is rewarded, as
            `bandit.abtests.prior.fit_delay` finds them.
        state: what `to_bytes` gave.
    """

    def __init__(self, curve: Sequence[float], state: bytes | None = None) -> None:
        self._width_ms = max(curve[-1] * 1000.0 / BUCKETS, 1.0)
        ages = (np.arange(BUCKETS) + 0.5) * self._width_ms / 1000.0
        shares = np.arange(len(curve) + 1) / len(curve)
        come = np.interp(ages, [0.0, *curve], shares)
        self._missing: list[float] = (1.0 - come).tolist()
        try:
            saved = _decoder.decode(state) if state else _State(0, {})
        except msgspec.DecodeError as error:
            raise PolicyStateError(f"not the state of waiting showings: {error}") from error
        self._now = saved.now
        self._waiting = {key: dict(buckets) for key, buckets in saved.waiting.items()}

    def learn(self, key: str, timestamp_ms: int) -> None:
        """Adds a showing of that time."""
        bucket = int(timestamp_ms // self._width_ms)
        if bucket > self._now:
            self._now = bucket
            self._forget()
        if self._now - bucket < BUCKETS:
            waiting = self._waiting.setdefault(key, {})
            waiting[bucket] = waiting.get(bucket, 0) + 1

    def missing(self, key: str) -> float:
        """Returns how many of the showings do not count yet."""
        waiting = self._waiting.get(key)
        if not waiting:
            return 0.0
        now = self._now
        # In the order of time, since a state that was loaded must add up in the same.
        return sum(self._missing[now - bucket] * waiting[bucket] for bucket in sorted(waiting))

    def to_bytes(self) -> bytes:
        """Returns the showings that still wait, by time."""
        waiting = {key: sorted(buckets.items()) for key, buckets in self._waiting.items()}
        return msgspec.msgpack.encode(_State(self._now, waiting), order="sorted")

    def _forget(self) -> None:
        oldest = self._now - BUCKETS
        for key, waiting in list(self._waiting.items()):
            for bucket in [each for each in waiting if each <= oldest]:
                del waiting[bucket]
            if not waiting:
                del self._waiting[key]


MOST_SEGMENTS: Final = 1000
"""A policy keeps counts for each creative in each; what comes after is taken together."""
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

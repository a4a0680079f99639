"""Times of other people's records: in their unit, their zone, and put together of parts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import partial
from typing import Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from streams.errors import MappingError
from streams.ingest.fields import Given, at, number, shown, whole

Unit = Literal["ns", "us", "ms", "s", "days", "iso"]
PER_MS: Final = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "days": 86_400e3}
"""How many milliseconds one of each is."""
DATE_LENGTH: Final = 10
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
LATEST_MS: Final = 2**53
AHEAD_MS: Final = 86_400_000
BEHIND_MS: Final = 366 * 86_400_000
"""A time further from its record's own has another unit or zone than the mapping says."""
WARN_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)


class Timestamp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it says when it happened: since 1970 in a unit, or ISO 8601.

    Attributes:
        path: of the time.
        unit: of a number; `days` is a date, `iso` is text.
        zone: whose wall clock shows the time, where it is not UTC (`Europe/Berlin`).
        plus: seconds to add, or the path and unit of a part that is added, as of a time of day.
        minus: likewise, to subtract.
    """

    path: str
    unit: Unit = "ms"
    zone: str | None = None
    plus: float | Timestamp = 0.0
    minus: float | Timestamp = 0.0

    def __post_init__(self) -> None:
        for part in (self.plus, self.minus):
            if isinstance(part, Timestamp) and (part.unit == "iso" or part.zone is not None):
                raise ValueError("what is added to a time is a number in a unit, without a zone")


def time_reader(timestamp: Timestamp) -> Callable[[Given], int]:
    """Returns what reads a record's time, in milliseconds since 1970.

    Raises:
        MappingError: a path cannot be read, or there is no such zone.
    """
    zone = _zone(timestamp.zone)
    moment = at("timestamp", timestamp.path, lambda found: _moment(found, timestamp.unit, zone))
    terms = [(1, timestamp.plus), (-1, timestamp.minus)]
    parts = [
        (sign, at("timestamp", part.path, partial(_in_ms, unit=part.unit)))
        for sign, part in terms
        if isinstance(part, Timestamp)
    ]
    shift_ms = sum(sign * part * 1000 for sign, part in terms if not isinstance(part, Timestamp))

    def time_of(given: Given) -> int:
        sum_ms = moment(given) + shift_ms + sum(sign * part(given) for sign, part in parts)
        return whole(float(round(sum_ms)), LATEST_MS)

    return time_of


def _zone(name: str | None) -> tzinfo:
    try:
        return UTC if name is None else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise MappingError(
            f"timestamp: there is no time zone {name!r}; expected one such as Europe/Berlin, and "
            "`pip install tzdata` where the system has none"
        ) from error


def _moment(found: object, unit: Unit, zone: tzinfo) -> float:
    """Returns the milliseconds since 1970 of a time on the clock of a zone."""
    if isinstance(found, date):  # Avro knows times and dates of its own
        day = found if isinstance(found, datetime) else datetime(found.year, found.month, found.day)
        at_ms = float((_in_zone(day, zone) - EPOCH) // MILLISECOND)
    elif unit == "iso":
        at_ms = float((_in_zone(_from_iso(found), zone) - EPOCH) // MILLISECOND)
    else:
        at_ms = _in_ms(found, unit)
        if zone is not UTC:
            whole(float(round(at_ms)), LATEST_MS)
            clock = (EPOCH + timedelta(milliseconds=at_ms)).replace(tzinfo=zone)
            at_ms = float((clock - EPOCH) // MILLISECOND)
    whole(float(round(at_ms)), LATEST_MS)
    return at_ms


def _in_ms(found: object, unit: str) -> float:
    return number(found) * PER_MS[unit]


def _from_iso(found: object) -> datetime:
    if not isinstance(found, str) or len(found) <= DATE_LENGTH:
        raise ValueError(f"{shown(found)} is no ISO 8601 time, such as 2026-11-23T10:00:00Z")
    return datetime.fromisoformat(found)


def _in_zone(moment: datetime, zone: tzinfo) -> datetime:
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


class TimeCheck:
    """Counts times that cannot be meant, and warns of them now and then.

    Args:
        topic: whose records' times they are.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._warn_at = 0.0
        self.implausible = 0

    def look(self, timestamp_ms: int, record_ms: int) -> None:
        """Looks whether a time is plausible beside that of its record."""
        ahead_ms = timestamp_ms - record_ms
        if -BEHIND_MS <= ahead_ms <= AHEAD_MS:
            return
        self.implausible += 1
        if time.monotonic() >= self._warn_at:
            self._warn_at = time.monotonic() + WARN_SECONDS
            logger.warning(
                "topic %s: a time is %.1f days %s that of its record (%d so far); see the unit and "
                "the zone of the mapping's timestamp%s",
                *(self._topic, abs(ahead_ms) / 86_400_000, "after" if ahead_ms > 0 else "before"),
                *(self.implausible, _other_unit(timestamp_ms, record_ms)),
            )


def _other_unit(timestamp_ms: int, record_ms: int) -> str:
    """Returns a hint where a unit a thousand or a million times as large or small would do."""
    for factor in (1e-6, 1e-3, 1e3, 1e6):
        if -BEHIND_MS <= timestamp_ms * factor - record_ms <= AHEAD_MS:
            size = "large" if factor < 1 else "small"
            return f" (its unit seems {max(factor, 1 / factor):,.0f} times too {size})"
    return ""

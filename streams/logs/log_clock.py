"""The log's time: the machine's clock, but never back, and on by what passed where that went back.

A clock that was ahead for a moment leaves its time in the log. From then on the log's time goes on
from there, so windows end when they should, and the difference is told until somebody accepts it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

SLEWED_MS: Final = 3_600_000
"""A log that is ahead by less goes at half speed until the clock has caught up."""
TOLERATED_MS: Final = 5_000
"""Clocks that disagree by less are as well as clocks are."""


class Moment(NamedTuple):
    """The log's time at an append, and what the machine's clock showed then."""

    log_ms: int
    wall_ms: int


class LogTime(NamedTuple):
    """The log's time now, what the machine's clock shows, and the difference that was accepted."""

    log_ms: int
    wall_ms: int
    accepted_ms: int = 0

    @property
    def ahead_ms(self) -> int:
        """How far the log's time is ahead of the clock; 0 where they agree."""
        return self.log_ms - self.wall_ms

    @property
    def disagreement(self) -> str | None:
        """What is wrong and what to do, None where the two agree or the difference was accepted."""
        if self.ahead_ms - self.accepted_ms <= TOLERATED_MS:
            return None
        found = (
            f"the log's time is {self.ahead_ms / 1000:.0f} s ahead of this machine's clock, which "
            "is wrong now or was wrong when something was appended; set it right, by NTP; "
        )
        if self.ahead_ms <= SLEWED_MS:
            return f"{found}once it is, it catches up in {self.ahead_ms / 500:.0f} s by itself"
        return f"{found}once it is, accept the difference with `copyloop streams clock --accept`"


class LogClock:
    """Tells the log's time from the latest append, whichever process made that.

    Args:
        wall_ms: the machine's clock, in milliseconds since 1970.
        elapsed_seconds: a clock that nobody sets, from any start.
    """

    def __init__(
        self,
        wall_ms: Callable[[], int],
        elapsed_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall_ms = wall_ms
        self._elapsed_seconds = elapsed_seconds
        self._appended_at: float | None = None

    def after(self, latest: Moment) -> Moment:
        """Returns the time of an append that would be made now, after the latest one.

        >>> LogClock(lambda: 1_000).after(Moment(900, 900))
        Moment(log_ms=1000, wall_ms=1000)
        >>> LogClock(lambda: 1_000).after(Moment(10_000_000, 600))
        Moment(log_ms=10000400, wall_ms=1000)
        """
        wall_ms = self._wall_ms()
        if wall_ms >= latest.log_ms:
            return Moment(wall_ms, wall_ms)
        if wall_ms < latest.wall_ms:
            return Moment(latest.log_ms, wall_ms)
        passed_ms = wall_ms - latest.wall_ms
        if self._appended_at is not None:
            # The latest append was no earlier than ours: a clock set forward counts as no more.
            since_ours_ms = round(1000 * (self._elapsed_seconds() - self._appended_at))
            # And one more, which half speed may have left over.
            passed_ms = min(passed_ms, since_ours_ms + 1)
        if latest.log_ms - wall_ms > SLEWED_MS:
            return Moment(latest.log_ms + passed_ms, wall_ms)
        return Moment(latest.log_ms + passed_ms // 2, wall_ms - passed_ms % 2)

    def appended(self, latest: Moment, now: Moment, newest_ms: int) -> Moment:
        """Notes that this process has appended at `now`, up to `newest_ms`; returns the latest."""
        if newest_ms < latest.log_ms:
            # History that was written back is no news of the time.
            return latest
        self._appended_at = self._elapsed_seconds()
        return Moment(newest_ms, now.wall_ms)

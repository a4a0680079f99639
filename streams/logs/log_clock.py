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


class Asked(NamedTuple):
    """The time of an append, and when it was asked for by a clock that nobody sets."""

    moment: Moment
    at_seconds: float


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

    Any thread may ask for the time while another appends.

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
        self._ours: Asked | None = None
        """The latest append of this process; set at once, for others read it meanwhile."""

    def after(self, latest: Moment) -> Moment:
        """Returns the time of an append that would be made now, after the latest one.

        >>> LogClock(lambda: 1_000).after(Moment(900, 900))
        Moment(log_ms=1000, wall_ms=1000)
        >>> LogClock(lambda: 1_000).after(Moment(10_000_000, 600))
        Moment(log_ms=10000400, wall_ms=1000)
        """
        return self.ask(latest).moment

    def ask(self, latest: Moment) -> Asked:
        """Returns what `after` does, with what `appended` needs to know."""
        asked_at = self._elapsed_seconds()
        return Asked(self._after(latest, self._wall_ms(), asked_at, self._ours), asked_at)

    def _after(self, latest: Moment, wall_ms: int, asked_at: float, ours: Asked | None) -> Moment:
        if ours is not None and ours.moment.log_ms > latest.log_ms:
            # Another thread has appended, and not said so in the file yet.
            latest = ours.moment
        if wall_ms >= latest.log_ms:
            return Moment(wall_ms, wall_ms)
        if wall_ms < latest.wall_ms:
            return Moment(latest.log_ms, wall_ms)
        passed_ms = wall_ms - latest.wall_ms
        if ours is not None:
            # The latest append was no earlier than ours: a clock set forward counts as no more.
            since_ours_ms = round(1000 * (asked_at - ours.at_seconds))
            # And one more, which half speed may have left over.
            passed_ms = min(passed_ms, since_ours_ms + 1)
        if latest.log_ms - wall_ms > SLEWED_MS:
            return Moment(latest.log_ms + passed_ms, wall_ms)
        return Moment(latest.log_ms + passed_ms // 2, wall_ms - passed_ms % 2)

    def appended(self, latest: Moment, asked: Asked, newest_ms: int) -> Moment:
        """Returns the latest append, which is now this process's, asked for before."""
        if newest_ms < latest.log_ms:
            # History that was written back is no news of the time.
            return latest
        # When it was asked for: to make it durable took time, too.
        moment = Moment(newest_ms, asked.moment.wall_ms)
        self._ours = Asked(moment, asked.at_seconds)
        return moment

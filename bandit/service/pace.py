"""How often a costly step may run, so that it leaves most of the time to the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SHARE: Final = 0.05
LONGEST_SECONDS: Final = 30.0
"""No step is put off for longer: one that took a minute may have waited for a broker."""


class Pace:
    """Spaces a step: at least so long apart, at most `LONGEST_SECONDS`.

    In between, so that it takes at most `SHARE` of the time.

    Args:
        interval_seconds: from the beginning of one run to that of the next, at least.
        clock: the time in seconds, from any start.
        cost_clock: what a run costs, in seconds: the same clock, or one of processor time, by
            which waiting for others costs nothing.
    """

    def __init__(
        self,
        interval_seconds: float,
        clock: Callable[[], float],
        cost_clock: Callable[[], float],
    ) -> None:
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._cost_clock = cost_clock
        self._due_at = clock()

    def wait_seconds(self) -> float:
        """Returns how long until the step is due; 0 when it is."""
        return max(self._due_at - self._clock(), 0.0)

    def run(self, step: Callable[[], None]) -> None:
        """Runs the step, and puts off the next by what it cost."""
        started_at, cost = self._clock(), -self._cost_clock()
        step()
        cost += self._cost_clock()
        self._due_at = started_at + min(max(self._interval_seconds, cost / SHARE), LONGEST_SECONDS)

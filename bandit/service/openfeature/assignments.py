"""Which creative each user keeps, as this replica knows it: a fold over the assignments.

What other replicas gave a user is read when it is asked for and not known yet, so that all
replicas tell a user the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from streams.assignments import Assignment
from streams.errors import EventError
from streams.events import ASSIGNMENTS, decode, encode
from streams.fold import Follower, scan
from streams.log import Log, Message, TopicPartition

logger = logging.getLogger(__name__)

PARTITION: Final = TopicPartition(ASSIGNMENTS, 0)
LOOK_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 60.0
"""How often what is over is dropped from memory."""


class Assignments:
    """The assignments of one log that are not over; safe to use from several threads."""

    def __init__(self, log: Log, clock_ms: Callable[[], int]) -> None:
        self._log = log
        self._clock_ms = clock_ms
        self._offset = 0
        self._by_user: dict[str, dict[str, Assignment]] = {}
        self._looking = threading.Lock()
        self._swept_at = time.monotonic()
        self._follower = Follower("assignments", self._look, every_seconds=LOOK_SECONDS)

    def of(self, user: str) -> dict[str, Assignment]:
        """Returns what a user has now, by placement."""
        now_ms = self._clock_ms()
        found = dict(self._by_user.get(user, {}))
        return {name: kept for name, kept in found.items() if kept.until_ms > now_ms}

    def start(self) -> None:
        """Reads the assignments, then follows them until `stop`.

        Raises:
            LogError: the log cannot be read.
        """
        self._offset = self._log.start_offset(PARTITION)
        self.catch_up()
        self._follower.start()

    def stop(self) -> None:
        """Stops following; what is known stays as it is."""
        self._follower.stop()

    def catch_up(self) -> None:
        """Takes in what the log says by now.

        Raises:
            LogUnavailable: the log cannot be reached.
        """
        with self._looking:
            for record in scan(self._log, PARTITION, self._offset):
                self._take(record.value)
                self._offset = record.offset + 1

    def _take(self, value: bytes) -> None:
        try:
            event = decode(value)
        except EventError as error:
            logger.error("a record of %s is no assignment, and is left out: %s", ASSIGNMENTS, error)
            return
        if isinstance(event, Assignment):
            self._by_user.setdefault(event.user, {})[event.placement] = event

    def add(self, assignment: Assignment) -> None:
        """Takes in what this replica has just written, before it is read back."""
        with self._looking:
            self._by_user.setdefault(assignment.user, {})[assignment.placement] = assignment

    def _look(self) -> None:
        self.catch_up()
        if time.monotonic() - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            self._sweep()

    def _sweep(self) -> None:
        now_ms = self._clock_ms()
        with self._looking:
            self._by_user = {
                user: left
                for user, kept in self._by_user.items()
                if (left := {name: a for name, a in kept.items() if a.until_ms > now_ms})
            }


def assignment_message(assignment: Assignment) -> Message:
    """Returns the message that puts an assignment into the log, where it replaces the last one."""
    return Message(ASSIGNMENTS, assignment.key, encode(assignment), partition=0)

"""Which creative each user keeps, as this replica knows it: a fold over the assignments.

What other replicas gave a user is read when it is asked for and not known yet, so that all
replicas tell a user the same.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from streams.assignments import Assignment
from streams.errors import EventError, LogUnavailable
from streams.events import ASSIGNMENTS, decode, encode
from streams.log import Log, Message, TopicPartition

logger = logging.getLogger(__name__)

PARTITION: Final = TopicPartition(ASSIGNMENTS, 0)
LOOK_SECONDS: Final = 1.0
SWEEP_LOOKS: Final = 60
"""After how many looks what is over is dropped from memory."""


class Assignments:
    """The assignments of one log that are not over; safe to use from several threads."""

    def __init__(self, log: Log, clock_ms: Callable[[], int]) -> None:
        self._log = log
        self._clock_ms = clock_ms
        self._offset = 0
        self._by_user: dict[str, dict[str, Assignment]] = {}
        self._looking = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="assignments", daemon=True)

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
        self._thread.start()

    def stop(self) -> None:
        """Stops following; what is known stays as it is."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def catch_up(self) -> None:
        """Takes in what the log says by now.

        Raises:
            LogUnavailable: the log cannot be reached.
        """
        with self._looking:
            while records := self._log.read(PARTITION, self._offset):
                for record in records:
                    self._take(record.value)
                self._offset = records[-1].offset + 1

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

    def _follow(self) -> None:
        looks, away = 0, False
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self.catch_up()
                away = False
            except LogUnavailable as error:
                if not away:
                    logger.warning("assignments are not followed for now: %s", error)
                away = True
            looks += 1
            if looks % SWEEP_LOOKS == 0:
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

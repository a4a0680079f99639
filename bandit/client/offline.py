"""Retries, and the baseline that a client shows while the server is away.

No policy drew a baseline, so nothing may be learned from it: its event id marks it, and outcomes
that are reported of it are dropped.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from bandit.client.errors import ApiError, ClientError, Unreachable
from bandit.client.wire import Call, Decision, SlotDecision, SlotDecisions

PREFIX: Final = "offline-"
"""How the event id of a decision begins that no server made."""

PASSING: Final = frozenset({429, 502, 503, 504})
"""Statuses that say nothing was done, and that it may be later."""


class Retries(Struct, frozen=True, kw_only=True):
    """How often a request is sent, and the longest waits between.

    The wait before the n-th repetition is drawn evenly from 0 to `first_seconds` x 2ⁿ, at most
    `longest_seconds`, so that many clients do not come back all at once; or it is what the API's
    `Retry-After` says, if that is not longer.
    """

    attempts: int = 3
    first_seconds: float = 0.1
    longest_seconds: float = 2.0

    def wait_seconds(self, call: Call, attempt: int, error: ClientError) -> float:
        """Returns how long to wait before sending it again; raises the error if it is the end.

        Args:
            call: what was sent.
            attempt: how often it was sent before this one, from 0.
            error: what came of it.

        Raises:
            ClientError: the error, where another attempt may do harm or is one too many.
        """
        passing = isinstance(error, Unreachable) or (
            isinstance(error, ApiError) and error.status in PASSING
        )
        harmless = call.repeatable or (isinstance(error, Unreachable) and not error.sent)
        if not passing or not harmless or attempt + 1 >= self.attempts:
            raise error
        asked = getattr(error, "retry_after_seconds", None)
        if asked is not None and asked <= self.longest_seconds:
            return float(asked)
        return random.uniform(0.0, min(self.first_seconds * 2.0**attempt, self.longest_seconds))


class Baseline(Struct, frozen=True):
    """A creative that may always be shown: its id and its text by part."""

    creative_id: str
    parts: dict[str, str] = {}


class Offline(Struct, frozen=True, kw_only=True):
    """How to go on without the server.

    Attributes:
        spool: the folder in which outcomes wait on disk; one process at a time holds it.
        baselines: what each placement shows. A placement that is left out shows the first of
            the actions that the caller brings, and fails where it brings none.
        retry_seconds: for how long after a failure the server is not asked for decisions.
        max_bytes: how much may wait on disk.
    """

    spool: Path | str
    baselines: Mapping[str, Baseline] = {}
    retry_seconds: float = 1.0
    max_bytes: int = 256 << 20

    def decision(
        self, placement: str, actions: Sequence[Mapping[str, Any]] | None
    ) -> Decision | None:
        """Returns the baseline as a decision, None if there is none for the placement."""
        chosen = self.baselines.get(placement)
        if chosen is None and actions:
            chosen = Baseline(str(actions[0]["id"]))
        if chosen is None:
            return None
        return Decision(**_unmade(placement), **_certain(chosen))

    def slot_decisions(
        self,
        placement: str,
        slots: Sequence[Mapping[str, Any]],
        actions: Sequence[Mapping[str, Any]] | None,
    ) -> SlotDecisions | None:
        """Returns each slot's first action that is left, None if the caller brings too few."""
        left = [str(action["id"]) for action in actions or ()]
        chosen: list[SlotDecision] = []
        for number, slot in enumerate(slots):
            excluded = slot.get("excluded", ())
            own = next((action for action in left if action not in excluded), None)
            if own is None:
                return None
            left.remove(own)
            shown = _certain(Baseline(own))
            chosen.append(SlotDecision(slot=number, id=str(slot["id"]), **shown))
        return SlotDecisions(**_unmade(placement), slots=tuple(chosen))


class Away:
    """Whether the server was found to be away a moment ago."""

    def __init__(
        self, retry_seconds: float, clock_seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._retry_seconds = retry_seconds
        self._clock_seconds = clock_seconds
        self._until = float("-inf")

    def __bool__(self) -> bool:
        """Returns True if the server should not be asked now."""
        return self._clock_seconds() < self._until

    def found(self) -> None:
        """Remembers that no answer came."""
        self._until = self._clock_seconds() + self._retry_seconds


def is_offline(event_id: str) -> bool:
    """Returns whether an event is one that no server knows.

    >>> is_offline("offline-01"), is_offline("01935d3ac1f0")
    (True, False)
    """
    return event_id.startswith(PREFIX)


def _unmade(placement: str) -> dict[str, Any]:
    """Returns the fields of an event that no server knows."""
    event_id = f"{PREFIX}{os.urandom(16).hex()}"
    told = {"event_id": event_id, "placement": placement, "policy_version": ""}
    return {**told, "source": "baseline", "logged": False}


def _certain(shown: Baseline) -> dict[str, Any]:
    """Returns the fields of a choice that is always this one."""
    chosen = {"creative_id": shown.creative_id, "parts": shown.parts, "index": 0}
    return {**chosen, "propensity": 1.0, "pmf": {shown.creative_id: 1.0}}

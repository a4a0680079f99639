"""When to try again, and how long to wait before."""

from __future__ import annotations

import random
from typing import Final

from msgspec import Struct

from bandit.client.errors import ApiError, ClientError, Unreachable
from bandit.client.wire import Call

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

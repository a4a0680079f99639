"""The keys as this replica knows them, kept up to date with the log.

They live in a topic of their own in the log: every replica follows it anyway, so a key that is
made, rotated or revoked on one holds on all within a second, and there is no file to hand round.
It is not the catalogue, which more processes may read than need to know of keys.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from bandit.service.security.caller import Caller
from bandit.service.security.keys import is_active, verified
from streams.access import ApiKey
from streams.errors import EventError
from streams.events import ACCESS, decode
from streams.fold import Follower, scan
from streams.log import Log, TopicPartition

logger = logging.getLogger(__name__)

PARTITION: Final = TopicPartition(ACCESS, 0)
LOOK_SECONDS: Final = 0.25


class _Known(NamedTuple):
    """The keys of one moment, and the callers that showed one of them since."""

    keys: dict[str, ApiKey]
    callers: dict[bytes, Caller]


class KeyRing:
    """The keys of one log; followed in a thread, asked from one event loop."""

    def __init__(self, log: Log, clock_ms: Callable[[], int]) -> None:
        self._log = log
        self._clock_ms = clock_ms
        self._offset = 0
        self._known = _Known({}, {})
        self._looking = threading.Lock()
        self._follower = Follower("keys", self.catch_up, every_seconds=LOOK_SECONDS)

    @property
    def has_keys(self) -> bool:
        """Whether there has ever been a key: the last one's end does not open the door."""
        return bool(self._known.keys)

    @property
    def following(self) -> bool:
        """Whether the thread that keeps this up to date is alive."""
        return self._follower.following

    def every(self) -> list[ApiKey]:
        """Returns every key, revoked ones too, in the order in which they were made."""
        return sorted(self._known.keys.values(), key=lambda key: (key.created_ms, key.id))

    def key(self, key_id: str) -> ApiKey | None:
        """Returns the key of that id, None if there is none."""
        return self._known.keys.get(key_id)

    def active(self) -> list[ApiKey]:
        """Returns the keys that open something."""
        now_ms = self._clock_ms()
        return [key for key in self.every() if is_active(key, now_ms)]

    def caller(self, presented: bytes) -> Caller | None:
        """Returns whose key this is, None if it is nobody's.

        A key that was right is remembered until the next change of any, so that most requests
        cost a look into a dict; one that is wrong is not.
        """
        # One moment's keys and what they led to, for the other thread replaces both at once.
        known = self._known
        caller = known.callers.get(presented)
        if caller is None:
            caller = verified(presented, known.keys, self._clock_ms())
            if caller is not None:
                known.callers[presented] = caller
        return caller

    def start(self) -> None:
        """Reads the keys, then follows them until `stop`.

        Raises:
            LogError: the log cannot be read.
        """
        self.catch_up()
        self._follower.start()

    def stop(self) -> None:
        """Stops following; what is known stays as it is."""
        self._follower.stop()

    def catch_up(self) -> None:
        """Takes in what the log says of keys by now, and forgets whose time is over."""
        with self._looking:
            keys, offset = dict(self._known.keys), self._offset
            for record in scan(self._log, PARTITION, offset):
                self._take(record.value, keys)
                offset = record.offset + 1
            self._offset = offset
            if keys != self._known.keys or self._over():
                self._known = _Known(keys, {})

    def _take(self, value: bytes, keys: dict[str, ApiKey]) -> None:
        try:
            event = decode(value)
        except EventError as error:
            logger.error("a record of %s is no key, and is left out: %s", ACCESS, error)
            return
        if isinstance(event, ApiKey):
            keys[event.id] = event

    def _over(self) -> bool:
        """Returns whether a key, or a secret of one, may have reached its end since."""
        known = self._known
        return bool(known.callers) and any(
            key.expires_ms is not None or any(secret.until_ms for secret in key.secrets)
            for key in known.keys.values()
        )

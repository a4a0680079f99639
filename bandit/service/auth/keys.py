"""API keys: making them, and telling a right secret from a wrong one.

A key is `cl_ID_SECRET`. The secret is 32 random bytes of our own making, never a password of
somebody's choosing, so a fast keyed hash is as hard to turn back as a slow one, and a wrong key
costs the server microseconds rather than the milliseconds that would make it easy to drown.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from bandit.errors import RequestError
from bandit.service.auth.caller import Caller, including
from streams.catalogue.audit_log import act_message
from streams.errors import EventError
from streams.events import ACCESS, Event, decode, encode
from streams.events.access import ApiKey, KeySecret, Scope
from streams.events.fields import FIRST_VERSION, REACH_VERSION
from streams.fold import Follower, scan
from streams.logs.base import Log, Message, Record, TopicPartition

PREFIX: Final = "cl"
SECRET_BYTES: Final = 32
DIGEST_BYTES: Final = 32
SALT_BYTES: Final = 16
ID_BYTES: Final = 6
GRACE_SECONDS: Final = 86_400.0
"""How long a secret goes on working after its key was rotated, unless told otherwise."""
_KEY: Final = re.compile(rb"cl_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


def make_key(
    name: str,
    scopes: Iterable[Scope],
    now_ms: int,
    *,
    lasts_seconds: float | None = None,
    rate_per_second: float | None = None,
    placements: Iterable[str] | None = None,
) -> tuple[ApiKey, str]:
    """Returns a new key and its text, which is nowhere else: whoever loses it makes another."""
    key_id = secrets.token_hex(ID_BYTES)
    text, secret = _new_secret(key_id)
    own = None if placements is None else tuple(dict.fromkeys(placements))
    key = ApiKey(
        id=key_id,
        name=name,
        scopes=tuple(dict.fromkeys(scopes)),
        secrets=(secret,),
        created_ms=now_ms,
        expires_ms=None if lasts_seconds is None else now_ms + round(lasts_seconds * 1000),
        rate_per_second=rate_per_second,
        placements=UNSET if own is None else own,
        v=FIRST_VERSION if own is None else REACH_VERSION,
    )
    return key, text


def rotated(
    key: ApiKey, now_ms: int, *, grace_seconds: float = GRACE_SECONDS
) -> tuple[ApiKey, str]:
    """Returns the key with a new secret, and its text; the old one works for the grace yet.

    Raises:
        RequestError: `key_revoked`.
    """
    if key.revoked_ms is not None:
        raise RequestError(409, "key_revoked", f"key {key.id!r} was revoked; make another")
    text, secret = _new_secret(key.id)
    until_ms = now_ms + round(grace_seconds * 1000)
    still = [
        KeySecret(old.digest, old.salt, min(until_ms, old.until_ms or until_ms))
        for old in key.secrets
        if old.until_ms is None or old.until_ms > now_ms
    ]
    return msgspec.structs.replace(key, secrets=(secret, *still)), text


def revoked(key: ApiKey, now_ms: int) -> ApiKey:
    """Returns the key as one that opens nothing any more."""
    return key if key.revoked_ms is not None else msgspec.structs.replace(key, revoked_ms=now_ms)


def is_active(key: ApiKey, now_ms: int) -> bool:
    """Returns whether the key opens anything."""
    return key.revoked_ms is None and (key.expires_ms is None or key.expires_ms > now_ms)


def verified(presented: bytes, keys: Mapping[str, ApiKey], now_ms: int) -> Caller | None:
    """Returns whose key this is, None if it is nobody's."""
    found = _KEY.fullmatch(presented)
    key = None if found is None else keys.get(found[1].decode())
    if found is None or key is None or not is_active(key, now_ms):
        return None
    for secret in key.secrets:
        in_time = secret.until_ms is None or secret.until_ms > now_ms
        if in_time and hmac.compare_digest(digest_of(found[2], secret.salt), secret.digest):
            own = None if key.placements is UNSET else key.placements
            return Caller(f"key:{key.id}", including(key.scopes), key.rate_per_second, own)
    return None


def digest_of(secret: bytes, salt: bytes) -> bytes:
    """Returns the keyed hash that a secret is recognised by."""
    return hashlib.blake2b(secret, key=salt, digest_size=DIGEST_BYTES).digest()


def key_messages(
    who: str, what: str, before: ApiKey | None, after: ApiKey, now_ms: int
) -> list[Message]:
    """Returns the messages that record the act, and make the key known as it is now."""
    told = None if before is None else described(before)
    act = act_message(who, f"key {what}", after.id, now_ms, before=told, after=described(after))
    return [act, Message(ACCESS, after.id.encode(), encode(after), partition=0)]


def described(key: ApiKey) -> dict[str, object]:
    """Returns what anyone may know of a key: all but what its secrets are recognised by."""
    told: dict[str, object] = msgspec.to_builtins(key)
    return {name: told[name] for name in told if name not in ("secrets", "v", "type")}


def _new_secret(key_id: str) -> tuple[str, KeySecret]:
    secret, salt = secrets.token_urlsafe(SECRET_BYTES), secrets.token_bytes(SALT_BYTES)
    return f"{PREFIX}_{key_id}_{secret}", KeySecret(digest_of(secret.encode(), salt), salt)


logger = logging.getLogger(__name__)

PARTITION: Final = TopicPartition(ACCESS, 0)
LOOK_SECONDS: Final = 0.25


class _Known(NamedTuple):
    """The keys of one moment, the callers that showed one of them since, and what is no key.

    `unreadable` are the keys, by the name of their records, of which the latest record cannot be
    read: they open nothing, and they show that there were keys.
    """

    keys: dict[str, ApiKey]
    callers: dict[bytes, Caller]
    unreadable: frozenset[bytes] = frozenset()


def _event(record: Record) -> Event | None:
    """Returns what the record of a key says, None if that cannot be read."""
    try:
        return decode(record.value)
    except EventError as error:
        logger.error("record %r of %s is no key, and opens nothing: %s", record.key, ACCESS, error)
        return None


class KeyRing:
    """The keys of one log; followed in a thread, asked from one event loop."""

    def __init__(self, log: Log, clock_ms: Callable[[], int]) -> None:
        self._log = log
        self._clock_ms = clock_ms
        self._offset = 0
        self._known = _Known({}, {})
        self._looking = threading.Lock()
        self._follower = Follower("keys", self.catch_up, every_seconds=LOOK_SECONDS)
        self.stop = self._follower.stop

    @property
    def has_keys(self) -> bool:
        """Whether there has ever been a key: the last one's end does not open the door.

        Nor does a record of one that cannot be read.
        """
        return bool(self._known.keys or self._known.unreadable)

    @property
    def unreadable(self) -> int:
        """How many keys open nothing, since their latest record cannot be read."""
        return len(self._known.unreadable)

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

    def catch_up(self) -> None:
        """Takes in what the log says of keys by now, and forgets whose time is over."""
        with self._looking:
            keys, unreadable = dict(self._known.keys), set(self._known.unreadable)
            offset = self._offset
            for record in scan(self._log, PARTITION, offset):
                offset = record.offset + 1
                unreadable.discard(record.key)
                event = _event(record)
                if isinstance(event, ApiKey):
                    keys[event.id] = event
                else:
                    # It may have said that the key was revoked.
                    keys.pop(record.key.decode(errors="replace"), None)
                    unreadable.add(record.key)
            self._offset = offset
            known = _Known(keys, {}, frozenset(unreadable))
            if self._known[::2] != known[::2] or self._over():
                self._known = known

    def _over(self) -> bool:
        """Returns whether a key, or a secret of one, may have reached its end since."""
        known = self._known
        return bool(known.callers) and any(
            key.expires_ms is not None or any(secret.until_ms for secret in key.secrets)
            for key in known.keys.values()
        )

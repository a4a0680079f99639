"""What a placement keeps from the log, and whom it takes rewards from.

Private fields of a context become keyed hashes before a policy or the log sees them; equal values
stay equal. Event ids of a signed placement end with a signature: only who was answered with one, or
holds the secret, can say what came of it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, Final

import msgspec
from msgspec import Raw

from bandit.errors import RequestError, SettingError
from bandit.service.settings import Secret
from streams.events import MAX_ID_LENGTH, Placement
from streams.json_values import changed_at

SEPARATOR: Final = "~"
SIGNATURE_BYTES: Final = 16
SIGNATURE_LENGTH: Final = 22
"""How many characters it has in base64."""
LONGEST_ID: Final = MAX_ID_LENGTH - SIGNATURE_LENGTH - len(SEPARATOR)
SHORTEST_SECRET: Final = 16
HIDDEN: Final = "hidden:"
"""What a hashed value begins with."""
HASH_BYTES: Final = 12

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class PrivacyFilter:
    """The two secrets, and what is done with them.

    Args:
        salt: what private fields are hashed by; a change of it makes all of them new values.
        signing: what event ids are signed by; of several, with space between, the first signs
            and all of them hold, so that one can be replaced.

    Raises:
        SettingError: a secret is so short that it could be guessed.
    """

    def __init__(self, salt: Secret, signing: Secret) -> None:
        self._salt = _key(_long_enough("private_salt", salt.reveal()))
        self._signing = [
            _long_enough("reward_secret", secret).encode() for secret in signing.reveal().split()
        ]

    def check(self, placement: Placement) -> None:
        """Refuses a placement that this server lacks the secrets for.

        Raises:
            RequestError: `private_salt_missing` or `reward_secret_missing`.
        """
        if not placement.protection:
            return
        if placement.protection.private and not self._salt:
            raise _missing("private_salt", placement.name, "has private fields")
        if placement.protection.signed_rewards and not self._signing:
            raise _missing("reward_secret", placement.name, "takes signed rewards only")

    def hidden(self, placement: Placement, context: Raw) -> Raw:
        """Returns the context with the placement's private fields hashed.

        Raises:
            RequestError: `private_salt_missing`.
        """
        if not placement.protection or not placement.protection.private:
            return context
        self.check(placement)
        for path in placement.protection.private:
            context = changed_at(context, path.split("."), self._hidden)
        return context

    def hash_of(self, value: object) -> str:
        """Returns what stands for a value in the log: the same for equal values."""
        digest = hashlib.blake2b(_encode(value), key=self._salt, digest_size=HASH_BYTES)
        return f"{HIDDEN}{digest.hexdigest()}"

    def event_id(self, placement: Placement, given: str | None, made: str) -> str:
        """Returns the id of a decision: the one given, or else the one made, signed if need be.

        Raises:
            RequestError: `event_id_unsigned`: whoever chose it could have others' signed, too;
                `reward_secret_missing`.
        """
        if not placement.protection or not placement.protection.signed_rewards:
            return made if given is None else given
        self.check(placement)
        if given is None:
            return f"{made}{SEPARATOR}{signature(self._signing[0], placement.name, made)}"
        self.check_signed(placement, given, "event_id_unsigned")
        return given

    def check_signed(
        self, placement: Placement, event_id: str, code: str = "reward_unsigned"
    ) -> None:
        """Refuses an event id that the placement wants signed, and is not.

        Raises:
            RequestError: the code; `reward_secret_missing`.
        """
        if not placement.protection or not placement.protection.signed_rewards:
            return
        self.check(placement)
        named, _, shown = event_id.rpartition(SEPARATOR)
        right = [
            hmac.compare_digest(
                signature(secret, placement.name, named).encode(), shown.encode("utf-8", "replace")
            )
            for secret in self._signing
        ]
        if not (named and any(right)):
            raise RequestError(
                403,
                code,
                f"placement {placement.name!r} takes signed event ids only: the one that rank "
                "answered with, as it is; or leave event_id out, and rank makes one",
                target="event_id",
            )

    def _hidden(self, value: Raw) -> Raw:
        return Raw(_encode(self._hashed(_decode(value))))

    def _hashed(self, value: Any) -> Any:
        """Returns a value with everything in it hashed; its shape is not what it keeps private."""
        if isinstance(value, dict):
            return {name: self._hashed(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._hashed(inner) for inner in value]
        return None if value is None else self.hash_of(value)


def signature(secret: bytes, placement: str, event_id: str) -> str:
    """Returns the signature of an event id, which a backend that holds the secret can make too.

    It is the first 16 bytes of HMAC-SHA256 over placement, a zero byte and id, in base64 for
    URLs without padding.

    >>> signature(b"0123456789abcdef", "home", "e1")
    'f39JSLNFfI2d1DyONKqe0g'
    """
    said = f"{placement}\0{event_id}".encode("utf-8", "surrogatepass")
    digest = hmac.new(secret, said, hashlib.sha256).digest()[:SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _long_enough(name: str, secret: str) -> str:
    if secret and len(secret) < SHORTEST_SECRET:
        raise SettingError(
            f"COPYLOOP_{name.upper()} has {len(secret)} characters; {SHORTEST_SECRET} or more, "
            "such as `openssl rand -hex 32` prints"
        )
    return secret


def _key(salt: str) -> bytes:
    """Returns the salt as a key of the length that BLAKE2b takes, empty if there is none."""
    return hashlib.sha512(salt.encode()).digest() if salt else b""


def _missing(name: str, placement: str, what: str) -> RequestError:
    return RequestError(
        503,
        f"{name}_missing",
        f"placement {placement!r} {what}, and the server was started without "
        f"COPYLOOP_{name.upper()}; set it, or COPYLOOP_{name.upper()}_FILE",
    )

"""The bytes of every policy: its spec and its state, under one checksum.

A damaged model may well load and answer nonsense, so nothing is read before the checksum says
that it is what was written. Equal specs and states give equal bytes.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from bandit.errors import PolicyStateError
from streams.events import PolicySpec

MAGIC: Final = b"copyloop policy 1\n"
DIGEST_SIZE: Final = 16

_decoder = msgspec.msgpack.Decoder(tuple[PolicySpec, bytes])


def seal(spec: PolicySpec, state: bytes) -> bytes:
    """Returns the bytes that hold both; dicts are sorted by key."""
    body = msgspec.msgpack.encode((spec, state), order="sorted")
    return MAGIC + _digest(body) + body


def unseal(data: bytes) -> tuple[PolicySpec, bytes]:
    """Returns the spec and the state that `seal` was given.

    Raises:
        PolicyStateError: these are not a policy's bytes, or not all of them, or damaged ones.
    """
    start = len(MAGIC) + DIGEST_SIZE
    if not data.startswith(MAGIC):
        raise PolicyStateError(
            f"policy bytes start with {data[: len(MAGIC)]!r}, expected {MAGIC!r}: "
            "not a policy, or one of another format"
        )
    body = data[start:]
    if _digest(body) != data[len(MAGIC) : start]:
        raise PolicyStateError(
            f"{len(data)} policy bytes do not match their checksum; "
            "take an earlier snapshot, or fold the log anew"
        )
    return _decoder.decode(body)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_SIZE).digest()

"""The hash by which Kafka's clients, Java's first, spread keys over partitions.

kafka-python has it too, byte by byte; every message that we append is hashed, so ours takes
four bytes at a step.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Final

SEED: Final = 0x9747B28C
FACTOR: Final = 0x5BD1E995
MASK: Final = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """Returns MurmurHash2 of the key, from 0 to 2**32 - 1.

    >>> hex(murmur2(b"event-1"))
    '0xac226c32'
    """
    state = SEED ^ len(key)
    for word in unpack_from(f"<{len(key) >> 2}I", key):
        word = word * FACTOR & MASK
        state = (state * FACTOR ^ (word ^ word >> 24) * FACTOR) & MASK
    if rest := key[len(key) & ~3 :]:
        state = (state ^ int.from_bytes(rest, "little")) * FACTOR & MASK
    state = (state ^ state >> 13) * FACTOR & MASK
    return state ^ state >> 15

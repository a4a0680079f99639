"""How large a JSON text is, without parsing it: how deep it nests, and how many values it holds.

These are asked of bytes that nobody has checked yet. So each looks at every byte a fixed number of
times, whatever the bytes are, well-formed or not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_COUNTED: Final = np.zeros(256, dtype=np.bool_)
_COUNTED[list(b",[{")] = True
_QUOTE: Final = ord('"')
_STEP: Final = np.zeros(256, dtype=np.int8)
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1


FEW_QUOTES: Final = 64
"""With fewer than one quote in so many bytes, it is quicker to split a text at them."""


def nesting(text: bytes) -> int:
    """Returns how many brackets of well-formed JSON are open at once, at most.

    >>> nesting(b'{"a": [[1], "[[["]}')
    3
    """
    # Nothing nests deeper than it has opening brackets, and none may be open.
    return max(int(np.cumsum(_STEP[_outside_strings(text)], dtype=np.int32).max(initial=0)), 0)


def count_values(text: bytes) -> int:
    """Returns how many values a JSON text holds: scalars, arrays and objects.

    In well-formed JSON that is one more than the commas and opening brackets outside its strings,
    but for empty arrays and objects, which count twice.

    >>> count_values(b'{"a": [1, "2, 3"], "b": true}')
    5
    """
    return int(np.count_nonzero(_COUNTED[_outside_strings(text)])) + 1


def has_more_values(text: bytes, most: int) -> bool:
    """Returns whether a JSON text holds more than `most` values; quick where it is far from that.

    >>> has_more_values(b"[1, 2, 3]", 3), has_more_values(b'["1, 2, 3"]', 3)
    (True, False)
    """
    if len(text) <= most:  # a value takes a byte
        return False
    marks = text.count(b",") + text.count(b"[") + text.count(b"{")
    return marks >= most and count_values(text) > most


def _outside_strings(text: bytes) -> NDArray[np.uint8]:
    """Returns the bytes that are outside strings, with the quotes that end these."""
    if b"\\" in text:
        # Pairs first: in what is left, a backslash is in front of what it escapes.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if text.count(b'"') * FEW_QUOTES < len(text):
        return np.frombuffer(b"".join(text.split(b'"')[::2]), dtype=np.uint8)
    found = np.frombuffer(text, dtype=np.uint8)
    # Sums run over at 256, which is even.
    inside = np.cumsum(found == _QUOTE, dtype=np.uint8) & 1
    outside: NDArray[np.uint8] = found[inside == 0]
    return outside

"""The trace that an event belongs to, as W3C Trace Context hands it on in a header."""

from __future__ import annotations

import re
from typing import Final

HEADER: Final = "traceparent"
_FORM: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_of(header: bytes | None) -> str | None:
    """Returns a `traceparent` header's value, None if it is missing or malformed.

    A malformed one is left out rather than refused, as Trace Context asks.

    >>> traceparent_of(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")[:7]
    '00-0af7'
    """
    if header is None or not _FORM.fullmatch(header):
        return None
    return header.decode()

"""The trace that an event belongs to, as W3C Trace Context hands it on in a header.

An event has it as a field as well, so that whatever follows from the event can carry it on.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

from streams.events import FIRST_VERSION, Outcome
from streams.log import Headers

HEADER: Final = "traceparent"
STATE: Final = "tracestate"
CLOUDEVENTS: Final = "ce_"
"""Before a header's name where CloudEvents hand on the same in an attribute."""
_FORM: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_UNTRACED: Final = b'"traceparent":null,"v":%d}' % FIRST_VERSION
"""How the JSON of a decision of ours ends that belongs to no trace."""


class _Traced(Struct):
    traceparent: str | None = None


_trace_decoder = msgspec.json.Decoder(_Traced)


def traceparent_of(header: bytes | None) -> str | None:
    """Returns a `traceparent` header's value, None if it is missing or malformed.

    A malformed one is left out rather than refused, as Trace Context asks.

    >>> traceparent_of(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")[:7]
    '00-0af7'
    """
    if header is None or not _FORM.fullmatch(header):
        return None
    return header.decode()


def trace_in(headers: Headers) -> str | None:
    """Returns the trace that a record's headers tell: `traceparent`, or CloudEvents' own."""
    # Of several by one name the last counts, as with Kafka's own clients.
    found = dict(headers)
    return traceparent_of(found.get(HEADER, found.get(CLOUDEVENTS + HEADER)))


def traced(outcome: Outcome, headers: Headers) -> Outcome:
    """Returns the outcome with the trace of its record's headers, if it has none of its own."""
    if outcome.traceparent is not None:
        return outcome
    return msgspec.structs.replace(outcome, traceparent=trace_in(headers))


def trace_headers(traceparent: str | None) -> Headers:
    """Returns the headers that hand the trace on; none without one, or if it is malformed.

    >>> trace_headers(None), trace_headers("mine")
    ((), ())
    """
    if traceparent is None:
        return ()
    header = traceparent.encode()
    return ((HEADER, header),) if _FORM.fullmatch(header) else ()


def trace_headers_of(decision: Raw) -> Headers:
    """Returns the headers that hand on the trace of a decision, given as the JSON that it is."""
    if memoryview(decision)[-len(_UNTRACED) :] == _UNTRACED:
        return ()
    return trace_headers(_trace_decoder.decode(decision).traceparent)

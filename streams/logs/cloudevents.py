"""Headers of records: the trace that led to one, and what makes a CloudEvent 1.0 of it.

That is the binary mode of the Kafka protocol binding of CloudEvents: a record's value stays the
event's own JSON, and readers of our events need not look at the headers.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, TypeAlias, Union
from zlib import crc32

import msgspec
from msgspec import Raw, Struct, defstruct

from streams.events import DEAD_LETTER, FIRST_VERSION, TOPICS, UNREADABLE, Outcome
from streams.logs.base import Headers, Message

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


SOURCE: Final = "copyloop"
"""What events come from unless told otherwise; their topic is added."""
CONTENT_TYPE: Final = "content-type"
OURS: Final = frozenset(TOPICS) - {DEAD_LETTER}
"""The topics whose records are events of ours: dead letters and others' topics hold anything."""
LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, beyond which RFC 3339 has no times."""
HEADERS: Final = {
    "ce_specversion": "1.0",
    "ce_id": "Unique in its source.",
    "ce_source": "The source as configured, and the topic as the cluster knows it.",
    "ce_type": "copyloop.TYPE.vV, after the event's `type` and `v`.",
    "ce_time": "When it happened, as RFC 3339 writes it.",
    "ce_subject": "The event id, of interactions too; of policies their placement; else the key.",
    "ce_traceparent": "The same as `traceparent`.",
    "ce_tracestate": "The same as `tracestate`.",
    CONTENT_TYPE: "application/json",
}
"""The headers that a record may get, in their order, and what each says."""


class _Decided(Struct):
    event_id: str


class _Decision(Struct, tag_field="type", tag="decision"):
    event_id: str
    timestamp_ms: int
    slot: int = 0
    v: int = FIRST_VERSION


class _Slate(Struct, tag_field="type", tag="slate"):
    event_id: str
    timestamp_ms: int
    v: int = FIRST_VERSION


class _Outcome(Struct, tag_field="type", tag="outcome"):
    event_id: str
    outcome_id: str
    timestamp_ms: int
    slot: int = 0
    v: int = FIRST_VERSION


class _Interaction(Struct, tag_field="type", tag="interaction"):
    source: int
    sequence: int
    decision: _Decided
    timestamp_ms: int
    v: int = FIRST_VERSION


class _SlateInteraction(Struct, tag_field="type", tag="slate_interaction"):
    source: int
    sequence: int
    decision: _Decided
    timestamp_ms: int
    v: int = FIRST_VERSION


class _Policy(Struct, tag_field="type", tag="policy"):
    placement: str
    version: str
    timestamp_ms: int
    v: int = FIRST_VERSION


class _Keyed(Struct):
    """Any other event: its record's key says what it is about, and its time is the append's."""

    v: int = FIRST_VERSION


class _Timed(_Keyed, kw_only=True):
    """The same with a time of its own."""

    timestamp_ms: int


_TIMED: Final = ("act", "assignment")
_KEYED: Final = ("tick", "placement", "creative", "generation", "generator_version", "api_key")
_Event: TypeAlias = (
    _Decision | _Slate | _Outcome | _Interaction | _SlateInteraction | _Policy | _Keyed
)
# It skips what is long: actions, states of policies.
_decoder: msgspec.json.Decoder[_Event] = msgspec.json.Decoder(
    Union[  # of classes that are made here
        _Decision,
        _Slate,
        _Outcome,
        _Interaction,
        _SlateInteraction,
        _Policy,
        *(defstruct(tag, (), bases=(_Keyed,), tag_field="type", tag=tag) for tag in _KEYED),
        *(defstruct(tag, (), bases=(_Timed,), tag_field="type", tag=tag) for tag in _TIMED),
    ]
)


def as_cloudevent(message: Message, *, source: str, now_ms: int) -> Message:
    """Returns the message with the headers that make a CloudEvent of it.

    History, dead letters, what is no event of ours, and what brought such headers along stay as
    they are.

    Args:
        message: about to be appended.
        source: a URI reference, which only the messages of this topic have.
        now_ms: the time of what does not say it: changes of the catalogue, keys, and ticks.
    """
    if message.topic not in OURS or message.timestamp_ms is not None:
        return message
    if any(name.startswith(CLOUDEVENTS) or name == CONTENT_TYPE for name, _ in message.headers):
        return message
    try:
        event = _decoder.decode(message.value)
    except UNREADABLE:
        return message
    id_, subject, at_ms = _about(event, message, now_ms)
    added = [
        ("ce_specversion", b"1.0"),
        ("ce_id", id_.encode()),
        ("ce_source", source.encode()),
        ("ce_type", f"copyloop.{event.__struct_config__.tag}.v{event.v}".encode()),
    ]
    if 0 <= at_ms <= LAST_MS:
        added.append(("ce_time", rfc3339(at_ms).encode()))
    if subject:
        added.append(("ce_subject", subject.encode()))
    added += [
        (CLOUDEVENTS + name, value) for name, value in message.headers if name in (HEADER, STATE)
    ]
    added.append((CONTENT_TYPE, b"application/json"))
    return message._replace(headers=(*message.headers, *added))


def _about(event: _Event, message: Message, now_ms: int) -> tuple[str, str, int]:
    """Returns the event's id, its subject and its time."""
    match event:
        case _Decision():
            return _decision_id(event), event.event_id, event.timestamp_ms
        case _Slate():
            return _escaped(event.event_id), event.event_id, event.timestamp_ms
        case _Outcome():
            # An outcome's id tells it from others of its decision, and no more.
            id_ = f"{_decision_id(event)}/{_escaped(event.outcome_id)}"
            return id_, event.event_id, event.timestamp_ms
        case _Interaction() | _SlateInteraction():
            id_ = f"{event.source}-{event.sequence}"
            return id_, event.decision.event_id, event.timestamp_ms
        case _Policy():
            id_ = f"{_escaped(event.placement)}/{event.version}"
            return id_, event.placement, event.timestamp_ms
        case _Timed():
            now_ms = event.timestamp_ms
        case _ if event.__struct_config__.tag == "tick":
            return f"tick/{message.partition}@{now_ms}", "", now_ms
    key = message.key.decode(errors="replace")
    # Two changes may have one key and one millisecond, as long as they differ.
    return f"{key}@{now_ms}-{crc32(message.value):08x}", key, now_ms


def _decision_id(event: _Decision | _Outcome) -> str:
    id_ = _escaped(event.event_id)
    return f"{id_}/{event.slot}" if event.slot else id_


def _escaped(part: str) -> str:
    """Returns one part of an id, so that no two lists of parts give the same id."""
    return part.replace("%", "%25").replace("/", "%2F")


def rfc3339(timestamp_ms: int) -> str:
    """Returns a time as RFC 3339 writes it, in UTC.

    >>> rfc3339(1795428000007)
    '2026-11-23T10:00:00.007Z'
    """
    seconds, ms = divmod(timestamp_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{ms:03}Z"

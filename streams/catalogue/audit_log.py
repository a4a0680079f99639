"""The audit log: what people had the service do, as events in a topic of their own.

An act is appended together with what it changed, before it, so that nothing shows its effect
whose record is missing.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from streams.catalogue.state import catalogue_key
from streams.errors import EventError
from streams.events import ACTS, Catalogued, Generation, Placement, decode, encode
from streams.events.access import Act
from streams.fold import scan
from streams.logs.base import Log, Message, TopicPartition

PARTITION: Final = TopicPartition(ACTS, 0)
_UNTOLD: Final = frozenset({"features", "type", "v"})
"""Fields that follow from others, and would fill the record."""


def act_message(
    who: str,
    what: str,
    target: str,
    now_ms: int,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> Message:
    """Returns the message that records an act; only fields that differ are kept of a change."""
    kept_before, kept_after = _changes(before, after)
    act = Act(
        id=f"{now_ms:012x}{secrets.token_hex(10)}",
        who=who,
        what=what,
        target=target,
        timestamp_ms=now_ms,
        before=kept_before,
        after=kept_after,
    )
    return Message(ACTS, act.id.encode(), encode(act), partition=0)


def catalogue_act(who: str, before: Catalogued | None, after: Catalogued, now_ms: int) -> Message:
    """Returns the message that records a change of the catalogue."""
    kind = str(after.__struct_config__.tag)
    what = "created" if before is None else "changed"
    target = catalogue_key(after).partition("/")[2]
    if isinstance(after, Placement) and after.deleted:
        what = "deleted"
    elif isinstance(after, Generation):
        target = f"{after.placement}/{target}"
    return act_message(
        who, f"{kind} {what}", target, now_ms, before=_fields(before), after=_fields(after)
    )


def superseded(recorded: Message) -> Message:
    """Returns the message that takes an act back, since another change came before it.

    Whether a change counts is known once it is in the log, and its record must not come later.
    """
    act = msgspec.json.decode(recorded.value, type=Act)
    return act_message(act.who, f"{act.what}: came too late", act.target, act.timestamp_ms)


def read_acts(log: Log, *, since: int = 0, who: str | None = None) -> Iterator[tuple[int, Act]]:
    """Yields the recorded acts with their offsets, oldest first, from an offset on.

    Raises:
        LogError: the log cannot be read.
    """
    since = max(since, log.start_offset(PARTITION))
    for record in scan(log, PARTITION, since):
        try:
            act = decode(record.value)
        except EventError:  # what a newer copyloop wrote; `copyloop streams tail` shows it
            continue
        if isinstance(act, Act) and who in (None, act.who):
            yield record.offset, act


def latest_acts(log: Log, *, limit: int, who: str | None = None) -> list[Act]:
    """Returns the latest acts, oldest of them first."""
    return [act for _, act in deque(read_acts(log, who=who), maxlen=limit)]


def _fields(event: msgspec.Struct | None) -> dict[str, Any] | None:
    if event is None:
        return None
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event))
    return {name: value for name, value in told.items() if name not in _UNTOLD}


def _changes(
    before: Mapping[str, object] | None, after: Mapping[str, object] | None
) -> Sequence[dict[str, object] | None]:
    if before is None or after is None:
        return [None if fields is None else dict(fields) for fields in (before, after)]
    differ = [
        name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)
    ]
    return [{name: fields.get(name) for name in differ} for fields in (before, after)]

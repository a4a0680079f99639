"""The admin routes of dead letters: to list them with their reasons, and to send them again."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool
from msgspec import Meta, Struct

from bandit.errors import RequestError
from bandit.service.api.dependencies import Editing, Listing, Since, answered, refusing
from bandit.service.resource import JsonBody, Page, Resource, view_of
from streams.dead_letters import DeadLetter, find_dead_letter, letter_of, readable, replay
from streams.errors import DeadLetterError, EventError, TopicError
from streams.events import DEAD_LETTER, UNREADABLE, Slot, TimestampMs
from streams.events.fields import doc
from streams.fold import partitions
from streams.inspect import newest_first
from streams.logs.base import Log

MAX_SCAN: Final = 20_000
"""How many letters one page looks at: a rare reason may take several pages, some of them empty."""
MAX_REPLAYED: Final = 1000

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])


class HeaderView(Struct, frozen=True):
    """A header of the record; bytes that are no text are `{"base64": …}`."""

    name: str
    value: str | dict[str, str]


class LetterView(Struct, Resource, frozen=True, kw_only=True):
    """A record that could not be used, as it was, and why; bytes that are no text in base64."""

    id: str
    reason: Annotated[str, doc("A stable code, such as `late`.")]
    error: str
    source: Annotated[str, doc("Where the record was: topic/partition@offset.")]
    timestamp_ms: Annotated[int, doc("When it became a dead letter.")]
    key: str | dict[str, str]
    value: str | dict[str, str]
    headers: list[HeaderView]


class MendBody(Struct, Resource, frozen=True):
    """What to send in the letter's stead."""

    examples = ({},)

    value: Annotated[str | None, doc("Mended; as it was if left out.")] = None


class ReplayBody(Struct, Resource, frozen=True):
    """Which letters to send again, in this order."""

    examples = ({"ids": ["0-0"]},)

    ids: Annotated[list[str], Meta(min_length=1, max_length=MAX_REPLAYED)]


class PlaceView(Struct, frozen=True):
    """Where a record went."""

    topic: str
    partition: int
    offset: int


class ReplayedView(Struct, Resource, frozen=True):
    """Where the letters went, in the order in which they were named."""

    sent: list[PlaceView]


@router.get("", response_model=Page[LetterView])
async def list_letters(
    editor: Editing,
    paging: Listing,
    reason: Annotated[str | None, Query(description="Only this one.")] = None,
    topic: Annotated[str | None, Query(description="Only from this topic.")] = None,
    placement: Annotated[
        str | None, Query(description="Only records that say they are of this placement.")
    ] = None,
    since_ms: Since = None,
) -> Response:
    """The dead letters, newest first; a page may be short, or empty, and still have a `next`."""

    def wanted(letter: DeadLetter) -> bool:
        return (
            reason in (None, letter.reason)
            and (topic is None or (letter.source is not None and letter.source[0] == topic))
            and (placement is None or _placement_of(letter) == placement)
        )

    ends = {} if paging.after is None else _ends_of(paging.after)  # without: from the end
    # In a thread: the log may take its time, and the event loop has ranks to answer.
    found, following = await run_in_threadpool(
        _page, editor.log, ends, paging.limit, since_ms or 0, wanted
    )
    return await answered(Page(items=[_view(letter) for letter in found], next=following))


@router.get("/{letter_id}")
async def read_letter(editor: Editing, letter_id: str) -> LetterView:
    """One dead letter."""
    return _view(await run_in_threadpool(_find, editor.log, letter_id))


@router.post("/replay")
async def replay_letters(editor: Editing, body: JsonBody[ReplayBody]) -> ReplayedView:
    """Sends letters again, all or none, as they were.

    It is safe to do twice: each carries its own id, and nothing counts twice. What happens then
    is up to the reader of the topic; a record that is still late becomes a dead letter again.
    """
    replayed = await run_in_threadpool(_replay, editor.log, body.ids, None)
    for letter_id in body.ids:
        await editor.record("dead letter replayed", letter_id)
    return replayed


@router.post("/{letter_id}/replay")
async def replay_letter(editor: Editing, letter_id: str, body: JsonBody[MendBody]) -> ReplayedView:
    """Sends one letter again, as it was or mended."""
    value = None if body.value is None else body.value.encode()
    replayed = await run_in_threadpool(_replay, editor.log, [letter_id], value)
    await editor.record(
        "dead letter replayed" if value is None else "dead letter mended", letter_id
    )
    return replayed


def _page(
    log: Log, ends: dict[int, int], limit: int, since_ms: int, wanted: Callable[[DeadLetter], bool]
) -> tuple[list[DeadLetter], str | None]:
    """Returns some letters before these offsets, and where the page after it starts."""
    found: list[DeadLetter] = []
    for partition in partitions(log, DEAD_LETTER):  # what comes meanwhile is on no later page
        ends.setdefault(partition.partition, log.end_offset(partition))
    for record in islice(newest_first(log, DEAD_LETTER, ends), MAX_SCAN):
        if record.timestamp_ms < since_ms:
            return found, None
        letter = letter_of(record)
        if wanted(letter):
            if len(found) == limit:
                return found, _cursor(ends)
            found.append(letter)
        ends[record.partition] = record.offset
    more = next(newest_first(log, DEAD_LETTER, ends), None) is not None
    return found, _cursor(ends) if more else None


def _cursor(ends: dict[int, int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(sorted(ends.items())).encode()).decode()


def _ends_of(cursor: str) -> dict[int, int]:
    try:
        pairs = msgspec.json.decode(
            base64.urlsafe_b64decode(cursor.encode()), type=list[tuple[Slot, TimestampMs]]
        )
    except (ValueError, msgspec.DecodeError) as error:
        message = f"after is {cursor!r}, which no page gave; start without it"
        raise RequestError(422, "after_invalid", message, target="after") from error
    return dict(pairs)


def _find(log: Log, letter_id: str) -> DeadLetter:
    try:
        return find_dead_letter(log, letter_id)
    except DeadLetterError as error:
        raise RequestError(404, "dead_letter_not_found", str(error), target="id") from error


def _replay(log: Log, ids: Sequence[str], value: bytes | None) -> ReplayedView:
    letters = [_find(log, letter_id) for letter_id in ids]
    with refusing(
        (EventError, 422, "value"), (DeadLetterError, 409, "id"), (TopicError, 409, "id")
    ):
        written = replay(log, letters, value=value)
    return ReplayedView(sent=[view_of(PlaceView, place) for place in written])


def _view(letter: DeadLetter) -> LetterView:
    return msgspec.convert(readable(letter), LetterView)


def _placement_of(letter: DeadLetter) -> str | None:
    try:
        return msgspec.json.decode(letter.value, type=_Placed).placement
    except UNREADABLE:
        return None


class _Placed(Struct):
    placement: str | None = None

"""What admin routes take besides their bodies, and what their answers share: pages, entity tags."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeVar

import msgspec
from fastapi import Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from bandit.errors import BanditError, RequestError
from bandit.service.api.editor import Editor
from bandit.service.auth.caller import caller_of
from bandit.service.auth.privacy import PrivacyFilter
from bandit.service.resource import Page, plain
from streams.catalogue.writer import Condition, Repeatable
from streams.errors import StreamsError
from streams.events import MAX_ID_LENGTH

ANY: Final = "*"

_Item = TypeVar("_Item")
_View = TypeVar("_View")


class Tagged(Protocol):
    """A view that says its entity tag."""

    @property
    def etag(self) -> str:
        """The tag."""


_Tagged = TypeVar("_Tagged", bound=Tagged)


def state_of(name: str) -> Any:
    """Returns the dependency on what the application keeps under this name."""

    def found(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(found)


@contextmanager
def refusing(*answers: tuple[type[BanditError | StreamsError], int, str]) -> Iterator[None]:
    """Answers errors of the block as refusals, each by its class with a status and a target.

    Raises:
        RequestError: with the error's own code.
    """
    try:
        yield
    except (BanditError, StreamsError) as error:
        for kind, status, target in answers:
            if isinstance(error, kind):
                raise RequestError(status, error.code, str(error), target=target) from error
        raise


def _editor(request: Request) -> Editor:
    found: Editor = request.app.state.editor
    return found.on_behalf_of(caller_of(request.scope))


def _condition(
    if_match: Annotated[
        str | None,
        Header(description="Entity tags, or `*`: 412 unless it is there, and as one of them says."),
    ] = None,
    if_none_match: Annotated[str | None, Header(description="`*`: 412 if it is there.")] = None,
) -> Condition | None:
    if if_none_match is not None and if_none_match.strip() != ANY:
        raise RequestError(
            422,
            "condition_invalid",
            f"If-None-Match is {if_none_match!r}; a change takes `*` only, or If-Match",
            target="If-None-Match",
        )
    if if_none_match is not None:
        return Condition(absent=True)
    if if_match is None:
        return None
    return Condition(tags_of(if_match), any_tag=if_match.strip() == ANY)


def _match_condition(
    if_match: Annotated[
        str | None,
        Header(description="Entity tags, or `*`: 412 unless it is as one of them says."),
    ] = None,
) -> Condition | None:
    return _condition(if_match, None)


async def _repeatable(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            description="Yours, one a request: the same request that is sent again with it within "
            "a day, to whichever replica, is done once and answered as the first time.",
        ),
    ] = None,
) -> Repeatable | None:
    if idempotency_key is None:
        return None
    asked = hashlib.blake2b(digest_size=12)
    for part in (request.method.encode(), request.scope["raw_path"], await request.body()):
        asked.update(len(part).to_bytes(8, "big") + part)
    return Repeatable(idempotency_key, asked.hexdigest())


def shown(view: Any, status: int = 200) -> Response:
    """Returns the answer that shows a view, or a list of them."""
    return Response(msgspec.json.encode(plain(view)), status, media_type="application/json")


async def answered(view: Any, status: int = 200) -> Response:
    """Returns what `shown` does, from a thread: a long one holds up no other request there."""
    return await run_in_threadpool(shown, view, status)


class Paging(NamedTuple):
    """Which part of a list is asked for: so many items, after the one with this key."""

    limit: int
    after: str | None

    def page(
        self,
        found: Sequence[_Item],
        key: Callable[[_Item], str],
        view: Callable[[_Item], _View],
    ) -> Page[_View]:
        """Returns views of the items that are asked for.

        Raises:
            RequestError: `after_invalid`: no item has that key.
        """
        start = 0
        if self.after is not None:
            positions = [index for index, item in enumerate(found) if key(item) == self.after]
            if not positions:
                message = f"there is no item {self.after!r} to list after; start without `after`"
                raise RequestError(422, "after_invalid", message, target="after")
            start = positions[0] + 1
        end = start + self.limit
        items = found[start:end]
        return Page(
            items=[view(item) for item in items], next=key(items[-1]) if end < len(found) else None
        )


def _paging(
    limit: Annotated[int, Query(ge=1, le=1000, description="How many items, at most.")] = 100,
    after: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
) -> Paging:
    return Paging(limit, after)


Editing = Annotated[Editor, Depends(_editor)]
Protecting = Annotated[PrivacyFilter, state_of("protection")]
Placed = Annotated[
    str,
    Path(alias="placement", max_length=MAX_ID_LENGTH, description="The placement's name."),
]
Listing = Annotated[Paging, Depends(_paging)]
Since = Annotated[int | None, Query(ge=0, lt=2**53, description="In milliseconds since 1970.")]
Conditional = Annotated[Condition | None, Depends(_condition)]
Matching = Annotated[Condition | None, Depends(_match_condition)]
Once = Annotated[Repeatable | None, Depends(_repeatable)]
Known = Annotated[
    str | None,
    Header(alias="if-none-match", description="Entity tags that you have: 304 if it is one."),
]

_TAG: Final = {"description": "Another for every change.", "schema": {"type": "string"}}
TAGGED: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": {"ETag": _TAG}},
    304: {"description": "It is as you have it.", "headers": {"ETag": _TAG}},
}
"""What a route that answers with an entity tag documents."""


def raw_body(kind: object, name: str, example: object) -> dict[str, Any]:
    """Returns what a route documents that reads its body itself: a schema, and a named example."""
    content = {"schema": kind, "examples": {name: {"value": example}}}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def tags_of(header: str) -> frozenset[str]:
    """Returns the entity tags that a header lists; a weak one counts as the strong one.

    >>> sorted(tags_of('"1-a", W/"2-b"'))
    ['"1-a"', '"2-b"']
    """
    return frozenset(tag.strip().removeprefix("W/") for tag in header.split(","))


def unchanged(known: str | None, tag: str) -> Response | None:
    """Returns the answer to who has what this tag names already, None for others."""
    if known is not None and (known.strip() == ANY or tag in tags_of(known)):
        return Response(status_code=304, headers={"ETag": tag})
    return None


def tagged(response: Response, view: _Tagged) -> _Tagged:
    """Returns the view, once its entity tag is among the response's headers, too."""
    response.headers["ETag"] = view.etag
    return view

"""What every admin route asks for: the editor, and which page of a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Path, Query, Request

from bandit.errors import RequestError
from bandit.service.resources.editor import Editor
from streams.events import MAX_ID_LENGTH


def _editor(request: Request) -> Editor:
    found: Editor = request.app.state.editor
    return found


Desk = Annotated[Editor, Depends(_editor)]
Placed = Annotated[
    str,
    Path(alias="placement", max_length=MAX_ID_LENGTH, description="The placement's name."),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many items, at most.")]
After = Annotated[str | None, Query(description="The last item of the page before.")]

_Item = TypeVar("_Item")


def page_of(
    found: Sequence[_Item], limit: int, after: str | None, key: Callable[[_Item], str]
) -> tuple[Sequence[_Item], str | None]:
    """Returns the items that follow `after`, and what the next page comes after."""
    start = 0
    if after is not None:
        positions = [position for position, item in enumerate(found) if key(item) == after]
        if not positions:
            message = f"there is no item {after!r} to list after; start without `after`"
            raise RequestError(422, "after_invalid", message, target="after")
        start = positions[0] + 1
    page = found[start : start + limit]
    return page, key(page[-1]) if start + limit < len(found) else None

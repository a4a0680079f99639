"""What all the admin routes' bodies and answers are made of: pydantic at the edge, events within.

Defaults are those of the events, and what these models let through, the events accept or
refuse by their own rules.
"""

from __future__ import annotations

import json
from typing import Annotated, Generic, TypeVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from bandit.service.requests import check_depth
from streams.events import MAX_ID_LENGTH


def raw_json(value: dict[str, JsonValue]) -> msgspec.Raw:
    """Returns the object as the JSON that the log keeps.

    Raises:
        ValueError: it holds NaN, an infinite number, or half a surrogate pair.
        RequestError: `body_invalid`: it nests too deep.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    data = text.encode()
    check_depth(data)
    return msgspec.Raw(data)


def _storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    raw_json(value)
    return value


JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_storable)]
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Text = Annotated[str, Field(max_length=10_000)]
Item = TypeVar("Item")


class Body(BaseModel):
    """A request's body: a misspelt field is refused rather than left out."""

    model_config = ConfigDict(extra="forbid")


class Page(BaseModel, Generic[Item]):
    """Some of the items; `next` is the `after` of the page that follows, null on the last."""

    items: list[Item]
    next: str | None

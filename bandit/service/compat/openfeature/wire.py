"""What OFREP takes and answers: its bodies, its errors, and a placement's creative as a value."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from bandit.errors import BanditError
from bandit.service.resource import Id, Resource
from streams.events import UNREADABLE
from streams.events.access import Flag
from streams.events.fields import doc

TARGETING_KEY: Final = "targetingKey"
ErrorCode: TypeAlias = Literal[
    "PARSE_ERROR",
    "TARGETING_KEY_MISSING",
    "INVALID_CONTEXT",
    "GENERAL",
    "FLAG_NOT_FOUND",
]

_encode = msgspec.json.Encoder().encode


class FlagError(BanditError):
    """An evaluation that has no value: how OFREP says so, with the HTTP status of one flag's."""

    def __init__(self, status: int, code: ErrorCode, details: str) -> None:
        super().__init__(details)
        self.status = status
        self.error_code: ErrorCode = code


class FlagValue(Struct, Resource, frozen=True, kw_only=True):
    """A flag's value: a part's text, or an object of all parts; the creative is the variant."""

    key: str
    value: str | dict[str, str]
    variant: str
    reason: Literal["SPLIT"] = "SPLIT"
    metadata: Annotated[
        dict[str, str | float | bool],
        doc("`eventId`, `propensity`, `policyVersion`, `placement`."),
    ]


class FlagFailure(Struct, Resource, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A flag without a value, or a request that nothing can be made of."""

    key: str | None = None
    error_code: ErrorCode
    error_details: str


class FlagValues(Struct, Resource, frozen=True, kw_only=True):
    """All flags, each with its value or why it has none."""

    flags: list[FlagValue | FlagFailure]
    metadata: dict[str, str] = {}


class Tracked(Struct, Resource, frozen=True, rename="camel"):
    """Of how many decisions the event was taken, and the event id of each, by flag."""

    tracked: int
    event_ids: Annotated[
        dict[str, str], doc("Send them with what the user does next, as `details.eventId`.")
    ]


class User(Struct, frozen=True):
    """Who asks: the targeting key, and the rest of the context as policies see it."""

    targeting_key: str
    context: Raw


UserContext: TypeAlias = Annotated[
    Raw,
    Meta(
        extra_json_schema={
            "type": "object",
            "required": [TARGETING_KEY],
            "properties": {TARGETING_KEY: {"type": "string", "minLength": 1}},
            "description": "Who asks, and what policies see; `targetingKey` itself is seen as a "
            "hash.",
        }
    ),
]


class TrackDetails(Struct, frozen=True, kw_only=True, rename="camel"):
    """What an event is worth, and which evaluation it is about."""

    value: float = 1.0
    flag: Annotated[str | None, doc("Of this flag only.")] = None
    event_id: Annotated[Id | None, doc("From the metadata: of that very evaluation.")] = None
    outcome_id: Annotated[Id | None, doc("Tells duplicates apart.")] = None
    variant: Annotated[
        Id | None, doc("With `exposure`: the creative that was shown, in case `eventId` is over.")
    ] = None


class TrackBody(Struct, frozen=True, kw_only=True):
    """Something that a user did."""

    event: Annotated[Id, doc("`exposure`, or a kind of outcome that the placement knows.")]
    context: UserContext
    details: TrackDetails = TrackDetails()


class EvaluateBody(Struct):
    """Who asks for flags."""

    context: UserContext


_body: msgspec.json.Decoder[EvaluateBody] = msgspec.json.Decoder(EvaluateBody)
_track: msgspec.json.Decoder[TrackBody] = msgspec.json.Decoder(TrackBody)
_fields: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def user_of(body: bytes) -> User:
    """Returns who asks for an evaluation.

    Raises:
        FlagError: `PARSE_ERROR`, `INVALID_CONTEXT` or `TARGETING_KEY_MISSING`.
    """
    try:
        found = _body.decode(_text(body))
    except msgspec.ValidationError as error:
        raise FlagError(400, "INVALID_CONTEXT", f"{error}; send {{context: {{…}}}}") from error
    except UNREADABLE as error:
        raise FlagError(400, "PARSE_ERROR", f"the body is no JSON: {error}") from error
    return _user(found.context)


def track_of(body: bytes) -> tuple[TrackBody, User]:
    """Returns what happened, and to whom.

    Raises:
        FlagError: `PARSE_ERROR`, `INVALID_CONTEXT` or `TARGETING_KEY_MISSING`.
    """
    try:
        found = _track.decode(_text(body))
    except UNREADABLE as error:
        raise FlagError(400, "PARSE_ERROR", str(error)) from error
    return found, _user(found.context)


def value_of(flag: Flag, creative_id: str, parts: dict[str, str]) -> str | dict[str, str]:
    """Returns what the flag is worth where this creative is shown.

    Raises:
        FlagError: `GENERAL`: it lacks the part that is wanted.
    """
    if flag.part is None:
        return parts
    if flag.part not in parts:
        message = f"creative {creative_id!r} has no part {flag.part!r}; it has {', '.join(parts)}"
        raise FlagError(400, "GENERAL", message)
    return parts[flag.part]


def failure_of(key: str | None, error: FlagError) -> FlagFailure:
    """Returns the error as OFREP answers it."""
    return FlagFailure(key=key, error_code=error.error_code, error_details=str(error))


def tag_of(body: bytes) -> str:
    """Returns the entity tag of an answer: the same as long as every value is."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def _text(body: bytes) -> bytes:
    if not body.isascii():
        body.decode()
    return body


def _user(context: Raw) -> User:
    try:
        fields = _fields.decode(context)
    except UNREADABLE as error:
        message = f"context is no JSON object: {error}"
        raise FlagError(400, "INVALID_CONTEXT", message) from error
    key = fields.pop(TARGETING_KEY, None)
    if not isinstance(key, str) or not key:
        message = f"context.{TARGETING_KEY} is {key!r}; a text that tells users apart"
        raise FlagError(400, "TARGETING_KEY_MISSING", message)
    return User(key, Raw(_encode(fields)))

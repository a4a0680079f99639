"""What the hot routes take and answer, and the checks that a body must pass.

msgspec decodes in one pass and leaves contexts and features as the bytes they came in. What is
refused here never reaches a policy or the log, and the refusal says where in the body it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from bandit.errors import RequestError
from bandit.features.measure import nesting
from bandit.service.choosing.slots import SlotRequest, fields_without
from bandit.service.errors import check_reachable
from streams.events import EMPTY, MAX_ID_LENGTH, Action, AdDetails, Slot, TimestampMs

MAX_DEPTH: Final = 64
"""How deep a body may nest: every later reader of the log must get to the bottom of it."""
MAX_OUTCOMES: Final = 1000
MAX_SLOTS: Final = 50

ID: Final = "id"
"""What a slot's policy sees the slot's id as."""

_ALIKE: Final = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE_EXPONENT: Final = b"e000"
_LARGE_NUMBER: Final = b"0" * 200
"""A number too large for a double has one of these in it once digits are alike, and little else.

Two searches for bytes take a tenth of the time of a regular expression for the same.
"""

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
Features = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
OneSlot = Annotated[
    Slot, Meta(description="Which of the request's slots, counted from 0 in their order.")
]
OutcomeId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ID_LENGTH,
        description="Tells duplicates apart; made from the rest of the body if left out, so that "
        "sending the same body again counts once.",
    ),
]


class RankAction(Struct, frozen=True, forbid_unknown_fields=True):
    """An action that the caller brings: `features` may be empty, but must be there."""

    id: Id
    features: Features = msgspec.field(default_factory=Raw)


class RankSlot(Struct, frozen=True, forbid_unknown_fields=True):
    """A place to fill: what is known of it, and the ids of actions that it must not show."""

    id: Id
    features: Features = msgspec.field(default_factory=lambda: EMPTY)
    excluded: tuple[str, ...] = ()


class RankRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known, and what may be chosen: the placement's live creatives without `actions`.

    `event_id` is made up if left out. The draw depends on it alone, so a request that is sent
    again with it gets the same answer from the same policy, and is the same decision. A
    `deferred` decision counts once it is activated.

    `slots` are filled in their order, no action twice. The policy sees each with the context and
    the slot's id and features as the context's field `slot`.
    """

    context: Features = msgspec.field(default_factory=lambda: EMPTY)
    actions: list[RankAction] | None = None
    event_id: str | None = None
    deferred: bool = False
    slots: list[RankSlot] | None = None


class RankedAction(Struct, frozen=True, omit_defaults=True):
    """The chosen action, with the creative's text if it is one of the placement's.

    `ad` is what goes with the text, where the creative has it.
    """

    id: str
    parts: dict[str, str] | None = None
    ad: AdDetails | None = None


class ActionPropensity(Struct, frozen=True):
    """How likely one action was."""

    id: str
    propensity: float


class RankAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A decision, as it was logged.

    `logged` is there and false if it is not recorded anywhere; `fallback` is there and true if the
    time budget was spent before the policy had answered, and so the first action was taken.
    """

    event_id: str
    placement: str
    action: RankedAction
    index: int
    propensity: float
    pmf: list[ActionPropensity]
    policy_version: str
    logged: bool = True
    fallback: bool = False


class RankedSlot(Struct, frozen=True, kw_only=True):
    """The decision of one slot; `pmf` is over what was left for it, `index` points into it."""

    slot: int
    id: str
    action: RankedAction
    index: int
    propensity: float
    pmf: list[ActionPropensity]


class RankSlotsAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The decisions of a request with slots, as they were logged: all of them or none."""

    event_id: str
    placement: str
    slots: list[RankedSlot]
    policy_version: str
    logged: bool = True
    fallback: bool = False


class RewardRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the decision earned, within the placement's range of rewards."""

    value: float
    slot: OneSlot = 0
    outcome_id: OutcomeId | None = None


class OutcomeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happened after the decision: of a kind that the placement rewards, or an impression."""

    kind: Id
    value: float = 1.0
    outcome_id: OutcomeId | None = None
    timestamp_ms: (
        Annotated[TimestampMs, Meta(description="When it happened; now if left out.")] | None
    ) = None
    slot: OneSlot = 0


class ActivateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which slots were shown: all of the event's if left out."""

    slots: Annotated[tuple[OneSlot, ...], Meta(min_length=1, max_length=MAX_SLOTS)] | None = None


OutcomesRequest = (
    OutcomeRequest | Annotated[list[OutcomeRequest], Meta(min_length=1, max_length=MAX_OUTCOMES)]
)


class OutcomesAnswer(Struct, frozen=True):
    """How many outcomes were taken in, duplicates included."""

    accepted: int


_rank: msgspec.json.Decoder[RankRequest] = msgspec.json.Decoder(RankRequest)
_context: msgspec.json.Decoder[Raw] = msgspec.json.Decoder(Raw)
_T = TypeVar("_T")


def decode_rank(body: bytes, *, max_actions: int) -> RankRequest:
    """Returns the rank request that the body holds, checked.

    Raises:
        RequestError: `body_not_json`, `body_invalid`, `features_invalid`, `event_id_invalid`,
            `actions_count_invalid`, `action_without_features`, `duplicate_action_id`,
            `slots_count_invalid` or `duplicate_slot_id`.
    """
    request = decode_body(_rank, body)
    check_features(request.context, "context")
    if request.event_id is not None:
        check_event_id(request.event_id)
    if request.actions is not None:
        _check_actions(request.actions, max_actions)
    if request.slots is not None:
        _check_slots(request.slots)
    return request


def parse_context(text: str) -> Raw:
    """Returns the context that a query's text holds.

    Raises:
        RequestError: `body_not_json`, `body_invalid` or `features_invalid`.
    """
    context = decode_body(_context, text.encode())
    check_features(context, "context")
    return context


def brought_actions(actions: Sequence[RankAction]) -> tuple[Action, ...]:
    """Returns the caller's actions as the log and the policies know them."""
    return tuple(Action(action.id, action.features) for action in actions)


def slot_requests(slots: Sequence[RankSlot]) -> list[SlotRequest]:
    """Returns the slots as they are decided: numbered in their order, each seen with its id.

    Raises:
        RequestError: `features_invalid`: features have a field `id`.
    """
    found = []
    for number, slot in enumerate(slots):
        own = fields_without(slot.features, ID, f"slots[{number}].features")
        seen = Raw(msgspec.json.encode({ID: slot.id, **own}))
        found.append(SlotRequest(slot.id, number, seen, slot.excluded))
    return found


def derived_outcome_id(event_id: str, request: OutcomeRequest) -> str:
    """Returns the outcome id of an outcome that came without: a hash of all that it says.

    So a request that is sent again is a duplicate, while another value or another timestamp
    is another outcome. Two equal clicks on one decision are two only with ids of their own.
    """
    said = [event_id, request.slot, request.kind, request.value, request.timestamp_ms]
    return hashlib.blake2b(msgspec.json.encode(said), digest_size=12).hexdigest()


def check_event_id(event_id: str) -> None:
    """Refuses an event id that is empty or too long, or that no address can hold.

    Raises:
        RequestError: `event_id_invalid`.
    """
    if not 0 < len(event_id) <= MAX_ID_LENGTH:
        raise RequestError(
            422,
            "event_id_invalid",
            f"event_id has {len(event_id)} characters; 1 to {MAX_ID_LENGTH}",
            target="event_id",
        )
    check_reachable(event_id, "event_id", "event_id_invalid")


def check_features(features: Raw, target: str) -> None:
    """Refuses features that are no JSON object.

    Raises:
        RequestError: `features_invalid`.
    """
    if memoryview(features)[0] != ord("{"):
        raise RequestError(
            422,
            "features_invalid",
            f"{target} is {bytes(features)[:40].decode(errors='replace')}; expected a JSON object",
            target=target,
        )


def check_depth(body: bytes) -> None:
    """Refuses JSON that nests deeper than `MAX_DEPTH`.

    Raises:
        RequestError: `body_invalid`.
    """
    # Nothing nests deeper than it has opening brackets, and counting those is quick.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and nesting(body) > MAX_DEPTH:
        raise _too_deep()


def decode_body(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """Returns what the body holds.

    Raises:
        RequestError: `body_not_json`, `body_invalid` or `features_invalid`.
    """
    try:
        if not body.isascii():
            body.decode()
        decoded = decoder.decode(body)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        target = where.rstrip("`").lstrip(".") or None
        raise RequestError(422, "body_invalid", what, target=target) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(400, "body_not_json", str(error)) from error
    except RecursionError as error:
        raise _too_deep() from error
    check_depth(body)
    digits = body.translate(_ALIKE, b"+")
    if _LARGE_EXPONENT in digits or _LARGE_NUMBER in digits:
        _check_numbers(body)
    return decoded


def _check_numbers(body: bytes) -> None:
    """Refuses a number that no double holds: what stays raw here, others have to read."""
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise RequestError(422, "features_invalid", str(error)) from error


def _too_deep() -> RequestError:
    return RequestError(422, "body_invalid", f"the body nests deeper than {MAX_DEPTH} levels")


def _check_actions(actions: Sequence[RankAction], max_actions: int) -> None:
    if not 0 < len(actions) <= max_actions:
        raise RequestError(
            422,
            "actions_count_invalid",
            f"{len(actions)} actions; 1 to {max_actions}, or leave `actions` out to choose among "
            "the placement's live creatives",
            target="actions",
        )
    for position, action in enumerate(actions):
        target = f"actions[{position}].features"
        if bytes(action.features) in (b"", b"null"):
            raise RequestError(
                422,
                "action_without_features",
                f"action {action.id!r} has no features; send at least {{}}",
                target=target,
            )
        check_features(action.features, target)
    if len({action.id for action in actions}) != len(actions):
        twice = Counter(action.id for action in actions).most_common(1)[0][0]
        raise RequestError(
            422,
            "duplicate_action_id",
            f"action id {twice!r} comes twice; ids are unique within a request",
            target="actions",
        )


def _check_slots(slots: Sequence[RankSlot]) -> None:
    if not 0 < len(slots) <= MAX_SLOTS:
        message = f"{len(slots)} slots; 1 to {MAX_SLOTS}"
        raise RequestError(422, "slots_count_invalid", message, target="slots")
    twice, times = Counter(slot.id for slot in slots).most_common(1)[0]
    if times > 1:
        message = f"slot id {twice!r} comes {times} times; ids are unique within a request"
        raise RequestError(422, "duplicate_slot_id", message, target="slots")
    for position, slot in enumerate(slots):
        check_features(slot.features, f"slots[{position}].features")

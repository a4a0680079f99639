"""What Personalizer's clients send and expect: bodies, the checks that they must pass, errors.

Fields that are not known are passed over, and null is as if the field were not there, as that
service did it. Its first versions know three error codes, later ones some forty; ours, which is
the stable one, is the innermost of all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from bandit.errors import RequestError
from bandit.service.requests import check_depth
from streams.events import MAX_ID_LENGTH, UNREADABLE

MAX_ACTIONS: Final = 50
MAX_SLOTS: Final = 50
RANK: Final = "InvalidRankRequest"
REWARD: Final = "InvalidRewardRequest"
V1_0: Final = "v1.0"
_OLD_CODES: Final = {404: "ResourceNotFound", 500: "InternalServerError"}
_BY_STATUS: Final = {
    404: "ResourceNotFound",
    413: "PayloadSizeExceeded",
    500: "InternalServerError",
    503: "InternalServerError",
}

Features: TypeAlias = list[dict[str, Any] | None]


class PersonalizerError(RequestError):
    """A refusal with a code of Personalizer's own beside ours."""

    def __init__(
        self, known_code: str, code: str, message: str, *, target: str | None = None,
        status: int = 400,
    ) -> None:  # fmt: skip
        super().__init__(status, code, message, target=target)
        self.known_code = known_code


def refusal(error: RequestError, version: str) -> tuple[int, str, bytes]:
    """Returns the status, Personalizer's code and the body that a client of this version expects.

    What our own routes call 409 or 422 is 400 there.

    >>> refusal(RequestError(422, "event_id_invalid", "too long"), "v1.0")[:2]
    (400, 'BadRequest')
    """
    status = 400 if error.status in (409, 422) else error.status
    known = _BY_STATUS.get(status, "BadRequest")
    if isinstance(error, PersonalizerError):
        known = error.known_code
    inner: dict[str, object] = {"code": error.code}
    if version == V1_0:
        code = _OLD_CODES.get(status, "BadRequest")
        if known != code:
            inner = {"code": known, "innererror": inner}
    else:
        code = known
    found: dict[str, object] = {
        "code": code,
        "message": str(error),
        "target": error.target,
        "details": [],
        "innerError": inner,
    }
    return status, code, msgspec.json.encode({"error": found})


class ActionBody(Struct, frozen=True):
    """An action to choose from."""

    id: str
    features: Features | None = None


class RankBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """A request for one action."""

    actions: list[ActionBody]
    context_features: Features | None = None
    excluded_actions: list[str] | None = None
    event_id: str | None = None
    defer_activation: bool | None = None


class SlotBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """A place to fill, and what the application would show there by itself."""

    id: str
    baseline_action: str
    features: Features | None = None
    excluded_actions: list[str] | None = None


class MultiSlotRankBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """A request for an action in each of several slots."""

    actions: list[ActionBody]
    slots: list[SlotBody]
    context_features: Features | None = None
    event_id: str | None = None
    defer_activation: bool | None = None


class RewardBody(Struct, frozen=True):
    """What an event earned."""

    value: float


class SlotReward(Struct, frozen=True, rename="camel"):
    """What one slot of an event earned."""

    slot_id: str
    value: float


class MultiSlotRewardBody(Struct, frozen=True):
    """What some slots of an event earned."""

    reward: list[SlotReward]


class ActionProbability(Struct, frozen=True):
    """An action and its propensity, 0 if it could not be chosen."""

    id: str
    probability: float


class RankReply(Struct, frozen=True, rename="camel"):
    """The actions, best first but for those excluded, and which of them to show."""

    ranking: list[ActionProbability]
    event_id: str
    reward_action_id: str


class SlotReply(Struct, frozen=True, rename="camel"):
    """Which action to show in a slot."""

    id: str
    reward_action_id: str


class MultiSlotRankReply(Struct, frozen=True, rename="camel"):
    """Which action to show in each slot."""

    slots: list[SlotReply]
    event_id: str


_T = TypeVar("_T")


def decode(body: bytes, kind: type[_T], known_code: str) -> _T:
    """Returns what the body holds.

    Raises:
        PersonalizerError: `body_not_json`, `body_invalid`.
    """
    try:
        body.decode()
        found = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        target = where.rstrip("`").lstrip(".") or None
        raise PersonalizerError(known_code, "body_invalid", what, target=target) from error
    except UNREADABLE as error:
        raise PersonalizerError(known_code, "body_not_json", f"no JSON: {error}") from error
    check_depth(body)
    return found


def check_rank(request: RankBody | MultiSlotRankBody) -> None:
    """Refuses a rank request that Personalizer would have refused.

    Raises:
        PersonalizerError: `event_id_invalid`, `actions_count_invalid`, `action_id_invalid`,
            `duplicate_action_id` or `action_without_features`.
    """
    if request.event_id is not None:
        check_id(request.event_id, "event_id_invalid", "eventId")
    _check_count("actions", len(request.actions), MAX_ACTIONS)
    for position, action in enumerate(request.actions):
        check_id(action.id, "action_id_invalid", f"actions[{position}].id")
        if not has_feature(action.features):
            raise PersonalizerError(
                RANK,
                "action_without_features",
                f"action {action.id!r} has no feature; expected at least one that is not null",
                target=f"actions[{position}].features",
            )
    check_unique([action.id for action in request.actions], "duplicate_action_id", "actions")


def check_multi_slot(request: MultiSlotRankBody) -> None:
    """Refuses slots that cannot be filled, or whose baseline is not one.

    Raises:
        PersonalizerError: `slots_count_invalid`, `slot_id_invalid`, `duplicate_slot_id`,
            `baseline_unknown`, `baseline_excluded` or `duplicate_baseline`.
    """
    _check_count("slots", len(request.slots), MAX_SLOTS)
    if len(request.slots) > len(request.actions):
        raise PersonalizerError(
            RANK,
            "slots_count_invalid",
            f"{len(request.slots)} slots for {len(request.actions)} actions; no more than those",
            target="slots",
        )
    known = {action.id for action in request.actions}
    for position, slot in enumerate(request.slots):
        target = f"slots[{position}]"
        check_id(slot.id, "slot_id_invalid", f"{target}.id")
        if slot.baseline_action not in known:
            why, code = "is none of the actions", "baseline_unknown"
        elif slot.baseline_action in (slot.excluded_actions or ()):
            why, code = "is excluded from its slot", "baseline_excluded"
        else:
            continue
        message = f"baselineAction {slot.baseline_action!r} {why}"
        raise PersonalizerError(RANK, code, message, target=f"{target}.baselineAction")
    check_unique([slot.id for slot in request.slots], "duplicate_slot_id", "slots")
    baselines = [slot.baseline_action for slot in request.slots]
    check_unique(baselines, "duplicate_baseline", "slots")


def check_reward(value: float, target: str) -> None:
    """Refuses a reward that is none to Personalizer.

    Raises:
        PersonalizerError: `reward_out_of_range`.
    """
    if not -1.0 <= value <= 1.0:
        message = f"reward {value} is outside [-1, 1]"
        raise PersonalizerError(REWARD, "reward_out_of_range", message, target=target)


def check_id(value: str, code: str, target: str, known_code: str = RANK) -> None:
    """Refuses an id that is empty or longer than 256 characters.

    Raises:
        PersonalizerError: with this code.
    """
    if not 0 < len(value) <= MAX_ID_LENGTH:
        message = f"{target} has {len(value)} characters; 1 to {MAX_ID_LENGTH}"
        raise PersonalizerError(known_code, code, message, target=target)


def check_unique(ids: Sequence[str], code: str, target: str, known_code: str = RANK) -> None:
    """Refuses ids of which one comes twice.

    Raises:
        PersonalizerError: with this code.
    """
    if len(set(ids)) != len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        message = f"{twice!r} comes twice in {target}; expected once"
        raise PersonalizerError(known_code, code, message, target=target)


def has_feature(features: Iterable[Any] | None) -> bool:
    """Returns whether any of these objects, in any depth, holds a value that is not null.

    >>> has_feature([{"a": None}, {"b": {"c": 0}}]), has_feature([None, {}])
    (True, False)
    """
    return any(_is_feature(value) for value in features or ())


def clean(features: Features, target: str) -> list[dict[str, Any]]:
    """Returns the features without null, and without names that begin with an underscore.

    Raises:
        PersonalizerError: `features_invalid`: an array of anything but numbers.
    """
    return [_clean(each, f"{target}[{n}]") for n, each in enumerate(features) if each is not None]


def _clean(features: dict[str, Any], path: str) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    for name, value in features.items():
        if value is None or name.startswith("_"):
            continue
        if isinstance(value, list):
            _check_numbers(value, f"{path}.{name}")
        cleaned[name] = _clean(value, f"{path}.{name}") if isinstance(value, dict) else value
    return cleaned


def _check_numbers(values: list[Any], path: str) -> None:
    for value in values:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            shown = msgspec.json.encode(value).decode()[:40]
            message = f"{path} holds {shown}; an array is of numbers alone"
            raise PersonalizerError(RANK, "features_invalid", message, target=path)


def _is_feature(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_is_feature(inner) for inner in value.values())
    return value is not None


def _check_count(target: str, count: int, most: int) -> None:
    if not 0 < count <= most:
        message = f"{count} {target}; 1 to {most}"
        raise PersonalizerError(RANK, f"{target}_count_invalid", message, target=target)

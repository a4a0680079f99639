"""The parts of an event in decision-service JSON: what was chosen, features, ids and times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Raw

from bandit.features.flatten import flatten
from bandit.ope.checks.rounding import Digits
from bandit.ope.readers.events import spread, with_entry
from streams.events import Action

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SLACK: Final = 1e-3
"""By how much a pmf may miss 1, beyond what its digits allow."""


class Choice(NamedTuple):
    """What was chosen among which actions, given by their numbers in the order of `_multi`.

    Attributes:
        numbers: of the actions that could be chosen, ascending.
        pmf: an entry for each of `numbers`.
        place: of the chosen one in `numbers`.
        whole: False if only the chosen action's propensity was logged.
    """

    numbers: tuple[int, ...]
    pmf: tuple[float, ...]
    place: int
    whole: bool


def choice_of_event(event: Mapping[str, Any], n_actions: int) -> Choice:
    """Returns the choice of an event with one slot.

    `_labelIndex` (from 0) says what was chosen, else `_label_Action` (from 1), else the first of
    `a`; `_label_probability` says how likely it was, else `p`. `a` may be ranked or in the order
    of the actions, and count from 0 or from 1.

    Raises:
        ValueError: the fields contradict one another.
    """
    a = [_whole("a", number) for number in _as_list(event["a"])]
    index, propensity = event.get("_labelIndex"), event.get("_label_probability")
    if index is None and event.get("_label_Action") is not None:
        index = _whole("_label_Action", event["_label_Action"]) - 1
    if propensity is not None:
        propensity = number_of("_label_probability", propensity)
    p = [number_of("p", value) for value in _as_list(event.get("p") or [])]
    if not p:
        chosen = a[0] - _bases(a, n_actions)[0] if index is None else _whole("_labelIndex", index)
        return _known_alone(range(n_actions), chosen, propensity)
    if len(p) != len(a):
        raise ValueError(f"p has {len(p)} entries for {len(a)} actions")
    bases = _bases(a, n_actions)
    if index is None:
        return _choice([number - bases[0] for number in a], p, a[0] - bases[0], propensity)
    index = _whole("_labelIndex", index)
    found = [
        _choice([number - base for number in a], p, index, propensity)
        for base in bases
        if index + base in a
    ]
    if not found:
        raise ValueError(f"_labelIndex is {index}, which a does not have: {a}")
    return next((choice for choice in found if choice.whole), found[0])


def choice_of_slot(
    outcome: Mapping[str, Any], n_actions: int, taken: Sequence[int], included: object
) -> Choice:
    """Returns the choice of one slot, whose action numbers count from 0.

    Where a slot logs its chosen action alone, the others are those that the slot includes, or all
    that no earlier slot has taken.

    Raises:
        ValueError: the fields contradict one another.
    """
    a = [_whole("_a", number) for number in _as_list(outcome["_a"])]
    p = [number_of("_p", value) for value in _as_list(outcome["_p"])]
    if len(p) != len(a) or not a:
        raise ValueError(f"_p has {len(p)} entries for {len(a)} actions in _a")
    if len(a) == 1 and p[0] < 1.0 - SLACK:
        numbers = range(n_actions) if included is None else _as_list(included)
        return _known_alone([n for n in numbers if n not in taken], a[0], p[0])
    if min(a) < 0 or max(a) >= n_actions or len(set(a)) != len(a):
        raise ValueError(f"_a is {a}; expected distinct numbers of {n_actions} actions, from 0")
    return _choice(a, p, a[0], None)


def _bases(a: Sequence[int], n_actions: int) -> list[int]:
    """Returns from which number the actions may be counted in `a`, the likelier first."""
    bases = [
        base
        for base in (1, 0)
        if a and min(a) >= base and max(a) < n_actions + base and len(set(a)) == len(a)
    ]
    if not bases:
        raise ValueError(f"a is {list(a)}; expected distinct numbers of {n_actions} actions")
    return bases


def _choice(
    order: Sequence[int], p: Sequence[float], chosen: int, propensity: float | None
) -> Choice:
    """Returns the choice by the pmf `p` of the actions in `order`."""
    total = math.fsum(p)
    if min(p) < 0.0 or abs(total - 1.0) > SLACK + len(p) * _rounding(p, total - 1.0):
        raise ValueError(f"p is no pmf: {len(p)} entries of at least {min(p)}, summing to {total}")
    as_sent = sorted(zip(order, p, strict=True))
    numbers = tuple(number for number, _ in as_sent)
    index = numbers.index(chosen)
    logged = as_sent[index][1] / total
    if propensity is None:
        propensity = logged
    apart = logged - propensity
    rounding = _rounding(p, apart) + _rounding([propensity], apart)
    if abs(apart) > SLACK * max(logged, propensity) + rounding:
        return _known_alone(numbers, chosen, propensity)
    pmf = tuple(value / total for _, value in as_sent)
    if propensity != logged and logged < 1.0:
        # the label has more digits than the pmf, or fewer; it is what counts
        pmf = with_entry(pmf, index, propensity)
    _check_propensity(propensity)
    return Choice(numbers, pmf, index, whole=True)


def _rounding(values: Sequence[float], error: float) -> float:
    """Returns by how much each number may be off by rounding, 0 where no error asks for it."""
    if abs(error) <= SLACK * SLACK:
        return 0.0
    digits = Digits()
    digits.add(np.array([value for value in values if value > 0.0]))
    return 0.0 if digits.all_there else digits.half_decimal


def _known_alone(numbers: Sequence[int], chosen: int, propensity: float | None) -> Choice:
    """Returns the choice where only the chosen action's propensity is known."""
    if propensity is None:
        raise ValueError("neither p nor _label_probability says how likely the action was")
    _check_propensity(propensity)
    known = tuple(sorted(numbers))
    if chosen not in known:
        raise ValueError(f"the chosen action is number {chosen}; expected one of {list(known)}")
    if len(known) == 1 and propensity < 1.0 - SLACK:
        raise ValueError(f"the only action has the probability {propensity}; expected 1")
    index = known.index(chosen)
    return Choice(known, spread(propensity, index, len(known)), index, whole=len(known) == 1)


def _check_propensity(propensity: float) -> None:
    if not 0.0 < propensity <= 1.0:
        raise ValueError(f"the probability is {propensity}; expected above 0 and at most 1")


def shown_first(choice: Choice, baseline: int) -> Choice:
    """Returns that the baseline was chosen with certainty among the same actions."""
    numbers = tuple(sorted({*choice.numbers, baseline}))
    pmf = tuple(float(number == baseline) for number in numbers)
    return Choice(numbers, pmf, numbers.index(baseline), whole=True)


def number_of(name: str, value: object) -> float:
    """Returns the value as a finite number.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is {value!r:.40}; expected a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}; expected a finite number")
    return number


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} has {value!r:.40}; expected a whole number")
    return value


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions_of(multi: Sequence[dict[str, Any]]) -> tuple[Action, ...]:
    """Returns the actions of `_multi`, in the order in which the application sent them.

    An action's id is its `_tag`, or `id` in its namespace `i`, or its `id`, or else its place.
    """
    return tuple(_action(msgspec.json.encode(known), number) for number, known in enumerate(multi))


@lru_cache(maxsize=4096)
def _action(encoded: bytes, number: int) -> Action:
    """Returns the action of this JSON; the same actions come again and again."""
    action: dict[str, Any] = msgspec.json.decode(encoded)
    named, features = _name(action.get("_tag")), action
    inner = action.get("i")
    if isinstance(inner, dict) and "id" in inner:
        named = named or _name(inner["id"])
        # the service writes both keys itself; what is beside them comes from the application
        rest = {key: value for key, value in inner.items() if key not in ("id", "constant")}
        features = {key: value for key, value in action.items() if key != "i"}
        features |= {"i": rest} if rest else {}
    named = named or _name(action.get("id"))
    return Action(named or f"action {number}", as_features(features))


def _name(value: object) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def slot_features(slot: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns a slot's id, what the service wrote of it (`sj`), and its other features."""
    named = [{"id": slot["_id"]}] if "_id" in slot else []
    by_service = _as_list(slot.get("sj", []))
    others = {
        key: value
        for key, value in slot.items()
        if key != "sj" and (not key.startswith("_") or key == "_text")
    }
    return [*named, *by_service, *([others] if others else [])]


def as_features(features: dict[str, Any]) -> Raw:
    """Returns features as Vowpal Wabbit takes them: null and names that begin with _ are none.

    The words of `_text` are features of value 1.

    Raises:
        FeatureError: values that are no features.
    """
    found = Raw(msgspec.json.encode(_clean(features)))
    flatten(found, namespace="features")
    return found


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        found = {key: _clean(inner) for key, inner in value.items() if not key.startswith("_")}
        if isinstance(value.get("_text"), str):
            for word in value["_text"].split():
                known = found.get(word, 0)
                found[word] = known + 1 if isinstance(known, int | float) else known
        return found
    if isinstance(value, list):
        return [_clean(inner) for inner in value if inner is not None]
    return value


def timestamp_ms(text: object) -> int:
    """Returns a time in milliseconds since 1970, in UTC unless it names its zone; 0 for none.

    Raises:
        ValueError: no time in ISO 8601, or one before 1970.

    >>> timestamp_ms("2024-03-01T12:00:00.0000000+02:00") == timestamp_ms("2024-03-01T10:00:00Z")
    True
    """
    if text is None or text == "":
        return 0
    if not isinstance(text, str):
        raise ValueError(f"Timestamp is {text!r:.40}; expected text such as 2024-03-01T10:00:00Z")
    moment = datetime.fromisoformat(text.strip().upper())
    if moment.year == 1:
        # what .NET writes where it knows no time
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    found = (moment - EPOCH) // timedelta(milliseconds=1)
    if found < 0:
        raise ValueError(f"Timestamp is {text}; expected a time after 1970")
    return found

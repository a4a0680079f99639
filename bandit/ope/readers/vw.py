"""The logs of Vowpal Wabbit: decision-service JSON, as Personalizer has it, and its text format."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw

from bandit.errors import ReaderError
from bandit.ope.readers.events import LoggedEvent, spread
from streams.events import Action, Decision

PMF_SLACK: Final = 1e-3
"""pmfs are logged in single precision, or with few digits; beyond this they are wrong."""
UNREADABLE: Final = (
    msgspec.DecodeError, RecursionError, OverflowError,
    KeyError, IndexError, TypeError, ValueError, AttributeError,
)  # fmt: skip
"""What an event raises that is not as it should be, down to its last field."""


def read_dsjson(path: Path) -> Iterator[LoggedEvent]:
    """Yields the decisions of a file of decision-service JSON, rewards being negated costs.

    One event a line, with a context, its actions, the pmf and a cost. An event with several slots
    becomes one decision a slot. Deferred events that were never activated are left out.

    Raises:
        ReaderError: a line that is no such event, or one of a kind that is not read: continuous
            actions, slates, or events that were dropped with some probability.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield from _decisions(msgspec.json.decode(line))
            except UNREADABLE as error:
                raise ReaderError(
                    f"{path}:{number} is no event of decision-service JSON: "
                    f"{type(error).__name__} {error}"
                ) from error


def _decisions(event: dict[str, Any]) -> Iterator[LoggedEvent]:
    if event.get("pdrop"):
        raise ValueError(f"pdrop is {event['pdrop']}; logs that were thinned out are not read")
    if _skipped(event):
        return
    context = event["c"]
    actions = tuple(
        Action(_id(action, number), _raw(_features(action)))
        for number, action in enumerate(context["_multi"])
    )
    seen = {key: value for key, value in context.items() if not key.startswith("_")}
    if "_outcomes" not in event:
        order = [number - 1 for number in event["a"]]
        yield _logged(event, _raw(seen), actions, order, event["p"], event["_label_cost"], 0)
        return
    for slot, outcome in enumerate(event["_outcomes"]):
        if _skipped(outcome):
            continue
        known = context["_slots"][slot]
        named = [{"id": known["_id"]}] if "_id" in known else []
        slotted = _raw(seen | {"slot": [*named, *known.get("sj", [])]})
        order, pmf, cost = outcome["_a"], outcome["_p"], outcome["_label_cost"]
        yield _logged(event, slotted, actions, order, pmf, cost, slot)


def _logged(
    event: dict[str, Any],
    context: Raw,
    actions: tuple[Action, ...],
    order: list[int],
    pmf: list[float],
    cost: float,
    slot: int,
) -> LoggedEvent:
    """Returns the decision among the actions in `order`, of which the first was chosen.

    They are given in the order in which the application sent them, whose first is its baseline.
    """
    total = sum(pmf)
    if len(pmf) != len(order) or abs(total - 1.0) > PMF_SLACK:
        raise ValueError(f"a pmf of {len(pmf)} for {len(order)} actions, summing to {total}")
    as_sent = sorted(zip(order, pmf, strict=True))
    decision = Decision(
        event_id=event["EventId"],
        placement="dsjson",
        timestamp_ms=_timestamp_ms(event.get("Timestamp")),
        context=context,
        actions=tuple(actions[number] for number, _ in as_sent),
        pmf=tuple(p / total for _, p in as_sent),
        index=[number for number, _ in as_sent].index(order[0]),
        policy_version=str(event.get("VWState", {}).get("m", "unknown")),
        slot=slot,
    )
    # adding 0 turns the -0.0 of a cost of 0 into 0.0
    return LoggedEvent(decision, 0.0 - float(cost))


def _skipped(event: dict[str, Any]) -> bool:
    """Whether the event was deferred, and nothing says that it was activated."""
    if event.get("_skipLearn") or event.get("_deferred"):
        return True
    observations = event.get("o", event.get("_o", []))
    activated = any(
        seen.get("ActionTaken") is True or seen.get("DeferredAction") is False
        for seen in observations
    )
    return bool(event.get("DeferredAction")) and not activated


def _id(action: dict[str, Any], number: int) -> str:
    named = action.get("_tag") or action.get("i", {}).get("id") or action.get("id")
    return str(named) if named else f"action {number}"


def _features(action: dict[str, Any]) -> dict[str, Any]:
    """Returns all but the action's name; by custom what begins with _ is no feature."""
    return {key: value for key, value in action.items() if key != "i" and not key.startswith("_")}


def _raw(features: dict[str, Any]) -> Raw:
    return Raw(msgspec.json.encode(_clean(features)))


def _clean(value: Any) -> Any:
    """Leaves out names that begin with _, and null, in all depths."""
    if isinstance(value, dict):
        return {key: _clean(inner) for key, inner in value.items() if not key.startswith("_")}
    if isinstance(value, list):
        return [_clean(inner) for inner in value if inner is not None]
    return value


def _timestamp_ms(text: str | None) -> int:
    if text is None:
        return 0
    # seven digits of a second are one more than datetime reads
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000) + int((fraction + "000")[:3])


class _Line(NamedTuple):
    """A line of an event: what stands before the first bar, and the features by namespace."""

    shared: bool
    label: tuple[float, float] | None
    tag: str | None
    features: Raw


def read_vw_text(path: Path) -> Iterator[LoggedEvent]:
    """Yields the events of a file with `cb_adf` labels, rewards being negated costs.

    An event is a block of lines that an empty line ends: `shared |…` if it has a context, then a
    line an action, of which the chosen one begins with `action:cost:probability`. The rest of the
    pmf is not known.

    Events without a label, which are only to be predicted, are left out. An action's id is its
    tag, or else its place. Features keep their namespaces, the default one as ` `.

    Raises:
        ReaderError: a line that is not of the format, or an event that has several labels.
    """
    block: list[_Line] = []
    started, count = 1, 0
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for number, text in enumerate(file, start=1):
            try:
                if text.strip():
                    started = number if not block else started
                    block.append(_line(text))
                    continue
                event = _event(block, count)
            except ValueError as error:
                raise ReaderError(f"{path}:{number} is no cb_adf event: {error}") from error
            if event is not None:
                yield event
            count, block = count + bool(block), []
    try:
        last = _event(block, count)
    except ValueError as error:
        raise ReaderError(f"{path}:{started} is no cb_adf event: {error}") from error
    if last is not None:
        yield last


def _event(block: list[_Line], count: int) -> LoggedEvent | None:
    shared = [line for line in block if line.shared]
    lines = [line for line in block if not line.shared]
    if len(shared) > 1 or (shared and not block[0].shared):
        raise ValueError("only the first line of an event may be shared")
    chosen = [place for place, line in enumerate(lines) if line.label is not None]
    if not chosen:
        return None
    if len(chosen) > 1:
        raise ValueError(f"{len(chosen)} of its actions have a label; expected one")
    cost, propensity = lines[chosen[0]].label or (0.0, 1.0)
    decision = Decision(
        event_id=(shared[0].tag if shared and shared[0].tag else str(count)),
        placement="vw",
        timestamp_ms=count,
        context=shared[0].features if shared else Raw(b"{}"),
        actions=tuple(
            Action(line.tag or f"action {place}", line.features) for place, line in enumerate(lines)
        ),
        pmf=spread(propensity, chosen[0], len(lines)),
        index=chosen[0],
        policy_version="vw",
    )
    return LoggedEvent(decision, 0.0 - cost, whole=len(lines) == 1)


def _line(text: str) -> _Line:
    head, *spaces = text.strip("\n\r").split("|")
    if not spaces:
        raise ValueError("a line without '|' has no features")
    words = head.split()
    tag = next((word[1:] for word in words if word.startswith("'")), None)
    words = [word for word in words if not word.startswith("'")]
    # without an apostrophe, a tag is what touches the first bar
    if (
        words
        and not head[-1:].isspace()
        and head
        and words[-1] != "shared"
        and ":" not in words[-1]
    ):
        tag = words.pop()
    shared = words == ["shared"]
    if len(words) > 1 or (words and not shared and ":" not in words[0]):
        raise ValueError(f"{head.strip()!r} is no label; expected action:cost:probability")
    label = _label(words[0]) if words and not shared else None
    return _Line(shared, label, tag, _namespaces(spaces))


def _label(word: str) -> tuple[float, float]:
    parts = word.split(":")
    if len(parts) != 3:
        raise ValueError(f"{word!r} is no label; expected action:cost:probability")
    cost, propensity = float(parts[1]), float(parts[2])
    if not 0.0 < propensity <= 1.0:
        raise ValueError(f"the probability is {propensity}; expected above 0 and at most 1")
    return cost, propensity


def _namespaces(spaces: list[str]) -> Raw:
    """Returns the features by namespace, as one JSON object."""
    found: dict[str, dict[str, float]] = {}
    for space in spaces:
        # what touches the bar is the namespace, with a factor for all its values
        words = space.split()
        name, factor = " ", 1.0
        if words and not space[:1].isspace():
            name, _, scale = words.pop(0).partition(":")
            factor = float(scale) if scale else 1.0
        features = found.setdefault(name, {})
        for word in words:
            feature, separator, value = word.rpartition(":")
            if not separator:
                feature, value = word, "1"
            features[feature] = features.get(feature, 0.0) + factor * float(value)
    return Raw(msgspec.json.encode(found))

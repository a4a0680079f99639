"""Decision-service JSON, which Vowpal Wabbit reads and Azure Personalizer exported.

One event a line, read as Vowpal Wabbit reads it: `_labelIndex` and `_label_probability` say what
was chosen, and a line without actions is no decision. An event of a kind that this reader does not
read, such as slates, is refused by name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from math import isclose
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from bandit.errors import FeatureError, ReaderError
from bandit.ope.readers.dsjson_fields import (
    Choice,
    actions_of,
    as_features,
    choice_of_event,
    choice_of_slot,
    number_of,
    shown_first,
    slot_features,
    timestamp_ms,
)
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.readers.lines import Line, read_lines
from bandit.ope.readers.rows import KindRefused, RowCounts
from streams.events import Action, Decision

UNREADABLE: Final = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError,
    FeatureError,
)  # fmt: skip
"""What an event raises that is not as it should be, down to its last field."""
APPRENTICE: Final = (
    "{path} is the log of an apprentice: the first action was always shown, whichever action a "
    "line names. What the first action earned (_original_label_cost) is read; the rewards for "
    "imitation (_label_cost) are not. Such a log cannot judge other actions."
)
NO_EVENT: Final = "is no event of decision-service JSON"
_COSTS: Final = re.compile(
    rb'"_(label|original_label)_cost"\s*:\s*(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)'
)
_CHOSEN: Final = re.compile(rb'"_labelIndex"\s*:\s*([0-9]+)')


class _LeftOut(Exception):
    """An event that is no decision by the rules of the format; `reason` is a stable code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _Event(NamedTuple):
    """What all decisions of one line have in common."""

    fields: dict[str, Any]
    event_id: str
    apprentice: bool
    where: str
    actions: tuple[Action, ...] = ()


def read_dsjson(path: Path, counts: RowCounts) -> Iterator[LoggedEvent]:
    """Yields the decisions of a file of decision-service JSON, rewards being negated costs.

    An event with several slots becomes one decision a slot. In the log of an apprentice, what is
    read is that the first action was shown, and what it earned.

    Left out, as Vowpal Wabbit does: a line that does not begin with `{` (`not_an_event`), a reward
    whose decision is missing (`reward_without_decision`), an event without actions (`no_actions`)
    or without a cost (`no_label`), a deferred event that was never activated (`not_activated`),
    and a last line that was cut off (`cut_off`).

    Raises:
        ReaderError: the file is no text, or a row that cannot be read is to stop the reader.
    """
    apprentice = _is_apprentice(path)
    if apprentice:
        counts.note(APPRENTICE.format(path=path))
    for line, event in _read_events(path, counts):
        try:
            # of an event with several slots all decisions, or none
            known = _Event(event, _event_id(event, path, line), apprentice, line.where)
            found = list(_decisions(known, counts))
        except _LeftOut as error:
            counts.leave_out(error.reason, line.where, str(error))
        except UNREADABLE as error:
            reason = error.reason if isinstance(error, KindRefused) else "event_invalid"
            counts.refuse(reason, line.where, _words(error), verdict=NO_EVENT)
        else:
            yield from found


def _event_id(event: dict[str, Any], path: Path, line: Line) -> str:
    """Returns the event's id, or one that is made of its file and line."""
    known = event.get("EventId")
    if known not in (None, ""):
        return str(known)
    # files may share their name, and lines their text
    digest = hashlib.blake2b(line.text, digest_size=6).hexdigest()
    return f"{path.name[-128:]}:{line.number}:{digest}"


def _words(error: Exception) -> str:
    match error:
        case KeyError():
            return f"it has no {error}"
        case ValueError() | FeatureError():
            return str(error)
        case _:
            return f"{type(error).__name__} {error}"


def _is_apprentice(path: Path) -> bool:
    """True if some decision's cost is not the outcome's, which only an apprentice's log has.

    Raises:
        ReaderError: other lines are no apprentice's. An apprentice learns the same from every
            decision in which it differs from the first action.
    """
    found, learned_apart = False, set[float]()
    for line in read_lines(path):
        if b"_original_label_cost" not in line.text:
            continue
        costs = _COSTS.findall(line.text)
        learned = [float(value) for name, value in costs if name == b"label"]
        outcomes = [float(value) for name, value in costs if name != b"label"]
        pairs = zip(learned, outcomes, strict=False)
        if len(learned) == len(outcomes) and not all(isclose(*p, rel_tol=1e-6) for p in pairs):
            found = True
        chosen = _CHOSEN.search(line.text)
        if chosen is not None and int(chosen[1]) > 0:
            learned_apart.update(learned)
    if found and len(learned_apart) > 1:
        raise ReaderError(
            f"{path} mixes lines of an apprentice, whose first action was shown, with lines whose "
            "chosen action was; split the file where the learning mode changed"
        )
    return found


def _read_events(path: Path, counts: RowCounts) -> Iterator[tuple[Line, dict[str, Any]]]:
    """Yields the lines that are JSON objects, decoded."""
    broken: tuple[Line, str] | None = None
    for line in read_lines(path):
        text = line.text.strip()
        if not text:
            continue
        if broken is not None:
            counts.refuse("not_json", broken[0].where, broken[1], verdict=NO_EVENT)
            broken = None
        if not text.startswith(b"{"):
            detail = "a line that does not begin with {, such as a checkpoint, is no event"
            counts.leave_out("not_an_event", line.where, detail)
            continue
        try:
            event = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            broken = line, str(error)
            continue
        yield line, event
    if broken is None:
        return
    line, words = broken
    if not line.ended or "truncated" in words:
        counts.leave_out("cut_off", line.where, "the last line of the file was cut off")
    else:
        counts.refuse("not_json", line.where, words, verdict=NO_EVENT)


def _decisions(line: _Event, counts: RowCounts) -> Iterator[LoggedEvent]:
    """Yields the decisions of one line.

    Raises:
        _LeftOut: the line is no decision.
        KindRefused: the line is of a kind that is not read.
        ...: one of UNREADABLE; the line is not as it should be.
    """
    event = line.fields
    _check_kind(event)
    context = event["c"]
    line = line._replace(actions=actions_of(context["_multi"]))
    seen = {key: value for key, value in context.items() if key == "_text" or key[:1] != "_"}
    if "_outcomes" not in event:
        choice = choice_of_event(event, len(line.actions))
        if line.apprentice:
            choice = shown_first(choice, min(choice.numbers))
        yield _logged(line, as_features(seen), choice, _cost(event), 0)
        return
    key, taken = "slot", list[int]()
    while key in seen:
        key += "_"
    for slot, outcome in enumerate(event["_outcomes"]):
        known = context["_slots"][slot]
        choice = choice_of_slot(outcome, len(line.actions), taken, known.get("_inc"))
        taken.append(choice.numbers[choice.place])
        if line.apprentice:
            choice = shown_first(choice, event["_ba"][slot])
        try:
            _check_activated(outcome)
            cost = _cost(outcome)
        except _LeftOut as error:
            counts.leave_out(error.reason, line.where, f"slot {slot}: {error}")
            continue
        slotted = as_features(seen | {key: slot_features(known)})
        yield _logged(line, slotted, choice, cost, slot)


def _check_kind(event: dict[str, Any]) -> None:
    """Raises what says that an event is no decision, or of a kind that is not read."""
    if "_label_ca" in event or "pdf" in event:
        raise KindRefused("continuous_actions", "continuous actions are not read")
    if not event.get("a") and not event.get("_outcomes"):
        if "RewardValue" in event or "Observations" in event:
            raise _LeftOut("reward_without_decision", "a reward whose decision is missing")
        raise _LeftOut("no_actions", "an event without actions (a)")
    if event.get("pdrop"):
        words = f"pdrop is {event['pdrop']}; logs that were thinned out are not read"
        raise KindRefused("thinned_out", words)
    multi = event["c"]["_multi"]
    if any("_slot_id" in action for action in multi):
        words = "slates (_slot_id) are not read; events with one slot and CCB events are"
        raise KindRefused("slates", words)
    if "_label" in event:
        raise KindRefused("label_object", "_label is not read; expected _label_cost")
    _check_activated(event)


def _check_activated(event: dict[str, Any]) -> None:
    """Raises if the event was deferred, and nothing says that it was activated."""
    deferred = event.get("_skipLearn") or event.get("_deferred")
    if not deferred and event.get("DeferredAction"):
        observations = event.get("o", event.get("_o", []))
        # a slot may log the bare values of its rewards
        deferred = not any(
            isinstance(seen, dict)
            and (seen.get("ActionTaken") is True or seen.get("DeferredAction") is False)
            for seen in (observations if isinstance(observations, list) else [])
        )
    if deferred:
        raise _LeftOut("not_activated", "a deferred event that was never activated")


def _cost(labelled: dict[str, Any]) -> float:
    """Returns the cost of what happened; an apprentice's `_label_cost` is of its imitation."""
    for name in ("_original_label_cost", "_label_cost"):
        if labelled.get(name) is not None:
            return number_of(name, labelled[name])
    raise _LeftOut(
        "no_label", "an event without a cost (_label_cost), which is only to be predicted"
    )


def _logged(
    line: _Event, context: msgspec.Raw, choice: Choice, cost: float, slot: int
) -> LoggedEvent:
    state = line.fields.get("VWState")
    model = state.get("m") if isinstance(state, dict) else None
    decision = Decision(
        event_id=line.event_id,
        placement="dsjson",
        timestamp_ms=timestamp_ms(line.fields.get("Timestamp")),
        context=context,
        actions=tuple(line.actions[number] for number in choice.numbers),
        pmf=choice.pmf,
        index=choice.place,
        policy_version="unknown" if model is None else str(model),
        slot=slot,
    )
    # adding 0 turns the -0.0 of a cost of 0 into 0.0
    return LoggedEvent(decision, 0.0 - cost, choice.whole)

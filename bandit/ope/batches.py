"""From decisions and a policy's answers to the columns that estimators take.

What a policy would have done is asked decision by decision; from here on everything is columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from bandit.errors import FeatureError
from bandit.features.flatten import flatten, hash_vector
from bandit.ope.base import Batch, Floats, Units
from bandit.ope.estimators.slates import Slates
from bandit.ope.policies import Answer
from bandit.ope.readers.events import UNNAMED, LoggedEvent
from bandit.ope.units import hash_units
from streams.events import Action

KIND_SIZE: Final = 256
CACHE_SIZE: Final = 4096
NOTHING: Final = "–"
"""The value of a segment that a decision does not have."""


def make_batch(
    events: Sequence[LoggedEvent],
    answers: Sequence[Answer],
    scores: Sequence[Floats] | None,
    marginal: Floats | None = None,
    unit: Units | None = None,
) -> Batch:
    """Returns the decisions as columns, with scores if there are some and pmfs are known."""
    reward = np.array([event.reward for event in events])
    propensity = np.array([event.decision.propensity for event in events])
    target = np.array([answer.target for answer in answers])
    if scores is None:
        return Batch(reward, propensity, target, marginal=marginal, unit=unit)
    chosen = zip(events, scores, strict=True)
    score = np.array([float(of[event.decision.index]) for event, of in chosen])
    pmfs = [answer.pmf for answer in answers]
    if any(pmf is None for pmf in pmfs):
        # on the log's own policy the logged action's score has the expectation wanted
        on_policy = bool((target == propensity).all())
        known = score if on_policy else None
        return Batch(reward, propensity, target, known, known, marginal, unit)
    pairs = zip(pmfs, scores, strict=True)
    expected = np.array([float(pmf @ of) for pmf, of in pairs if pmf is not None])
    return Batch(reward, propensity, target, score, expected, marginal, unit)


def unsupported(events: Sequence[LoggedEvent], answers: Sequence[Answer]) -> float | None:
    """Returns how much of the policy's pmf, summed over decisions, the log's never takes."""
    total = 0.0
    for event, answer in zip(events, answers, strict=True):
        if answer.pmf is None or not event.whole:
            return None
        # what is missing to 1 went to an action that could not be chosen at all
        supported = answer.pmf[np.array(event.decision.pmf) > 0.0].sum()
        total += max(1.0 - float(supported), 0.0)
    return total


def expected_squares(events: Sequence[LoggedEvent], answers: Sequence[Answer]) -> Floats | None:
    """Returns the mean square of each decision's weight; None where a pmf is not known."""
    found = np.zeros(len(events))
    for row, (event, answer) in enumerate(zip(events, answers, strict=True)):
        if answer.pmf is None or not event.whole:
            return None
        pmf = np.array(event.decision.pmf)
        tried = pmf > 0.0
        found[row] = (answer.pmf[tried] ** 2 / pmf[tried]).sum()
    return found


def actions_assumed(events: Sequence[LoggedEvent], answers: Sequence[Answer]) -> Floats | None:
    """Returns how many actions each decision is taken to choose from, 0 if the log names none.

    None where the log says so itself, or the policy's answers do not rest on it.
    """
    if all(event.actions_known for event in events) or any(a.pmf is None for a in answers):
        return None
    # a decision whose actions the log does say is no less sure than one of an even pmf
    sizes = [0 if _unnamed(event) else len(event.decision.actions) for event in events]
    return np.array(sizes, dtype=np.float64)


def _unnamed(event: LoggedEvent) -> bool:
    return not event.actions_known and tuple(a.id for a in event.decision.actions) == UNNAMED


class Kinds:
    """Which actions of a decision are alike: those whose features point the same way.

    Actions are taken in the order of their ids; each joins the first kind whose first action's
    features have a cosine of at least `alike` with its own, or starts a kind. So kinds are a
    partition, as MIPS needs, and depend on nothing but the actions themselves.

    Args:
        alike: a cosine, above -1 and at most 1.
    """

    def __init__(self, alike: float) -> None:
        self._alike = alike
        self._known: dict[tuple[str, ...], NDArray[np.int64]] = {}

    def of(self, actions: tuple[Action, ...]) -> NDArray[np.int64]:
        """Returns the number of each action's kind, shape (n_actions,)."""
        key = tuple(action.id for action in actions)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= CACHE_SIZE:
                self._known.clear()
            found = self._known[key] = self._find(actions)
        return found

    def marginal(self, events: Sequence[LoggedEvent], answers: Sequence[Answer]) -> Floats | None:
        """Returns how much more probable the policy makes each logged action's kind.

        None where the log or the policy does not tell its whole pmf.
        """
        found = np.zeros(len(events))
        for row, (event, answer) in enumerate(zip(events, answers, strict=True)):
            if answer.pmf is None or not event.whole:
                return None
            kinds = self.of(event.decision.actions)
            same = kinds == kinds[event.decision.index]
            logged = np.array(event.decision.pmf)
            found[row] = answer.pmf[same].sum() / logged[same].sum()
        return found

    def _find(self, actions: tuple[Action, ...]) -> NDArray[np.int64]:
        kinds = np.zeros(len(actions), dtype=np.int64)
        firsts: list[Floats] = []
        for place in sorted(range(len(actions)), key=lambda place: actions[place].id):
            vector = hash_vector(
                flatten(actions[place].features, namespace="action"), KIND_SIZE, seed=6
            )
            length = float(np.linalg.norm(vector))
            vector = vector / length if length else vector
            near = [number for number, first in enumerate(firsts) if vector @ first >= self._alike]
            if not near:
                firsts.append(vector)
            kinds[place] = near[0] if near else len(firsts) - 1
        return kinds


def segment_of(event: LoggedEvent, segment: str) -> str:
    """Returns the event's value of a segment, as text; a dash for none.

    Args:
        event: a decision.
        segment: `slot`, or a path into the context, such as `user.device`; not the action, since
            what was chosen is no part of what a policy is given.

    Raises:
        FeatureError: the context is no JSON.
    """
    decision = event.decision
    if segment == "slot":
        return str(decision.slot)
    try:
        value = msgspec.json.decode(decision.context)
    except msgspec.DecodeError as error:
        raise FeatureError(f"the context of {decision.event_id} is no JSON: {error}") from error
    for step in segment.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None or isinstance(value, dict | list):
        return NOTHING
    return str(value).lower() if isinstance(value, bool) else str(value)


EVENT_ID: Final = "event_id"


def unit_path(unit: str) -> str:
    """Returns the path into the context that names a unit: `user` of `context.user`."""
    return unit.removeprefix("context.")


def units_of(events: Sequence[LoggedEvent], unit: str | None) -> Units | None:
    """Returns a hash of the unit of each decision; None where no unit is named.

    Args:
        events: decisions.
        unit: a path into the context, such as `context.user`, or `event_id`, which is the unit of
            the slots of one event. A decision without a value is a unit of its own.

    Raises:
        FeatureError: a context is no JSON.
    """
    if unit is None:
        return None
    if unit == EVENT_ID:
        return hash_units([event.decision.event_id for event in events])
    path = unit_path(unit)
    return hash_units([_unit_of(event, path) for event in events])


def has_unit(events: Sequence[LoggedEvent], unit: str) -> bool:
    """Returns whether any decision has a value at the unit's path."""
    path = unit_path(unit)
    return any(segment_of(event, path) != NOTHING for event in events)


def _unit_of(event: LoggedEvent, path: str) -> str:
    value, decision = segment_of(event, path), event.decision
    return f"{decision.event_id}/{decision.slot}" if value == NOTHING else f"={value}"


HELD: Final = 4000

_Row: TypeAlias = tuple[int, float, float, float]


class Pages:
    """Collects decisions by event, and hands out what is whole as `Slates`.

    A slot that is not in the log, since it was never shown, counts as if the page had none.

    Args:
        slots: how many an event has at most.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._open: dict[str, list[_Row]] = {}
        self._units: dict[str, np.uint64] = {}

    def add(self, events: Sequence[LoggedEvent], batch: Batch) -> None:
        """Takes in decisions; `batch` holds them as columns."""
        columns = zip(
            batch.reward.tolist(), batch.propensity.tolist(), batch.target.tolist(), strict=True
        )
        for event, values in zip(events, columns, strict=True):
            decision = event.decision
            self._open.setdefault(decision.event_id, []).append((decision.slot, *values))
        if batch.unit is not None:
            named = (event.decision.event_id for event in events)
            self._units.update(zip(named, batch.unit, strict=True))

    def take(self, *, all_of_them: bool = False) -> Slates | None:
        """Returns the pages that are whole; None if there are too few to bother."""
        ready = len(self._open) if all_of_them else len(self._open) - HELD
        if ready <= 0 or (ready < HELD and not all_of_them):
            return None
        reward = np.zeros((ready, self._slots))
        propensity, target = np.ones_like(reward), np.ones_like(reward)
        ids = list(self._open)[:ready]
        for row, event_id in enumerate(ids):
            for slot, *values in self._open.pop(event_id):
                reward[row, slot], propensity[row, slot], target[row, slot] = values
        units = [self._units.pop(event_id) for event_id in ids] if self._units else None
        return Slates(reward, propensity, target, None if units is None else np.array(units))

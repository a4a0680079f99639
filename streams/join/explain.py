"""Says what the join makes of one event's records: which outcome counts, and why one does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from streams.catalogue.state import Catalogue
from streams.events import (
    ACTIVATION,
    DECISIONS,
    OUTCOMES,
    SLOT_ACTIVATION,
    Decision,
    Outcome,
    Placement,
    Slate,
    each_decision,
)
from streams.join.machine import Join
from streams.join.state import UNKNOWN_KIND as UNKNOWN_KIND
from streams.join.state import Emitted, worthless
from streams.logs.base import Record

COUNTED: Final = "counted"
WAITING: Final = "waiting"


class Verdict(NamedTuple):
    """What the join makes of one record; `code` is one of the above, or that of a refusal."""

    code: str
    why: str


class Explanation(NamedTuple):
    """What the join makes of an event.

    `decisions` and `outcomes` have one verdict a record, in the order given. `interactions` are
    those that follow by then, and `waits` says that more may.
    """

    decisions: list[Verdict]
    outcomes: list[Verdict]
    interactions: list[Emitted]
    waits: bool


def explain(
    decisions: Sequence[tuple[Record, Decision | Slate]],
    outcomes: Sequence[tuple[Record, Outcome]],
    catalogue: Catalogue,
    at_ms: int,
) -> Explanation:
    """Joins the records of one event again, with the time of the log as it is at `at_ms`.

    The join is a function of the records of an event and of the catalogue, so this says what the
    join process says, without a search for what it wrote.
    """
    join = Join(0, catalogue)
    records: list[tuple[Record, Decision | Slate | Outcome]] = [*decisions, *outcomes]
    # As in the join: of one millisecond the decisions come first.
    records.sort(key=lambda each: (each[0].timestamp_ms, each[0].topic == OUTCOMES, each[0].offset))
    for record, event in records:
        if not isinstance(event, Outcome):
            join.decide(event, record.value, record.timestamp_ms, record.offset)
        else:
            join.observe(event, record.timestamp_ms, record.offset)
    join.tick(at_ms)
    emitted, refusals = join.take()
    refused = {(each.topic, each.offset): Verdict(each.code, each.error) for each in refusals}
    known = {each.slot for _, event in decisions for each in each_decision(event)}
    placements = {
        event.placement: catalogue.placement_at(event.placement, record.timestamp_ms)
        for record, event in decisions
    }

    def of_outcome(record: Record, outcome: Outcome) -> Verdict:
        refusal = refused.get((OUTCOMES, record.offset))
        if refusal is not None:
            return refusal
        if outcome.slot not in known and outcome.kind != ACTIVATION:
            return Verdict(WAITING, f"no decision with slot {outcome.slot} came; it may yet come")
        placement = next((each for each in placements.values() if each is not None), None)
        return _worth(outcome, placement)

    return Explanation(
        [
            refused.get((DECISIONS, record.offset), Verdict(COUNTED, "it is joined"))
            for record, _ in decisions
        ],
        [of_outcome(record, outcome) for record, outcome in outcomes],
        emitted,
        join.deadline_ms() is not None,
    )


def _worth(outcome: Outcome, placement: Placement | None) -> Verdict:
    """Returns the verdict on an outcome that the join took."""
    if outcome.kind in (ACTIVATION, SLOT_ACTIVATION):
        return Verdict(COUNTED, "it says that the creative was seen")
    kinds = {} if placement is None else placement.reward.kinds
    if outcome.kind in kinds:
        return Verdict(COUNTED, "it counts towards the reward")
    name = "" if placement is None else placement.name
    return Verdict(UNKNOWN_KIND, worthless(outcome.kind, name, kinds))

"""Every outcome of an event is explained as the join treats it, over the whole conformance set."""

import pytest

from streams.events import DECISIONS, OUTCOMES, Decision, Outcome, decode
from streams.join.explain import COUNTED, UNKNOWN_KIND, WAITING, explain
from tests.streams.join.joining import AFTER_ALL, catalogue_of, records_of, run
from tests.streams.join.test_machine import cases


def events_of(records, kind):
    return [(r, e) for r in records if isinstance(e := decode(r.value), kind)]


WHOLE = [case for case in cases() if case.values[0].get("until", AFTER_ALL) is not None]
"""The cases in which the join reads all of both sides."""


@pytest.mark.parametrize("case", WHOLE)
def test_the_verdicts_are_those_of_the_join(case):
    until = case.get("until", AFTER_ALL)
    records, catalogue = records_of(case["records"], until), catalogue_of(case["catalogue"])
    interactions, refusals = run(records, catalogue)
    refused = {(r.topic, r.offset): r.code for r in refusals}
    decisions, outcomes = events_of(records, Decision), events_of(records, Outcome)
    emitted = 0
    for event_id in {e.event_id for _, e in (*decisions, *outcomes)}:
        own = [
            [each for each in side if each[1].event_id == event_id]
            for side in (decisions, outcomes)
        ]
        found = explain(*own, catalogue, until)
        for side, verdicts, topic in zip(own, found[:2], (DECISIONS, OUTCOMES), strict=True):
            for (record, _), (code, why) in zip(side, verdicts, strict=True):
                ours = None if code in (COUNTED, UNKNOWN_KIND, WAITING) else code
                assert ours == refused.get((topic, record.offset))
                assert why
        emitted += len(found.interactions)
    assert emitted == len(interactions)


RULE = {"window_seconds": 10, "grace_seconds": 1}
HOME = [{"at": 0, "placement": {"name": "p", "reward": RULE}}]


def verdicts(*rows, at_ms):
    records = records_of(rows, None)
    sides = events_of(records, Decision), events_of(records, Outcome)
    found = explain(*sides, catalogue_of(HOME), at_ms)
    return [code for code, _ in found.outcomes], found.waits


def test_a_kind_without_a_weight_is_told():
    decision = {"at": 1000, "decision": {"event_id": "e"}}
    outcome = {"at": 1001, "outcome": {"event_id": "e", "outcome_id": "o", "kind": "clck"}}
    assert verdicts(decision, outcome, at_ms=1002) == ([UNKNOWN_KIND], True)


def test_an_outcome_without_a_decision_waits_and_is_an_orphan_then():
    outcome = {"at": 1000, "outcome": {"event_id": "e", "outcome_id": "o"}}
    assert verdicts(outcome, at_ms=1002) == ([WAITING], True)
    assert verdicts(outcome, at_ms=20_000) == (["orphan"], False)

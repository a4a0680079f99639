"""A slate is joined as its slots' decisions would be, and its interactions are written together."""

import random
from itertools import groupby, pairwise

import msgspec
import pytest
from msgspec import Raw

from streams.errors import CheckpointError
from streams.events import (
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    Action,
    Outcome,
    Slate,
    SlateSlot,
    decode,
    each_decision,
    each_interaction,
    encode,
)
from streams.join.machine import Join
from streams.join.partition import _told_together
from streams.join.state import together
from streams.logs.base import Message
from tests.streams.join.joiner_runs import prepare as prepared
from tests.streams.join.joiner_runs import read, steps
from tests.streams.join.joining import catalogue_of

RULE = {
    "window_seconds": 10,
    "grace_seconds": 1,
    "maximum": 10,
    "kinds": {"click": {}, "sale": {"weight": 2, "window_seconds": 60}},
}
N_SLOTS = 3


def placements(**more):
    return [
        {"at": 0, "placement": {"name": "p", "learn": "realtime", "reward": RULE | more}},
        {"at": 0, "placement": {"name": "q", "learn": "window", "reward": RULE | more}},
    ]


def slate(event_id, at_ms, placement="p", *, deferred=False, text="", first=0, n=N_SLOTS):
    actions = tuple(Action(name, Raw(b'{"text":"%b"}' % text.encode())) for name in "abcd")
    slots = [
        SlateSlot(
            slot=first + n,
            pmf=((1.0 / left, left),),
            index=0,
            features=Raw(b'{"id":"s%d"}' % n),
        )
        for n, left in zip(range(n), (4, 3, 2), strict=False)
    ]
    return Slate(
        event_id=event_id,
        placement=placement,
        timestamp_ms=at_ms,
        context=Raw(b'{"hour":9}'),
        actions=actions,
        slots=tuple(slots),
        policy_version="v",
        deferred=deferred,
    )


def history(n, seed):
    """Times with slates and outcomes of their slots: in time, late, early, twice."""
    rng = random.Random(seed)
    rows = []
    for number in range(n):
        at, event_id = 1000 + number * 40, f"e{number}"
        made = slate(event_id, at, rng.choice("pq"), deferred=number % 3 == 0)
        rows.append((at + rng.choice([0, 0, 300]), made))
        for outcome in range(rng.choice([0, 1, 3, 6])):
            happened = at + rng.choice([1, 100, 5000, 9990, 14_000, 70_000])
            kinds = ["click", "sale", "activation", "slot_activation"]
            told = Outcome(
                event_id=event_id,
                outcome_id=f"o{rng.choice([outcome, 0])}",
                kind=rng.choice(kinds),
                timestamp_ms=happened,
                slot=rng.randrange(N_SLOTS),
            )
            rows.append((happened + rng.choice([0, 10, 1500]), told))
    return sorted(rows, key=lambda row: row[0])


def joined(rows, catalogue, *, cut=lambda number: False):
    """The records that the join writes, and what it refuses; `cut` takes it through its bytes."""
    join, written, refused = Join(0, catalogue_of(catalogue)), [], []
    for number, (at_ms, event) in enumerate([*rows, (10**9, None)]):
        match event:
            case None:
                join.tick(at_ms)
            case Outcome():
                join.observe(event, at_ms, number)
            case _:
                join.decide(event, encode(event), at_ms, number)
        emitted, refusals = join.take()
        runs = [list(run) for _, run in groupby(emitted, key=_told_together)]
        written += [msgspec.json.encode(together(run)) for run in runs]
        refused += [refusal.code for refusal in refusals]
        if cut(number):
            state = join.to_bytes()
            join = Join.from_bytes(state, catalogue_of(catalogue))
            assert join.to_bytes() == state
    return written, refused


def told(written):
    return [each for value in written for each in each_interaction(decode(value))]


def in_slots(interactions):
    """By event and slot, what was told of it, but for its number among all."""
    found = {}
    for each in interactions:
        key = each.decision.event_id, each.decision.slot
        found.setdefault(key, []).append(msgspec.structs.replace(each, sequence=0))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_slate_is_joined_as_the_decisions_of_its_slots(seed):
    rows = history(40, seed)
    apart = [(at, each) for at, event in rows for each in each_decision(event) or (event,)]
    written, refused = joined(rows, placements())
    alone, alone_refused = joined(apart, placements())
    assert in_slots(told(written)) == in_slots(told(alone))
    assert [each.sequence for each in told(written)] == list(range(len(alone)))
    assert sorted(refused) == sorted(alone_refused)
    assert sum(map(len, written)) < sum(map(len, alone))


@pytest.mark.parametrize("seed", range(3))
def test_the_state_of_slates_goes_through_its_bytes(seed):
    rows = history(40, seed)
    rng = random.Random(seed)
    for corrections in ({}, {"corrections": 2}):
        whole = joined(rows, placements(**corrections))
        assert joined(rows, placements(**corrections), cut=lambda _: rng.random() < 0.3) == whole


def test_a_slate_is_in_the_state_once():
    join = Join(0, catalogue_of(placements()))
    made = slate("e", 1000, text="t" * 10_000)
    join.decide(made, encode(made), 1000, 0)
    assert len(join.to_bytes()) < 1.1 * len(encode(made))
    with pytest.raises(CheckpointError):
        Join.from_bytes(join.to_bytes()[:-1], catalogue_of(placements()))


def test_a_slate_with_a_slot_that_was_decided_is_refused_whole():
    first, other = slate("e", 1000, n=1), slate("e", 1010)
    written, refused = joined([(1000, first), (1010, other), (1020, first)], placements())
    assert refused == ["duplicate_decision", "repeated_decision"]
    assert {each.decision.slot for each in told(written)} == {0}


def clicks(n, at_ms, *, slots=N_SLOTS, kind="click"):
    return [
        (
            at_ms + number,
            Outcome(
                event_id="e",
                outcome_id=f"{kind}{number}",
                kind=kind,
                timestamp_ms=at_ms + number,
                slot=number % slots,
                value=1e-4,
            ),
        )
        for number in range(n)
    ]


def test_outcomes_write_an_event_again_so_often_and_no_more():
    made = slate("e", 1000, text="t" * 1000)
    rows = [(1000, made), *clicks(300, 2000), *clicks(300, 20_000, kind="sale")]
    written, refused = joined(rows, placements(corrections=4))
    assert refused == []
    statuses = [each.status for each in told(written)]
    # Shown, four while it is open, closed, four more, and the rest of each slot at the end.
    assert statuses == ["provisional"] * 3 + ["corrected"] * 4 + ["closed"] * 3 + ["corrected"] * 7
    assert len(written) == 1 + 4 + 1 + 4 + 1
    unbounded = told(joined(rows, placements())[0])
    for slot in range(N_SLOTS):
        ours = [each for each in told(written) if each.decision.slot == slot]
        theirs = [each for each in unbounded if each.decision.slot == slot]
        assert (ours[-1].reward, ours[-1].outcomes) == (theirs[-1].reward, theirs[-1].outcomes)
        # Each says what the one before it said, so a policy that is corrected ends the same.
        for before, after in pairwise(ours):
            assert after.previous_reward == before.reward
    brought = len(encode(made)) + sum(len(encode(outcome)) for _, outcome in rows[1:])
    assert sum(map(len, written)) < 6 * brought


def test_one_decision_is_corrected_so_often_and_no_more():
    (made,) = each_decision(slate("e", 1000, n=1))
    rows = [(1000, made), *clicks(50, 2000, slots=1)]
    statuses = [each.status for each in told(joined(rows, placements(corrections=8))[0])]
    assert statuses == ["provisional"] + ["corrected"] * 8 + ["closed"]
    # A log from before says nothing, and is joined as it was.
    assert [each.status for each in told(joined(rows, placements())[0])].count("corrected") == 50


def test_slots_that_are_seen_one_by_one_are_written_so_often_and_no_more():
    made = slate("e", 1000, deferred=True)
    seen = [
        (
            2000 + slot,
            Outcome(
                event_id="e",
                outcome_id="seen",
                kind="slot_activation",
                timestamp_ms=2000 + slot,
                slot=slot,
            ),
        )
        for slot in range(N_SLOTS)
    ]
    found = told(joined([(1000, made), *seen], placements(corrections=2))[0])
    assert [(each.status, each.decision.slot) for each in found] == [
        *[("provisional", 0), ("provisional", 1)],
        *[("closed", 0), ("closed", 1), ("closed", 2)],
    ]


@pytest.mark.parametrize("lost", [False, True])
def test_a_joiner_that_starts_anew_writes_no_slate_twice(empty_log, tmp_path, lost):
    prepared(empty_log)
    rows = history(30, 9)
    for at_ms, event in rows:
        topic = OUTCOMES if isinstance(event, Outcome) else DECISIONS
        at = {"timestamp_ms": at_ms, "partition": 0}
        empty_log.append([Message(topic, event.event_id.encode(), encode(event), **at)])
    for number in range(3):
        steps(empty_log, tmp_path, 2, batch=30)
        if lost and number == 1:
            for path in tmp_path.glob("join-*"):
                path.unlink()
    steps(empty_log, tmp_path, 12)
    found = [e for r in read(empty_log, INTERACTIONS) for e in each_interaction(decode(r.value))]
    sequences = [each.sequence for each in found if each.source == 0]
    assert sorted(sequences) == list(range(len(sequences)))
    closed = [each for each in found if each.status == "closed"]
    assert len(closed) == len({(e.decision.event_id, e.decision.slot) for e in closed}) > 30

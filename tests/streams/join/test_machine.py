import json
from collections import Counter, defaultdict
from operator import itemgetter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import CheckpointError
from streams.events import DECISIONS, OUTCOMES
from streams.join.machine import Join
from tests.streams.join.joining import catalogue_of, delivered, records_of, run

FILES = sorted((Path(__file__).parent / "join_conformance").glob("*.json"))
AFTER_ALL = 10**12


def cases():
    for path in FILES:
        found = json.loads(path.read_text())
        for case in found["cases"]:
            yield pytest.param(
                {"catalogue": found["catalogue"], **case}, id=f"{path.stem}: {case['name']}"
            )


def in_short(interaction):
    """What the conformance set says of an interaction, without what it may leave out."""
    short = {
        "event_id": interaction.decision.event_id,
        "status": interaction.status,
        "reward": interaction.reward,
        "timestamp_ms": interaction.timestamp_ms,
    }
    if interaction.decision.slot:
        short["slot"] = interaction.decision.slot
    if interaction.previous_reward is not None:
        short["previous_reward"] = interaction.previous_reward
    if interaction.outcomes:
        short["outcomes"] = [outcome.outcome_id for outcome in interaction.outcomes]
    return short


def by_place(refusals):
    return sorted(refusals, key=lambda refusal: (refusal["topic"], refusal["offset"]))


@pytest.mark.parametrize("case", list(cases()))
def test_conformance(case):
    records = records_of(case["records"], case.get("until", AFTER_ALL))
    interactions, refusals = run(records, catalogue_of(case["catalogue"]))

    assert [in_short(interaction) for interaction in interactions] == case["interactions"]
    assert [interaction.sequence for interaction in interactions] == list(range(len(interactions)))
    found = [{"topic": r.topic, "offset": r.offset, "code": r.code} for r in refusals]
    assert by_place(found) == by_place(case["refusals"])


def test_the_conformance_set_is_told_apart_and_explained():
    found = [case for path in FILES for case in json.loads(path.read_text())["cases"]]
    assert len(found) >= 40
    assert all(case["says"] for case in found)
    codes = {refusal["code"] for case in found for refusal in case["refusals"]}
    readme = (FILES[0].parent / "README.md").read_text()
    assert all(f"`{code}`" in readme for code in codes)


RULE = {
    "window_seconds": 0.1,
    "grace_seconds": 0.02,
    "minimum": -2,
    "maximum": 4,
    "kinds": {
        "click": {"aggregation": "max"},
        "reward": {"aggregation": "last"},
        "sale": {"weight": 0.3, "aggregation": "sum", "window_seconds": 0.3},
        "visit": {"weight": -0.7, "aggregation": "mean", "window_seconds": 0.03},
    },
}
KINDS = [*RULE["kinds"], "activation", "slot_activation", "impression"]


def catalogue(learn):
    placements = [{"name": "p", "learn": learn, "reward": RULE}]
    placements.append({"name": "q", "learn": learn, "reward": RULE | {"window_seconds": 0.05}})
    return catalogue_of([{"at": 0, "placement": placement} for placement in placements])


@st.composite
def histories(draw):
    """Rows in which little happens twice by chance, and much of it by being few.

    Decisions carry their offset as `policy_version`, outcomes theirs as `traceparent`.
    """
    rows, offsets, at = [], Counter(), 1000
    for _ in range(draw(st.integers(1, 30))):
        # Time goes back now and then, as it does where clocks are put right.
        at += draw(st.one_of(st.integers(0, 40), st.just(-25)))
        happened = at + draw(st.sampled_from([0, 0, 0, -5, -30, -200, 20]))
        event = {
            "event_id": draw(st.sampled_from("ab")),
            "slot": draw(st.sampled_from([0, 0, 1])),
            "timestamp_ms": happened,
        }
        topic = draw(st.sampled_from([DECISIONS, OUTCOMES, OUTCOMES, OUTCOMES, "tick"]))
        if topic == "tick":
            rows.append({"at": at, "tick": draw(st.sampled_from([DECISIONS, OUTCOMES]))})
        elif topic == DECISIONS:
            event["placement"] = draw(st.sampled_from(["p", "p", "q", "unknown"]))
            event["deferred"] = draw(st.booleans())
            event["policy_version"] = str(offsets[topic])
            rows.append({"at": at, "decision": event})
        else:
            event["outcome_id"] = draw(st.sampled_from(["o1", "o2", "o3", "o4"]))
            event["kind"] = draw(st.sampled_from(KINDS))
            event["value"] = draw(st.sampled_from([0.0, 0.1, 1.0, -1.0, 3.0, 9.0]))
            event["traceparent"] = str(offsets[topic])
            rows.append({"at": at, "outcome": event})
        offsets[rows[-1].get("tick", topic)] += 1
    return rows


LAW = settings(max_examples=40, deadline=None)
LEARN = pytest.mark.parametrize("learn", ["window", "realtime"])


def chains(interactions):
    """The interactions of each decision, by its offset."""
    found = defaultdict(list)
    for interaction in interactions:
        found[interaction.decision.policy_version].append(interaction)
    return dict(found)


@LEARN
@LAW
@given(rows=histories(), seed=st.integers())
def test_any_delivery_gives_the_same_in_the_same_order(learn, rows, seed):
    records = records_of(rows)
    assert run(delivered(records, seed), catalogue(learn)) == run(records, catalogue(learn))


@LEARN
@LAW
@given(rows=histories(), cuts=st.sets(st.integers(1, 30)))
def test_a_cut_changes_nothing(learn, rows, cuts):
    records = records_of(rows)
    cut = run(records, catalogue(learn), cut=lambda n: n in cuts)
    assert cut == run(records, catalogue(learn))


@LEARN
@LAW
@given(rows=histories(), ticks=st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=8))
def test_more_ticks_change_nothing(learn, rows, ticks):
    rows.sort(key=lambda row: row["at"])
    plain, _ = run(records_of(rows), catalogue(learn))
    for place, side in ticks:
        at = rows[min(place, len(rows) - 1)]["at"]
        rows.insert(min(place, len(rows)), {"at": at, "tick": DECISIONS if side else OUTCOMES})
    rows.sort(key=lambda row: row["at"])
    ticking, _ = run(records_of(rows), catalogue(learn))
    assert [in_short(i) for i in ticking] == [in_short(i) for i in plain]


@LEARN
@LAW
@given(rows=histories())
def test_every_decision_that_is_not_refused_or_unshown_is_closed_once(learn, rows):
    interactions, refusals = run(records_of(rows), catalogue(learn))
    refused = {str(r.offset) for r in refusals if r.topic == DECISIONS}
    deferred = {
        r["decision"]["policy_version"]: r["decision"]["deferred"] for r in rows if "decision" in r
    }
    closed = Counter(i.decision.policy_version for i in interactions if i.status == "closed")

    assert set(closed.values()) <= {1}
    assert set(closed) == set(chains(interactions))
    assert {d for d in deferred if not deferred[d] and d not in refused} <= set(closed)
    assert not refused & set(closed)


def test_an_early_activation_that_a_slot_has_already_is_refused_once_and_used_never():
    at = {"event_id": "a", "timestamp_ms": 1000}
    rows = [
        {"at": 1000, "outcome": at | {"slot": 1, "outcome_id": "o", "traceparent": "0"}},
        {
            "at": 1000,
            "outcome": at
            | {"slot": 0, "outcome_id": "o", "kind": "activation", "traceparent": "1"},
        },
        {"at": 1001, "decision": at | {"slot": 1}},
        {"at": 1002, "decision": at | {"slot": 0}},
    ]
    interactions, refusals = run(records_of(rows), catalogue("realtime"))
    used = {outcome.traceparent for each in interactions for outcome in each.outcomes}
    assert [(r.offset, r.code) for r in refusals] == [(1, "duplicate_outcome")]
    assert used == {"0"}


@LEARN
@LAW
@given(rows=histories())
def test_no_outcome_vanishes(learn, rows):
    interactions, refusals = run(records_of(rows), catalogue(learn))
    refused = [str(r.offset) for r in refusals if r.topic == OUTCOMES]
    used = [
        outcome.traceparent
        for chain in chains(interactions).values()
        for outcome in chain[-1].outcomes
    ]
    came = [row["outcome"]["traceparent"] for row in rows if "outcome" in row]
    assert sorted(refused + used) == sorted(came)


@LAW
@given(rows=histories())
def test_the_chain_of_realtime_ends_where_waiting_does(rows):
    realtime = chains(run(records_of(rows), catalogue("realtime"))[0])
    window = chains(run(records_of(rows), catalogue("window"))[0])

    assert realtime.keys() == window.keys()
    for decision, chain in realtime.items():
        assert chain[0].status == "provisional"
        told = [None, *(interaction.reward for interaction in chain)]
        assert [interaction.previous_reward for interaction in chain] == told[:-1]
        assert chain[-1].reward == window[decision][-1].reward
        assert chain[-1].outcomes == window[decision][-1].outcomes


@LAW
@given(rows=histories())
def test_interactions_are_as_old_as_what_they_follow_from(rows):
    interactions, _ = run(records_of(rows), catalogue("realtime"))
    times = [interaction.timestamp_ms for interaction in interactions]
    assert times == sorted(times)


@LEARN
@LAW
@given(
    activated=st.integers(1, 90),
    clicks=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 90)), max_size=4),
    cut=st.integers(1, 12),
)
def test_an_activation_of_the_event_does_what_one_of_each_slot_does(learn, activated, clicks, cut):
    def joined(*activations):
        decided = [
            {"at": 1000, "decision": {"event_id": "a", "slot": slot, "deferred": True}}
            for slot in range(4)
        ]
        followed = [(activated, kind, slot, f"on{slot}") for kind, slot in activations]
        followed += [(at, "click", slot, f"o{n}") for n, (slot, at) in enumerate(clicks)]
        outcomes = [
            {"at": 1000 + at, "outcome": {"event_id": "a", "kind": k, "slot": s, "outcome_id": o}}
            for at, k, s, o in sorted(followed, key=itemgetter(0))
        ]
        records = records_of([*decided, *outcomes])
        interactions, refusals = run(records, catalogue(learn), cut=lambda n: n == cut)
        assert not refusals
        return [(i.decision.slot, i.status, i.reward, i.timestamp_ms) for i in interactions]

    of_each = joined(*[("slot_activation", slot) for slot in range(4)])
    assert {slot for slot, *_ in of_each} == {0, 1, 2, 3}
    assert joined(("activation", 0)) == of_each


@pytest.mark.parametrize(
    "state", [b"", b"\x90", b"no state", Join(3, catalogue("window")).to_bytes()[:-1]]
)
def test_what_is_no_state_is_refused(state):
    with pytest.raises(CheckpointError):
        Join.from_bytes(state, catalogue("window"))


@LEARN
@LAW
@given(rows=histories(), held_up_ms=st.integers(0, 100_000))
def test_what_is_held_up_on_its_way_earns_the_same(learn, rows, held_up_ms):
    """As when a broker is away, and all of it comes later by as much."""
    rows = sorted((row for row in rows if "tick" not in row), key=happened)
    in_time = [row | {"at": happened(row)} for row in rows]
    held_up = [row | {"at": happened(row) + held_up_ms} for row in rows]
    assert rewards(held_up, learn) == rewards(in_time, learn)


def happened(row):
    return (row.get("decision") or row["outcome"])["timestamp_ms"]


def rewards(rows, learn):
    interactions, _ = run(records_of(rows), catalogue(learn))
    return {version: chain[-1].reward for version, chain in chains(interactions).items()}

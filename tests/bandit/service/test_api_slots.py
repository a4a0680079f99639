"""Several slots in one request, as a caller sees them and as the log keeps them."""

import json

import pytest

from bandit.client import Client
from bandit.policy import sample, sample_seed
from bandit.service.settings import Settings
from bandit.verification import audit
from streams.events import DECISIONS, decode, each_decision
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import code_of, running

SLOTS = [{"id": "top", "features": {"wide": True}}, {"id": "side"}, {"id": "foot"}]


@pytest.fixture(scope="module")
def name(api):
    return api.placement("slotted", "abcd", policy={"name": "uniform"})


def decisions(api, event_id):
    return api.logged(DECISIONS, event_id)


def test_the_answer_is_what_was_logged(api, name):
    answer = api.rank(name, context={"hour": 9}, slots=SLOTS, event_id="told").json()
    assert set(answer) == {"event_id", "placement", "slots", "policy_version"}
    made = decisions(api, "told")
    assert [d.slot for d in made] == [s["slot"] for s in answer["slots"]] == [0, 1, 2]
    assert [s["id"] for s in answer["slots"]] == ["top", "side", "foot"]
    for decision, told in zip(made, answer["slots"], strict=True):
        assert decision.policy_version == answer["policy_version"]
        pmf = [
            {"id": a.id, "propensity": p}
            for a, p in zip(decision.actions, decision.pmf, strict=True)
        ]
        assert told["pmf"] == pmf
        assert (told["index"], told["propensity"]) == (decision.index, decision.propensity)
        text = {"headline": f"Text of {decision.action.id}"}
        assert told["action"] == {"id": decision.action.id, "parts": text}
        assert decision.index == sample(decision.pmf, sample_seed("told", decision.slot))
    assert [len(d.actions) for d in made] == [4, 3, 2]
    assert len({d.action.id for d in made}) == 3
    contexts = [json.loads(bytes(d.context)) for d in made]
    assert contexts[0] == {"hour": 9, "slot": {"id": "top", "wide": True}}
    assert contexts[1] == {"hour": 9, "slot": {"id": "side"}}


def test_the_slots_of_an_event_are_one_record(api, name):
    for number in range(5):
        api.rank(name, slots=SLOTS, event_id=f"together-{number}")
    records = [r for r in api.records(DECISIONS) if r.key.startswith(b"together")]
    assert len(records) == 5
    for record in records:
        slate = decode(record.value)
        assert [decision.slot for decision in each_decision(slate)] == [0, 1, 2]
        assert {d.event_id for d in each_decision(slate)} == {record.key.decode()}


def test_a_slot_of_its_own_draws_as_the_request_without_slots(api, name):
    for number in range(10):
        without = api.rank(name, event_id=f"plain-{number}").json()
        (slot,) = api.rank(name, event_id=f"plain-{number}", slots=[{"id": "x"}]).json()["slots"]
        assert (slot["action"], slot["pmf"]) == (without["action"], without["pmf"])


def test_what_a_slot_excludes_it_does_not_get(api, name):
    slots = [{"id": "top", "excluded": ["a", "b", "c"]}, {"id": "side", "excluded": ["gone", "a"]}]
    top, side = api.rank(name, slots=slots).json()["slots"]
    assert [entry["id"] for entry in top["pmf"]] == ["d"]
    assert [entry["id"] for entry in side["pmf"]] == ["b", "c"]


def test_actions_of_the_caller_fill_slots_too(api, name):
    actions = [{"id": "x", "features": {"n": 1}}, {"id": "y", "features": {}}]
    answer = api.rank(name, actions=actions, slots=SLOTS[:2]).json()
    assert {slot["action"]["id"] for slot in answer["slots"]} == {"x", "y"}
    assert "parts" not in answer["slots"][0]["action"]


@pytest.mark.parametrize(
    ("body", "code", "target"),
    [
        ({"slots": []}, "slots_count_invalid", "slots"),
        ({"slots": [{"id": "x"}, {"id": "x"}]}, "duplicate_slot_id", "slots"),
        ({"slots": [{"id": "x", "features": [1]}]}, "features_invalid", "slots[0].features"),
        ({"slots": [{"id": "x", "features": {"id": 1}}]}, "features_invalid", "slots[0].features"),
        ({"slots": [{"id": "x"}], "context": {"slot": 1}}, "features_invalid", "context"),
        ({"slots": [{"id": ""}]}, "body_invalid", "slots[0].id"),
        ({"slots": [{}]}, "body_invalid", "slots[0]"),
        ({"slots": [{"id": "x", "exclude": []}]}, "body_invalid", "slots[0]"),
    ],
    ids=range(8),
)
def test_slots_that_are_off_are_refused(api, name, body, code, target):
    before = len(api.logged(DECISIONS))
    answer = api.rank(name, **body)
    assert code_of(answer) == (422, code)
    assert answer.json()["error"]["target"] == target
    assert len(api.logged(DECISIONS)) == before


def test_fifty_slots_are_the_most():
    with running(MemoryLog(), Settings()) as api:
        name = api.placement("many", [str(n) for n in range(60)], policy={"name": "uniform"})
        slots = [{"id": str(n)} for n in range(51)]
        assert code_of(api.rank(name, slots=slots)) == (422, "slots_count_invalid")
        filled = api.rank(name, slots=slots[:50]).json()["slots"]
        assert len({slot["action"]["id"] for slot in filled}) == 50


def test_one_call_activates_all_slots_or_those_that_were_shown(api, name):
    for event_id, body, told in [
        ("all", None, [("activation", 0)]),
        ("all-too", {}, [("activation", 0)]),
        ("shown", {"slots": [0, 2]}, [("slot_activation", 0), ("slot_activation", 2)]),
    ]:
        api.rank(name, slots=SLOTS, event_id=event_id, deferred=True)
        assert all(decision.deferred for decision in decisions(api, event_id))
        assert api.event(name, event_id, "activate", body).status_code == 204
        outcomes = api.outcomes(event_id)
        assert [(o.kind, o.slot) for o in outcomes] == told
        assert len({o.outcome_id for o in outcomes}) == len(told)


@pytest.mark.parametrize("body", [{"slots": []}, {"slots": [-1]}, {"slots": 3}, {"slot": 1}, []])
def test_an_activation_that_is_off_is_refused(api, name, body):
    assert code_of(api.event(name, "off", "activate", body)) == (422, "body_invalid")
    assert api.outcomes("off") == []


def test_the_client_speaks_of_slots(api, name):
    client = Client(api.url)
    event_id = client.rank_slots(name, {"hour": 9}, SLOTS, deferred=True).event_id
    client.activate(name, event_id, slots=[0, 2])
    client.activate(name, event_id)
    client.outcome(name, event_id, "click", slot=1)
    client.reward(name, event_id, 0.5, slot=2)
    client.close()
    assert [(o.kind, o.value, o.slot) for o in api.outcomes(event_id)] == [
        ("slot_activation", 1.0, 0),
        ("slot_activation", 1.0, 2),
        ("activation", 1.0, 0),
        ("click", 1.0, 1),
        ("reward", 0.5, 2),
    ]


@pytest.mark.parametrize("policy", ["thompson", "text_thompson", "lin_ts"])
def test_the_audit_derives_every_slot_again(policy):
    log = MemoryLog()
    with running(log) as api:
        name = api.placement("audited", "abcd", policy={"name": policy})
        for number in range(10):
            context = {"hour": number}
            assert api.rank(name, slots=SLOTS, context=context, event_id=f"e{number}").is_success
    report = audit(log)
    assert report.clean, report.summary()
    assert (report.decisions, report.versions_verified) == (30, 1)

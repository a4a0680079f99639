import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bandit import policies
from bandit.policies import open_policy
from streams.events import DECISIONS, OUTCOMES

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def ids(answer):
    return [entry["id"] for entry in answer["pmf"]]


def propensities(answer):
    return [entry["propensity"] for entry in answer["pmf"]]


def test_the_answer_is_what_was_logged(api):
    name = api.placement("same")
    answer = api.rank(name, context={"device": "phone"}).json()
    decision = api.decision(answer["event_id"])
    assert decision.placement == answer["placement"] == name
    assert bytes(decision.context) == b'{"device":"phone"}'
    assert [action.id for action in decision.actions] == ids(answer) == ["a", "b", "c"]
    assert list(decision.pmf) == propensities(answer)
    assert decision.index == answer["index"]
    assert decision.action.id == answer["action"]["id"]
    assert decision.propensity == answer["propensity"]
    assert decision.policy_version == answer["policy_version"]
    assert not decision.deferred


WRAPPERS = ("floor", "apprentice", "guarded", "newcomers")


@pytest.mark.parametrize("policy", policies.POLICIES)
def test_every_policy_can_be_served(api, policy):
    beneath = {"policy": {"name": "thompson"}} if policy in WRAPPERS else {}
    spec = {"name": policy} | beneath
    aim = {"reward": {"objective": {"name": "conversions_with_clicks"}}}
    more = aim if policy == "guarded" else {}
    name = api.placement(f"served-by-{policy}", policy=spec, learn="window", **more)
    answer = api.rank(name, context={"device": "phone", "hour": 20}).json()
    assert sum(propensities(answer)) == pytest.approx(1.0)
    assert api.decision(answer["event_id"]).policy_version == answer["policy_version"]


def test_a_policy_by_segments_is_asked_in_each_contexts_own(api):
    policy = {"name": "text_thompson", "segments": ["device"], "delay": [60.0, 3600.0]}
    name = api.placement("by-segments", policy=policy)
    assert api.client.get(f"/v1/placements/{name}").json()["policy"]["segments"] == ["device"]
    learned = open_policy(policy)
    decision = api.decision(api.rank(name).json()["event_id"])
    for number in range(300):
        learned.learn(decision, float(number % 10 == 0))
    api.publish(name, learned)
    nowhere, phone = (propensities(api.rank(name, context=c).json()) for c in ({}, {"device": "x"}))
    assert nowhere != phone
    refused = api.rank(name, context={"device": {"os": "x"}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "features_invalid")


def test_the_chosen_creative_comes_with_its_text(api):
    answer = api.rank(api.placement("texts", ["only"])).json()
    assert answer["action"] == {"id": "only", "parts": {"headline": "Text of only"}}
    assert answer["propensity"] == 1.0


def test_actions_of_the_caller_replace_the_live_creatives(api):
    name = api.placement("own", policy={"name": "uniform"})
    actions = [{"id": "x", "features": {"n": 1.50}}, {"id": "y", "features": {}}]
    answer = api.rank(name, actions=actions).json()
    assert ids(answer) == ["x", "y"]
    assert "parts" not in answer["action"]
    decision = api.decision(answer["event_id"])
    assert [bytes(action.features) for action in decision.actions] == [b'{"n":1.5}', b"{}"]


def test_features_are_logged_byte_for_byte(api):
    name = api.placement("bytes", policy={"name": "uniform"})
    body = (
        b'{"context": {"a" : 1.0,\n "b":[1E2]}, "actions":[{"id":"x","features":{ "z":"\\u00e9"}}]}'
    )
    answer = api.client.post(f"/v1/placements/{name}/rank", content=body).json()
    decision = api.decision(answer["event_id"])
    assert bytes(decision.context) == b'{"a" : 1.0,\n "b":[1E2]}'
    assert bytes(decision.actions[0].features) == b'{ "z":"\\u00e9"}'


def test_a_thousand_actions_are_accepted(api):
    name = api.placement("thousand", policy={"name": "uniform"})
    actions = [{"id": str(n), "features": {"n": n}} for n in range(1000)]
    answer = api.rank(name, actions=actions)
    assert answer.status_code == 200
    assert len(api.decision(answer.json()["event_id"]).actions) == 1000


@pytest.mark.parametrize("event_id", ["e", "é" * 256, "a/b c?d#e%f", "\N{PILE OF POO}", "x\x00y"])
def test_event_ids_are_kept_as_given(api, event_id):
    name = api.placement("unicode", policy={"name": "uniform"})
    assert api.rank(name, event_id=event_id).json()["event_id"] == event_id
    assert api.decision(event_id).event_id == event_id


def test_made_event_ids_are_unique_and_sort_by_time(api):
    name = api.placement("made")
    made = [api.rank(name).json()["event_id"] for _ in range(20)]
    assert len(set(made)) == 20
    assert [e[:12] for e in made] == sorted(e[:12] for e in made)


@pytest.mark.parametrize(
    ("header", "kept"), [(TRACE, TRACE), ("nonsense", None), (TRACE + "-more", None), (None, None)]
)
def test_the_trace_is_carried_into_the_event_and_its_headers(api, header, kept):
    name = api.placement("traced")
    headers = {} if header is None else {"traceparent": header}
    answer = api.client.post(f"/v1/placements/{name}/rank", json={}, headers=headers).json()
    assert api.decision(answer["event_id"]).traceparent == kept
    event = f"/v1/placements/{name}/events/{answer['event_id']}"
    api.client.post(f"{event}/reward", json={"value": 1}, headers=headers)
    (outcome,) = api.outcomes(answer["event_id"])
    assert outcome.traceparent == kept
    key = answer["event_id"].encode()
    found = [r for topic in (DECISIONS, OUTCOMES) for r in api.records(topic) if r.key == key]
    handed_on = () if kept is None else (("traceparent", kept.encode()),)
    assert [record.headers for record in found] == [handed_on] * 2


def test_a_deferred_decision_says_so(api):
    answer = api.rank(api.placement("deferred"), deferred=True).json()
    assert api.decision(answer["event_id"]).deferred


def test_a_published_policy_is_served(api):
    name = api.placement("swapped")
    before = api.rank(name).json()
    policy = open_policy({"name": "thompson"})
    decision = api.decision(before["event_id"])
    for _ in range(50):
        policy.learn(decision, 1.0)
    version = api.publish(name, policy, offset=50)
    assert api.rank(name).json()["policy_version"] == version
    after = api.rank(name).json()
    winner = before["index"]
    assert propensities(after)[winner] > propensities(before)[winner]
    served = api.client.get(f"/v1/placements/{name}/policy").json()
    assert served["version"] == version
    assert served["offset"] == 50
    assert served["age_ms"] >= 0


def test_many_at_once_are_each_logged_exactly_once(api):
    name = api.placement("crowd", policy={"name": "uniform"})
    names = [f"crowd-{number}" for number in range(200)]
    start = threading.Barrier(20)

    def ask(worker):
        with httpx.Client(base_url=api.url, timeout=30) as client:
            start.wait()
            return [
                client.post(f"/v1/placements/{name}/rank", json={"event_id": event_id}).json()
                for event_id in names[worker::20]
            ]

    with ThreadPoolExecutor(20) as pool:
        answers = [answer for found in pool.map(ask, range(20)) for answer in found]
    logged = [d for d in api.logged(DECISIONS) if d.placement == name]
    assert sorted(d.event_id for d in logged) == sorted(names)
    assert {d.event_id: d.index for d in logged} == {a["event_id"]: a["index"] for a in answers}

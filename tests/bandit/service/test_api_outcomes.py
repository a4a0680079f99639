import pytest

from streams.events import DECISIONS, OUTCOMES
from streams.logs.base import TopicPartition
from tests.bandit.service.api_server import code_of

NOW_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def name(api):
    kinds = {key: {} for key in ("click", "reward", "conversion", "of the user's own", "view")}
    return api.placement("heard", reward={"kinds": kinds})


def test_a_reward_is_an_outcome_of_its_kind(api, name):
    assert api.event(name, "e1", "reward", {"value": 0.5, "slot": 2}).status_code == 204
    (outcome,) = api.outcomes("e1")
    assert (outcome.kind, outcome.value, outcome.slot) == ("reward", 0.5, 2)


def test_an_activation_needs_no_body(api, name):
    answer = api.event(name, "e2", "activate")
    assert (answer.status_code, answer.content) == (204, b"")
    (outcome,) = api.outcomes("e2")
    assert outcome.kind == "activation"


def test_outcomes_come_one_or_many_at_a_time(api, name):
    one = api.event(name, "e3", "outcomes", {"kind": "click"})
    assert (one.status_code, one.json()) == (202, {"accepted": 1})
    many = [
        {"kind": "conversion", "value": 19.9, "outcome_id": "order-1", "timestamp_ms": NOW_MS},
        {"kind": "of the user's own", "slot": 1},
    ]
    assert api.event(name, "e3", "outcomes", many).json() == {"accepted": 2}
    click, conversion, own = api.outcomes("e3")
    assert (click.kind, click.value) == ("click", 1.0)
    assert (conversion.outcome_id, conversion.timestamp_ms) == ("order-1", NOW_MS)
    assert (own.kind, own.slot) == ("of the user's own", 1)


def test_a_kind_that_the_placement_does_not_know_is_refused_with_those_there_are(api, name):
    answer = api.event(name, "e9", "outcomes", {"kind": "clik"})
    assert code_of(answer) == (422, "kind_unknown")
    assert answer.json()["error"]["target"] == "kind"
    message = answer.json()["error"]["message"]
    assert "'clik'" in message
    assert "click, reward, conversion" in message
    many = [{"kind": "click"}, {"kind": "clik"}]
    assert code_of(api.event(name, "e9", "outcomes", many)) == (422, "kind_unknown")
    assert api.outcomes("e9") == []
    items = [{"placement": name, "event_id": "e9", "kind": kind} for kind in ("clik", "click")]
    bulk = api.client.post("/v1/outcomes", json=items)
    assert bulk.status_code == 207
    assert [(r["index"], r["code"]) for r in bulk.json()["refused"]] == [(0, "kind_unknown")]
    # What was shown needs no rule.
    assert api.event(name, "e9", "outcomes", {"kind": "impression"}).status_code == 202


def test_a_reward_is_refused_where_only_other_kinds_count(api):
    name = api.placement("clicked", reward={"kinds": {"click": {}}})
    assert code_of(api.event(name, "e", "reward", {"value": 1})) == (422, "kind_unknown")
    assert api.event(name, "e", "activate").status_code == 204


def test_the_same_request_again_is_a_duplicate(api, name):
    for _ in range(2):
        api.event(name, "e4", "outcomes", {"kind": "click"})
        api.event(name, "e4", "reward", {"value": 1})
        api.event(name, "e4", "activate")
    assert len(api.outcomes("e4")) == 6
    assert len({outcome.outcome_id for outcome in api.outcomes("e4")}) == 3


def test_what_says_something_else_is_another_outcome(api, name):
    said = [
        {"kind": "click"},
        {"kind": "click", "slot": 1},
        {"kind": "click", "value": 2},
        {"kind": "click", "timestamp_ms": NOW_MS},
        {"kind": "view"},
    ]
    api.event(name, "e5", "outcomes", said)
    api.event(name, "e6", "outcomes", said)
    found = api.outcomes("e5") + api.outcomes("e6")
    assert len({outcome.outcome_id for outcome in found}) == 10


def test_the_event_id_comes_from_the_path_as_it_was_meant(api, name):
    api.event(name, "a%2Fb%20c%C3%A9", "outcomes", {"kind": "click"})
    assert len(api.outcomes("a/b cé")) == 1


def test_outcomes_lie_in_the_partition_of_their_decision(api, name):
    for number in range(10):
        event_id = f"together-{number}"
        api.rank(name, event_id=event_id)
        api.event(name, event_id, "reward", {"value": 1})
    for partition in range(2):
        keys = [
            {record.key for record in api.log.read(TopicPartition(topic, partition), 0)}
            for topic in (DECISIONS, OUTCOMES)
        ]
        together = [{key for key in found if key.startswith(b"together")} for found in keys]
        assert together[0] == together[1]
        assert together[0]


@pytest.mark.parametrize("value", [-0.1, 1.1, 1e308])
def test_a_reward_out_of_the_range_is_refused(api, name, value):
    refused = (422, "reward_out_of_range")
    assert code_of(api.event(name, "e7", "reward", {"value": value})) == refused
    outcomes = [{"kind": "click"}, {"kind": "reward", "value": value}]
    assert code_of(api.event(name, "e7", "outcomes", outcomes)) == refused
    assert api.outcomes("e7") == []


def test_the_range_is_the_placements(api):
    policy = {"name": "gaussian_thompson"}
    wide = api.placement("wide", reward={"minimum": -5, "maximum": 5}, policy=policy)
    assert api.event(wide, "e8", "reward", {"value": -5}).status_code == 204
    assert code_of(api.event(wide, "e8", "reward", {"value": 5.01}))[0] == 422

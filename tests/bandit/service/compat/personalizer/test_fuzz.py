"""Whatever is sent is answered with 201, 204 or a refusal, and what is logged can be read."""

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.events import DECISIONS, OUTCOMES, decode
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import running
from tests.bandit.service.test_api_fuzz import odd_words, values

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
plain = st.dictionaries(words, st.floats(-1e6, 1e6) | words | st.booleans(), max_size=3)
features = st.lists(plain | st.none(), min_size=1, max_size=3) | st.lists(
    st.dictionaries(odd_words, values, max_size=3), max_size=2
)
actions = st.lists(
    st.fixed_dictionaries({"id": words, "features": features}),
    max_size=4,
    unique_by=lambda action: action["id"],
)
slots = st.lists(
    st.fixed_dictionaries(
        {"id": words, "baselineAction": words},
        optional={"features": features, "excludedActions": st.lists(words, max_size=2)},
    ),
    max_size=3,
)
fields = {
    "actions": actions | values,
    "contextFeatures": features | values,
    "excludedActions": st.lists(words, max_size=3) | values,
    "eventId": words | values,
    "deferActivation": st.booleans() | values,
    "slots": slots | values,
}
bodies = (
    st.builds(
        lambda body, found: body | {"actions": found},
        st.fixed_dictionaries({}, optional=fields),
        actions,
    )
    | st.fixed_dictionaries({}, optional=fields)
    | values
)
rewards = st.fixed_dictionaries({}, optional={"value": st.floats(-1, 1) | values}) | values
slot_rewards = st.fixed_dictionaries(
    {}, optional={"slotId": words | values, "value": st.floats(-1, 1) | values}
)
several = st.fixed_dictionaries({"reward": st.lists(slot_rewards, max_size=3) | values}) | values
quick = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def fuzzed():
    with running(MemoryLog()) as api:
        yield api


def answered(api, path, body, good):
    content = json.dumps(body).encode()
    answer = api.client.post(f"/personalizer/v1.1-preview.3/{path}", content=content)
    assert answer.status_code in (good, 400, 404), (answer.text, body)
    if answer.status_code != good:
        assert answer.json()["error"]["innerError"]["code"]
    return answer


@quick
@given(body=bodies)
def test_any_rank(fuzzed, body):
    answer = answered(fuzzed, "rank", body, 201)
    if answer.status_code == 201:
        found = answer.json()
        shares = {one["id"]: one["probability"] for one in found["ranking"]}
        assert shares[found["rewardActionId"]] > 0
        assert sum(shares.values()) == pytest.approx(1)


@quick
@given(body=bodies)
def test_any_rank_of_slots(fuzzed, body):
    answered(fuzzed, "multislot/rank", body, 201)


@quick
@given(event_id=words, body=rewards, several=several)
def test_any_reward(fuzzed, event_id, body, several):
    name = quote(event_id, safe="")
    answered(fuzzed, f"events/{name}/reward", body, 204)
    answered(fuzzed, f"multislot/events/{name}/reward", several, 204)
    answered(fuzzed, f"events/{name}/activate", body, 204)


@quick
@given(path=st.sampled_from(["configurations/service", "configurations/policy"]), body=values)
def test_any_configuration(fuzzed, path, body):
    content = json.dumps(body).encode()
    answer = fuzzed.client.put(f"/personalizer/v1.1-preview.3/{path}", content=content)
    assert answer.status_code in (200, 400), answer.text


def test_all_that_was_logged_can_be_read(fuzzed):
    fuzzed.client.post(
        "/personalizer/v1.0/rank", json={"actions": [{"id": "a", "features": [{"x": 1}]}]}
    ).raise_for_status()
    events = [decode(r.value) for topic in (DECISIONS, OUTCOMES) for r in fuzzed.records(topic)]
    assert len(events) > 10

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.events import DECISIONS, OUTCOMES
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import code_of, running

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
odd_words = st.text(st.characters(exclude_categories=[]), max_size=20)  # half surrogates too
scalars = st.none() | st.booleans() | st.integers() | st.floats() | odd_words
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(odd_words, inner, max_size=4),
    max_leaves=12,
)
numbers = st.integers(-1000, 1000) | st.floats(-1e6, 1e6)
features = st.dictionaries(words, numbers | words | st.booleans(), max_size=4)


def some(*names):
    """Returns objects that have some of these fields, with anything in them."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, values))


def good_or_odd(**fields):
    """Returns objects whose fields are as they should be, and ones that are all astray."""
    return st.fixed_dictionaries({}, optional=fields) | some(*fields)


actions = st.lists(
    st.fixed_dictionaries({"id": words.filter(bool), "features": features}),
    min_size=1,
    max_size=4,
    unique_by=lambda action: action["id"],
)
slots = st.lists(
    st.fixed_dictionaries(
        {"id": words.filter(bool)},
        optional={"features": features, "excluded": st.lists(words, max_size=3)},
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda slot: slot["id"],
)
odd_slots = st.lists(some("id", "features", "excluded"), max_size=3)
odd_actions = st.lists(some("id", "features"), max_size=3)
ranks = good_or_odd(
    context=features, actions=actions, event_id=words.filter(bool), deferred=st.booleans()
) | st.builds(lambda found: {"actions": found}, odd_actions)
slotted = st.builds(
    lambda body, found: body | {"slots": found}, ranks, slots | odd_slots
) | good_or_odd(slots=slots, context=features)
kinds = st.sampled_from(["click", "activation", "view"]) | words.filter(bool)
outcome = good_or_odd(
    kind=kinds,
    value=st.floats(allow_nan=False, allow_infinity=False),
    outcome_id=words.filter(bool),
    timestamp_ms=st.integers(0, 2**53 - 1),
    slot=st.integers(0, 2**16 - 1),
)
outcomes = st.builds(lambda kind, found: {"kind": kind} | found, kinds, outcome) | outcome
quick = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def fuzzed():
    with running(MemoryLog()) as api:
        api.placement("p", policy={"name": "lin_ts"})
        yield api


def as_json(value):
    """Returns the value as JSON, with NaN and infinities, and half surrogates escaped."""
    return json.dumps(value).encode()


def check(api, path, content, topic):
    before = len(api.logged(topic))
    answer = api.client.post(f"/v1/placements/p/{path}", content=content)
    assert answer.status_code < 500
    after = len(api.logged(topic))  # which decodes them all
    if answer.is_success:
        assert after > before
    else:
        code_of(answer)
        assert after == before
    return answer


@quick
@given(ranks)
def test_any_rank_request_is_answered_or_refused(fuzzed, body):
    answer = check(fuzzed, "rank", as_json(body), DECISIONS)
    if answer.is_success:
        decision = fuzzed.logged(DECISIONS)[-1]
        assert decision.event_id == answer.json()["event_id"]
        assert json.loads(bytes(decision.context)) == body.get("context", {})


@quick
@given(slotted)
def test_any_request_with_slots_is_answered_or_refused(fuzzed, body):
    answer = check(fuzzed, "rank", as_json(body), DECISIONS)
    if answer.is_success and body.get("slots"):
        made = fuzzed.logged(DECISIONS)[-len(body["slots"]) :]
        assert [d.slot for d in made] == list(range(len(body["slots"])))
        assert len({d.action.id for d in made}) == len(made)


@quick
@given(outcomes | st.lists(outcomes, max_size=3) | values)
def test_any_outcomes_are_taken_or_refused(fuzzed, body):
    check(fuzzed, "events/e/outcomes", as_json(body), OUTCOMES)


@quick
@given(st.binary(max_size=200) | ranks.map(as_json), st.integers(0, 200), st.binary(max_size=3))
def test_bytes_that_are_cut_or_changed_harm_nothing(fuzzed, content, at, change):
    check(fuzzed, "rank", content[:at] + change + content[at + len(change) :], DECISIONS)


@quick
@given(values | some("slots"))
def test_any_activation_is_taken_or_refused(fuzzed, body):
    check(fuzzed, "events/e/activate", as_json(body), OUTCOMES)


@quick
@given(odd_words, odd_words | st.text(max_size=300))
def test_any_path_is_answered_or_refused(fuzzed, placement, event_id):
    placement, event_id = (
        quote(text.encode("utf-8", "surrogatepass"), safe="") for text in (placement, event_id)
    )
    url = f"/v1/placements/{placement}/events/{event_id}/activate"
    assert fuzzed.client.post(url).status_code in {204, 404, 422}
    if event_id not in {".", ".."}:  # which clients take for steps in the path
        url = f"/v1/placements/p/events/{event_id}/activate"
        assert fuzzed.client.post(url).status_code in {204, 422}


rules = some("kinds", "default", "window_seconds", "grace_seconds", "minimum", "maximum")
placements = some("policy", "learn") | st.builds(lambda rule: {"reward": rule}, rules)
creatives = st.fixed_dictionaries(
    {"parts": st.dictionaries(odd_words, odd_words, max_size=2)},
    optional={"id": odd_words, "features": features | values},
)
briefs = st.fixed_dictionaries({"brief": features | values}, optional={"n": values})


@quick
@given(placements | values, creatives | st.lists(creatives, max_size=2), briefs | values)
def test_any_body_of_the_admin_routes_is_answered_or_refused(fuzzed, placement, creative, brief):
    headers = {"content-type": "application/json"}
    for method, path, body in [
        ("PUT", "fuzzed", placement),
        ("POST", "p/creatives", creative),
        ("PATCH", "p/creatives/a", {"status": creative, "reason": brief}),
        ("POST", "p/generations", brief),
    ]:
        url = f"/v1/placements/{path}"
        answer = fuzzed.client.request(method, url, content=as_json(body), headers=headers)
        assert answer.status_code < 500
        if not answer.is_success:
            code_of(answer)
    assert fuzzed.client.get("/v1/placements/p/creatives?limit=1000").status_code == 200

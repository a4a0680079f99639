"""Both clients against a real server, and the README's examples of them."""

import inspect
import json
import re
import subprocess
import sys

import numpy as np
import pytest

import bandit.client
from bandit.client import (
    ApiError,
    AsyncClient,
    Batching,
    Client,
    ClientError,
    OutboxFull,
    Refused,
    Retries,
)
from bandit.client.wire import any_call, decision_of, refusal_of
from bandit.service.settings import Secret, Settings
from streams.events import DECISIONS, OUTCOMES
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import running, wait_until
from tests.readme import section

SOLD = {"kinds": {"click": {}, "reward": {}, "sale": {"weight": 0.01}}}


def test_what_is_exported_stays():
    assert set(bandit.client.__all__) == {
        *("ApiError", "AsyncClient", "Baseline", "Batching", "Client", "ClientError", "Decision"),
        *("Offline", "OutboxFull", "Refused", "Retries", "SlotDecision", "SlotDecisions"),
        "Unreachable",
    }


def test_both_clients_have_the_same_calls():
    def public(client):
        return {name for name in dir(client) if not name.startswith("_")}

    # Only an event loop can wait for a stream and do something else meanwhile.
    assert public(AsyncClient) - public(Client) == {"stream"}
    assert public(Client) <= public(AsyncClient)
    for name in public(Client) - {"url", "waiting", "as_caller"}:
        one, other = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(one).parameters == inspect.signature(other).parameters
        assert one.__doc__ == other.__doc__
        assert inspect.iscoroutinefunction(other)
        assert not inspect.iscoroutinefunction(one)
    assert inspect.signature(Client).parameters == inspect.signature(AsyncClient).parameters


def test_a_decision_comes_with_its_text_and_its_pmf(api, connect):
    name = api.placement("typed", policy={"name": "uniform"})
    decision = connect(api.url).rank(name, {"device": "phone"})
    assert decision.parts == {"headline": f"Text of {decision.creative_id}"}
    assert decision.pmf == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    assert list(decision.pmf)[decision.index] == decision.creative_id
    assert (decision.source, decision.logged, decision.placement) == ("policy", True, name)
    logged = api.decision(decision.event_id)
    assert (logged.policy_version, logged.propensity) == (
        decision.policy_version,
        decision.propensity,
    )
    assert bytes(logged.context) == b'{"device":"phone"}'


def test_actions_may_be_brought_and_slots_filled(api, connect):
    client, name = connect(api.url), api.placement("brought")
    actions = [{"id": word, "features": {}} for word in ("x", "y", "z")]
    assert client.rank(name, {}, actions=actions).creative_id in {"x", "y", "z"}
    assert client.rank(name, {}, actions=actions).parts == {}
    found = client.rank_slots(name, {}, [{"id": "top"}, {"id": "side", "excluded": ["x"]}])
    assert [slot.id for slot in found.slots] == ["top", "side"]
    assert len({slot.creative_id for slot in found.slots}) == 2
    assert [d.slot for d in api.logged(DECISIONS, found.event_id)] == [0, 1]


def test_what_happens_after_a_decision_arrives(api, connect):
    client, name = connect(api.url), api.placement("after", reward=SOLD)
    event_id = client.rank(name, {}, deferred=True).event_id
    client.activate(name, event_id)
    client.activate(name, event_id, slots=[1])
    client.outcome(name, event_id, "click")
    client.outcome(name, event_id, "sale", 9.5, outcome_id="order-1", slot=1)
    client.reward(name, event_id, 0.5)
    assert [(o.kind, o.value, o.slot) for o in api.outcomes(event_id)] == [
        ("activation", 1, 0),
        ("slot_activation", 1, 1),
        ("click", 1, 0),
        ("sale", 9.5, 1),
        ("reward", 0.5, 0),
    ]


def test_a_refusal_says_what_was_wrong(api, connect):
    client = connect(api.url)
    with pytest.raises(ApiError, match="there is no placement 'no/where'") as refused:
        client.rank("no/where", {})
    assert (refused.value.status, refused.value.code) == (404, "placement_not_found")
    name = api.placement("ranged")
    with pytest.raises(ApiError) as refused:
        client.reward(name, "e", 2.0)
    assert (refused.value.code, refused.value.target) == ("reward_out_of_range", "value")
    assert isinstance(refused.value, ClientError)


def test_any_route_can_be_asked(api, connect):
    client = connect(api.url)
    made = client.request("PUT", "/v1/placements/routed", {"learn": "window"})
    again = client.request(
        "PUT", "/v1/placements/routed", {"learn": "realtime"}, headers={"If-Match": made["etag"]}
    )
    assert again["learn"] == "realtime"
    assert client.request("DELETE", "/v1/placements/routed") is None
    with pytest.raises(ApiError, match="not_ours"):
        client.request("GET", "/metrics")
    assert client.answer("/v1/placements/routed").status_code == 404


def test_marketers_calls_change_what_they_say_and_nothing_that_was_changed_meanwhile(api, connect):
    client = connect(api.url)
    name = api.placement(f"market-{type(client).__name__}", ["a", "b"])
    path = f"/v1/placements/{name}"
    assert [each["id"] for each in client.items(f"{path}/creatives")] == ["a", "b"]
    assert client.items(f"{path}/creatives", {"status": ["paused"]}) == []
    etag = client.request("GET", f"{path}/creatives/a")["etag"]
    assert client.set_status(name, "a", "paused", etag=etag)["status"] == "paused"
    with pytest.raises(ApiError, match="precondition_failed"):
        client.set_status(name, "a", "live", etag=etag)
    made = client.promote(name, {"policy": {"name": "uniform"}, "why": "to learn"})
    assert made["policy"]["name"] == "uniform"
    assert client.roll_back(name)["policy"]["name"] != "uniform"
    waiting = {"id": "new", "parts": {"headline": "New"}, "status": "proposed"}
    client.request("POST", f"{path}/creatives", [waiting])
    assert client.review(name, "new", {"verdict": "approve"})["status"] == "live"


def test_a_client_asks_as_somebody_else_over_the_same_connections(connect):
    with running(MemoryLog()) as api:
        made = api.client.post("/v1/keys", json={"name": "admin", "scopes": ["admin"]}).json()
        body, headers = {"name": "seer", "scopes": ["view"]}, {"x-api-key": made["key"]}
        seer = api.client.post("/v1/keys", json=body, headers=headers).json()["key"]
        admin = connect(api.url, api_key=made["key"])
        other = admin.as_caller(seer)
        assert other.request("GET", "/v1/whoami")["scopes"] == ["view"]
        assert "admin" in admin.request("GET", "/v1/whoami")["scopes"]


def test_gathered_outcomes_arrive_without_being_waited_for(api, connect):
    client = connect(api.url, batching=Batching(flush_seconds=60))
    name = api.placement("gathered")
    ids = [client.rank(name, {}).event_id for _ in range(30)]
    for event_id in ids:
        client.outcome(name, event_id, "click")
    assert client.waiting == 30
    assert not any(api.outcomes(event_id) for event_id in ids)
    assert client.flush()
    assert client.waiting == 0
    assert [len(api.outcomes(event_id)) for event_id in ids] == [1] * 30


def test_closing_delivers_what_is_gathered(api):
    name = api.placement("closing")
    with Client(api.url, batching=Batching(flush_seconds=60)) as client:
        event_id = client.rank(name, {}).event_id
        client.outcome(name, event_id, "click")
    assert [o.kind for o in api.outcomes(event_id)] == ["click"]


FORKING = """
import os, sys
from bandit.client import Batching, Client, Offline
url, name, spool = sys.argv[1:]
offline = Offline(spool=spool, baselines={}) if spool else None
client = Client(url, batching=Batching(flush_seconds=60), offline=offline)
event_ids = [client.rank(name, {}).event_id for _ in range(3)]
client.outcome(name, event_ids[0], "click")
children = []
for event_id in event_ids[1:]:
    if not (child := os.fork()):
        client.rank(name, {})
        client.outcome(name, event_id, "click")
        os._exit(client.close())
    children.append(child)
lost = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(*event_ids, *lost, client.close())
"""


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_client_that_was_made_before_a_fork_loses_nothing(api, tmp_path, on_disk):
    """As where gunicorn loads an application first, and then forks its workers."""
    name, spool = api.placement(f"forked-{on_disk}"), str(tmp_path) if on_disk else ""
    ran = subprocess.run(
        [sys.executable, "-c", FORKING, api.url, name, spool],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert not ran.stderr
    *event_ids, one, other, lost = ran.stdout.split()
    assert (one, other, lost) == ("0", "0", "0")
    assert [len(api.outcomes(event_id)) for event_id in event_ids] == [1, 1, 1]


def test_numbers_and_arrays_of_numpy_are_sent_as_numbers(api, connect):
    client, name = connect(api.url), api.placement("numpy")
    context = {"age": np.int64(3), "score": np.float32(0.5), "taste": np.array([1.0, 2.0])}
    decision = client.rank(name, context)
    client.outcome(name, decision.event_id, "click", value=np.float64(1.0))
    logged = api.decision(decision.event_id)
    assert json.loads(bytes(logged.context)) == {"age": 3, "score": 0.5, "taste": [1.0, 2.0]}
    with pytest.raises(TypeError, match="object cannot be sent as JSON"):
        client.rank(name, {"what": object()})


def test_gathered_outcomes_that_are_refused_are_told(api, connect):
    told = []
    client = connect(api.url, batching=Batching(flush_seconds=0.01, on_refused=told.append))
    name = api.placement("told")
    event_id = client.rank(name, {}).event_id
    client.outcome("nowhere", "e-1", "click")
    client.outcome(name, event_id, "click")
    client.reward(name, event_id, 7.0)
    assert client.flush()
    wait_until(lambda: len(told) == 2)
    assert [(r.placement, r.kind, r.code) for r in told] == [
        ("nowhere", "click", "placement_not_found"),
        (name, "reward", "reward_out_of_range"),
    ]
    assert isinstance(told[0], Refused)
    assert [o.kind for o in api.outcomes(event_id)] == ["click"]


def test_more_than_may_wait_is_refused_to_the_caller(api, connect):
    client = connect(api.url, batching=Batching(flush_seconds=60, max_waiting=2))
    name = api.placement("bounded")
    client.outcome(name, "e-1", "click")
    client.outcome(name, "e-2", "click")
    with pytest.raises(OutboxFull, match="2 outcomes wait"):
        client.outcome(name, "e-3", "click")
    assert client.flush()
    client.outcome(name, "e-3", "click")


def test_a_key_is_sent(connect):
    with running(MemoryLog()) as api:  # one of its own: from its first key on, it lets in no others
        name = api.placement("keyed")
        key = api.client.post("/v1/keys", json={"name": "ranker", "scopes": ["rank"]})
        secret = key.raise_for_status().json()["key"]
        assert connect(api.url, api_key=secret).rank(name, {}).source == "policy"
        with pytest.raises(ApiError) as refused:
            connect(api.url).rank(name, {})
        assert (refused.value.status, refused.value.code) == (401, "unauthenticated")


def test_a_placement_that_signs_event_ids_is_asked_for_them(connect):
    secret = Secret("0123456789abcdef0123456789abcdef")
    with running(MemoryLog(), Settings(reward_secret=secret)) as api:
        name = api.placement("signed", protection={"signed_rewards": True})
        client = connect(api.url)
        for _ in range(2):
            event_id = client.rank(name, {}).event_id
            client.outcome(name, event_id, "click")
            assert [o.kind for o in api.outcomes(event_id)] == ["click"]
            assert len(api.client.get(f"/v1/decisions/{event_id}").json()["decisions"]) == 1
        with pytest.raises(ApiError, match="event_id_unsigned"):
            client.rank(name, {}, event_id="mine")
        bulk = [{"placement": name, "event_id": "forged", "kind": "click"}]
        (refused,) = api.client.post("/v1/outcomes", json=bulk).json()["refused"]
        assert refused["code"] == "reward_unsigned"


def test_a_baseline_that_the_server_showed_is_marked(api):
    name = api.placement("budgeted", ["a"])
    answer = api.rank(name).json()
    assert decision_of(json.dumps(answer).encode()).source == "policy"
    assert decision_of(json.dumps(answer | {"fallback": True}).encode()).source == "baseline"


def test_an_answer_of_somebody_else_is_an_error_of_the_client():
    with pytest.raises(ApiError, match="not_ours"):
        decision_of(b"<html>Sign in to the hotel's network</html>")


def test_the_examples_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", section("The Python client"), re.DOTALL)
    assert len(examples) == 2
    with running(MemoryLog()) as api:
        api.placement("home")
        for example in examples:
            names = {}
            exec(example.replace("http://localhost:8080", api.url).replace('"…"', '"key"'), names)
            assert names["decision"].source == "policy"
            assert [o.kind for o in api.outcomes(names["decision"].event_id)] == ["click"]
        assert names["lost"] == 0
        assert len(api.logged(OUTCOMES)) == 2
    assert "Text of" in capsys.readouterr().out


class TestRetries:
    def wait(self, error, call=None, attempt=0, **options):
        call = call or any_call("GET", "/", None, None)
        return Retries(**options).wait_seconds(call, attempt, error)

    def test_the_wait_grows_and_is_bounded(self):
        error = refusal_of(503, {}, b"")
        waits = [self.wait(error, attempt=n, attempts=99) for n in range(12)]
        assert all(0 <= wait <= min(0.1 * 2**n, 2.0) for n, wait in enumerate(waits))
        assert len(set(waits)) == 12

    def test_what_the_api_asks_for_is_done(self):
        assert self.wait(refusal_of(429, {"retry-after": "1.5"}, b"")) == 1.5
        assert self.wait(refusal_of(429, {"retry-after": "60"}, b"")) <= 0.1
        assert self.wait(refusal_of(429, {"retry-after": "Tue, 01 Jan"}, b"")) <= 0.1

    @pytest.mark.parametrize("status", [400, 404, 409, 412, 422, 500])
    def test_what_will_not_pass_is_raised(self, status):
        with pytest.raises(ApiError) as raised:
            self.wait(refusal_of(status, {}, b"what?"))
        assert (raised.value.code, raised.value.status) == ("not_ours", status)

    def test_a_post_is_sent_again_only_with_a_key(self):
        error = refusal_of(503, {}, b"")
        with pytest.raises(ApiError):
            self.wait(error, any_call("POST", "/", {}, None))
        assert self.wait(error, any_call("POST", "/", {}, {"Idempotency-Key": "k"})) <= 0.1

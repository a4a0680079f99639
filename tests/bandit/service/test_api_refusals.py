import http.client
import json
import socket

import httpx
import pytest

from bandit.errors import PolicyError
from bandit.service.requests import MAX_DEPTH, nesting
from bandit.service.settings import Settings
from streams.events import DECISIONS, OUTCOMES
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import code_of, running

MAX_BODY = 100_000


@pytest.fixture(scope="module")
def small():
    """A server with small limits, and a placement `p` on it."""
    settings = Settings(max_body_bytes=MAX_BODY, max_actions=3)
    with running(MemoryLog(), settings) as api:
        api.placement("p")
        yield api


def post(api, path, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    return api.client.post(f"/v1/placements/{path}", content=content, headers=headers)


def action(identity="a", **fields):
    return {"id": identity, "features": {}} | fields


RANKS = [
    (b"", 400, "body_not_json"),
    (b"{", 400, "body_not_json"),
    (b"not json", 400, "body_not_json"),
    (b"\xff\xfe", 400, "body_not_json"),
    (b'{"context": {"a": "\xff"}}', 400, "body_not_json"),
    (b'{"context": {"a": NaN}}', 400, "body_not_json"),
    (b"\xef\xbb\xbf{}", 400, "body_not_json"),
    (b'{"context": {"a": "\\ud800"}}', 400, "body_not_json"),
    (b"{} {}", 400, "body_not_json"),
    ([], 422, "body_invalid"),
    (None, 422, "body_invalid"),
    ({"contxt": {}}, 422, "body_invalid"),
    ({"deferred": "yes"}, 422, "body_invalid"),
    ({"event_id": 7}, 422, "body_invalid"),
    ({"actions": {}}, 422, "body_invalid"),
    ({"actions": [{"features": {}}]}, 422, "body_invalid"),
    ({"actions": [action(7)]}, 422, "body_invalid"),
    ({"actions": [action("")]}, 422, "body_invalid"),
    ({"actions": [action("x" * 257)]}, 422, "body_invalid"),
    ({"actions": [action(weight=1)]}, 422, "body_invalid"),
    ({"context": None}, 422, "features_invalid"),
    ({"context": []}, 422, "features_invalid"),
    ({"context": "text"}, 422, "features_invalid"),
    ({"actions": [action(features=[1])]}, 422, "features_invalid"),
    ({"actions": [action(features="x")]}, 422, "features_invalid"),
    ({"actions": [{"id": "a"}]}, 422, "action_without_features"),
    ({"actions": [action(features=None)]}, 422, "action_without_features"),
    ({"actions": []}, 422, "actions_count_invalid"),
    ({"actions": [action(str(n)) for n in range(4)]}, 422, "actions_count_invalid"),
    ({"actions": [action("a"), action("b"), action("a")]}, 422, "duplicate_action_id"),
    ({"event_id": ""}, 422, "event_id_invalid"),
    ({"event_id": "x" * 257}, 422, "event_id_invalid"),
    (b'{"context": ' + b"[" * 40_000 + b"]" * 40_000 + b"}", 422, "body_invalid"),
    (b'{"context": {"a": ' + b"[" * 70 + b"]" * 70 + b"}}", 422, "body_invalid"),
    (b"[" * 50_000, 422, "body_invalid"),
]


@pytest.mark.parametrize(("body", "status", "code"), RANKS, ids=range(len(RANKS)))
def test_a_rank_request_that_is_off_is_refused(small, body, status, code):
    before = small.logged(DECISIONS)
    assert code_of(post(small, "p/rank", body)) == (status, code)
    assert small.logged(DECISIONS) == before


OUTCOME_BODIES = [
    (b"", 400, "body_not_json"),
    (3, 422, "body_invalid"),
    ({}, 422, "body_invalid"),
    ([], 422, "body_invalid"),
    ([{"kind": "click"}] * 1001, 422, "body_invalid"),
    ({"kind": ""}, 422, "body_invalid"),
    ({"kind": "click", "value": "1"}, 422, "body_invalid"),
    ({"kind": "click", "value": True}, 422, "body_invalid"),
    (b'{"kind": "click", "value": 1e999}', 422, "body_invalid"),
    ({"kind": "click", "outcome_id": ""}, 422, "body_invalid"),
    ({"kind": "click", "timestamp_ms": -1}, 422, "body_invalid"),
    ({"kind": "click", "timestamp_ms": 1e30}, 422, "body_invalid"),
    ({"kind": "click", "slot": -1}, 422, "body_invalid"),
    ({"kind": "click", "when": 1}, 422, "body_invalid"),
]


@pytest.mark.parametrize(("body", "status", "code"), OUTCOME_BODIES, ids=range(len(OUTCOME_BODIES)))
def test_outcomes_that_are_off_are_refused(small, body, status, code):
    before = small.logged(OUTCOMES)
    assert code_of(post(small, "p/events/e/outcomes", body)) == (status, code)
    assert small.logged(OUTCOMES) == before


@pytest.mark.parametrize("body", [{}, {"value": None}, {"value": "1"}, {"reward": 1}, []])
def test_a_reward_that_is_off_is_refused(small, body):
    assert code_of(post(small, "p/events/e/reward", body)) == (422, "body_invalid")


def test_the_target_says_where(small):
    body = {"actions": [action("a"), {"id": "b"}]}
    assert post(small, "p/rank", body).json()["error"]["target"] == "actions[1].features"
    error = post(small, "p/rank", {"actions": [action(7)]}).json()["error"]
    assert error["target"] == "actions[0].id"
    assert post(small, "p/rank", b"{").json()["error"]["target"] is None


def test_features_that_the_policy_cannot_read_are_refused(small):
    small.placement("reads", policy={"name": "lin_ts"})
    refused = (422, "features_invalid")
    assert code_of(post(small, "reads/rank", b'{"context": {"a": 1e999}}')) == refused


@pytest.mark.parametrize(
    "what", ["rank", "events/e/reward", "events/e/outcomes", "events/e/activate"]
)
def test_an_unknown_placement_is_not_found(small, what):
    assert code_of(post(small, f"unknown/{what}", {})) == (404, "placement_not_found")
    assert code_of(post(small, f"%ff/{what}", {})) == (404, "placement_not_found")


@pytest.mark.parametrize("event_id", ["", "x" * 257, "%FF%FE"])
def test_an_event_id_in_the_path_is_checked(small, event_id):
    refused = (422, "event_id_invalid")
    assert code_of(post(small, f"p/events/{event_id}/activate", {})) == refused


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_refused_and_told_which(small, method):
    for path in ("p/rank", "p/events/e/reward"):
        answer = small.client.request(method, f"/v1/placements/{path}")
        assert code_of(answer) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"
    answer = small.client.request("POST", "/v1/placements/p")
    assert code_of(answer) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) <= {"GET", "PUT", "DELETE"}


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/placements/p/ranks", "/v1/placements/p/rank/x"])
def test_an_unknown_path_is_not_found(small, path):
    assert code_of(small.client.post(path, json={})) == (404, "not_found")


def test_no_live_creative_is_said(small):
    small.placement("bare", [])
    assert code_of(post(small, "bare/rank", {})) == (409, "no_live_creatives")
    assert post(small, "bare/rank", {"actions": [action()]}).status_code == 200


@pytest.mark.parametrize("path", ["p/rank", "p/events/e/activate", "p/generations"])
def test_a_body_too_large_is_refused(small, path):
    assert code_of(post(small, path, b" " * (MAX_BODY + 1))) == (413, "body_too_large")

    def chunks():
        for _ in range(20):
            yield b" " * 10_000

    answer = small.client.post(f"/v1/placements/{path}", content=chunks())
    assert code_of(answer) == (413, "body_too_large")
    assert post(small, "p/rank", b'{"context": {}}').status_code == 200


def test_a_body_that_ends_early_harms_nobody(small):
    connection = http.client.HTTPConnection(small.url.removeprefix("http://"))
    connection.putrequest("POST", "/v1/placements/p/rank")
    connection.putheader("content-length", "100")
    connection.endheaders(b'{"context"')
    connection.close()
    assert post(small, "p/rank", {}).status_code == 200


@pytest.mark.parametrize(
    "line", [b"POST /v1/placements/\xff/rank HTTP/1.1", b"nonsense", b"POST  HTTP/9", b"\x00" * 99]
)
def test_what_is_not_http_harms_nobody(small, line):
    host, port = small.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(line + b"\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 4")
    assert post(small, "p/rank", {}).status_code == 200


def test_a_failure_of_ours_is_told_and_survived(small, monkeypatch):
    def broken(*_):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("bandit.service.candidates.draw", broken)
    assert code_of(post(small, "p/rank", {})) == (500, "internal_error")
    monkeypatch.setattr("bandit.service.api.generator.new_id", broken)
    assert code_of(post(small, "p/generations", {"brief": {}})) == (500, "internal_error")
    monkeypatch.undo()
    assert post(small, "p/rank", {}).status_code == 200


def test_a_policy_that_has_no_answer_says_so(small, monkeypatch):
    def lost(*_):
        raise PolicyError("no pmf on purpose")

    monkeypatch.setattr("bandit.policies.text_thompson.TextThompson.pmf", lost)
    # with actions of its own, for the answer over the live creatives is known already
    asked = {"actions": [{"id": "mine", "features": {}}]}
    assert code_of(post(small, "p/rank", asked)) == (500, "policy_error")
    assert code_of(small.client.get("/v1/placements/p/policy")) == (500, "policy_error")


def test_the_admin_routes_refuse_in_the_same_form(small):
    def put(body, kind="application/json"):
        headers = {"content-type": kind}
        return code_of(small.client.put("/v1/placements/q", content=body, headers=headers))

    assert put(b"{") == (400, "body_not_json")
    assert put(b"\xff") == (400, "body_not_json")
    assert put(b"[" * 50_000) == (422, "body_invalid")
    assert put(b"") == (422, "body_invalid")
    assert put(b"[]") == (422, "body_invalid")
    assert put(b'{"lern": "window"}') == (422, "body_invalid")
    assert put(b'{"learn": "never"}') == (422, "body_invalid")
    assert put(b'{"reward": {"default": 2}}') == (422, "body_invalid")
    assert put(b'{"reward": {"default": NaN}}') == (422, "body_invalid")
    assert put(b'{"policy": {"name": NaN}}') == (422, "body_invalid")
    assert put(b'{"policy": {"name": "no such"}}') == (422, "policy_spec_invalid")
    assert put(b'{"policy": {}}') == (422, "policy_spec_invalid")
    assert put(b"{}", "text/plain") == (415, "content_type_invalid")
    assert code_of(small.client.get("/v1/placements/q")) == (404, "placement_not_found")
    deep = {"brief": {"a": json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)}}
    assert code_of(post(small, "p/generations", deep)) == (422, "body_invalid")
    assert code_of(small.client.get("/v1/placements?limit=0")) == (422, "body_invalid")
    answer = small.client.get("/v1/placements/p/creatives?after=no")
    assert code_of(answer) == (422, "after_invalid")
    assert code_of(small.client.get("/v1/placements/p/policy?context=[]")) == (
        422,
        "features_invalid",
    )


@pytest.mark.parametrize(
    ("text", "depth"),
    [("1", 0), ("{}", 1), ('{"a": [[1], "[[[", "\\"[[["]}', 3), ('"' + "[" * 9 + '"', 0)],
)
def test_nesting_counts_open_brackets(text, depth):
    json.loads(text)
    assert nesting(text.encode()) == depth


def test_many_refusals_leave_the_connection_usable(small):
    with httpx.Client(base_url=small.url) as client:
        for _ in range(50):
            assert client.post("/v1/placements/p/rank", content=b"{").status_code == 400
        assert client.post("/v1/placements/p/rank", content=b"{}").status_code == 200


@pytest.mark.parametrize("number", ["1e999", "-1.5E+400", "9" * 250 + "e99"])
def test_a_number_that_no_reader_of_the_log_could_read_is_refused(small, number):
    body = '{"context": {"deep": [' + number + "]}}"
    answer = small.client.post("/v1/placements/p/rank", content=body)
    assert code_of(answer) == (422, "features_invalid")
    assert "range" in answer.json()["error"]["message"]


@pytest.mark.parametrize("number", ["1e300", "1E-400", "1e0000001", "1" * 400, '"1e999"'])
def test_a_number_that_looks_large_and_is_not_is_taken(small, number):
    body = '{"context": {"deep": [' + number + "]}}"
    assert small.client.post("/v1/placements/p/rank", content=body).status_code == 200

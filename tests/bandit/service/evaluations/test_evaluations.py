"""Evaluations through the admin API: asked for, done by a process of their own, read, removed."""

import time

import httpx
import pytest

from bandit.service.settings import Settings
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import code_of, running, wait_until
from tests.running import copyloop_up

PATIENCE_SECONDS = 120
ALWAYS_A = {"name": "apprentice", "policy": {"name": "uniform"}, "baseline": "a"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """All that `copyloop up` starts, with a placement where `a` is clicked mostly, `b` seldom."""
    folder = tmp_path_factory.mktemp("evaluations")
    with (
        copyloop_up(folder, "--no-generator") as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        body = {
            "policy": {"name": "uniform"},
            "reward": {"window_seconds": 0.5, "grace_seconds": 0.1},
            "safety": {"baseline": "b"},
        }
        client.put("/v1/placements/shop", json=body).raise_for_status()
        new = [{"id": c, "parts": {"headline": c}} for c in "ab"]
        client.post("/v1/placements/shop/creatives", json=new).raise_for_status()
        for number in range(100):
            ranked = client.post("/v1/placements/shop/rank", json={}).raise_for_status().json()
            if (ranked["action"]["id"] == "a") != (number % 8 == 0):
                path = f"/v1/placements/shop/events/{ranked['event_id']}/outcomes"
                client.post(path, json={"kind": "click"}).raise_for_status()
        figures = "/v1/placements/shop/figures"
        wait_until(lambda: client.get(figures).json()["lifts"][0]["n"] == 100)
        yield client


def finished(client, path):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := client.get(path).raise_for_status().json())["status"] in ("waiting", "running"):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def test_an_evaluation_tells_good_policies_from_bad(client):
    path = "/v1/placements/shop/evaluations"
    body = {"name": "always a?", "policies": [{"name": "always a", "policy": ALWAYS_A}]}
    started = client.post(path, json=body)
    assert started.status_code == 202
    found = finished(client, f"{path}/{started.json()['id']}")
    assert found["status"] == "succeeded", found
    judged = {each["name"]: each for each in found["policies"]}
    assert {name: each["origin"] for name, each in judged.items()} == {
        "online": "Online",
        "uniform": "Random",
        "baseline": "Baseline",
        "always a": "Custom",
    }
    assert judged["always a"]["total"]["value"] > 0.7
    assert judged["always a"]["over_logged"]["low"] > 0.0
    assert judged["baseline"]["total"]["value"] < 0.3
    assert judged["online"]["total"]["value"] == pytest.approx(found["shown"]["value"])
    assert judged["online"]["spec"]["name"] == "uniform"
    assert judged["always a"]["verdict"]
    assert found["best"] == "always a"
    listed = client.get(path).json()["items"]
    assert [each["id"] for each in listed] == [found["id"]]
    assert (listed[0]["name"], listed[0]["status"]) == ("always a?", "succeeded")
    # Personalizer's clients and ours look at the same jobs
    other = client.get("/placements/shop/personalizer/v1.1-preview.3/evaluations").json()
    assert [each["jobId"] for each in other] == [found["id"]]
    assert client.delete(f"{path}/{found['id']}").status_code == 204
    assert code_of(client.get(f"{path}/{found['id']}")) == (404, "job_not_found")


def test_who_asked_is_recorded(client):
    acts = [(act["what"], act["target"]) for act in client.get("/v1/acts").json()["items"]]
    assert ("evaluation started", "shop") in [(w, t.split("/")[0]) for w, t in acts]
    assert ("evaluation deleted", "shop") in [(w, t.split("/")[0]) for w, t in acts]


@pytest.mark.parametrize(
    ("body", "code", "target"),
    [
        ({"since_ms": 5, "until_ms": 5}, "time_range_invalid", "since_ms"),
        (
            {"policies": [{"name": "online", "policy": ALWAYS_A}]},
            "duplicate_policy_name",
            "policies.0.name",
        ),
        (
            {"policies": [{"name": "odd", "policy": {"name": "nothing"}}]},
            "policy_spec_invalid",
            "policies.0.policy",
        ),
        ({"policies": [{"name": "odd", "policy": {}, "why": 1}]}, "body_invalid", None),
    ],
)
def test_an_evaluation_is_refused(client, body, code, target):
    answer = client.post("/v1/placements/shop/evaluations", json=body)
    assert code_of(answer) == (422, code)
    assert target in (None, answer.json()["error"]["target"])


def test_a_log_in_memory_cannot_be_read_by_another_process():
    with running(MemoryLog(), Settings(log="memory://")) as api:
        api.placement("home")
        path = "/v1/placements/home/evaluations"
        assert code_of(api.client.post(path, json={})) == (409, "log_in_memory")
        assert api.client.get(path).json()["items"] == []
        nowhere = api.client.get("/v1/placements/nowhere/evaluations")
        assert code_of(nowhere) == (404, "placement_not_found")

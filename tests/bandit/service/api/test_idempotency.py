"""The same request under the same key is done once, whichever replica gets it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from streams.events import CATALOGUE, Generation
from tests.bandit.service.api_server import code_of, wait_until


def generate(api, name, key, **body):
    path = f"/v1/placements/{name}/generations"
    return api.client.post(path, json={"brief": {"product": "socks"}} | body, headers=key)


def key(value):
    return {"idempotency-key": value}


def test_a_request_that_is_sent_again_is_answered_as_the_first_time(api):
    name = api.placement("repeated")
    first = generate(api, name, key("k-1"))
    assert (first.status_code, first.json()["status"]) == (202, "requested")
    assert generate(api, name, key("k-1")).json() == first.json()
    assert generate(api, name, key("k-2")).json()["id"] != first.json()["id"]
    assert len(api.client.get(f"/v1/placements/{name}/generations").json()["items"]) == 2


def test_a_key_that_comes_with_another_request_is_refused(api):
    name = api.placement("mixed")
    generate(api, name, key("k-3")).raise_for_status()
    assert code_of(generate(api, name, key("k-3"), n=3)) == (422, "idempotency_key_reused")
    assert code_of(generate(api, name, key("k" * 256))) == (422, "body_invalid")


def test_creatives_are_added_once(api):
    name = api.placement("once", [])
    new = [{"parts": {"headline": f"h{n}"}} for n in range(100)]
    path = f"/v1/placements/{name}/creatives"
    first = api.client.post(path, json=new, headers=key("k-4"))
    again = api.client.post(path, json=new, headers=key("k-4"))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert len(api.client.get(path, params={"limit": 1000}).json()["items"]) == 100
    assert code_of(api.client.post(path, json=new)) == (409, "creative_exists")


def test_what_was_refused_may_be_tried_again(api):
    name = api.placement("later", ["a"])
    path = f"/v1/placements/{name}/policy/rollback"
    assert code_of(api.client.post(path, json={}, headers=key("k-5"))) == (404, "version_unknown")
    promoted = {"policy": {"name": "uniform"}}
    api.client.post(f"/v1/placements/{name}/policy/promote", json=promoted).raise_for_status()
    rolled = api.client.post(path, json={}, headers=key("k-5")).json()
    assert rolled["policy"]["name"] == "text_thompson"
    api.client.post(f"/v1/placements/{name}/policy/promote", json=promoted).raise_for_status()
    again = api.client.post(path, json={}, headers=key("k-5"))
    assert again.is_success
    policy = api.client.get(f"/v1/placements/{name}").json()["policy"]["name"]
    assert policy == "uniform", "the rollback was done already, and not once more"


@pytest.mark.parametrize("attempt", range(5))
def test_replicas_that_get_it_at_once_do_it_once(replicas, attempt):
    one, other = replicas
    name = one.placement(f"raced-{attempt}")
    wait_until(lambda: other.client.get(f"/v1/placements/{name}").is_success)
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda api: generate(api, name, key(f"race-{attempt}")), replicas * 2)
        )
    assert len({answer.json()["id"] for answer in answers}) == 1, [a.json() for a in answers]
    for api in replicas:
        found = api.client.get(f"/v1/placements/{name}/generations").json()["items"]
        assert [each["id"] for each in found] == [answers[0].json()["id"]]
    # the log may hold the request more than once: who folds it leaves the others out
    events = [e for e in one.logged(CATALOGUE) if isinstance(e, Generation)]
    assert {e.id for e in events if e.placement == name} >= {answers[0].json()["id"]}

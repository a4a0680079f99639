"""Changes that rest on what was seen: `ETag`, `If-Match`, `If-None-Match`."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.bandit.service.api_server import code_of, wait_until

FAILED = (412, "precondition_failed")


def put(api, name, headers=None, **body):
    return api.client.put(f"/v1/placements/{name}", json=body, headers=headers or {})


def tag_of(api, path):
    return api.client.get(path).raise_for_status().headers["etag"]


def at_once(replicas, method, path, bodies, headers=None):
    """The answers of the replicas, each asked with one of the bodies at the same time."""

    def ask(api, body):
        return api.client.request(method, path, json=body, headers=headers)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(ask, replicas, bodies))


def test_a_change_rests_on_what_was_seen(api):
    made = put(api, "seen", learn="window")
    tag = made.headers["etag"]
    assert tag == tag_of(api, "/v1/placements/seen") == made.json()["etag"]
    changed = put(api, "seen", {"if-match": tag}, learn="realtime")
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    assert code_of(put(api, "seen", {"if-match": tag}, learn="window")) == FAILED
    assert api.client.get("/v1/placements/seen").json()["learn"] == "realtime"
    either = f'"other", {changed.headers["etag"]}'
    assert put(api, "seen", {"if-match": either}, learn="window").status_code == 200
    assert put(api, "seen", {"if-match": "*"}, learn="realtime").status_code == 200
    assert put(api, "seen", learn="window").status_code == 200, "without it, the last one wins"


def test_a_tag_does_not_come_back_with_the_state(api):
    first = put(api, "again", learn="window").headers["etag"]
    put(api, "again", learn="realtime")
    assert put(api, "again", learn="window").headers["etag"] != first


def test_what_is_to_be_made_must_not_be_there(api):
    new = {"if-none-match": "*"}
    assert put(api, "fresh", new).status_code == 201
    assert code_of(put(api, "fresh", new, learn="window")) == FAILED
    api.client.delete("/v1/placements/fresh")
    assert code_of(put(api, "fresh", {"if-match": "*"})) == FAILED
    assert put(api, "fresh", new).status_code == 201, "a deleted one is not there"
    assert code_of(put(api, "fresh", {"if-none-match": '"x"'})) == (422, "condition_invalid")


def test_who_has_it_already_is_not_sent_it_again(api):
    name = api.placement("cached", ["a"])
    for path in (f"/v1/placements/{name}", f"/v1/placements/{name}/creatives/a"):
        tag = tag_of(api, path)
        same = api.client.get(path, headers={"if-none-match": f'"old", W/{tag}'})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert api.client.get(path, headers={"if-none-match": '"old"'}).status_code == 200


def test_a_change_is_answered_with_the_tag_that_the_next_one_rests_on(api):
    name = api.placement("conditional", policy={"name": "uniform"})
    path = f"/v1/placements/{name}"
    now = {"if-match": tag_of(api, path)}
    promote = {"policy": {"name": "thompson"}}
    answer = api.client.post(f"{path}/policy/promote", json=promote, headers=now)
    assert answer.json()["policy"]["name"] == "thompson"
    assert answer.headers["etag"] == tag_of(api, path)


def test_of_many_replicas_changes_from_one_state_one_counts(replicas):
    one, other = replicas
    name = one.placement("crossed", ["a"])
    path = f"/v1/placements/{name}/creatives/a"
    wait_until(lambda: other.client.get(path).is_success)
    for round_ in range(1, 9):
        tag = tag_of(one, path)
        wait_until(lambda tag=tag: tag_of(other, path) == tag)

        bodies = [{"caps": {"total": cap}} for cap in (round_ * 10, round_ * 10 + 1)]
        answers = at_once(replicas, "PATCH", path, bodies, {"if-match": tag})
        assert sorted(answer.status_code for answer in answers) == [200, 412]
        (won,) = (answer.json() for answer in answers if answer.is_success)
        for api in replicas:
            wait_until(lambda api=api, won=won: api.client.get(path).json() == won)


def test_unconditional_changes_of_one_thing_all_count(replicas):
    """Two fields, changed at two replicas at once: neither change undoes the other."""
    one, other = replicas
    name = one.placement("both", ["a"])
    path = f"/v1/placements/{name}/creatives/a"
    wait_until(lambda: other.client.get(path).is_success)
    for cap in range(1, 9):
        status = ("paused", "live")[cap % 2]
        bodies = ({"caps": {"total": cap}}, {"status": status})
        answers = at_once(replicas, "PATCH", path, bodies)
        assert all(answer.is_success for answer in answers)
        want = (cap, status)

        def now(api):
            found = api.client.get(path).json()
            return (found["caps"]["total"], found["status"]) if found["caps"] else None

        for api in replicas:
            wait_until(lambda api=api, want=want: now(api) == want)


def test_a_creative_is_added_once_whichever_replica_is_asked(replicas):
    one, other = replicas
    name = one.placement("added", [])
    path = f"/v1/placements/{name}/creatives"
    wait_until(lambda: other.client.get(f"/v1/placements/{name}").is_success)
    for number in range(6):
        groups = [
            [{"id": f"{number}-shared", "parts": {"headline": "h"}},
             {"id": f"{number}-{who}", "parts": {"headline": who}}]
            for who in ("one", "other")
        ]  # fmt: skip
        answers = at_once(replicas, "POST", path, groups)
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        (won,) = ([c["id"] for c in a.json()["items"]] for a in answers if a.is_success)
        for api in replicas:

            def there(api=api, number=number):
                items = api.client.get(path).json()["items"]
                return [c["id"] for c in items if c["id"].startswith(f"{number}-")]

            wait_until(lambda there=there, won=won: there() == won)


@pytest.mark.parametrize("header", ["", '""', "W/"])
def test_an_odd_tag_matches_nothing(api, header):
    put(api, "odd")
    assert code_of(put(api, "odd", {"if-match": header}, learn="window")) == FAILED

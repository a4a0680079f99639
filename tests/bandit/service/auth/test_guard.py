"""The guard before a real server: who is let in, and what becomes known of whom."""

import time

import httpx
import pytest

from bandit.service.auth.keys import key_messages, make_key
from streams.logs.embedded import wall_clock_ms
from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import code_of, running

SCOPES = ("rank", "reward", "view", "review", "operate", "admin")


def write_key(log, *scopes, **options):
    """Makes a key on the log itself, as the commands do, and returns its text."""
    now_ms = wall_clock_ms()
    key, text = make_key("test", scopes, now_ms, **options)
    log.append(key_messages("cli:test", "created", None, key, now_ms))
    return text


@pytest.fixture
def log(tmp_path):
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    opened.close()


def within_a_second(condition):
    deadline = time.monotonic() + 1.0
    while not condition():
        assert time.monotonic() < deadline, "not within a second"
        time.sleep(0.01)


def keyed(text):
    return {"X-API-Key": text}


def test_without_keys_everyone_may_and_the_first_key_ends_that(log):
    with running(log) as api:
        api.placement("home")
        assert api.rank("home").status_code == 200
        made = api.client.post("/v1/keys", json={"name": "me", "scopes": ["admin"]})
        assert made.status_code == 201
        assert code_of(api.rank("home")) == (401, "unauthenticated")
        assert code_of(api.client.get("/v1/placements")) == (401, "unauthenticated")
        refused = api.client.get("/v1/nothing/here")
        assert refused.headers["www-authenticate"] == "Bearer"
        key = {"X-API-Key": made.json()["key"]}
        assert api.client.get("/v1/placements", headers=key).status_code == 200
        gone = api.client.delete(f"/v1/keys/{made.json()['id']}", headers=key)
        assert gone.json()["revoked_ms"] > 0
        assert code_of(api.rank("home")) == (401, "unauthenticated"), "the door stays shut"
    with running(log) as api:
        assert code_of(api.rank("home")) == (401, "unauthenticated"), "after a restart too"


@pytest.mark.parametrize(
    "header",
    [
        ("X-API-Key", "{}"),
        ("x-api-key", "{}"),
        ("Ocp-Apim-Subscription-Key", "{}"),
        ("Authorization", "Bearer {}"),
        ("Authorization", "bearer  {}"),
    ],
)
def test_a_key_may_come_in_any_of_three_headers(log, header):
    with running(log) as api:
        api.placement("home")
        text = write_key(log, "rank")
        name, form = header
        within_a_second(lambda: api.rank("home").status_code == 401)
        asked = api.client.post(
            "/v1/placements/home/rank", json={}, headers={name: form.format(text)}
        )
        assert asked.status_code == 200
        wrong = api.client.post(
            "/v1/placements/home/rank", json={}, headers={name: form.format(text[:-1] + "~")}
        )
        assert code_of(wrong) == (401, "unauthenticated")


REQUESTS = {
    "rank": ("POST", "/v1/placements/home/rank", {"event_id": "e"}),
    "reward": ("POST", "/v1/placements/home/events/e/reward", {"value": 1}),
    "view": ("GET", "/v1/placements/home", None),
    "review": ("POST", "/v1/placements/home/creatives/a/review", {"verdict": "approve"}),
    "operate": ("PUT", "/v1/placements/home", {}),
    "admin": ("GET", "/v1/keys", None),
}
INCLUDED = {
    "rank": {"rank"},
    "reward": {"reward"},
    "view": {"view"},
    "review": {"view", "review"},
    "operate": {"view", "review", "operate"},
    "admin": set(SCOPES),
}


def test_a_key_may_what_its_scopes_say_and_no_more(log):
    with running(log) as api:
        api.placement("home")
        keys = {scope: write_key(log, scope) for scope in SCOPES}
        last = keyed(keys["admin"])
        within_a_second(lambda: api.rank("home").status_code == 401)
        within_a_second(lambda: api.client.get("/v1/keys", headers=last).status_code == 200)
        for scope, text in keys.items():
            for need, (method, path, body) in REQUESTS.items():
                answer = api.client.request(method, path, json=body, headers=keyed(text))
                if need in INCLUDED[scope]:
                    assert answer.status_code not in (401, 403), (scope, need, answer.text)
                else:
                    assert code_of(answer) == (403, "scope_missing"), (scope, need)
        counted = api.client.get("/metrics", headers=keyed(keys["view"])).text
        assert 'copyloop_guard_refused_total{code="scope_missing"}' in counted
        assert 'copyloop_guard_refused_total{code="unauthenticated"}' in counted
        assert api.client.get("/health").status_code == 200


def test_health_and_documentation_are_for_anyone(log):
    with running(log) as api:
        write_key(log, "admin")
        within_a_second(lambda: api.client.get("/metrics").status_code == 401)
        for path in ("/health", "/health/live", "/docs", "/openapi.json"):
            assert api.client.get(path).status_code == 200


def test_making_rotating_and_revoking_hold_on_every_replica_within_a_second(log):
    with running(log) as one, running(log) as other:
        one.placement("home")
        boss = {"X-API-Key": write_key(log, "admin")}
        within_a_second(lambda: other.rank("home").status_code == 401)
        made = one.client.post(
            "/v1/keys", headers=boss, json={"name": "site", "scopes": ["rank"]}
        ).json()

        def ranks(text):
            asked = httpx.post(
                f"{other.url}/v1/placements/home/rank", json={}, headers={"X-API-Key": text}
            )
            return asked.status_code == 200

        within_a_second(lambda: ranks(made["key"]))
        turned = one.client.post(
            f"/v1/keys/{made['id']}/rotate", headers=boss, json={"grace_seconds": 3600}
        ).json()
        within_a_second(lambda: ranks(turned["key"]))
        assert ranks(made["key"]), "within the grace"
        once_more = one.client.post(
            f"/v1/keys/{made['id']}/rotate", headers=boss, json={"grace_seconds": 0}
        ).json()
        within_a_second(lambda: not ranks(made["key"]) and not ranks(turned["key"]))
        assert ranks(once_more["key"])
        one.client.delete(f"/v1/keys/{made['id']}", headers=boss).raise_for_status()
        within_a_second(lambda: not ranks(once_more["key"]))
        refused = one.client.post(f"/v1/keys/{made['id']}/rotate", headers=boss, json={})
        assert code_of(refused) == (409, "key_revoked")


def test_keys_are_listed_without_what_they_are(log):
    with running(log) as api:
        first = api.client.post("/v1/keys", json={"name": "me", "scopes": ["admin"]}).json()
        boss = {"X-API-Key": first["key"]}
        listed = api.client.get("/v1/keys", headers=boss)
        assert [key["id"] for key in listed.json()["items"]] == [first["id"]]
        assert first["key"] not in listed.text
        assert "digest" not in listed.text
        missing = api.client.delete("/v1/keys/nobody", headers=boss)
        assert code_of(missing) == (404, "key_not_found")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "", "scopes": ["rank"]},
        {"name": "x", "scopes": ["rank"], "lasts_seconds": 0},
        {"name": "x", "scopes": ["rank"], "rate_per_second": -1},
        {"name": "x", "scopes": ["rank"], "more": 1},
    ],
)
def test_a_key_that_cannot_be_is_refused(log, body):
    with running(log) as api:
        assert code_of(api.client.post("/v1/keys", json=body)) == (422, "body_invalid")
        assert api.client.get("/v1/keys").json() == {"items": []}


def test_what_was_done_is_recorded_with_who_did_it_and_what_changed(log):
    with running(log) as api:
        made = api.client.post("/v1/keys", json={"name": "me", "scopes": ["admin"]}).json()
        api.client.headers["X-API-Key"] = made["key"]
        api.placement("home", creatives=("a",))
        api.client.put("/v1/placements/home", json={"learn": "window"}).raise_for_status()
        api.client.patch("/v1/placements/home/creatives/a", json={"status": "paused"})
        api.client.delete("/v1/placements/home").raise_for_status()
        api.rank("home")
        answer = api.client.get("/v1/acts").json()
        me = f"key:{made['id']}"
        told = [(act["who"], act["what"], act["target"]) for act in answer["items"]]
        assert told == [
            ("open", "key created", made["id"]),
            (me, "placement created", "home"),
            (me, "creative created", "home/a"),
            (me, "placement changed", "home"),
            (me, "creative changed", "home/a"),
            (me, "placement deleted", "home"),
        ]
        assert answer["next"] is None
        changed = answer["items"][3]
        assert (changed["before"], changed["after"]) == (
            {"learn": "realtime"},
            {"learn": "window"},
        )
        assert answer["items"][1]["before"] is None
        assert answer["items"][1]["after"]["learn"] == "realtime"
        assert answer["items"][4]["after"] == {"status": "paused"}
        assert made["key"] not in str(answer)
        first = api.client.get("/v1/acts", params={"limit": 2, "who": me}).json()
        assert [act["what"] for act in first["items"]] == ["placement created", "creative created"]
        rest = api.client.get("/v1/acts", params={"since": first["next"]}).json()
        assert [act["what"] for act in rest["items"]] == [each[1] for each in told[3:]]

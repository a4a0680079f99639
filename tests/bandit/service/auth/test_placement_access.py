"""A key that is for some placements reaches those and no others, over every route that there is."""

import pytest

from bandit.service.auth.caller import Caller, including
from bandit.service.auth.keys import key_messages, make_key
from bandit.service.compat.personalizer.router import ROUTES
from bandit.service.placement_access import BY_THEMSELVES, placement_named
from streams.errors import SchemaVersionError
from streams.events import SCHEMA_VERSION, decode, encode
from streams.events.access import ApiKey
from streams.logs.embedded import MemoryLog, wall_clock_ms
from streams.topics import create_topics
from tests.bandit.service.api_server import code_of, running

OF_ALL = {
    "/health",
    "/health/live",
    "/metrics",
    "/v1/acts",
    "/v1/creatives",
    "/v1/doctor",
    "/v1/keys",
    "/v1/keys/{key}",
    "/v1/keys/{key}/rotate",
    "/v1/lag",
}
"""Routes of no placement. `/health` is for anyone; a key of some placements gets no other."""
OF_ALL_BELOW = ("/v1/briefs", "/v1/dead-letters", "/v1/decisions/", "/v1/generat")


@pytest.mark.parametrize(
    ("patterns", "name", "may"),
    [
        (["shop-*"], "shop-a", True),
        (["shop-*"], "shop-", True),
        (["shop-*"], "a-shop-a", False),
        (["home"], "home", True),
        (["home"], "home2", False),
        (["home", "*-de"], "news-de", True),
        (["a.c"], "abc", False),
        (["a*c*"], "a\nc/x", True),
        (["*"], "", True),
    ],
)
def test_a_pattern_is_a_name_with_any_text_for_a_star(patterns, name, may):
    assert Caller("key:x", frozenset(), placements=tuple(patterns)).may_ask(name) is may
    assert Caller("key:x", frozenset()).may_ask(name), "all, without patterns"


@pytest.fixture(scope="module")
def api():
    log = MemoryLog()
    create_topics(log)
    now_ms = wall_clock_ms()
    texts = {}
    for name, placements in (("all", None), ("mine", ["mine", "mine-*"])):
        key, texts[name] = make_key(name, ["admin"], now_ms, placements=placements)
        log.append(key_messages("me", "created", None, key, now_ms))
    with running(log) as api:
        api.keys = {name: {"X-API-Key": text} for name, text in texts.items()}
        api.client.headers.update(api.keys["all"])
        for name in ("mine", "mine-too", "other"):
            api.placement(name)
        api.paths = api.client.get("/openapi.json").json()["paths"]
        yield api


def filled(path, placement):
    path = path.replace("{placement}", placement)
    if path.startswith("/ofrep/"):
        path = path.replace("{key}", placement)
    while "{" in path:
        start, end = path.index("{"), path.index("}")
        path = f"{path[:start]}x{path[end + 1 :]}"
    return path


def every_route(api):
    """Each route with a method that it takes: the documented ones, and Personalizer's."""
    for path, operations in api.paths.items():
        for method in operations:
            yield method.upper(), path
    for segments, handlers in ROUTES.items():
        path = "/".join(["/placements/{placement}/personalizer/v1.0", *segments]).replace("*", "x")
        for method in handlers:
            yield method, path


def test_every_route_is_of_a_placement_or_of_none_and_a_new_one_must_say(api):
    for method, path in every_route(api):
        named = placement_named(filled(path, "mine").encode(), filled(path, "mine"))
        if "{placement}" in path or path.startswith("/ofrep/v1/evaluate/flags/{"):
            assert named == "mine", path
        else:
            assert named is None, path
            known = (method, path) in BY_THEMSELVES or path in OF_ALL
            assert known or path.startswith(OF_ALL_BELOW), f"{method} {path} is new: whose is it?"
    assert {path for _, path in BY_THEMSELVES} <= api.paths.keys()


def test_a_key_of_some_placements_gets_no_other_on_any_route(api):
    mine = api.keys["mine"]
    looked = 0
    for method, path in every_route(api):
        if path in ("/health", "/health/live") or (method, path) in BY_THEMSELVES:
            continue
        answer = api.client.request(method, filled(path, "other"), json={}, headers=mine)
        assert answer.status_code == 403, f"{method} {path}"
        assert "placement_not_allowed" in answer.text
        looked += 1
    assert looked > 50
    assert api.client.get("/v1/placements/other").status_code == 200, "nothing was changed"


@pytest.mark.parametrize(
    "path",
    ["/v1/placements/other%2F..%2Fmine/rank", "/v1/placements/mine%2F..%2Fother/rank"],
)
def test_an_escaped_slash_is_part_of_a_name(api, path):
    answer = api.client.post(path, json={}, headers=api.keys["mine"])
    assert code_of(answer) == (403, "placement_not_allowed")


def test_it_gets_its_own(api):
    mine = api.keys["mine"]
    for name in ("mine", "mine-too"):
        ranked = api.client.post(f"/v1/placements/{name}/rank", json={}, headers=mine)
        assert ranked.status_code == 200
        assert api.client.get(f"/v1/placements/{name}", headers=mine).status_code == 200
    made = api.client.put("/v1/placements/mine-new", json={}, headers=mine)
    assert made.status_code == 201
    who = api.client.get("/v1/whoami", headers=mine).json()
    assert who["placements"] == ["mine", "mine-*"]
    assert api.client.get("/v1/whoami").json()["placements"] is None


def test_routes_of_several_placements_leave_the_others_out(api):
    mine = api.keys["mine"]
    listed = api.client.get("/v1/placements", headers=mine).json()["items"]
    assert {each["name"] for each in listed} <= {"mine", "mine-too", "mine-new"}
    glanced = api.client.get("/v1/overview", headers=mine).json()["items"]
    assert {each["placement"] for each in glanced} <= {"mine", "mine-too", "mine-new"}
    events = [{"placement": name, "event_id": "e", "kind": "click"} for name in ("mine", "other")]
    taken = api.client.post("/v1/outcomes", json=events, headers=mine)
    assert (taken.status_code, taken.json()["accepted"]) == (207, 1)
    (refused,) = taken.json()["refused"]
    assert (refused["index"], refused["code"]) == (1, "placement_not_allowed")
    user = {"context": {"targetingKey": "ada"}}
    flags = api.client.post("/ofrep/v1/evaluate/flags", json=user, headers=mine).json()["flags"]
    assert "mine" in {flag["key"] for flag in flags}
    assert "other" not in {flag["key"] for flag in flags}
    everything = api.client.post("/ofrep/v1/evaluate/flags", json=user).json()["flags"]
    assert "other" in {flag["key"] for flag in everything}
    seen = {"event": "click", **user}
    tracked = api.client.post("/ofrep/v1/track", json=seen, headers=mine).json()["tracked"]
    assert 0 < tracked < api.client.post("/ofrep/v1/track", json=seen).json()["tracked"]
    named = {**seen, "details": {"flag": "other", "eventId": "e"}}
    assert api.client.post("/ofrep/v1/track", json=named, headers=mine).status_code == 404
    live = api.client.get("/v1/live?once=true&placement=other", headers=mine)
    assert code_of(live) == (403, "placement_not_allowed")
    assert "other" not in api.client.get("/v1/live?once=true", headers=mine).text


def test_a_key_is_made_for_placements_by_the_api(api):
    body = {"name": "n", "scopes": ["rank"], "placements": ["shop-*"]}
    made = api.client.post("/v1/keys", json=body).json()
    assert made["placements"] == ["shop-*"]
    listed = api.client.get("/v1/keys").json()["items"]
    assert {each["id"]: each["placements"] for each in listed}[made["id"]] == ["shop-*"]
    for wrong in ([], [""], "shop"):
        refused = api.client.post("/v1/keys", json={**body, "placements": wrong})
        assert refused.status_code == 422


def test_a_key_without_placements_is_the_bytes_that_it_was_and_one_with_is_of_a_new_schema():
    plain, _ = make_key("n", ["rank"], 1)
    assert b"placements" not in encode(plain)
    assert b'"v":1' in encode(plain)
    old = '{"type":"api_key","id":"k","name":"n","scopes":["rank"],"secrets":[],"created_ms":1}'
    assert decode(old.encode()) == ApiKey(
        id="k", name="n", scopes=("rank",), secrets=(), created_ms=1
    )
    some, _ = make_key("n", ["rank"], 1, placements=["a"])
    assert some.v == 4, "an older copyloop would take it for a key of all placements"
    assert decode(encode(some)) == some
    with pytest.raises(SchemaVersionError):
        decode(encode(some).replace(b'"v":4', b'"v":%d' % (SCHEMA_VERSION + 1)))
    assert including(some.scopes) == {"rank"}

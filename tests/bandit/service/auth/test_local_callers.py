"""While there are no keys, only who asks this machine as itself is answered."""

import pytest

from bandit.errors import RequestError
from bandit.service.auth.local_callers import LocalCallers
from bandit.service.settings import Settings
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import code_of, running

SHOP = "https://shop.example"


def refused(origins="", **headers):
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    try:
        LocalCallers(origins).check(raw)
    except RequestError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "LocalHost", "127.0.0.1:1", "127.9.9.9", "[::1]:8080"]
)
def test_this_machine_is_asked_by_its_own_names(host):
    assert refused(host=host) is None
    assert refused(host=host, origin=f"http://{host}") is None


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example"),
        *("10.0.0.1", "0.0.0.0", "[::2]", "[::1", "x@127.0.0.1", "\xe9", "", "127.0.0.1:port x"),
    ],
)
def test_no_other_name_is_this_machine(host):
    assert refused(host=host) == "host_refused"
    assert refused(host="localhost", origin=f"http://{host}") == "origin_refused"


def test_pages_that_are_named_may_ask_and_no_others():
    assert refused(SHOP, host="localhost", origin=SHOP) is None
    assert refused("*", host="localhost", origin=SHOP) is None
    for origin in (f"{SHOP}.evil.example", "http://shop.example", "null", "file://"):
        assert refused(SHOP, host="localhost", origin=origin) == "origin_refused"


def test_a_server_without_keys_is_asked_as_this_machine_on_every_route():
    elsewhere = {"Host": "evil.example"}
    with running(MemoryLog(), Settings()) as api:
        name = api.placement("home")
        for method, path in (
            ("GET", "/v1/placements"),
            ("PUT", "/v1/placements/other"),
            ("POST", f"/v1/placements/{name}/rank"),
            ("POST", f"/placements/{name}/personalizer/v1.0/rank"),
            ("GET", f"/placements/{name}/personalizer/v1.0/configurations/service"),
            ("POST", "/ofrep/v1/evaluate/flags"),
            ("GET", "/metrics"),
            ("GET", "/v1/whoami"),
        ):
            answer = api.client.request(method, path, json={}, headers=elsewhere)
            assert code_of(answer) == (403, "host_refused"), path
        assert api.client.get("/health", headers=elsewhere).status_code == 200
        asked = api.client.post(
            f"/v1/placements/{name}/rank", content=b"{}", headers={"Origin": "http://evil.example"}
        )
        assert code_of(asked) == (403, "origin_refused")
        made = api.client.post("/v1/keys", json={"name": "me", "scopes": ["view"]}).json()["key"]
        keyed = api.client.get("/v1/placements", headers=elsewhere | {"X-API-Key": made})
        assert keyed.status_code == 200, "a key says who asks; a host need not"


def test_a_server_that_is_meant_for_the_network_is_asked_by_any_name():
    with running(MemoryLog(), Settings(open_to_network=True)) as api:
        answer = api.client.get("/v1/placements", headers={"Host": "inside.example"})
        assert answer.status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "text/plain;application/json", ""])
def test_personalizers_admin_routes_take_json_only(kind):
    headers = {"Content-Type": kind}
    with running(MemoryLog(), Settings()) as api:
        root = f"/placements/{api.placement('home')}/personalizer/v1.1-preview.3"
        for method, path in (
            ("PUT", "configurations/service"),
            ("PUT", "configurations/policy"),
            ("POST", "configurations/applyFromEvaluation"),
            ("POST", "evaluations"),
        ):
            answer = api.client.request(method, f"{root}/{path}", content=b"{}", headers=headers)
            assert answer.status_code == 415, path
            assert "Content-Type" in answer.text
        nameless = api.client.post(f"{root}/evaluations", content=b"{}")
        assert nameless.status_code == 415, "a page can leave the type out"
        rank = {"actions": [{"id": "a", "features": [{"x": 1}]}]}
        ranked = api.client.post(f"{root}/rank", json=rank)
        assert ranked.status_code == 201

"""The API says who asks, and leads to the dashboard beside it."""

from pathlib import Path

import httpx
import pytest

from bandit.commands.processes import beside
from bandit.errors import SettingError
from bandit.service.settings import Settings
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import code_of, running


def test_ui_leads_to_the_dashboard_without_a_key():
    with running(MemoryLog(), Settings(ui_port=8123)) as api:
        key = api.client.post("/v1/keys", json={"name": "me", "scopes": ["admin"]}).json()["key"]
        for path in ("/ui", "/ui/placements/home?range=day"):
            answer = httpx.get(api.url + path)
            assert answer.status_code == 307
            assert answer.headers["location"] == f"http://127.0.0.1:8123{path}"
        assert httpx.get(f"{api.url}/v1/whoami").status_code == 401
        who = httpx.get(f"{api.url}/v1/whoami", headers={"x-api-key": key}).json()
        assert who["id"].startswith("key:")
        assert "operate" in who["scopes"]


def test_without_a_dashboard_it_says_how_to_start_one():
    with running(MemoryLog()) as api:
        answer = httpx.get(f"{api.url}/ui")
        assert code_of(answer) == (404, "dashboard_absent")
        who = api.client.get("/v1/whoami").json()
        assert (who["id"], "admin" in who["scopes"]) == ("open", True)


@pytest.mark.parametrize(
    ("host", "certificate", "api"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:8080"),
        ("0.0.0.0", Path("tls.pem"), "https://127.0.0.1:8080"),
        ("::", None, "http://[::1]:8080"),
        ("10.0.0.7", None, "http://10.0.0.7:8080"),
    ],
)
def test_the_dashboard_asks_the_api_where_it_listens(host, certificate, api):
    port, options = beside(Settings(host=host, tls_cert=certificate), None, "text")
    assert port == 8081
    assert options[:2] == ["--api", api]
    assert options[2:6] == ["--host", host, "--port", "8081"]


@pytest.mark.parametrize(("api_port", "ui_port"), [(0, None), (8080, 8080), (65_535, None)])
def test_a_dashboard_that_cannot_be_is_said_before_anything_is_started(api_port, ui_port):
    with pytest.raises(SettingError, match=r"--port 0|--ui-port"):
        beside(Settings(port=api_port), ui_port, "text")

"""Who may see the pages, and who may act on them: as the API's guard says."""

import threading
import time
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from playwright.sync_api import expect

from bandit.client import AsyncClient
from bandit.dashboard.app import create_dashboard
from bandit.dashboard.visit import CREDENTIAL
from streams.logs.embedded import MemoryLog
from tests.bandit.dashboard.visits import Dashboard, visiting, wait_for_pages
from tests.bandit.service.api_server import running
from tests.running import free_port


@contextmanager
def pages_of(api_url, **options):
    port = free_port()
    client = AsyncClient(api_url, http_options={"trust_env": False})
    config = uvicorn.Config(
        create_dashboard(client, **options), port=port, log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    url = f"http://127.0.0.1:{port}/ui"
    try:
        wait_for_pages(url)
        yield url
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def guarded():
    """An API with keys, and its pages; `keys` has one for each scope."""
    with running(MemoryLog()) as api, pages_of(api.url) as ui:
        found = Dashboard(api.url, ui)
        found.placement("home", {"a": "Warm feet", "b": "Cold hands"})
        found.keys = {}
        for scope in ("admin", "operate", "review", "view", "rank"):
            headers = {"x-api-key": found.keys["admin"]} if found.keys else {}
            body = {"name": scope, "scopes": [scope]}
            made = httpx.post(f"{api.url}/v1/keys", json=body, headers=headers).raise_for_status()
            found.keys[scope] = made.json()["key"]
        yield found
        found.client.close()


@pytest.fixture
def visitor(browser, guarded):
    """A visitor who was never here; a refused sign-in is told in the console, as Chromium does."""
    with visiting(browser) as watched:
        yield watched.page
        watched.errors = [e for e in watched.errors if "Failed to load resource" not in e]
        watched.check()


def sign_in(page, key):
    page.get_by_label("A key of the API, or a token").fill(key)
    page.get_by_role("button", name="Sign in").click()


def signed_in(page, guarded, scope, path="/placements/home"):
    """The page that opens for the key of this scope."""
    page.goto(f"{guarded.ui}{path}")
    sign_in(page, guarded.keys[scope])


def test_whoever_comes_signs_in_and_gets_where_they_wanted(guarded, visitor):
    visitor.goto(f"{guarded.ui}/placements/home?range=day")
    expect(visitor.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(visitor, guarded.keys["view"])
    expect(visitor.get_by_role("heading", name="home")).to_be_visible()
    assert visitor.url.endswith("/ui/placements/home?range=day")


@pytest.mark.parametrize(
    ("key", "words"),
    [("clk_wrong", "the key is unknown"), ("ключ", "Give a key"), ("k" * 4000, "at most")],
    ids=["unknown", "not-ascii", "too-long"],
)
def test_a_wrong_key_is_refused(key, words, guarded, visitor):
    visitor.goto(guarded.ui)
    sign_in(visitor, key)
    expect(visitor.get_by_role("alert")).to_contain_text(words)
    assert CREDENTIAL not in {cookie["name"] for cookie in visitor.context.cookies()}


def test_a_key_that_may_not_view_is_told_so(guarded, visitor):
    signed_in(visitor, guarded, "rank", "")
    expect(visitor.get_by_role("alert")).to_contain_text("needs the scope 'view'")


def test_a_key_that_may_only_view_is_offered_no_act_and_cannot_act(guarded, visitor):
    signed_in(visitor, guarded, "view")
    expect(visitor.locator("tr[data-creative=a]")).to_be_visible()
    expect(visitor.get_by_role("button", name="Pause a")).to_have_count(0)
    expect(visitor.get_by_text("Promote another policy")).to_have_count(0)
    post(visitor, {"creative": "a", "status": "paused", "csrf": token(visitor)})
    visitor.reload()
    expect(visitor.get_by_role("alert")).to_contain_text("needs the scope 'operate'")
    expect(visitor.locator("tr[data-creative=a] .status")).to_have_text("live")


def test_an_act_is_recorded_under_whoever_signed_in(guarded, visitor):
    signed_in(visitor, guarded, "operate")
    visitor.get_by_role("button", name="Pause b").click()
    expect(visitor.locator("tr[data-creative=b] .status")).to_have_text("paused")
    headers = {"x-api-key": guarded.keys["admin"]}
    acts = httpx.get(f"{guarded.api}/v1/acts", headers=headers).raise_for_status().json()["items"]
    who = guarded.keys["operate"].split("_")[1]
    assert any(act["who"] == f"key:{who}" and "home" in act["target"] for act in acts), acts


def token(page):
    return page.locator("meta[name=csrf]").get_attribute("content")


def post(page, form):
    """Sends a form as a script on the page would; returns the status, before any redirect."""
    return page.evaluate(
        """async (form) => (await fetch("/ui/placements/home/status",
             {method: "POST", body: new URLSearchParams(form), redirect: "manual"})).status""",
        form,
    )


@pytest.mark.parametrize("csrf", [None, "0" * 64], ids=["none", "another"])
def test_a_form_without_its_token_changes_nothing(csrf, guarded, visitor):
    signed_in(visitor, guarded, "operate")
    expect(visitor.get_by_role("button", name="Pause a")).to_be_visible()
    form = {"creative": "a", "status": "paused"} | ({"csrf": csrf} if csrf else {})
    assert post(visitor, form) == 403
    visitor.reload()
    expect(visitor.locator("tr[data-creative=a] .status")).to_have_text("live")


def test_a_form_from_another_site_changes_nothing(guarded):
    with httpx.Client() as client:
        client.get(f"{guarded.ui}/sign-in", follow_redirects=True)
        form = {"csrf": "", "credential": guarded.keys["view"]}
        for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
            answer = client.post(f"{guarded.ui}/sign-in", data=form, headers=headers)
            assert answer.status_code == 403


def test_the_cookie_is_for_this_site_alone_and_no_script_and_forgotten_at_sign_out(
    guarded, visitor
):
    signed_in(visitor, guarded, "view", "")
    expect(visitor.get_by_role("heading", name="Overview")).to_be_visible()
    [cookie] = [c for c in visitor.context.cookies() if c["name"] == CREDENTIAL]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/ui")
    assert visitor.evaluate("document.cookie") == ""

    visitor.get_by_role("button", name="Sign out").click()
    expect(visitor.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.goto(guarded.ui)
    expect(visitor.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize(
    "place",
    ["https://evil.example", "//evil.example", "/v1/keys", "/ui/../v1/keys", "/ui/%252e%252e/v1"],
)
def test_signing_in_leads_to_pages_of_ours_only(place, guarded, visitor):
    signed_in(visitor, guarded, "view", f"/sign-in?next={place}")
    expect(visitor.get_by_role("heading", name="Overview")).to_be_visible()
    assert visitor.url == guarded.ui


@pytest.fixture
def stranger():
    """A visitor without a browser who did not sign in."""
    with httpx.Client(follow_redirects=True) as client:
        yield client


@pytest.mark.parametrize("path", ["", "/", "/sign-in", "/absent"])
def test_who_keeps_no_cookies_is_not_sent_round_and_round(path, guarded):
    with httpx.Client(cookies=None) as client:
        for _ in range(3):
            answer = client.get(guarded.ui + path)
            client.cookies.clear()
            where = answer.headers.get("location", "")
            assert where != path, "it leads to itself"
            if path == "/sign-in":
                assert answer.status_code == 200


def test_outside_the_pages_there_is_the_way_to_them_and_nothing_else(guarded):
    root = guarded.ui.removesuffix("/ui")
    with httpx.Client() as client:
        for path, status, where in (
            ("/", 307, "/ui"),
            ("//evil.example/ui", 404, None),
            ("/favicon.ico", 404, None),
            ("/uix", 404, None),
        ):
            answer = client.get(root + path)
            assert (answer.status_code, answer.headers.get("location")) == (status, where), path
        there = client.get(f"{root}/", follow_redirects=True)
        assert there.url.path == "/ui/sign-in"


@pytest.mark.parametrize("path", ["", "/data/placements", "/live", "/placements/home"])
def test_nothing_is_told_to_whoever_did_not_sign_in(path, guarded, stranger):
    answer = stranger.get(guarded.ui + path)
    assert answer.url.path == "/ui/sign-in"
    assert "Warm feet" not in answer.text


@pytest.mark.parametrize("path", ["/sign-in", "/absent", "/static/none.js"])
def test_every_answer_says_what_a_page_may_do(path, guarded, stranger):
    headers = stranger.get(guarded.ui + path).headers
    for rule in ("default-src 'self'", "script-src 'self';", "frame-ancestors 'none'"):
        assert rule in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_without_keys_it_serves_this_machine_alone(stranger):
    with running(MemoryLog()) as api:
        with pages_of(api.url) as ui:
            assert stranger.get(ui).status_code == 200
            rebound = stranger.get(ui, headers={"host": "evil.example"})
            assert (rebound.status_code, "keys create" in rebound.text) == (403, True)
        with pages_of(api.url, exposed=True) as ui:
            assert stranger.get(ui).status_code == 403


def test_where_the_api_is_down_the_page_says_so_and_what_to_do(stranger):
    url = f"http://127.0.0.1:{free_port()}"
    with pages_of(url) as ui:
        started = time.monotonic()
        answer = stranger.get(ui)
        assert time.monotonic() - started < 60
    assert answer.status_code == 503
    assert f"curl {url}/health" in answer.text

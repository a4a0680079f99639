"""Cookies, forms and headers that no browser of ours sent are answered without a failure."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from bandit.client import AsyncClient, Retries
from bandit.dashboard.app import create_dashboard
from bandit.dashboard.visit import CREDENTIAL, MAX_CREDENTIAL, TOLD, VISITOR
from tests.running import free_port

COOKIES = [
    b"=",
    b";;;===;",
    b'%b="\\015\\012x: y"' % CREDENTIAL.encode(),
    b"%b=\xc3\xa9" % CREDENTIAL.encode(),
    b"%b=" % CREDENTIAL.encode() + b"a" * (MAX_CREDENTIAL + 1),
    b"%b=\xff" % VISITOR.encode(),
    b"%b=" % VISITOR.encode() + b"v" * 5000,
    b"%b=v; %b=nothing" % (VISITOR.encode(), TOLD.encode()),
    b"%b=v; %b=%%7B%%7D" % (VISITOR.encode(), TOLD.encode()),
    b"%b=v; %b=%%5B1%%5D" % (VISITOR.encode(), TOLD.encode()),
    b"%b=v; %b=" % (VISITOR.encode(), TOLD.encode()) + b"%5B" * 1300,
    b"%b=v; %b=%%ff" % (VISITOR.encode(), TOLD.encode()),
]
HEADERS = [
    (b"host", b"["),
    (b"origin", b"http://["),
    (b"last-event-id", b"\xc3\xa9"),
    (b"last-event-id", b"9" * 5000),
    (b"x-csrf-token", b"\xff"),
]
PLACES = ["/ui", "/ui/sign-in", "/ui/data/placements/%ff", "/ui/live?placement=a"]


def asked(requests):
    """The statuses of these requests to pages whose API is away."""

    async def use():
        client = AsyncClient(f"http://127.0.0.1:{free_port()}", retries=Retries(attempts=1))
        transport = httpx.ASGITransport(create_dashboard(client), raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as visitor:
            found = [await visitor.request(**request) for request in requests]
        await client.__aexit__(None, None, None)
        return [answer.status_code for answer in found]

    # in a thread: a test of the browser may have left a loop running in this one
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, use()).result()


@pytest.mark.parametrize("cookie", COOKIES)
def test_a_cookie_that_is_none_of_ours_counts_as_none(cookie):
    requests = [
        {"method": "GET", "url": place, "headers": [(b"cookie", cookie)]} for place in PLACES
    ]
    # 503: the page that says that the API is away; 502 is for scripts.
    assert set(asked(requests)) <= {200, 307, 303, 502, 503}


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_cannot_be_read_is_refused_or_passed_over(header):
    cookie = (b"cookie", f"{VISITOR}=v".encode())
    requests = [
        {"method": method, "url": place, "headers": [header, cookie]}
        for place in PLACES
        for method in ("GET", "POST")
    ]
    assert set(asked(requests)) <= {200, 307, 303, 400, 403, 405, 502, 503}


def test_a_form_of_too_many_fields_is_refused():
    form = b"a=1&" * 2000
    request = {"method": "POST", "url": "/ui/sign-in", "content": form}
    assert asked([request]) == [413]

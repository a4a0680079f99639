"""What runs before a key is known costs a fixed amount a byte, whatever the bytes are."""

import asyncio
import random
import time
from contextlib import suppress

import msgspec
import pytest

from bandit.errors import RequestError
from bandit.features.measure import count_values, nesting
from bandit.service.asgi import MAX_HEADER_BYTES, MAX_TARGET_BYTES, read_body
from bandit.service.auth.caller import required_scope
from bandit.service.auth.guard import _credentials
from bandit.service.auth.keys import KeyRing
from bandit.service.compat.personalizer.router import address_of
from bandit.service.compat.personalizer.wire import RANK, RankBody, decode
from bandit.service.errors import begin_request
from bandit.service.requests import check_depth, decode_body, decode_rank
from bandit.service.settings import Settings
from streams.logs.cloudevents import traceparent_of
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.bandit.service.api_server import code_of, running

SMALL, TIMES = 8192, 8
SLACK = 4.0
"""A step that is quadratic takes eight times what it may."""
FLOOR_SECONDS = 20e-6
_raw = msgspec.json.Decoder(msgspec.Raw)
_log = MemoryLog()
create_topics(_log)
_ring = KeyRing(_log, lambda: 1)


def received(body):
    """Reads the body as it comes in pieces of a kilobyte."""
    pieces = [body[start : start + 1024] for start in range(0, len(body), 1024)]

    async def receive():
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    asyncio.run(read_body({}, receive, len(body)))


CHECKS = {
    "nesting": nesting,
    "values": count_values,
    "depth": check_depth,
    "body": lambda data: decode_body(_raw, b'"' + data + b'"'),
    "rank": lambda data: decode_rank(b'{"context":{"a":"' + data + b'"}}', max_actions=1),
    "personalizer": lambda data: decode(b'{"actions":[' + data, RankBody, RANK),
    "reading": received,
    "scope": lambda data: required_scope("POST", data, data.decode("latin-1")),
    "address": lambda data: address_of(b"/personalizer/" + data),
    "credentials": lambda data: _credentials([(b"authorization", b"Bearer " + data)]),
    "request id": begin_request,
    "key": _ring.caller,
    "trace": traceparent_of,
}
UNITS = [
    *(b'"', b"\\", b'\\"', b'"\\', b'"\\"', b"[", b"{", b"[]", b'{"a":', b'"",', b"1,", b" "),
    *(b"1" * 199 + b"a", b"1e", b"1e+00", b"/", b"/personalizer/", b"/placements/", b"/v1.0"),
    *(b"/v1/placements/a/creatives/", b"/review", b"%", b"%41", b"-", b"cl_", b"00-", b"."),
]
ALPHABET = b'"\\[]{},:/%e1-._ \xff'


def shapes():
    """Yields a name and, for a size, bytes of one shape: a start, then a unit again and again."""
    rng = random.Random(20_261_130)
    made = [bytes(rng.choices(ALPHABET, k=rng.randint(1, 6))) for _ in range(20)]
    for unit in UNITS + made:
        for start in (b"", b'"'):
            yield start, unit


def seconds(check, data):
    found = []
    for _ in range(3):
        began = time.thread_time()
        with suppress(RequestError, RecursionError):
            check(data)
        found.append(time.thread_time() - began)
    return min(found)


@pytest.mark.parametrize("name", CHECKS)
def test_work_grows_with_the_bytes_and_no_faster(name):
    check = CHECKS[name]
    for start, unit in shapes():
        one = start + unit * (SMALL // len(unit))
        many = start + unit * (SMALL * TIMES // len(unit))
        allowed = TIMES * SLACK * max(seconds(check, one), FLOOR_SECONDS)
        assert seconds(check, many) < allowed, (start, unit)


@pytest.fixture(scope="module")
def small():
    with running(MemoryLog(), Settings(cors_origins="https://shop.example")) as api:
        api.placement("p")
        yield api


def test_a_path_that_is_too_long_is_refused(small):
    answer = small.client.get("/v1/placements?a=" + "b" * MAX_TARGET_BYTES)
    assert code_of(answer) == (414, "target_too_long")


def test_headers_that_are_too_many_or_too_large_are_refused_preflight_included(small):
    large = {"x-large": "a" * (MAX_HEADER_BYTES + 1)}
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    many = {f"x-{n}": "" for n in range(200)}
    for headers in (large, many, large | asked):
        for method in ("GET", "OPTIONS"):
            answer = small.client.request(method, "/v1/placements", headers=headers)
            assert code_of(answer) == (431, "headers_too_large")


@pytest.mark.parametrize("path", ["/v1/placements/p/rank", "/v1/placements", "/health/live"])
def test_a_body_of_too_many_values_is_refused_on_every_route(small, path):
    body = b'{"context":{"a":[' + b"1," * 70_000 + b"1]}}"
    assert code_of(small.client.post(path, content=body)) == (422, "too_many_values")
    text = b'{"context":{"a":"' + b"1," * 70_000 + b'"}}'
    assert b"too_many_values" not in small.client.post(path, content=text).content
    there = "/placements/p/personalizer/v1.0/rank"
    answer = small.client.post(there, content=body)
    assert answer.status_code == 400
    assert b"too_many_values" in answer.content

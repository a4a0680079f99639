"""Requests that are nearly right, by the million: the application is called in this process.

Bodies and paths that are valid are cut, doubled, spliced and strewn with what parsers trip over.
Whatever comes of one, what is appended to the log must be what replay can read and derive again.
"""

import asyncio
import random
from collections import Counter
from typing import NamedTuple

import msgspec
import numpy as np

from bandit.policies import open_policy
from bandit.policy import sample, sample_seed
from bandit.service.app import create_app
from bandit.service.settings import Settings
from streams.events import DECISIONS, OUTCOMES, Outcome, decode, each_decision
from streams.logs.base import TopicOffset
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics

AT_ONCE = 200
POLICIES = {"free": "thompson", "reading": "lin_ucb"}
"""Of two placements: the policy of one reads no context, that of the other does."""
BODIES = [
    b'{"context":{"device":"phone","hour":20,"returning":true,"tags":["a","b"]}}',
    b'{"context":{},"event_id":"mine","deferred":true}',
    b'{"actions":[{"id":"x","features":{"a":1}},{"id":"y","features":{}}],"context":{"h":1.5}}',
    b'{"slots":[{"id":"top"},{"id":"side","excluded":["a"],"features":{"wide":true}}]}',
    b'{"value":1.0,"slot":0,"outcome_id":"o"}',
    b'{"kind":"click","value":1,"timestamp_ms":1700000000000}',
    b'[{"kind":"click"},{"kind":"impression","slot":1}]',
    b'{"slots":[0,1]}',
    b"{}",
    b"",
]
TOKENS = [
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\x00", b"\xff", b"\xed\xa0\x80", b" "),
    *(b"null", b"true", b"NaN", b"Infinity", b"-0", b"1e999", b"1e-400", b"0.1e+1", b"01"),
    *(b"9" * 400, b"-9223372036854775809", b'"\\ud800"', b'"\\u0000"', b'"' + b"e" * 300 + b'"'),
    *(b"[" * 70, b"[" * 5000, b'{"a":' * 70, b'"event_id":"x",', b'"context":[],', b'"id":"x",'),
    *("é🙂\u2028".encode(), b'"features":null', b"\n", b"\r\n\t"),
]
PATHS = [
    b"/v1/placements/free/rank",
    b"/v1/placements/reading/rank",
    b"/v1/placements/free/events/e/outcomes",
    b"/v1/placements/free/events/e/reward",
    b"/v1/placements/free/events/e/activate",
]
PATH_TOKENS = [b"%", b"%00", b"%ff", b"%2F", b"/", b"..", b"\xff", b"%C3%A9", b"x" * 300, b"//"]
TRACES = [b"", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"00-zz", b"\xff"]


class Request(NamedTuple):
    """One request to the application."""

    path: bytes
    body: bytes
    headers: list[tuple[bytes, bytes]]


class CheckingLog(MemoryLog):
    """A log in memory that looks at each decision and outcome, and keeps none of them."""

    def __init__(self):
        super().__init__()
        self.decisions = self.outcomes = 0
        self.policies = {name: open_policy({"name": policy}) for name, policy in POLICIES.items()}

    def append(self, messages):
        if messages[0].topic not in (DECISIONS, OUTCOMES):
            return super().append(messages)
        for message in messages:
            self._check(message)
        return [TopicOffset(m.topic, 0, n, 0) for n, m in enumerate(messages)]

    def _check(self, message):
        event = decode(message.value)
        assert message.key == event.event_id.encode()
        self.outcomes += isinstance(event, Outcome)
        for made in each_decision(event):
            self.decisions += 1
            assert sample(made.pmf, sample_seed(made.event_id, made.slot)) == made.index
            derived = self.policies[made.placement].pmf(made.context, made.actions)
            assert np.abs(derived - made.pmf).max() < 1e-9
            msgspec.json.decode(made.context)


def mutated(rng, data, tokens):
    """Returns the bytes with up to four changes, each of one sort."""
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        at, end = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
        match rng.randrange(5):
            case 0:
                data = data[:at] + data[end:]
            case 1:
                data = data[:at] + rng.choice(tokens) + data[at:]
            case 2:
                data = data[:at] + rng.randbytes(rng.randint(1, 3)) + data[at + 1 :]
            case 3:
                data = data[:end] + data[at:]
            case 4:
                other = rng.choice(BODIES)
                data = data[:at] + other[rng.randint(0, len(other)) :]
    return data


def made(rng):
    """Returns a request: nine paths in ten are as they should be, and a body in five."""
    path = rng.choice(PATHS)
    if rng.random() < 0.1:
        path = mutated(rng, path, PATH_TOKENS).partition(b"?")[0] or b"/"
    body = mutated(rng, rng.choice(BODIES), TOKENS)
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    if trace := rng.choice(TRACES):
        headers.append((b"traceparent", trace))
    return Request(path, body, headers)


async def status_of(app, request):
    """Returns the status that the application answers with."""
    found = []
    # As a server splits a body that comes in pieces.
    half = len(request.body) // 2 if len(request.body) % 7 == 0 else len(request.body)
    parts = [request.body[:half], request.body[half:]]

    async def receive():
        part = parts.pop(0) if parts else b""
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        if message["type"] == "http.response.start":
            found.append(message["status"])

    path = request.path.decode("latin-1")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": request.path, "query_string": b"",
        "root_path": "", "headers": request.headers, "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2), "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    assert len(found) == 1, f"{len(found)} answers to {request}"
    return found[0]


async def lived(app, use):
    """Runs the application's life around a coroutine."""
    events, started = asyncio.Queue(), asyncio.Event()

    async def send(message):
        assert "failed" not in message["type"], message
        started.set()

    await events.put({"type": "lifespan.startup"})
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    life = asyncio.ensure_future(app(scope, events.get, send))
    await started.wait()
    try:
        return await use
    finally:
        await events.put({"type": "lifespan.shutdown"})
        await life


async def set_up(app):
    """Makes the placements, each with three live creatives."""
    headers = [(b"content-type", b"application/json")]
    for name, policy in POLICIES.items():
        creatives = [{"id": c, "parts": {"headline": c}, "status": "live"} for c in "abc"]
        body = {"policy": {"name": policy}, "learn": "window"}
        for path, sent in ((f"/v1/placements/{name}", body), ("/creatives", creatives)):
            path = path if path[1] == "v" else f"/v1/placements/{name}{path}"
            request = Request(path.encode(), msgspec.json.encode(sent), headers)
            assert await status_of(_method(app, "POST" if sent is creatives else "PUT"), request)


def _method(app, method):
    async def called(scope, receive, send):
        await app(scope | {"method": method}, receive, send)

    return called


def fuzzed(inputs, *, seed):
    """Sends so many requests; returns how many had each status, and the log that checked them.

    Raises:
        AssertionError: a 5xx, an answer too many or none, or a record that replay cannot read.
    """
    rng, log = random.Random(seed), CheckingLog()
    create_topics(log)
    app = create_app(log, Settings())
    statuses: Counter[int] = Counter()

    async def use():
        await set_up(app)
        for start in range(0, inputs, AT_ONCE):
            requests = [made(rng) for _ in range(min(AT_ONCE, inputs - start))]
            answered = await asyncio.gather(*(status_of(app, one) for one in requests))
            for request, status in zip(requests, answered, strict=True):
                assert status < 500, f"{status} to {request}"
            statuses.update(answered)

    asyncio.run(lived(app, use()))
    return statuses, log

"""Requests that mean harm: large, repetitive and unlike each other, over every route.

A shape is a route, a text with a hole, and a unit that fills the hole again and again. `search`
tries shapes at random, then changes those that held the event loop longest or grew the log most.
"""

import asyncio
import gc
import random
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from bandit.service.app import create_app
from bandit.service.settings import Settings
from streams.events import DECISIONS
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.bandit.service.fuzzing import lived

POLICIES = ("thompson", "lin_ucb", "lin_ts", "hybrid", "text_thompson", "vw", "crossing")
CROSSING = {"name": "vw", "args": "--cb_explore_adf --epsilon 0.2 -q ::"}
POLICY_OF = {"changed": "thompson"}
WRITTEN_AGAIN = 2
"""A decision is in two interactions, once it is provisional and once closed."""

HOLES = (
    b"%b",
    b"[%b]",
    b"{%b}",
    b'"%b"',
    b'"%b',
    b'{"context":{"a":[%b]}}',
    b'{"context":{"a":[%b]},"actions":[{"id":"x","features":{"a":1}},{"id":"y","features":{}}]}',
    b'{"context":{"a":{%b}}}',
    b'{"context":{"a":"%b"}}',
    b'{"context":{"a":[%b]},"slots":[{"id":"s"},{"id":"t"},{"id":"u"}]}',
    b'{"context":{"a":"%b"},"slots":[{"id":"s"},{"id":"t"},{"id":"u"}]}',
    b'{"actions":[%b]}',
    b'{"actions":[%b],"slots":[{"id":"s"},{"id":"t"},{"id":"u"}]}',
    b'{"actions":[{"id":"x","features":{"a":[%b]}},{"id":"y","features":{}}]}',
    b'{"slots":[%b]}',
    b'{"slots":[{"id":"s","excluded":[%b]},{"id":"t"}]}',
    b'{"slots":[{"id":"s","features":{"a":[%b]}},{"id":"t"}]}',
    b'{"contextFeatures":[{"a":[%b]}],"actions":[{"id":"x","features":[{"a":1}]},'
    b'{"id":"y","features":[{"a":2}]}]}',
    b'{"contextFeatures":[%b],"actions":[{"id":"x","features":[{"a":1}]},'
    b'{"id":"y","features":[{"a":2}]}]}',
    b'{"contextFeatures":[{"a":1}],"actions":[{"id":"x","features":[%b]}]}',
    b'{"contextFeatures":[],"actions":[{"id":"x","features":[{"a":1}]}],"excludedActions":[%b]}',
    b'{"contextFeatures":[{"a":[%b]}],"actions":[{"id":"x","features":[{"a":1}]},{"id":"y",'
    b'"features":[{"a":2}]}],"slots":[{"id":"s","baselineAction":"x"},{"id":"t",'
    b'"baselineAction":"y"}]}',
    b'{"reward":[%b]}',
    b'{"context":{"targetingKey":"u","a":[%b]}}',
    b'{"context":{"targetingKey":"u","a":"%b"}}',
    b'{"context":{"targetingKey":"%b"},"event":"click"}',
    b'{"kind":"%b"}',
    b'{"value":%b}',
    b'{"slots":[%b]}',
    b'{"policy":{"name":"vw","args":"%b"}}',
    b'{"challengers":{%b}}',
    b'{"reward":{"kinds":{%b}}}',
    b'{"attributes":{"me":{"a":[%b]}}}',
    b'{"protection":{"private":[%b]}}',
    b'{"parts":{"headline":"%b"}}',
    b'{"parts":{%b}}',
    b'{"parts":{"headline":"a"},"features":{"a":[%b]}}',
    b'{"brief":{"product":"%b"}}',
    b'{"brief":{"a":[%b]}}',
    b'{"name":"%b","scopes":["rank"]}',
    b'{"name":"k","scopes":[%b]}',
    b'{"letters":[%b]}',
    b'{"policies":[%b]}',
)
UNITS = (
    *(b"1,", b"0.5,", b"1e9,", b'"a",', b'"k%d",', b"{},", b"[],", b"null,", b"[[[[1]]]],"),
    *(b'{"a":1},', b'"k%d":%d,', b'"k%d":{},', b'"a":1,', b"[", b"{", b'{"a":', b'"', b"\\"),
    *(b'\\"', b'"\\', b"\\\\", b"a", b"a ", b",", b" ", b"1", b"1" * 199 + b"x", b"%s-%d "),
    *(b'{"id":"a%d","features":{}},', b'{"id":"a%d","features":{"x":%d,"t":"word%d"}},'),
    *(b'{"id":"a%d","features":{"n":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]}},',),
    *(b'{"id":"a%d","features":{"t":"' + b"text " * 200 + b'"}},',),
    *(b'{"id":"a%d","features":[{"x":%d}]},', b'{"id":"s%d"},', b'"a%d",'),
    *(b'{"id":"s%d","excluded":["a%d"]},',),
    *(b'{"id":"s%d","baselineAction":"a%d"},', b'{"slotId":"s%d","value":0},', b"\xc3\xa9"),
    *(b'{"kind":"click","outcome_id":"o%d"},', b'{"kind":"reward","value":%d},', b"-q ::", b"\xff"),
    *(b'{"placement":"vw","event_id":"e%d","kind":"click"},', b'{"parts":{"headline":"h%d"}},'),
    *(b'{"id":"c%d","parts":{"headline":"' + b"word " * 100 + b'"}},', b'"k%d":{"weight":%d},'),
    *(b'"k%d":{"name":"thompson"},', b'"\\ud83d\\ude42 %d",', b'"2026-11-30T10:00:%d",'),
)  # fmt: skip
FITTING = {
    "multislot/rank": (b'"contextFeatures"',),
    "personalizer/v1.1-preview.3/rank": (b'"contextFeatures"',),
    "multislot/events": (b'"reward":[',),
    "/rank": (b'{"context":{"a"', b'{"actions"', b'{"slots"'),
    "evaluate": (b"targetingKey",),
    "track": (b"targetingKey",),
    "creatives": (b'"parts"',),
    "generations": (b'"brief"',),
    "outcomes": (b"[%b]", b'"kind"'),
    "activate": (b'"slots":[%b]',),
    "keys": (b'"name"',),
    "replay": (b'"letters"',),
    "evaluations": (b'"policies"',),
    "placements/": (b'"policy"', b'"challengers"', b'"reward":{', b'"attributes"', b'"private"'),
}
"""By a part of the path, what a body that the route may take has in it."""
SIZES = (1 << 12, 1 << 15, 1 << 17, 1 << 19, (1 << 20) - 512)
QUERY_UNITS = (b"a=%d&", b"&", b"status=live&", b"%%41", b"/", b"a", b"context=", b"%%5B", b"a,")
HEADER_UNITS = (b'"a",', b";", b"a=b;", b"=", b",", b".", b"\xff", b"%%")
HEADERS = (b"cookie", b"if-none-match", b"if-match", b"accept", b"traceparent", b"idempotency-key",
           b"authorization", b"x-request-id", b"last-event-id", b"content-type")  # fmt: skip
LEFT_OUT = ("/v1/live", "/v1/doctor")
"""Answers for ever; looks at files that a log in memory has not."""
PERSONALIZER = "/placements/crossing/personalizer/v1.1-preview.3/"


class Shape(NamedTuple):
    """A request: `filled` is `body`, `query` or a header's name; `size` is of what fills it."""

    method: str
    path: str
    filled: str
    hole: bytes
    unit: bytes
    size: int

    def filling(self):
        """Returns the unit again and again; a number that it has a place for counts."""
        times = max(self.size // max(len(self.unit), 1), 1)
        places = self.unit.count(b"%d")
        if not places:
            return (self.unit.replace(b"%%", b"%") * times).removesuffix(b",")
        unit = self.unit.replace(b"%s", b"word")
        made, n, size = [], 0, 0
        while size < self.size:
            made.append(unit % ((n,) * places))
            n, size = n + 1, size + len(made[-1])
        return b"".join(made).removesuffix(b",")


@dataclass
class Found:
    """What one shape did: statuses, seconds without a turn, bytes brought and logged."""

    shape: Shape
    status: int
    stall_seconds: float
    brought: int
    logged: int

    @property
    def growth(self):
        return self.logged / self.brought


class CountingLog(MemoryLog):
    """A log that counts the bytes of its records, and of decisions in interactions too."""

    bytes = 0

    def append(self, messages):
        for message in messages:
            times = 1 + WRITTEN_AGAIN if message.topic == DECISIONS else 1
            self.bytes += times * len(message.value) + len(message.key)
        return super().append(messages)


@dataclass
class Turns:
    """The longest that the event loop gave nobody else a turn, in seconds.

    That is the time that passed, or the processor time that this process took meanwhile if that is
    less: other processes of a busy machine do not count, nor do threads that run beside the loop.
    """

    longest: float = 0.0
    _task: asyncio.Task = field(init=False)

    async def _beat(self):
        passed, used = time.perf_counter(), time.process_time()
        while True:
            await asyncio.sleep(0)
            now_passed, now_used = time.perf_counter(), time.process_time()
            self.longest = max(self.longest, min(now_passed - passed, now_used - used))
            passed, used = now_passed, now_used

    @asynccontextmanager
    async def watched(self):
        self._task = asyncio.ensure_future(self._beat())
        await asyncio.sleep(0)
        yield self
        await asyncio.sleep(0)
        self._task.cancel()


class Target:
    """The application in this process, with a placement for each policy."""

    def __init__(self, settings=None):
        self.log = CountingLog()
        create_topics(self.log)
        self.app = create_app(self.log, settings or Settings())

    async def set_up(self):
        # As a server does once it has started: what stays is not looked through again and again.
        gc.collect()
        gc.freeze()
        for name in (*POLICIES, "changed"):
            spec = CROSSING if name == "crossing" else {"name": POLICY_OF.get(name, name)}
            creatives = [{"id": c, "parts": {"headline": f"Text of {c}"}} for c in "abc"]
            for method, path, body in (
                ("PUT", f"/v1/placements/{name}", {"policy": spec, "learn": "window"}),
                ("POST", f"/v1/placements/{name}/creatives", creatives),
            ):
                status = await self.send(method, path, b"", msgspec.json.encode(body))
                assert status < 300, (name, status)

    def routes(self):
        """Returns every method and path: those that are documented, and Personalizer's."""
        hot = self.app._app._app
        documented = hot._rest.openapi()["paths"]
        found = [
            (method.upper(), path)
            for path, operations in documented.items()
            for method in operations
            if path not in LEFT_OUT
        ]
        personalizer = [
            ("POST", "rank"), ("POST", "multislot/rank"), ("POST", "events/e/reward"),
            ("POST", "multislot/events/e/reward"), ("POST", "events/e/activate"),
            ("PUT", "configurations/service"), ("PUT", "configurations/policy"),
        ]  # fmt: skip
        return found + [(method, PERSONALIZER + rest) for method, rest in personalizer]

    async def try_shape(self, shape):
        """Sends the shape once; returns what came of it."""
        path, query, headers, body = shape.path.encode(), b"", [], b""
        filling = shape.filling()
        if shape.filled == "body":
            body = shape.hole.replace(b"%b", filling)[: (1 << 20) - 256]
        elif shape.filled == "query":
            query = filling
        elif shape.filled == "path":
            path += b"/" + quote(filling, safe="/%").encode()
        else:
            headers = [(shape.filled.encode(), filling)]
        before = self.log.bytes
        async with Turns().watched() as turns:
            status = await self.send(shape.method, path.decode(), query, body, headers)
        brought = len(path) + len(query) + len(body) + sum(map(len, (v for _, v in headers))) + 200
        return Found(shape, status, turns.longest, brought, self.log.bytes - before)

    async def send(self, method, path, query, body, headers=()):
        """Returns the status of one request."""
        found = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            if waiting:
                return waiting.pop()
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                found.append(message["status"])

        sent = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": query,
            "root_path": "", "headers": [*sent, *headers], "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2), "state": {},
        }  # fmt: skip
        await self.app(scope, receive, send)
        return found[0]


class Searcher:
    """Makes shapes: any, or one that differs from another in one thing."""

    def __init__(self, routes, sizes, seed):
        self._rng = random.Random(seed)
        self._routes = routes
        self._sizes = sizes

    def route(self):
        method, path = self._rng.choice(self._routes)
        # Most of what can be asked for much is asked for here.
        if self._rng.random() < 0.4:
            method, path = self._rng.choice(
                [(m, p) for m, p in self._routes if "rank" in p or "evaluate" in p]
            )
        # What changes a placement changes one that nothing else is asked of.
        kept = self._rng.choice(POLICIES)
        changes = method in ("PUT", "DELETE", "PATCH") or "creatives" in path
        names = {"placement": "changed" if changes else kept, "event_id": "e", "creative_id": "a"}
        for name in ("generation_id", "brief_id", "version_id", "letter_id", "key"):
            names[name] = "0-1"
        names |= {"evaluation_id": "none", "key": self._rng.choice(POLICIES)}
        return method, path.format(**names)

    def any(self):
        method, path = self.route()
        filled = "body" if method != "GET" else self._rng.choice(("query", "body", "path", "head"))
        if filled == "body" and self._rng.random() < 0.05:
            filled = "head"
        return self._filled(Shape(method, path, filled, b"", b"", 0))

    def _filled(self, shape):
        rng = self._rng
        match shape.filled:
            case "body":
                hole, unit = self._hole(shape.path), rng.choice(UNITS)
                return shape._replace(hole=hole, unit=unit, size=rng.choice(self._sizes))
            case "query" | "path":
                return shape._replace(
                    unit=rng.choice(QUERY_UNITS), size=rng.choice((4096, 1 << 20))
                )
        name = rng.choice(HEADERS).decode()
        size = rng.choice((4096, 30_000, 1 << 20))
        return shape._replace(filled=name, unit=rng.choice(HEADER_UNITS), size=size)

    def _hole(self, path):
        """Returns a text that fits the route, more often than not."""
        words = next((of for part, of in FITTING.items() if part in path), ())
        fitting = [hole for hole in HOLES if any(word in hole for word in words)]
        return self._rng.choice(fitting if fitting and self._rng.random() < 0.8 else HOLES)

    def near(self, shape):
        """Returns the shape with another route, hole, unit or size."""
        rng = self._rng
        match rng.randrange(4):
            case 0:
                method, path = self.route()
                return shape._replace(method=method, path=path)
            case 1 if shape.filled == "body":
                return shape._replace(hole=self._hole(shape.path))
            case 2 if shape.filled == "body":
                return shape._replace(unit=rng.choice(UNITS))
        return shape._replace(size=rng.choice(self._sizes))


def search(n_random, n_guided, *, seed, sizes=SIZES, settings=None):
    """Returns what the shapes did that were tried, the longest stall first."""
    target = Target(settings)

    async def use():
        await target.set_up()
        searcher, found = Searcher(target.routes(), sizes, seed), []
        shapes = [searcher.any() for _ in range(n_random)]
        found += [await target.try_shape(shape) for shape in shapes]
        for number in range(n_guided):
            order = stall_of if number % 2 else growth_of
            best = sorted(found, key=order)[-12:]
            shape = searcher.near(best[number // 2 % len(best)].shape)
            found.append(await target.try_shape(shape))
        return sorted(found, key=stall_of, reverse=True)

    return asyncio.run(lived(target.app, use()))


def stall_of(found):
    return found.stall_seconds


def growth_of(found):
    return found.growth


def statuses(found):
    return Counter(each.status for each in found)

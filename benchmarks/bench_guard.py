"""What the guard costs a request: CPU microseconds before the application sees it.

The baseline is the same application without a guard, called the same way in the same process;
what is told is what the guard adds. Scopes have the headers that a client of ours sends.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median

import pytest

from bandit.service.auth.guard import Guard, Rates
from bandit.service.auth.keys import KeyRing, key_messages, make_key
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics

REQUESTS = 20_000
ROUNDS = 9
PATH = "/v1/placements/bench/rank"
PLAIN = [
    (b"host", b"127.0.0.1:8080"),
    (b"accept", b"*/*"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"copyloop"),
    (b"content-length", b"120"),
    (b"content-type", b"application/json"),
]


async def app(scope, receive, send):
    """Stands for the application: it answers nothing, so that only the guard is measured."""


async def nothing(*_):
    return None


def ring_with(*keys):
    log = MemoryLog()
    create_topics(log)
    for key in keys:
        log.append(key_messages("bench", "created", None, key, 1))
    ring = KeyRing(log, lambda: 1)
    ring.catch_up()
    return ring


def microseconds(target, headers):
    """CPU a call, once the loop is warm."""
    wanted = {"type": "http", "method": "POST", "raw_path": PATH.encode(), "path": PATH}

    async def run():
        began = time.process_time()
        for _ in range(REQUESTS):
            await target(dict(wanted, headers=headers), nothing, nothing)
        return time.process_time() - began

    return 1e6 * asyncio.run(run()) / REQUESTS


KEY, TEXT = make_key("bench", ["rank"], 1)
OTHERS = [make_key(f"other-{n}", ["rank"], 1)[0] for n in range(100)]
KEYED = [*PLAIN, (b"x-api-key", TEXT.encode())]
WRONG = [*PLAIN, (b"x-api-key", TEXT[:-1].encode() + b"~")]
CASES = {
    "no keys": (ring_with(), Rates(0, 1), PLAIN),
    "a key of 101": (ring_with(KEY, *OTHERS), Rates(0, 1), KEYED),
    "a key and a rate": (ring_with(KEY, *OTHERS), Rates(1e9, 1), KEYED),
    "a wrong key": (ring_with(KEY, *OTHERS), Rates(0, 1), WRONG),
}


@pytest.mark.parametrize("case", CASES)
def test_guard(benchmark, case):
    ring, rates, headers = CASES[case]
    guard = Guard(app, ring, rates)
    bare, guarded = [], []

    def measure():
        bare.append(microseconds(app, headers))
        guarded.append(microseconds(guard, headers))

    benchmark.pedantic(measure, rounds=ROUNDS, warmup_rounds=1)
    added = [one - other for one, other in zip(guarded, bare, strict=True)]
    benchmark.extra_info["added_cpu_us"] = round(median(added), 2)
    benchmark.extra_info["bare_cpu_us"] = round(median(bare), 2)
    benchmark.extra_info["requests"] = REQUESTS

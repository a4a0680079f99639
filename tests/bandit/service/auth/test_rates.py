"""Token buckets, and what a caller who asks too often is told."""

import asyncio

import pytest

from bandit.service.auth import guard as module
from bandit.service.auth.caller import OPEN, Caller
from bandit.service.auth.guard import BYTES_PER_TOKEN, Rates
from bandit.service.settings import Settings
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import code_of, running
from tests.streams.test_fold import Clock


def caller(name, rate=None):
    return Caller(name, frozenset(), rate)


def allowed(rates, who, times):
    return sum(rates.wait_seconds(who) == 0 for _ in range(times))


def test_a_bucket_empties_and_fills_again():
    clock = Clock()
    rates = Rates(10, 2.0, clock=clock)
    assert allowed(rates, caller("a"), 30) == 20, "two seconds' worth at once"
    assert rates.wait_seconds(caller("a")) == pytest.approx(0.1)
    clock.now += 0.5
    assert allowed(rates, caller("a"), 30) == 5
    clock.now += 1000
    assert allowed(rates, caller("a"), 30) == 20, "it holds no more than it did"


def test_callers_do_not_share_and_may_have_a_rate_of_their_own():
    rates = Rates(5, 1.0, clock=Clock())
    assert allowed(rates, caller("a"), 9) == 5
    assert allowed(rates, caller("b"), 9) == 5
    assert allowed(rates, caller("c", 2.0), 9) == 2
    assert allowed(Rates(0, 1.0, clock=Clock()), caller("a"), 1000) == 1000
    assert allowed(Rates(0, 1.0, clock=Clock()), caller("c", 2.0), 9) == 2


def test_a_rate_below_one_lets_one_through():
    clock = Clock()
    rates = Rates(0.1, 1.0, clock=clock)
    assert allowed(rates, caller("a"), 3) == 1
    assert rates.wait_seconds(caller("a")) == pytest.approx(10)
    clock.now += 10
    assert allowed(rates, caller("a"), 3) == 1


def read_through(rates, who, body_bytes):
    """Reads a body of that size in two pieces, as the application would."""
    pieces = [body_bytes // 2, body_bytes - body_bytes // 2]

    async def receive():
        return {"type": "http.request", "body": b" " * pieces.pop(), "more_body": bool(pieces)}

    async def read():
        charged = rates.charging(receive, who)
        return [await charged() for _ in range(2)]

    messages = asyncio.run(read())
    assert sum(len(message["body"]) for message in messages) == body_bytes


def test_a_large_body_costs_as_many_tokens_as_it_has_parts():
    clock = Clock()
    rates, who = Rates(10, 1.0, clock=clock), caller("a")
    assert rates.wait_seconds(who) == 0
    read_through(rates, who, BYTES_PER_TOKEN - 1)
    assert allowed(rates, who, 30) == 9, "a small body costs nothing beside the request"
    clock.now += 10
    assert rates.wait_seconds(who) == 0
    read_through(rates, who, 64 * BYTES_PER_TOKEN)
    assert rates.wait_seconds(who) == pytest.approx(5.6), "a debt of 55, and a token"
    clock.now += 5.65
    assert allowed(rates, who, 30) == 1


def test_nothing_is_charged_where_nothing_is_limited():
    rates = Rates(0, 1.0, clock=Clock())
    assert rates.wait_seconds(caller("a")) == 0
    read_through(rates, caller("a"), 64 * BYTES_PER_TOKEN)
    assert allowed(rates, caller("a"), 100) == 100


def test_buckets_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_BUCKETS", 10)
    clock = Clock()
    rates = Rates(1, 1.0, clock=clock)
    for n in range(100):
        clock.now += 0.01
        assert rates.wait_seconds(caller(f"jwt:{n}")) == 0
    assert len(rates._buckets) <= 10
    assert rates.wait_seconds(caller("jwt:99")) > 0, "the latest is still known"


def test_who_asks_too_often_is_told_when_to_come_back():
    with running(MemoryLog(), Settings(rate_per_second=0.2, rate_burst_seconds=20)) as api:
        codes = [api.client.get("/v1/placements").status_code for _ in range(6)]
        assert codes == [200] * 4 + [429] * 2
        refused = api.client.get("/v1/placements")
        assert code_of(refused) == (429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        assert OPEN.id in refused.json()["error"]["message"]
        assert api.client.get("/health").status_code == 200, "probes are not counted"

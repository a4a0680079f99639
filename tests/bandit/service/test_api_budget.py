"""The time budget of a rank: who is not answered in time gets the first action, and it shows."""

import threading

import pytest

from bandit.client import Client
from bandit.policies.linear import LinTs
from bandit.service.settings import Settings
from streams.events import DECISIONS
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import code_of, running

SLOTS = [{"id": "top"}, {"id": "side", "excluded": ["b"]}]


@pytest.fixture
def slow(monkeypatch):
    """Has policies that read contexts wait until the event is set."""
    answer = threading.Event()
    ask = LinTs.pmf

    def pmf(self, context, actions):
        assert answer.wait(30)
        return ask(self, context, actions)

    monkeypatch.setattr(LinTs, "pmf", pmf)
    yield answer
    answer.set()


@pytest.fixture
def api(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    with running(log, Settings(rank_budget_ms=30)) as api:
        api.placement("p", policy={"name": "lin_ts"}, learn="window")
        yield api
    log.close()


def test_the_first_action_is_answered_and_logged_as_what_it_is(api, slow):
    answer = api.rank("p", context={"hour": 9}).json()
    assert answer["fallback"] is True
    assert (answer["action"]["id"], answer["index"], answer["propensity"]) == ("a", 0, 1.0)
    decision = api.decision(answer["event_id"])
    assert decision.fallback is True
    assert decision.pmf == (1.0, 0.0, 0.0)
    assert bytes(decision.context).replace(b" ", b"") == b'{"hour":9}'
    metrics = api.client.get("/metrics").text
    assert 'copyloop_fallback_decisions_total{placement="p"} 1.0' in metrics


def test_each_slot_gets_the_first_that_is_left_for_it(api, slow):
    answer = api.rank("p", slots=SLOTS).json()
    assert answer["fallback"] is True
    assert [slot["action"]["id"] for slot in answer["slots"]] == ["a", "c"]
    decisions = api.logged(DECISIONS, answer["event_id"])
    assert [decision.fallback for decision in decisions] == [True, True]


def test_what_is_wrong_with_a_request_is_told_in_time(api):
    answer = api.rank("p", context={"deep": [[None]]})
    assert code_of(answer) == (422, "features_invalid")


def test_the_client_tells_that_it_was_not_the_policy(api, slow):
    with Client(api.url) as client:
        assert client.rank("p", {"hour": 9}).source == "baseline"
        assert client.rank_slots("p", {"hour": 9}, SLOTS).source == "baseline"
        slow.set()
        assert "policy" in {client.rank("p", {}).source for _ in range(50)}


def test_without_a_budget_a_policy_is_waited_for(slow, tmp_path):
    with running(MemoryLog()) as api:
        api.placement("p", policy={"name": "lin_ts"}, learn="window")
        threading.Timer(0.2, slow.set).start()
        assert "fallback" not in api.rank("p").json()

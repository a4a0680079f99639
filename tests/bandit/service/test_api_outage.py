from contextlib import closing, contextmanager

import httpx
import pytest

from bandit.service.settings import Settings
from streams.events import DECISIONS, OUTCOMES
from streams.spool import Spool
from tests.bandit.service.api_server import code_of, running, wait_until
from tests.bandit.service.gated_log import GatedLog

PATIENT = 0.05


@contextmanager
def spooling(folder, max_bytes=1 << 20, **settings):
    log = GatedLog()
    settings = Settings(spool_after_seconds=PATIENT, **settings)
    with closing(Spool(folder, max_bytes)) as spool, running(log, settings, spool=spool) as api:
        try:
            yield api
        finally:
            log.gate.set()


def health(api):
    return api.client.get("/health")


def metric(api, name):
    lines = api.client.get("/metrics").text.splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.partition("{")[0].split()[0] == name
    )


def fill_up(api, name):
    """Ranks until the spool is full; returns how many were answered, and the first other answer."""
    for number in range(1000):
        answer = api.rank(name, event_id=f"f{number}")
        if answer.status_code != 200 or "logged" in answer.json():
            return number, answer
    raise AssertionError("the spool is never full")


def test_ranks_and_clicks_are_answered_while_the_log_is_away_and_get_there(tmp_path):
    with spooling(tmp_path) as api:
        name = api.placement("p")
        assert health(api).json() == {"status": "ok", "placements": 1, "policies_refused": 0}
        api.log.gate.clear()
        for number in range(5):
            answer = api.rank(name, event_id=f"e{number}")
            assert answer.status_code == 200
            assert "logged" not in answer.json()
            assert api.event(name, f"e{number}", "outcomes", {"kind": "click"}).status_code == 202
        told = health(api)
        assert (told.status_code, told.json()["status"]) == (200, "spooling")
        assert told.json()["spool"]["messages"] == metric(api, "copyloop_spool_messages") == 10
        assert told.json()["spool"]["bytes"] == metric(api, "copyloop_spool_bytes") > 0
        assert metric(api, "copyloop_spooled_messages_total") == 10
        assert metric(api, "copyloop_spool_oldest_seconds") > 0
        api.log.gate.set()
        wait_until(lambda: health(api).json()["status"] == "ok")
        assert metric(api, "copyloop_forwarded_messages_total") == 10
        assert metric(api, "copyloop_spool_messages") == 0
        expected = [f"e{number}" for number in range(5)]
        assert [decision.event_id for decision in api.logged(DECISIONS)] == expected
        assert [outcome.event_id for outcome in api.logged(OUTCOMES)] == expected


def test_the_catalogue_is_not_changed_meanwhile(tmp_path):
    with spooling(tmp_path) as api:
        name = api.placement("p")
        api.log.gate.clear()
        assert api.rank(name).status_code == 200
        assert code_of(api.client.put("/v1/placements/q", json={})) == (503, "log_unavailable")
        api.log.gate.set()
        wait_until(lambda: health(api).json()["status"] == "ok")
        assert api.client.put("/v1/placements/q", json={}).status_code == 201


def test_a_full_spool_refuses_and_is_not_ready(tmp_path):
    with spooling(tmp_path, max_bytes=5000) as api:
        name = api.placement("p")
        api.log.gate.clear()
        answered, refused = fill_up(api, name)
        assert answered > 0
        assert code_of(refused) == (503, "spool_full")
        assert code_of(health(api)) == (503, "spool_full")
        api.log.gate.set()
        wait_until(lambda: health(api).is_success and health(api).json()["status"] == "ok")
        assert len(api.logged(DECISIONS)) == answered


@pytest.mark.parametrize("durability", ["logged", "buffered"])
def test_a_full_spool_lets_ranks_go_on_unlogged_where_that_is_wanted(tmp_path, durability):
    settings = {"spool_full": "unlogged", "durability": durability}
    with spooling(tmp_path, max_bytes=5000, **settings) as api:
        name = api.placement("p")
        api.log.gate.clear()
        _, answer = fill_up(api, name)
        assert (answer.status_code, answer.json()["logged"]) == (200, False)
        assert answer.json()["action"]["id"] in "abc"
        refused = api.event(name, "f0", "outcomes", {"kind": "click"})
        assert code_of(refused) == (503, "spool_full")
        assert metric(api, "copyloop_unlogged_decisions_total") == 1
        assert health(api).json()["status"] == "spooling"
        api.log.gate.set()
        wait_until(lambda: health(api).json()["status"] == "ok")
        assert "logged" not in api.rank(name, event_id="after").json()
        wait_until(lambda: api.logged(DECISIONS, "after"))
        assert not api.logged(DECISIONS, answer.json()["event_id"])


def test_a_replica_that_nobody_has_asked_yet_stays_ready(tmp_path):
    with spooling(tmp_path) as api:
        api.log.end_gate.clear()
        told = health(api)
        api.log.end_gate.set()
    assert told.status_code == 200
    assert told.json()["status"] == "spooling"
    assert told.json()["spool"]["messages"] == 0


def test_the_document_says_what_a_rank_may_answer(tmp_path):
    with spooling(tmp_path) as api:
        schemas = httpx.get(f"{api.url}/openapi.json").json()["components"]["schemas"]
    assert "logged" in schemas["RankAnswer"]["properties"]
    assert "logged" not in schemas["RankAnswer"]["required"]

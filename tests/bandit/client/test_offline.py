"""The client while the server is away: the baseline is shown, and outcomes wait on disk."""

import pytest

from bandit.client import Baseline, Batching, Client, Offline, Retries, Unreachable
from streams.errors import SpoolDamaged
from streams.events import DECISIONS
from streams.logs.sqlite import SqliteLog
from streams.spool import spooled
from tests.bandit.service.api_server import running, wait_until
from tests.running import free_port

QUICK = {"retries": Retries(attempts=2, first_seconds=0.01), "timeout_seconds": 5.0}
BASELINES = {"home": Baseline("a", {"headline": "Text of a"})}


@pytest.fixture
def server(tmp_path):
    """A server that can be started and stopped, always at the same address."""
    log, port = SqliteLog(tmp_path / "log.db"), free_port()

    class Server:
        url = f"http://127.0.0.1:{port}"

        def up(self):
            return running(log, port=port)

    yield Server()
    log.close()


@pytest.fixture
def offline(tmp_path):
    return Offline(spool=tmp_path / "spool", baselines=BASELINES, retry_seconds=0.05)


def test_without_it_a_server_that_is_away_is_an_error(server, connect):
    client = connect(server.url, **QUICK)
    with pytest.raises(Unreachable, match="no answer") as away:
        client.rank("home", {})
    assert not away.value.sent


def test_the_baseline_is_shown_and_marked(server, connect, offline):
    client = connect(server.url, offline=offline, **QUICK)
    decision = client.rank("home", {})
    assert (decision.creative_id, decision.parts) == ("a", {"headline": "Text of a"})
    assert (decision.source, decision.logged, decision.pmf) == ("baseline", False, {"a": 1.0})
    actions = [{"id": "x", "features": {}}, {"id": "y", "features": {}}]
    assert client.rank("other", {}, actions=actions).creative_id == "x"
    slots = [{"id": "top", "excluded": ["x"]}, {"id": "side"}]
    found = client.rank_slots("other", {}, slots, actions=actions)
    assert [slot.creative_id for slot in found.slots] == ["y", "x"]
    assert found.source == "baseline"
    with pytest.raises(Unreachable):
        client.rank("other", {})
    with pytest.raises(Unreachable):
        client.rank_slots("home", {}, [{"id": "top"}])


def test_outcomes_wait_on_disk_and_are_delivered_later(server, connect, offline):
    client = connect(
        server.url, offline=offline, batching=Batching(flush_seconds=0.01, retry_seconds=0.05),
        **QUICK,
    )  # fmt: skip
    with server.up() as api:
        api.placement("home")
        ids = [client.rank("home", {}).event_id for _ in range(5)]
    baseline = client.rank("home", {})
    client.outcome("home", baseline.event_id, "click")
    assert client.waiting == 0, "nobody made that decision, so nothing is told of it"
    for event_id in ids:
        client.outcome("home", event_id, "click")
    wait_until(lambda: len(list(spooled(offline.spool))) == 5)
    assert client.waiting == 5
    with server.up() as api:
        wait_until(lambda: client.waiting == 0)
        assert [[o.kind for o in api.outcomes(event_id)] for event_id in ids] == [["click"]] * 5
        wait_until(lambda: client.rank("home", {}).source == "policy")


def test_what_a_process_left_on_disk_the_next_one_delivers(server, offline):
    with server.up() as api:
        api.placement("home")
        event_id = api.rank("home").json()["event_id"]
    client = Client(server.url, offline=offline, batching=Batching(flush_seconds=60), **QUICK)
    client.rank("home", {})
    client.outcome("home", event_id, "click")
    assert client.close() == 0
    with server.up() as api, Client(server.url, offline=offline) as client:
        wait_until(lambda: client.waiting == 0)
        (outcome,) = api.outcomes(event_id)
    assert outcome.kind == "click"
    decided = outcome.timestamp_ms
    assert decided > 0, "it says when it happened, not when it was delivered"


def test_without_a_disk_what_is_never_delivered_is_lost_and_counted(server):
    client = Client(server.url, batching=Batching(flush_seconds=0.01, retry_seconds=0.01), **QUICK)
    client.outcome("home", "e-1", "click")
    assert client.close(timeout_seconds=0.1) == 1


def test_a_server_that_is_away_is_not_asked_every_time(server, tmp_path, connect):
    offline = Offline(spool=tmp_path / "spool", baselines=BASELINES, retry_seconds=600)
    client = connect(server.url, offline=offline, **QUICK)
    assert client.rank("home", {}).source == "baseline"
    with server.up() as api:
        api.placement("home")
        assert client.rank("home", {}).source == "baseline"
        assert api.logged(DECISIONS) == []


def test_a_broken_spool_stops_the_start(tmp_path, offline):
    with Client("http://127.0.0.1:1", offline=offline, **QUICK) as client:
        client.outcome("home", "e-1", "click")
    (tmp_path / "spool" / "0" / "spool.db").write_bytes(b"no database" * 100)
    with pytest.raises(SpoolDamaged):
        Client("http://127.0.0.1:1", offline=offline)

"""What was chosen, as `/metrics` tells it, and how alive the replica is."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bandit.service.ops.metrics import MOST_CREATIVES, OTHER, RequestCounts
from streams.events import ACCESS
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import code_of, running, wait_until


def samples(text, name):
    found = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return {
        tuple(value for _, value in sorted(s.labels.items(), reverse=True)): s.value
        for s in found
        if s.name == name
    }


def test_a_placement_has_so_many_series_and_no_more():
    tally = RequestCounts()
    for n in range(5 * MOST_CREATIVES):
        tally.decision("home", f"brought-{n}", explored=False)
        tally.decision("home", "brought-0", explored=True)
    registry = CollectorRegistry()
    registry.register(tally)
    counted = samples(generate_latest(registry).decode(), "copyloop_creative_decisions_total")
    assert len(counted) == MOST_CREATIVES + 1
    assert counted["home", "brought-0"] == 5 * MOST_CREATIVES + 1
    assert counted["home", OTHER] == 4 * MOST_CREATIVES
    assert sum(counted.values()) == 10 * MOST_CREATIVES


class Broken(MemoryLog):
    """A log that comes to read as no log does."""

    broken = False

    def read(self, partition, offset, *, limit=1000):
        if self.broken and partition.topic == ACCESS:
            raise RuntimeError("not even a log any more")
        return super().read(partition, offset, limit=limit)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_replica_whose_threads_ended_is_not_to_be_left_alone():
    log = Broken()
    with running(log) as api:
        assert api.client.get("/health/live").json() == {"status": "ok"}
        log.broken = True
        wait_until(lambda: api.client.get("/health/live").status_code == 503)
        refused = api.client.get("/health/live")
        assert code_of(refused) == (503, "thread_ended")
        assert "keys" in refused.json()["error"]["message"]

"""Two replicas over one log: what is switched off at one is shown by neither."""

import pytest

from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import running, wait_until


@pytest.fixture
def replicas(tmp_path):
    logs = [SqliteLog(tmp_path / "log.db") for _ in range(2)]
    with running(logs[0]) as one, running(logs[1]) as other:
        yield one, other
    for log in logs:
        log.close()


def shown(api):
    answer = api.rank("home")
    return {each["id"] for each in answer.json()["pmf"]} if answer.is_success else None


def switch(api, status):
    path = "/v1/placements/home/creatives/b"
    api.client.patch(path, json={"status": status}).raise_for_status()


def test_a_creative_that_is_switched_off_at_one_replica_is_shown_by_neither(replicas):
    one, other = replicas
    one.placement("home")
    wait_until(lambda: shown(other) == {"a", "b", "c"})
    for here, there in ((one, other), (other, one)):
        switch(here, "paused")
        assert shown(here) == {"a", "c"}, "the answer to the change comes when it is in force"
        wait_until(lambda api=there: shown(api) == {"a", "c"})
        for _ in range(20):
            assert (shown(one), shown(other)) == ({"a", "c"}, {"a", "c"})
        switch(here, "live")
        wait_until(lambda api=there: shown(api) == {"a", "b", "c"})

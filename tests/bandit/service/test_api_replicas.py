"""Two replicas over one log: what is switched off at one is shown by neither."""

from tests.bandit.service.api_server import wait_until


def shown(api):
    answer = api.rank("switched")
    return {each["id"] for each in answer.json()["pmf"]} if answer.is_success else None


def switch(api, status):
    path = "/v1/placements/switched/creatives/b"
    api.client.patch(path, json={"status": status}).raise_for_status()


def test_a_creative_that_is_switched_off_at_one_replica_is_shown_by_neither(replicas):
    one, other = replicas
    one.placement("switched")
    wait_until(lambda: shown(other) == {"a", "b", "c"})
    for here, there in ((one, other), (other, one)):
        switch(here, "paused")
        assert shown(here) == {"a", "c"}, "the answer to the change comes when it is in force"
        wait_until(lambda api=there: shown(api) == {"a", "c"})
        for _ in range(20):
            assert (shown(one), shown(other)) == ({"a", "c"}, {"a", "c"})
        switch(here, "live")
        wait_until(lambda api=there: shown(api) == {"a", "b", "c"})

"""A machine's clock that is wrong for a moment."""

from streams.events import DEAD_LETTER
from streams.logs.embedded import wall_clock_ms
from tests.faults.looping import (
    RULE,
    assert_kept,
    looping,
    opened,
    refusal,
    traffic,
    until_closed,
    until_learned,
)

TEN_YEARS_MS = 10 * 365 * 86_400_000


class Clock:
    """The machine's clock, and by how much somebody set it wrong."""

    wrong_by_ms = 0

    def __call__(self):
        return wall_clock_ms() + self.wrong_by_ms


def test_a_clock_that_was_ahead_once_is_told_and_all_that_comes_after_is_learned(tmp_path):
    clock = Clock()
    with looping(tmp_path, clock=clock) as api:
        name = api.placement("home", **RULE)
        assert api.client.get("/health").status_code == 200
        traffic(api, name, ["before"])
        until_learned(api, ["before"])
        clock.wrong_by_ms = TEN_YEARS_MS
        meanwhile = traffic(api, name, ["meanwhile"])
        clock.wrong_by_ms = 0

        status, code, message = refusal(api.client.get("/health"))
        assert (status, code) == (503, "clock_disagrees")
        assert str(tmp_path) not in message, "where the log is, the server's own lines say"
        assert "`copyloop streams clock --accept`" in message
        acknowledged = traffic(api, name, [f"after{n}" for n in range(20)])
        assert len(acknowledged[1]) == 20
        until_learned(api, acknowledged[1])
        until_closed(api, acknowledged[0])
        own = api.rank(name).json()["event_id"]
        found = api.client.get(f"/v1/decisions/{own}")
        assert found.json()["decisions"][0]["event_id"] == own
        (clocks,) = [
            each
            for each in api.client.get("/v1/doctor").json()["findings"]
            if each["check"] == "clock"
        ]
        assert clocks["state"] == "failure"
        assert "streams clock --accept" in clocks["do"]

        with opened(tmp_path, clock=clock) as log:
            log.accept_time()
        assert api.client.get("/health").status_code == 200
        until_learned(api, traffic(api, name, ["accepted"])[1])
        assert list(api.records(DEAD_LETTER)) == []
    with opened(tmp_path, clock=clock) as log:
        assert_kept(log, meanwhile)
        assert_kept(log, acknowledged)


def test_a_clock_that_is_behind_for_a_moment_is_told_and_leaves_nothing(tmp_path):
    clock = Clock()
    with looping(tmp_path, clock=clock) as api:
        name = api.placement("home", **RULE)
        clock.wrong_by_ms = -TEN_YEARS_MS
        assert refusal(api.client.get("/health"))[1] == "clock_disagrees"
        acknowledged = traffic(api, name, ["meanwhile"])
        until_learned(api, ["meanwhile"])
        clock.wrong_by_ms = 0
        assert api.client.get("/health").status_code == 200
        until_learned(api, traffic(api, name, ["after"])[1])
        assert api.log.time().ahead_ms == 0
    with opened(tmp_path, clock=clock) as log:
        assert_kept(log, acknowledged)

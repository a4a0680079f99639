import asyncio

import pytest

from bandit.errors import RequestError
from bandit.service.log_writer import MAX_GROUP, Appender, LogThread
from tests.bandit.service.gated_log import GatedLog, message


def used(log, scenario, limit=10_000):
    """Runs the scenario with an appender, and closes that."""
    sizes = []

    async def run():
        appender = Appender(LogThread(log, on_append=sizes.append), limit=limit)
        appender.start()
        try:
            return await scenario(appender)
        finally:
            log.gate.set()
            await appender.close()

    found = asyncio.run(run())
    assert sizes == log.groups
    return found


def test_what_gathers_during_an_append_goes_as_one_group():
    log = GatedLog()

    async def scenario(appender):
        log.gate.clear()
        first = asyncio.ensure_future(appender.append([message("first")]))
        await asyncio.sleep(0.01)
        rest = [asyncio.ensure_future(appender.append([message(n)])) for n in range(50)]
        await asyncio.sleep(0.01)
        log.gate.set()
        return [await first, *[await one for one in rest]]

    written = used(log, scenario)
    assert log.groups == [1, 50]
    assert [places[0].offset for places in written] == list(range(51))
    assert log.ids() == ["first", *map(str, range(50))]


def test_each_is_told_where_its_own_messages_went():
    log = GatedLog()

    async def scenario(appender):
        sizes = [3, 1, 2]
        return await asyncio.gather(
            *[appender.append([message(f"{n}-{k}") for k in range(n)]) for n in sizes]
        )

    places = used(log, scenario)
    assert [[place.offset for place in found] for found in places] == [[0, 1, 2], [3], [4, 5]]


def test_a_group_has_a_largest_size():
    log = GatedLog()

    async def scenario(appender):
        log.gate.clear()
        waiting = [
            asyncio.ensure_future(appender.append([message(f"{n}-{k}") for k in range(400)]))
            for n in range(5)
        ]
        await asyncio.sleep(0.01)
        log.gate.set()
        await asyncio.gather(*waiting)

    used(log, scenario)
    assert sum(log.groups) == 2000
    assert max(log.groups) <= MAX_GROUP


def test_too_many_waiting_are_refused_and_the_rest_is_kept():
    log = GatedLog()

    async def scenario(appender):
        log.gate.clear()
        waiting = [asyncio.ensure_future(appender.append([message(n)])) for n in range(5)]
        await asyncio.sleep(0.01)
        with pytest.raises(RequestError) as caught:
            await appender.append([message("one too many")])
        assert (caught.value.status, caught.value.code) == (503, "overloaded")
        log.gate.set()
        await asyncio.gather(*waiting)
        await appender.append([message("again")])

    used(log, scenario, limit=5)
    assert log.ids() == ["0", "1", "2", "3", "4", "again"]


def test_who_waits_is_told_that_the_log_is_away():
    log = GatedLog()

    async def scenario(appender):
        log.failures = 1
        with pytest.raises(RequestError) as caught:
            await appender.append([message("lost")])
        assert (caught.value.status, caught.value.code) == (503, "log_unavailable")
        assert appender.failed_within(60)
        await appender.append([message("kept")])
        assert not appender.failed_within(60)

    used(log, scenario)
    assert log.ids() == ["kept"]


def test_what_is_buffered_outlives_an_outage_in_order():
    log = GatedLog()

    async def scenario(appender):
        log.failures = 2
        for name in "abc":
            appender.put([message(name)])
        while log.failures:
            await asyncio.sleep(0.01)
        await appender.append([message("d")])

    used(log, scenario)
    assert log.ids() == list("abcd")


def test_closing_appends_what_still_waits():
    log = GatedLog()

    async def scenario(appender):
        log.gate.clear()
        for number in range(20):
            appender.put([message(number)])

    used(log, scenario)
    assert log.ids() == [str(number) for number in range(20)]


def test_closing_says_what_is_lost(caplog):
    log = GatedLog()

    async def scenario(appender):
        log.gate.clear()
        log.failures = 10
        appender.put([message("lost")])

    used(log, scenario)
    assert "1 messages are lost" in caplog.text


def test_a_closed_appender_takes_nothing():
    log = GatedLog()

    async def scenario(appender):
        await appender.close()
        with pytest.raises(RequestError) as caught:
            appender.put([message("late")])
        assert caught.value.status == 503

    used(log, scenario)


def test_a_failure_of_another_kind_reaches_who_waits_and_ends_nothing():
    log = GatedLog()

    async def scenario(appender):
        log.failures, log.failure = 1, RuntimeError("broken on purpose")
        with pytest.raises(RuntimeError, match="on purpose"):
            await appender.append([message("lost")])
        await appender.append([message("kept")])

    used(log, scenario)
    assert log.ids() == ["kept"]

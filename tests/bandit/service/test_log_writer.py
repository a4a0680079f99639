"""Appends in groups, and the way past a log that is away."""

import asyncio
import random
from contextlib import closing, suppress

import pytest

from bandit.errors import RequestError
from bandit.service.log_writer import MAX_GROUP, Appender, LogThread
from bandit.service.spooling import Spooling
from streams.errors import LogUnavailable
from streams.spool import Spool
from tests.bandit.service.gated_log import GatedLog, message

ROOM = 1 << 20
ENDLESS = 1 << 30


class Counts:
    """What was counted on the way, and what the scenario returned."""

    def __init__(self):
        self.answer, self.groups = None, []
        self.spooled = self.forwarded = 0

    def on_spooled(self, count):
        self.spooled += count

    def on_forwarded(self, count):
        self.forwarded += count


def used(log, spool, scenario, *, patience_seconds=0.05, limit=10_000):
    """Runs the scenario with an appender, one that spools if there is a spool, and closes that."""
    counts = Counts()

    async def run():
        thread = LogThread(log, on_append=counts.groups.append)
        spooling = spool and Spooling(
            thread,
            spool,
            patience_seconds=patience_seconds,
            clock_ms=lambda: 1,
            on_spooled=counts.on_spooled,
            on_forwarded=counts.on_forwarded,
        )
        appender = Appender(thread, limit=limit, spooling=spooling)
        appender.start()
        try:
            counts.answer = await scenario(appender)
        finally:
            if spool is None:
                log.gate.set()
            await appender.close()
            log.gate.set()

    asyncio.run(run())
    if spool is None:
        assert counts.groups == log.groups
    return counts


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def fill_up(appender, answered):
    while True:
        name = str(len(answered))
        await appender.append([message(name)])
        answered.append(name)


async def direct(appender):
    await until(lambda: not appender.spooling.active)


@pytest.fixture
def log():
    return GatedLog()


@pytest.fixture
def spool(tmp_path):
    with closing(Spool(tmp_path, ROOM)) as spool:
        yield spool


def test_what_gathers_during_an_append_goes_as_one_group(log):
    async def scenario(appender):
        log.gate.clear()
        first = asyncio.ensure_future(appender.append([message("first")]))
        await asyncio.sleep(0.01)
        rest = [asyncio.ensure_future(appender.append([message(n)])) for n in range(50)]
        await asyncio.sleep(0.01)
        log.gate.set()
        return [await first, *[await one for one in rest]]

    written = used(log, None, scenario).answer
    assert log.groups == [1, 50]
    assert [places[0].offset for places in written] == list(range(51))
    assert log.ids() == ["first", *map(str, range(50))]


def test_each_is_told_where_its_own_messages_went(log):
    async def scenario(appender):
        sizes = [3, 1, 2]
        return await asyncio.gather(
            *[appender.append([message(f"{n}-{k}") for k in range(n)]) for n in sizes]
        )

    places = used(log, None, scenario).answer
    assert [[place.offset for place in found] for found in places] == [[0, 1, 2], [3], [4, 5]]


def test_a_group_has_a_largest_size(log):
    async def scenario(appender):
        log.gate.clear()
        waiting = [
            asyncio.ensure_future(appender.append([message(f"{n}-{k}") for k in range(400)]))
            for n in range(5)
        ]
        await asyncio.sleep(0.01)
        log.gate.set()
        await asyncio.gather(*waiting)

    used(log, None, scenario)
    assert sum(log.groups) == 2000
    assert max(log.groups) <= MAX_GROUP


def test_too_many_waiting_are_refused_and_the_rest_is_kept(log):
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

    used(log, None, scenario, limit=5)
    assert log.ids() == ["0", "1", "2", "3", "4", "again"]


def test_who_waits_is_told_that_the_log_is_away(log):
    async def scenario(appender):
        log.failures = 1
        with pytest.raises(RequestError) as caught:
            await appender.append([message("lost")])
        assert (caught.value.status, caught.value.code) == (503, "log_unavailable")
        assert appender.failed_within(60)
        await appender.append([message("kept")])
        assert not appender.failed_within(60)

    used(log, None, scenario)
    assert log.ids() == ["kept"]


def test_what_is_buffered_outlives_an_outage_in_order(log):
    async def scenario(appender):
        log.failures = 2
        for name in "abc":
            appender.put([message(name)])
        while log.failures:
            await asyncio.sleep(0.01)
        await appender.append([message("d")])

    used(log, None, scenario)
    assert log.ids() == list("abcd")


def test_closing_appends_what_still_waits(log):
    async def scenario(appender):
        log.gate.clear()
        for number in range(20):
            appender.put([message(number)])

    used(log, None, scenario)
    assert log.ids() == [str(number) for number in range(20)]


def test_closing_says_what_is_lost(log, caplog):
    async def scenario(appender):
        log.gate.clear()
        log.failures = 10
        appender.put([message("lost")])

    used(log, None, scenario)
    assert "1 messages are lost" in caplog.text


def test_a_closed_appender_takes_nothing(log):
    async def scenario(appender):
        await appender.close()
        with pytest.raises(RequestError) as caught:
            appender.put([message("late")])
        assert caught.value.status == 503

    used(log, None, scenario)


def test_a_failure_of_another_kind_reaches_who_waits_and_ends_nothing(log):
    async def scenario(appender):
        log.failures, log.failure = 1, RuntimeError("broken on purpose")
        with pytest.raises(RuntimeError, match="on purpose"):
            await appender.append([message("lost")])
        await appender.append([message("kept")])

    used(log, None, scenario)
    assert log.ids() == ["kept"]


def test_a_log_that_works_is_written_directly(log, spool):
    async def scenario(appender):
        for name in "abc":
            (place,) = await appender.append([message(name)])
            assert place.offset == "abc".index(name)

    assert used(log, spool, scenario).spooled == 0
    assert log.ids() == list("abc")


def test_a_log_that_hangs_is_written_past_and_gets_everything_in_order_once(log, spool):
    async def scenario(appender):
        await appender.append([message("first")])
        log.gate.clear()
        for number in range(20):
            assert await appender.append([message(number)]) == []
        assert spool.messages == 20
        log.gate.set()
        await direct(appender)
        (place,) = await appender.append([message("last")])
        assert place.offset == 21

    counts = used(log, spool, scenario)
    # the append that hung succeeded in the end, and what it wrote was not written again
    assert log.ids() == ["first", *map(str, range(20)), "last"]
    assert (counts.spooled, counts.forwarded) == (20, 20)


def test_an_append_that_fails_is_forwarded_though_it_wrote_a_part(log, spool):
    async def scenario(appender):
        log.failures, log.prefix = 3, 1
        assert await appender.append([message("a"), message("b")]) == []
        assert await appender.append([message("c")]) == []
        await direct(appender)

    used(log, spool, scenario)
    assert not log.failures
    ids = log.ids()
    assert list(dict.fromkeys(ids)) == ["a", "b", "c"]
    assert ids[-3:] == ["a", "b", "c"] or ids[-2:] == ["b", "c"]


def test_an_append_that_hangs_and_then_fails_is_forwarded(log, spool):
    async def scenario(appender):
        log.gate.clear()
        log.failures = 1
        for name in "abc":
            await appender.append([message(name)])
        log.gate.set()
        await direct(appender)

    used(log, spool, scenario)
    assert log.ids() == list("abc")


def test_nothing_overtakes_anything_through_any_number_of_outages(log, spool):
    async def scenario(appender):
        chance = random.Random(5)
        waiting = []
        for number in range(400):
            if chance.random() < 0.1:
                log.gate.clear() if chance.random() < 0.5 else log.gate.set()
            if chance.random() < 0.05:
                log.failures = 2
            one = message(number)
            if chance.random() < 0.3:
                appender.put([one])
            else:
                waiting.append(asyncio.ensure_future(appender.append([one])))
            await asyncio.sleep(chance.choice([0, 0, 0.002, 0.01]))
        log.gate.set()
        await asyncio.gather(*waiting)
        await direct(appender)

    counts = used(log, spool, scenario, patience_seconds=0.01)
    assert log.ids() == list(map(str, range(400)))
    assert 0 < counts.spooled == counts.forwarded < 400


def test_what_is_left_at_the_end_is_said_and_comes_first_at_the_next_start(log, tmp_path, caplog):
    gone = GatedLog()

    async def away(appender):
        gone.gate.clear()
        gone.failures = ENDLESS
        for name in "abc":
            await appender.append([message(name)])
        appender.put([message("d")])

    async def back(appender):
        appender.put([message("e")])
        await direct(appender)
        await appender.append([message("f")])

    with closing(Spool(tmp_path, ROOM)) as spool:
        used(gone, spool, away)
        assert spool.messages == 4
    assert "4 messages stay in" in caplog.text
    assert "are lost" not in caplog.text
    with closing(Spool(tmp_path, ROOM)) as spool:
        used(log, spool, back)
    assert log.ids() == list("abcdef")


def test_who_starts_during_an_outage_answers_at_once_and_keeps_the_order(log, tmp_path):
    with closing(Spool(tmp_path, ROOM)) as spool:
        spool.append([message("before")], 1)
        log.failures = 5

        async def scenario(appender):
            assert await appender.append([message("after")]) == []
            await direct(appender)

        used(log, spool, scenario)
    assert log.ids() == ["before", "after"]


def test_what_must_be_read_back_is_never_spooled(log, spool):
    async def scenario(appender):
        (place,) = await appender.append_through([message("there")])
        assert place.offset == 0
        log.gate.clear()
        await appender.append([message("spooled")])
        with pytest.raises(RequestError) as caught:
            await appender.append_through([message("refused")])
        assert (caught.value.status, caught.value.code) == (503, "log_unavailable")
        log.gate.set()
        await direct(appender)
        log.failures = 1
        with pytest.raises(RequestError, match="busy on purpose"):
            await appender.append_through([message("failed")])
        await appender.append_through([message("again")])

    used(log, spool, scenario)
    assert log.ids() == ["there", "spooled", "again"]


def test_a_slow_write_that_must_be_read_back_has_the_others_spooled_behind_it(log, spool):
    async def scenario(appender):
        log.gate.clear()
        slow = asyncio.ensure_future(appender.append_through([message("slow")]))
        await asyncio.sleep(0.01)
        assert await appender.append([message("quick")]) == []
        log.gate.set()
        (place,) = await slow
        assert place.offset == 0
        await direct(appender)

    used(log, spool, scenario)
    assert log.ids() == ["slow", "quick"]


def test_a_full_spool_refuses_until_the_log_is_back(log, tmp_path):
    answered = []

    async def scenario(appender):
        await appender.append([message("first")])
        log.gate.clear()
        log.failures = 1
        with pytest.raises(RequestError) as caught:
            await fill_up(appender, answered)
        assert (caught.value.status, caught.value.code) == (503, "spool_full")
        assert appender.spooling.full
        with pytest.raises(RequestError, match="is full"):
            appender.put([message("full")])
        log.gate.set()
        await direct(appender)
        assert not appender.spooling.full
        await appender.append([message("last")])

    with closing(Spool(tmp_path, 2000)) as spool:
        used(log, spool, scenario)
    assert 0 < len(answered) < 100
    assert log.ids() == ["first", *answered, "last"]


def test_what_is_buffered_waits_where_the_spool_has_no_room(log, tmp_path):
    async def scenario(appender):
        log.gate.clear()
        log.failures = 1
        names = iter(range(1000))
        with suppress(RequestError):
            while True:
                appender.put([message(next(names))])
                await asyncio.sleep(0.002)
        log.gate.set()
        await direct(appender)
        await appender.append([message("last")])

    with closing(Spool(tmp_path, 3000)) as spool:
        used(log, spool, scenario)
    *numbers, last = log.ids()
    assert last == "last"
    assert numbers == list(map(str, range(len(numbers))))
    assert len(numbers) > 5


def test_a_failure_of_another_kind_is_told_directly_and_outlived_when_forwarding(
    log, spool, monkeypatch, caplog
):
    monkeypatch.setattr("bandit.service.spooling.FAILURE_SECONDS", 0.01)

    async def scenario(appender):
        log.failures, log.failure = 1, RuntimeError("broken on purpose")
        with pytest.raises(RuntimeError, match="on purpose"):
            await appender.append([message("lost")])
        log.gate.clear()
        await appender.append([message("kept")])
        log.failures = 2
        log.gate.set()
        await direct(appender)

    used(log, spool, scenario)
    assert log.ids() == ["kept"]
    assert caplog.text.count("RuntimeError: broken on purpose") >= 2


def test_without_a_spool_who_waits_is_told(log):
    async def scenario(appender):
        log.failures, log.failure = 1, LogUnavailable("gone")
        with pytest.raises(RequestError, match="gone"):
            await appender.append_through([message("a")])
        assert appender.failed_within(60)

    used(log, None, scenario)

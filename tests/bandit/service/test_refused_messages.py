"""A message that the log refuses fails its own request, and holds nothing else up."""

import asyncio
from contextlib import closing

import pytest

from bandit.errors import RequestError
from streams.errors import LogError, MessageDenied, MessagesRefused, MessageTooLarge
from streams.events import DECISIONS
from streams.spool import Spool, set_aside, spooled
from tests.bandit.service.api_server import code_of, running, wait_until
from tests.bandit.service.gated_log import GatedLog, message
from tests.bandit.service.test_api_outage import spooling
from tests.bandit.service.test_log_writer import until, used

ROOM = 1 << 20


class RefusingLog(GatedLog):
    """A log that refuses the messages of some keys, as a cluster does, and writes the others."""

    def __init__(self, **refused):
        super().__init__()
        self.refused: dict[str, LogError] = refused

    def append(self, messages):
        keys = [m.key.decode() for m in messages]
        refused = {n: self.refused[key] for n, key in enumerate(keys) if key in self.refused}
        taken = [n for n in range(len(messages)) if n not in refused]
        written = dict(zip(taken, super().append([messages[n] for n in taken]), strict=True))
        if refused:
            raise MessagesRefused(refused, written)
        return list(written.values())


LARGE, DENIED = MessageTooLarge("it is too large"), MessageDenied("see to the ACLs")


@pytest.fixture
def log():
    return RefusingLog(large=LARGE, denied=DENIED)


@pytest.mark.parametrize("has_spool", [False, True])
def test_one_that_is_refused_fails_alone_in_its_group(log, tmp_path, has_spool):
    async def scenario(appender):
        log.gate.clear()
        first = asyncio.create_task(appender.append([message("first")]))
        await until(lambda: appender._count == 1)
        names = ["a", "large", "b", "denied", "c"]
        later = [asyncio.create_task(appender.append([message(name)])) for name in names]
        both = asyncio.create_task(appender.append([message("d"), message("large")]))
        await until(lambda: appender._count == 8)
        log.gate.set()
        await first
        told = await asyncio.gather(*later, both, return_exceptions=True)
        assert not appender.failed_within(60.0)
        assert (await appender.append([message("after")]))[0].offset == 5
        return told

    with closing(Spool(tmp_path, ROOM)) as spool:
        told = used(log, spool if has_spool else None, scenario, patience_seconds=30.0).answer
    errors = {n: each for n, each in enumerate(told) if isinstance(each, RequestError)}
    assert {n: (e.status, e.code) for n, e in errors.items()} == {
        1: (413, "message_too_large"),
        3: (503, "append_denied"),
        5: (413, "message_too_large"),
    }
    assert [told[n][0].offset for n in (0, 2, 4)] == [1, 2, 3]
    assert log.ids() == ["first", "a", "b", "c", "d", "after"]


def test_one_that_must_be_read_back_is_refused_by_its_code(log):
    async def scenario(appender):
        with pytest.raises(RequestError, match="too large") as caught:
            await appender.append_through([message("large")])
        return caught.value

    assert used(log, None, scenario).answer.code == "message_too_large"


def test_what_can_never_be_written_is_set_aside_and_the_rest_forwarded(log, tmp_path):
    names = ["a", "large", "b", "denied", "c"]

    async def scenario(appender):
        log.gate.clear()
        await asyncio.gather(*(appender.append([message(name)]) for name in names))
        log.gate.set()
        await until(lambda: not appender.spooling.active)
        assert appender.spooling.spool.aside == 2

    with closing(Spool(tmp_path / "0", ROOM)) as spool:
        used(log, spool, scenario)
    assert list(dict.fromkeys(log.ids())) == ["a", "b", "c"]
    aside = [(m.key, error) for _, m, error in set_aside(tmp_path)]
    assert aside == [(b"large", str(LARGE)), (b"denied", str(DENIED))]
    assert [m.key for _, m in spooled(tmp_path)] == [b"large", b"denied"]
    # Once they are let in, the next start writes them.
    log.refused = {}

    async def again(appender):
        await until(lambda: not appender.spooling.active)

    with closing(Spool(tmp_path / "0", ROOM)) as spool:
        assert (spool.messages, spool.aside) == (2, 0)
        used(log, spool, again)
        assert (spool.messages, spool.aside) == (0, 0)
    assert list(dict.fromkeys(log.ids())) == ["a", "b", "c", "large", "denied"]


def test_the_api_answers_for_that_message_alone(log):
    with running(log) as api:
        name = api.placement("p")
        assert code_of(api.rank(name, event_id="large")) == (413, "message_too_large")
        assert code_of(api.rank(name, event_id="denied")) == (503, "append_denied")
        assert api.rank(name, event_id="sound").status_code == 200
        assert api.client.get("/health").json()["status"] == "ok"
        assert [decision.event_id for decision in api.logged(DECISIONS)] == ["sound"]


def test_health_tells_of_what_is_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tests.bandit.service.test_api_outage.GatedLog", lambda: RefusingLog(large=LARGE)
    )
    with spooling(tmp_path) as api:
        name = api.placement("p")
        api.log.gate.clear()
        assert api.rank(name, event_id="large").status_code == 200
        assert api.rank(name, event_id="sound").status_code == 200
        api.log.gate.set()
        wait_until(lambda: api.client.get("/health").json()["status"] == "ok")
        assert api.client.get("/health").json()["spool"]["set_aside"] == 1
        assert [decision.event_id for decision in api.logged(DECISIONS)] == ["sound"]

"""A loop of API, joiner and learner over one SQLite file, and what must hold after any fault."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

from bandit.learning.worker import run_learner
from bandit.service.settings import Settings
from bandit.verification import audit
from streams.errors import LogUnavailable
from streams.events import DECISIONS, INTERACTIONS, OUTCOMES, decode
from streams.fold import scan_topic
from streams.join.worker import run_joiner
from streams.logs.embedded import wall_clock_ms
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics
from tests.bandit.service.api_server import running, wait_until

WINDOW_SECONDS = 0.3
RULE = {"reward": {"window_seconds": WINDOW_SECONDS, "grace_seconds": 0.0}}


@contextmanager
def looping(data, *, clock=wall_clock_ms, works=(run_joiner, run_learner)):
    """The API of a loop in this data folder; each of its processes has the log open by itself."""
    url = f"sqlite:///{data / 'log.db'}"
    stop = threading.Event()
    with (
        opened(data, clock=clock) as log,
        ThreadPoolExecutor(max(len(works), 1)) as pool,
    ):

        def work(run):
            # As in a process of its own: one that is to stop while the log is away has stopped.
            with opened(data, clock=clock) as own, suppress(LogUnavailable):
                run(own, data / "checkpoints", stop=stop)

        create_topics(log)
        futures = [pool.submit(work, run) for run in works]
        try:
            settings = Settings(data=data, log=url)
            with running(log, settings, clock_ms=clock) as api:
                yield api
        finally:
            stop.set()
        for future in futures:
            future.result(60)


def opened(data, **options):
    return closing(SqliteLog(data / "log.db", **options))


def traffic(api, name, ids):
    """Ranks and clicks for these events; returns those whose rank and click were acknowledged."""
    done = [], []
    for event_id in ids:
        if api.rank(name, event_id=event_id).is_success:
            done[0].append(event_id)
        if api.event(name, event_id, "outcomes", {"kind": "click"}).is_success:
            done[1].append(event_id)
    return done


def logged_ids(log, topic):
    return [decode(record.value).event_id for record in scan_topic(log, topic) if record.key]


def assert_kept(log, acknowledged):
    """Nothing that was acknowledged is lost or doubled, and the log proves itself."""
    for topic, ids in zip((DECISIONS, OUTCOMES), acknowledged, strict=True):
        found = logged_ids(log, topic)
        assert set(ids) <= set(found)
        if topic == DECISIONS:
            assert len(set(found)) == len(found)
    report = audit(log)
    assert report.clean, report.counts()


def refusal(answer):
    """The code of a refusal, and what it says."""
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


def until_learned(api, ids):
    """Waits until each of these events has its interaction with a click in it, for good."""

    def learned():
        found = [decode(record.value) for record in api.records(INTERACTIONS)]
        closed = {i.decision.event_id for i in found if (i.status, i.reward) == ("closed", 1.0)}
        return set(ids) <= closed

    wait_until(learned)

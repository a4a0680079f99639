"""The loop on Kafka, when its broker and its processes die, come and go under traffic."""

import signal
import time
from contextlib import contextmanager
from uuid import uuid4

import pytest

from tests.bandit.recovery import Traffic, running
from tests.bandit.recovery_findings import Events, findings, settle
from tests.bandit.strays import SORTS, Strays

pytestmark = [
    pytest.mark.kafka,
    # The client leaves the sockets of refused connections to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.usefixtures("collected"),
]

REWARD = {"window_seconds": 2.0, "grace_seconds": 1.0}
PLACEMENTS = {
    f"{policy}-{n}": {"policy": {"name": policy}, "learn": learn, "reward": REWARD}
    for policy, learn in (("thompson", "realtime"), ("vw", "window"))
    for n in range(2)
}
NAMES = ("api", "join-1", "join-2", "learn-1", "learn-2")
SESSION_SECONDS = 3.0
"""After which a member that died is missed; by default that is ten."""
OUTAGE_SECONDS = 5.0
OPTIONS = "session_timeout_ms=3000&heartbeat_interval_ms=500&request_timeout_ms=2000"


@contextmanager
def a_loop(broker, directory):
    """A loop of two joiners and two learners, and the traffic that it is under."""
    url = f"kafka://{broker.bootstrap}?prefix=loop-{uuid4().hex[:8]}.&{OPTIONS}"
    with running(directory, PLACEMENTS, names=NAMES, log_url=url, partitions=3) as loop:
        yield loop, Traffic(loop.url, seed=6, placements=PLACEMENTS)


@contextmanager
def going_on(loop, traffic):
    """Has the traffic go on for the block, and until all partitions are held after it."""
    with traffic:
        traffic.go_on(decisions=20, clicks=5)
        loop.wait_until_held("join")
        loop.wait_until_held("learn")
        yield
        loop.wait_until_held("join")
        loop.wait_until_held("learn")


def assert_sound(loop, traffic):
    settle(loop, traffic)
    found = findings(loop, traffic)
    assert found.wrong == {}, found


def test_broker_joiners_and_learners_are_killed_and_come_and_go(kafka_broker, tmp_path):
    with a_loop(kafka_broker, tmp_path) as (loop, traffic):
        with going_on(loop, traffic):
            loop.kill("join-1")
            loop.kill("learn-2")
            loop.wait_until_held("join")
            loop.wait_until_held("learn")
            loop.start("join-3")
            loop.start("join-4")
            loop.start("learn-3")
            loop.wait_until_holding("join-3", "join-4", "learn-3")
            kafka_broker.kill()
            # Whoever is asked to stop while the broker is away does so, and cleanly.
            loop.stop("learn-1")
            kafka_broker.start()
            loop.wait_until_joined(50)
            loop.stop("join-2")
            loop.kill("join-4")
        assert_sound(loop, traffic)


def test_strays_and_poison_are_taken_or_told(kafka_broker, tmp_path):
    with a_loop(kafka_broker, tmp_path) as (loop, traffic):
        with going_on(loop, traffic), Strays(loop.log) as strays:
            traffic.go_on_by(50)
            kafka_broker.kill()
            kafka_broker.start()
            loop.wait_until_joined(50)
            strays.go_on_by(50)
        traffic.decisions |= strays.decisions
        traffic.clicks |= strays.clicks
        assert_sound(loop, traffic)
        interactions = Events(loop.log).interactions.values()
    rewarded = {i.decision.event_id for i in interactions if i.reward > 0}
    assert {sort for sort in SORTS if strays.of_sort[sort] & rewarded} == set(SORTS)


def test_what_hangs_for_a_while_does_no_harm_then_nor_afterwards(kafka_broker, tmp_path):
    members = ("join-1", "learn-1")
    with a_loop(kafka_broker, tmp_path) as (loop, traffic):
        with going_on(loop, traffic):
            for name in members:
                loop.signal(name, signal.SIGSTOP)
            # Long enough that others get the partitions, and find them still locked.
            time.sleep(SESSION_SECONDS + 1.5)
            for name in members:
                loop.signal(name, signal.SIGCONT)
            traffic.go_on_by(50)
            kafka_broker.suspend()
            try:
                time.sleep(OUTAGE_SECONDS)
                traffic.go_on_by(50)
            finally:
                kafka_broker.resume()
            # What it answered for is on its disk, if not in the log.
            loop.kill("api")
            loop.start("api")
            loop.wait_until_ready()
            traffic.go_on_by(20)
        assert_sound(loop, traffic)

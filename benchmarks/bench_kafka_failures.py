"""Is anything lost or changed on Kafka when everything fails under traffic, and for how long?

The baseline is calm: the same records joined and folded once, in memory and undisturbed, which
the log must equal. How long a partition stands still is set against members that leave in order.
"""

import gc
import logging
import random
import signal
import statistics
import time
from contextlib import contextmanager
from uuid import uuid4

import pytest

from tests.bandit.recovery import Traffic, running
from tests.bandit.recovery_findings import findings, settle
from tests.bandit.strays import Strays
from tests.kafka_broker import running_broker

# The client leaves the sockets of refused connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

PARTITIONS = 6
OUTAGE_SECONDS = 30.0
NAMES = ("api", "join-1", "join-2", "learn-1", "learn-2")
REWARD = {"window_seconds": 10.0, "grace_seconds": 3.0}
PLACEMENTS = {
    f"{policy}-{n}": {"policy": {"name": policy}, "learn": learn, "reward": REWARD}
    for policy, learn in (("thompson", "realtime"), ("vw", "window"))
    for n in range(4)
}


@pytest.fixture(scope="module")
def broker():
    # The client logs tracebacks for as long as a broker is away.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    with running_broker() as broker:
        yield broker


@pytest.fixture(autouse=True)
def _collected():
    yield
    gc.collect()


@contextmanager
def a_loop(broker, directory):
    url = f"kafka://{broker.bootstrap}?prefix=loop-{uuid4().hex[:8]}."
    layout = {"names": NAMES, "log_url": url, "partitions": PARTITIONS}
    with running(directory, PLACEMENTS, **layout) as loop:
        loop.wait_until_held("join")
        loop.wait_until_held("learn")
        yield loop, Traffic(loop.url, seed=30, placements=PLACEMENTS, threads=4)


def kills(broker, loop, rng):
    """Processes die at random and are started again, the broker twice among them."""
    for n in range(20):
        time.sleep(rng.uniform(0.5, 3.0))
        if n in (7, 14):
            # Who cannot reach the log at its start ends, and is for a supervisor to start again.
            loop.wait_until_ready()
            loop.wait_until_holding(*NAMES[1:])
            broker.kill()
            broker.start()
        else:
            victim = rng.choice(NAMES)
            loop.kill(victim)
            time.sleep(rng.uniform(0.0, 1.0))
            loop.start(victim)
    loop.wait_until_ready()


def rebalances(broker, loop, rng):
    """Joiners and learners: two, then three, then one, some asked to leave and some killed."""
    for work in ("join", "learn"):
        loop.start(f"{work}-3")
        loop.wait_until_holding(f"{work}-3")
        loop.stop(f"{work}-1")
        loop.kill(f"{work}-2")
        loop.wait_until_held(work)
        for number in (1, 2):
            loop.start(f"{work}-{number}")
        loop.wait_until_holding(f"{work}-1", f"{work}-2")


def broker_gone(broker, loop, rng):
    """The broker is dead for half a minute."""
    broker.kill()
    time.sleep(OUTAGE_SECONDS)
    broker.start()


def broker_hangs(broker, loop, rng):
    """The broker stands still for half a minute, with all connections open."""
    broker.suspend()
    time.sleep(OUTAGE_SECONDS)
    broker.resume()


def members_stand_still(broker, loop, rng):
    """A joiner and a learner stop until others have missed them, and go on."""
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for name in ("join-1", "learn-1"):
            loop.signal(name, number)
        time.sleep(11.0)


@pytest.mark.parametrize(
    "failure", [kills, rebalances, broker_gone, broker_hangs, members_stand_still]
)
def test_nothing_is_lost_or_changed(benchmark, failure, broker, tmp_path):
    found, acknowledged = benchmark.pedantic(under_traffic, (broker, tmp_path, failure), rounds=1)
    benchmark.extra_info.update(acknowledged=acknowledged, **found._asdict())
    assert found.wrong == {}


def under_traffic(broker, directory, failure):
    with a_loop(broker, directory) as (loop, traffic):
        with traffic:
            traffic.go_on(decisions=100, clicks=10)
            with Strays(loop.log, pause_seconds=0.05) as strays:
                failure(broker, loop, random.Random(30))
                loop.wait_until_joined(100)
                traffic.go_on_by(100)
        traffic.decisions |= strays.decisions
        traffic.clicks |= strays.clicks
        settle(loop, traffic, seconds=300)
        return findings(loop, traffic), len(traffic.decisions) + len(traffic.clicks)


@pytest.mark.parametrize("work", ["join", "learn"])
def test_takeover(benchmark, work, broker, tmp_path):
    """From the end of a member until others hold its partitions, killed or asked to leave."""
    with a_loop(broker, tmp_path) as (loop, traffic), traffic:
        asked = [away(loop, work, loop.stop) for _ in range(3)]
        killed = benchmark.pedantic(
            lambda: [away(loop, work, loop.kill) for _ in range(3)], rounds=1
        )
    benchmark.extra_info.update(
        session_timeout_seconds=10,
        killed_seconds=statistics.median(killed),
        asked_to_leave_seconds=statistics.median(asked),
        killed_against_asked=statistics.median(killed) / statistics.median(asked),
    )


def away(loop, work, end):
    """Ends one of the two members, has the other take over, and brings the first back."""
    end(f"{work}-1")
    seconds = loop.wait_until_held(work)
    loop.start(f"{work}-1")
    loop.wait_until_holding(f"{work}-1")
    return seconds

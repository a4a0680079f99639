"""Is anything lost or changed on Kafka when everything fails under traffic, and for how long?

The baseline is calm: the same records joined and folded once, in memory and undisturbed, which
the log must equal. How long a partition stands still is set against members that leave in order.
"""

import gc
import json
import logging
import random
import signal
import statistics
import time
from contextlib import closing, contextmanager
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ConfigResource,
    ConfigResourceType,
    ResourcePattern,
    ResourceType,
)

from streams.events import DECISIONS, INTERACTIONS, OUTCOMES
from streams.logs.kafka.producer import TIMESTAMP
from tests.bandit.recovery import Traffic, running
from tests.bandit.recovery_findings import findings, settle
from tests.bandit.strays import Strays
from tests.kafka_broker import PASSWORD, USER, running_broker

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
    login = f"sasl_mechanism=PLAIN&sasl_plain_username={USER}&sasl_plain_password={PASSWORD}"
    where = f"{broker.sasl_bootstrap}?security_protocol=SASL_PLAINTEXT&{login}"
    url = f"kafka://{where}&prefix=loop-{uuid4().hex[:8]}."
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


def cold_start(broker, loop, rng):
    """Both joiners are killed and lose their checkpoints."""
    for name in ("join-1", "join-2"):
        loop.kill(name)
    for checkpoint in loop.directory.rglob("join-*.checkpoint"):
        checkpoint.unlink()
    for name in ("join-1", "join-2"):
        loop.start(name)
    loop.wait_until_holding("join-1", "join-2")


def poisoned_time(broker, loop, rng):
    """Producers' times count in `outcomes`, and somebody's clock is 50 minutes ahead."""
    with topic_settings(broker, loop, OUTCOMES, {"message.timestamp.type": "CreateTime"}):
        ahead_ms = int(time.time() * 1000) + 50 * 60_000
        foreign(broker, loop, [outcome(n) for n in range(PARTITIONS)], timestamp_ms=ahead_ms)
        foreign(broker, loop, [outcome(n) for n in range(PARTITIONS)], headers=FUTURE)
        loop.wait_until_joined(100)


def oversized_record(broker, loop, rng):
    """Somebody writes outcomes of 20 MiB, which take a few kilobytes once they are compressed."""
    foreign(broker, loop, [outcome(n, junk="x" * (20 << 20)) for n in range(2)])
    loop.wait_until_joined(100)


def acl_removed(broker, loop, rng):
    """Nobody may write decisions for a while, and then nobody interactions."""
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        for topic in (DECISIONS, INTERACTIONS):
            pattern = ResourcePattern(ResourceType.TOPIC, prefix_of(loop) + topic)
            rights = ((ACLOperation.READ, ALLOW), (ACLOperation.WRITE, DENY))
            admin.create_acls([ACL(f"User:{USER}", "*", *right, pattern) for right in rights])
            time.sleep(10.0)
            every = ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, pattern)
            admin.delete_acls([every])


FUTURE = [(TIMESTAMP, b"4102444800000")]
ALLOW, DENY = ACLPermissionType.ALLOW, ACLPermissionType.DENY


def outcome(number, **more):
    event = {"type": "outcome", "event_id": f"foreign-{number}", "outcome_id": str(uuid4())}
    return json.dumps(event | {"kind": "click", "timestamp_ms": 0, **more}).encode()


def prefix_of(loop):
    return parse_qs(urlsplit(loop.log_url).query)["prefix"][0]


def foreign(broker, loop, values, **options):
    """Writes outcomes of others, by partition, with a client of their own."""
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap, compression_type="gzip", max_request_size=64 << 20
    )
    for number, value in enumerate(values):
        producer.send(prefix_of(loop) + OUTCOMES, value, partition=number, **options).get(60)
    producer.close()


@contextmanager
def topic_settings(broker, loop, topic, settings):
    """Changes a topic's settings for the block."""
    name = prefix_of(loop) + topic
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, settings)])
        yield
        kept = {"message.timestamp.type": "LogAppendTime"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, kept)])


@pytest.mark.parametrize(
    "failure",
    [
        *(kills, rebalances, broker_gone, broker_hangs, members_stand_still),
        *(cold_start, poisoned_time, oversized_record, acl_removed),
    ],
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

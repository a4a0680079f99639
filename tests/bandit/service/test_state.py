"""What an API replica serves follows the log: policies, creatives, and neither when damaged."""

import threading
from contextlib import contextmanager

import msgspec
import pytest

from bandit.learning.fold import PlacementFold
from bandit.policies import open_policy
from bandit.policy import policy_version
from bandit.service.state import Snapshots
from streams.errors import TopicError
from streams.events import POLICIES, encode
from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics
from tests.bandit.histories import (
    ACTIONS,
    creative,
    decision,
    interaction,
    new_log,
    placement,
    put,
)
from tests.bandit.service.api_server import wait_until

THOMPSON = {"name": "thompson"}
FRESH = policy_version(open_policy(THOMPSON).to_bytes(), 0)


@contextmanager
def following(log):
    """Snapshots that follow the log, and an event that every swap sets."""
    swapped = threading.Event()
    snapshots = Snapshots(log, on_change=swapped.set)
    snapshots.start()
    try:
        yield snapshots, swapped
    finally:
        snapshots.stop()


def learned(n, name="home"):
    """A snapshot after `n` clicks on what a fresh policy chose."""
    fold = PlacementFold(THOMPSON)
    for number in range(n):
        made = decision(f"e{number}", open_policy(THOMPSON), FRESH, placement=name)
        fold.take(interaction(made, number, 1.0), number)
    return fold.snapshot(name, 0)


def publish(log, *snapshots):
    log.append([Message(POLICIES, s.placement.encode(), encode(s)) for s in snapshots])


def test_a_placement_without_a_snapshot_is_served_with_a_fresh_policy_at_offset_0():
    log = new_log(placement())
    put(log, *map(creative, ACTIONS))
    with following(log) as (snapshots, _):
        served = snapshots.placement("home")
        assert served.version == FRESH
        assert served.actions == ACTIONS
        assert list(served.creatives) == ["a", "b", "c"]
        assert served.snapshot_ms == 0
        assert snapshots.placement("elsewhere") is None


def test_the_latest_snapshot_is_served_at_the_start_and_every_later_one():
    log = new_log(placement())
    publish(log, learned(1), learned(2))
    with following(log) as (snapshots, swapped):
        assert snapshots.placement("home").version == learned(2).version
        publish(log, learned(3))
        assert swapped.wait(30)
        served = snapshots.placement("home")
        assert served.version == learned(3).version
        assert served.policy.to_bytes() == learned(3).state
        assert served.snapshot_ms > 0


def test_a_creative_that_is_switched_off_is_served_no_more_and_back_on_it_is():
    log = new_log(placement())
    put(log, *map(creative, ACTIONS))
    with following(log) as (snapshots, _):
        served = snapshots.placement("home")
        put(log, creative(ACTIONS[1], status="paused"))
        wait_until(lambda: snapshots.placement("home").actions == (ACTIONS[0], ACTIONS[2]))
        assert "b" not in snapshots.placement("home").creatives
        assert served.actions == ACTIONS, "what a request was given must not change under it"
        put(log, creative(ACTIONS[1]))
        wait_until(lambda: snapshots.placement("home").actions == ACTIONS)


def test_a_new_policy_keeps_the_actions_and_new_creatives_keep_the_policy():
    log = new_log(placement())
    put(log, creative(ACTIONS[0]))
    with following(log) as (snapshots, swapped):
        before = snapshots.placement("home")
        publish(log, learned(1))
        assert swapped.wait(30)
        with_policy = snapshots.placement("home")
        assert with_policy.actions is before.actions
        put(log, creative(ACTIONS[1]))
        wait_until(lambda: len(snapshots.placement("home").actions) == 2)
        assert snapshots.placement("home").policy is with_policy.policy


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: encode(msgspec.structs.replace(s, state=s.state[:-1] + b"?")),
        lambda s: encode(msgspec.structs.replace(s, offset=s.offset + 1)),
        lambda s: encode(
            msgspec.structs.replace(s, state=b"?", version=policy_version(b"?", s.offset))
        ),
        lambda s: b"no JSON",
        lambda s: encode(creative(ACTIONS[0])),
    ],
    ids=["state", "offset", "sealed rubbish", "no JSON", "no snapshot"],
)
def test_a_damaged_snapshot_is_refused_loudly_and_the_one_before_stays(damage, caplog):
    log = new_log(placement())
    publish(log, learned(1))
    with following(log) as (snapshots, swapped):
        log.append([Message(POLICIES, b"home", damage(learned(2)))])
        wait_until(lambda: snapshots.refused == 1)
        assert "snapshot refused" in caplog.text
        assert snapshots.placement("home").version == learned(1).version
        publish(log, learned(3))
        assert swapped.wait(30)
        assert snapshots.placement("home").version == learned(3).version


def test_after_a_change_of_policy_the_old_one_goes_on_until_the_learner_is_ready():
    uniform = {"name": "uniform"}
    log = new_log(placement())
    publish(log, learned(1))
    with following(log) as (snapshots, _):
        put(log, placement(policy=uniform))
        wait_until(lambda: snapshots.placement("home").placement.policy == uniform)
        assert snapshots.placement("home").version == learned(1).version
        publish(log, PlacementFold(uniform).snapshot("home", 0))
        wait_until(lambda: snapshots.placement("home").version.endswith("@0"))
        assert snapshots.placement("home").policy.spec["name"] == "uniform"


def test_a_fresh_policy_follows_a_change_of_spec_at_once():
    log = new_log(placement())
    with following(log) as (snapshots, swapped):
        put(log, placement(policy={"name": "uniform"}))
        assert swapped.wait(30)
        assert snapshots.placement("home").policy.spec["name"] == "uniform"


def test_a_deleted_placement_is_served_no_more():
    log = new_log(placement(), placement("aside"))
    with following(log) as (snapshots, swapped):
        put(log, placement(deleted=True))
        assert swapped.wait(30)
        assert snapshots.placement("home") is None
        assert snapshots.placement("aside") is not None


def test_a_placement_whose_policy_cannot_be_is_not_served_and_harms_no_other(caplog):
    log = new_log(placement(policy={"name": "no such policy"}), placement("aside"))
    with following(log) as (snapshots, _):
        assert snapshots.placement("home") is None
        assert snapshots.placement("aside") is not None
        assert "'home' has no policy to serve" in caplog.text


def test_snapshots_of_another_process_arrive_through_the_file(tmp_path):
    log, other = SqliteLog(tmp_path / "log.db"), SqliteLog(tmp_path / "log.db")
    create_topics(log, partitions=3)
    put(log, placement(), placement("aside"))
    with following(log) as (snapshots, swapped):
        publish(other, learned(1), learned(2, "aside"))
        assert swapped.wait(30)
        wait_until(lambda: snapshots.placement("aside").version == learned(2, "aside").version)
        wait_until(lambda: snapshots.placement("home").version == learned(1).version)
    log.close()
    other.close()


def test_a_log_without_topics_is_refused_at_the_start():
    with pytest.raises(TopicError):
        Snapshots(MemoryLog()).start()


def test_stopping_ends_the_thread():
    log = new_log(placement())
    with following(log) as (snapshots, _):
        assert snapshots.following
    assert not snapshots.following

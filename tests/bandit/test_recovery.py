"""Kill -9 at random moments loses nothing, doubles nothing, and leaves the same policy."""

import random
import time

import pytest

from tests.bandit.recovery import NAMES, PLACEMENT, Traffic, running
from tests.bandit.recovery_findings import findings, settle

REWARD = {"window_seconds": 1.0, "grace_seconds": 0.5}


@pytest.mark.parametrize(
    "placement",
    [
        {"policy": {"name": "thompson"}, "learn": "realtime", "reward": REWARD},
        {"policy": {"name": "vw"}, "learn": "window", "reward": REWARD},
    ],
    ids=["thompson", "vw"],
)
def test_six_kills_lose_nothing_and_change_nothing(placement, tmp_path):
    rng = random.Random(6)
    with running(tmp_path, {PLACEMENT: placement}) as loop:
        with Traffic(loop.url, seed=6) as traffic:
            for victim in rng.sample(NAMES * 2, 6):
                time.sleep(rng.uniform(0.2, 0.8))
                loop.kill(victim)
                loop.start(victim)
            loop.wait_until_ready()
            traffic.go_on(decisions=50, clicks=10)
        settle(loop, traffic)
        found = findings(loop, traffic)
    assert (found.repeated_decisions, found.repeated_interactions) == (0, 0)
    assert found.wrong == {}, found

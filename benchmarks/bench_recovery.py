"""Is anything lost, doubled or changed when processes are killed under traffic, twenty times?

The baseline is calm: the same decisions and outcomes, joined and learned once without a kill,
which the log of the killed loop must equal byte for byte.
"""

import random
import time

import pytest

from tests.bandit.recovery import NAMES, PLACEMENT, Traffic, running
from tests.bandit.recovery_findings import findings, settle

KILLS = 20
REWARD = {"window_seconds": 5.0, "grace_seconds": 2.0}
PLACEMENTS = {
    "thompson": {"policy": {"name": "thompson"}, "learn": "realtime", "reward": REWARD},
    "vw": {"policy": {"name": "vw"}, "learn": "window", "reward": REWARD},
}


@pytest.mark.parametrize("policy", PLACEMENTS)
def test_twenty_kills_under_traffic(benchmark, policy, tmp_path):
    found, acknowledged = benchmark.pedantic(twenty_kills, (tmp_path, policy), rounds=1)
    benchmark.extra_info.update(
        kills=KILLS,
        acknowledged=acknowledged,
        decisions=found.decisions,
        clicks=found.outcomes,
        lost=found.lost_decisions + found.lost_outcomes + found.unaccounted_outcomes,
        duplicated=found.repeated_decisions + found.repeated_interactions,
        not_closed_once=found.not_closed_once,
        audit_mismatches=found.audit_mismatches,
        interactions_equal=not found.joins_different,
        policy_equal=not found.policies_different,
    )
    assert (found.repeated_decisions, found.repeated_interactions) == (0, 0)
    assert found.wrong == {}


def twenty_kills(directory, policy):
    rng = random.Random(20)
    with running(directory, {PLACEMENT: PLACEMENTS[policy]}) as loop:
        with Traffic(loop.url, seed=20, threads=4) as traffic:
            for _ in range(KILLS):
                time.sleep(rng.uniform(0.2, 2.0))
                victim = rng.choice(NAMES)
                loop.kill(victim)
                time.sleep(rng.uniform(0.0, 0.5))
                loop.start(victim)
            loop.wait_until_ready()
            traffic.go_on(decisions=1000, clicks=100)
        settle(loop, traffic)
        return findings(loop, traffic), len(traffic.decisions) + len(traffic.clicks)

"""How much less does our best policy lose in a market of known truth than the best peer?

Six simulated days of segments with opposite tastes that drift, new creatives every day, and
conversions that come hours later or never. Vowpal Wabbit with five explorers, MABWiser and
contextualbandits play the same visits as our own policies. Everybody was tuned alike in other
worlds (`tune_market`); regret is expected, against the best creative for each visit.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from multiprocessing import Pool
from typing import Any

import numpy as np
import pytest

from benchmarks.tune_market import SEEDS as TUNING_SEEDS
from benchmarks.tune_market import TUNED, VISITS, regret

SEEDS = range(1000, 1030)  # 0 to 9 were played while settings were chosen
OURS = ("hybrid", "lin_ts", "lin_ucb", "thompson")
PEERS = {
    "vw": "vowpal_wabbit_next",
    "MABWiser": "mabwiser",
    "contextualbandits": "contextualbandits",
}


@pytest.mark.skipif(
    not all(map(find_spec, PEERS.values())), reason="peers not installed: pip install -e '.[bench]'"
)
def test_regret_against_the_best_peer(benchmark: Any) -> None:
    assert not set(SEEDS) & set(TUNING_SEEDS)
    tuned = {name: found["spec"] for name, found in json.loads(TUNED.read_text()).items()}
    tuned["uniform"] = {}
    jobs = [(name, spec, seed, VISITS) for name, spec in tuned.items() for seed in SEEDS]

    def play_all() -> list[float]:
        with Pool(2) as pool:
            return pool.map(regret, jobs, chunksize=1)

    found = benchmark.pedantic(play_all, rounds=1)
    by_name = dict(zip(tuned, np.array(found).reshape(len(tuned), len(SEEDS)), strict=True))
    mean = {name: float(regrets.mean()) for name, regrets in by_name.items()}
    ours = min(OURS, key=mean.__getitem__)
    peer = min((name for name in mean if name.partition(" ")[0] in PEERS), key=mean.__getitem__)
    ratio = mean[ours] / mean[peer]
    # Of a ratio of means over the same worlds, by the delta method.
    error = (by_name[ours] - ratio * by_name[peer]).std(ddof=1) / mean[peer]
    benchmark.extra_info.update(
        {f"regret {name}": _with_error(by_name[name]) for name in sorted(mean, key=mean.get)},  # type: ignore[arg-type]
        visits=VISITS,
        seeds=len(SEEDS),
        our_best=ours,
        best_peer=peer,
        regret_ratio=ratio,
        its_standard_error=error / np.sqrt(len(SEEDS)),
    )
    assert mean[ours] < mean["uniform"]


def _with_error(regrets: Any) -> str:
    return f"{regrets.mean():.0f} ± {regrets.std(ddof=1) / np.sqrt(len(regrets)):.0f}"

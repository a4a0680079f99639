"""Does the right creative win where the best one converts last?

Five seeds of one placement for a week, through the real join and the real learner. Learning by
window, in real time, and in real time with a model of the delay are held against the control that
counts only what comes within ten minutes of a decision, as if conversions were clicks.
"""

from typing import Any

import numpy as np
import pytest

from tests.bandit.slow_conversions import CREATIVES, EVERY_MS, LEARNS, run

SEEDS = range(5)
DAY = 86_400_000 // EVERY_MS
DAYS = 7


@pytest.mark.parametrize("how", LEARNS)
def test_what_the_last_day_shows(benchmark: Any, how: str) -> None:
    shares: list[list[float]] = []
    benchmark.pedantic(
        lambda: shares.extend(run(how, DAYS * DAY, seed=seed) for seed in SEEDS), rounds=1
    )
    by_seed = np.array(shares)
    last = by_seed[:, -DAY:].mean(axis=1)
    best = max(creative.rate for creative in CREATIVES.values())
    benchmark.extra_info.update(
        seeds=len(SEEDS),
        share_of_the_best_on_the_last_day=last.mean(),
        its_standard_error=last.std(ddof=1) / np.sqrt(len(last)),
        share_of_the_best_over_the_week=by_seed.mean(),
        share_of_the_best_over_the_first_two_days=by_seed[:, : 2 * DAY].mean(),
        best_rate=best,
    )

"""How often is a creative called the sure winner of a segment that is not its best?

Creatives of a segment earn what `RATES` says, in multiples of the level; the best is called false
where it is not among the best. Segments are shown evenly, by Thompson sampling, and by Thompson
sampling in which one new creative comes halfway; users come once, or 20 times each with the
placement's unit named. One look at the end, and, for a reader who looks as often as they like, a
look every hundredth of the way: whether any of these was false. Seeds are those of `HELD_OUT`.

    python -m benchmarks.bench_false_best
"""

from __future__ import annotations

import argparse
from itertools import product
from typing import Any

import numpy as np
import pytest

from bandit.service.figures.counts import Counts, Scale
from bandit.service.figures.winners import winner_of

HELD_OUT = 2031
RUNS = 1000
SIZES = (200, 2000, 10_000)
LEVELS = (0.01, 0.1)
RATES = {
    "two alike": (1.0, 1.0),
    "ten alike": (1.0,) * 10,
    "close": (1.0, 1.0, 0.95, 0.9),
    "one worse": (1.0, 1.0, 0.3),
}
WAYS = ("even", "thompson", "newcomer")
LOOKS = 100


def played(rates: np.ndarray, n: int, way: str, rng: np.random.Generator, runs: int) -> np.ndarray:
    """Returns showings and clicks at each look, shape (looks, 2, runs, creatives)."""
    k, at = len(rates), np.arange(runs)
    shown, clicks, looks = np.zeros((runs, k)), np.zeros((runs, k)), []
    every = max(n // LOOKS, 1)
    for step in range(n):
        if way == "even":
            chosen = rng.integers(k, size=runs)
        else:
            draws = rng.beta(1.0 + clicks, 1.0 / rates.mean() + shown - clicks)
            if way == "newcomer" and step < n // 2:
                draws[:, -1] = -1.0
            chosen = draws.argmax(axis=1)
        clicked = rng.random(runs) < rates[chosen]
        shown[at, chosen] += 1.0
        clicks[at, chosen] += clicked
        if step % every == every - 1:
            looks.append(np.stack((shown, clicks)))
    return np.stack(looks)


def false_rates(
    kind: str, level: float, n: int, way: str, *, seed: int = HELD_OUT, runs: int = RUNS
) -> tuple[float, float]:
    """Returns how often a false winner was sure: at the end, and at any look."""
    rates = level * np.array(RATES[kind])
    rng = np.random.default_rng([seed, n, round(1e4 * level), len(rates), WAYS.index(way)])
    looks = played(rates, n, way, rng, runs)
    best = {f"{place}" for place in np.flatnonzero(rates == rates.max())}
    # with several that are alike and best, none of them is the best
    right = best if len(best) == 1 else set()
    wrong = np.zeros((len(looks), runs), dtype=bool)
    for number, (shown, clicks) in enumerate(looks):
        for run in range(runs):
            found = winner_of(
                {
                    f"{place}": Counts(n=int(s), total=float(c), squares=float(c))
                    for place, (s, c) in enumerate(zip(shown[run], clicks[run], strict=True))
                },
                Scale(),
            )
            wrong[number, run] = found is not None and found.sure and found.creative not in right
    return float(wrong[-1].mean()), float(wrong.any(axis=0).mean())


CASES = list(product(RATES, LEVELS, SIZES, WAYS))


@pytest.mark.parametrize(("kind", "level", "n", "way"), CASES)
def test_false_winners(benchmark: Any, kind: str, level: float, n: int, way: str) -> None:
    found = benchmark.pedantic(false_rates, args=(kind, level, n, way), rounds=1)
    benchmark.extra_info["false_at_the_end"], benchmark.extra_info["false_at_any_look"] = found


def main() -> None:
    """Prints the rates of each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=HELD_OUT)
    parser.add_argument("--runs", type=int, default=RUNS)
    asked = parser.parse_args()
    for kind, level, n, way in CASES:
        end, ever = false_rates(kind, level, n, way, seed=asked.seed, runs=asked.runs)
        print(f"{kind:10} {level:5} {n:6} {way:9} end {end:.3f} any look {ever:.3f}", flush=True)


if __name__ == "__main__":
    main()

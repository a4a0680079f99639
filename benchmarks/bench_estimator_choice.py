"""Which estimator comes nearest to what a policy earns, over the suite of worlds?

A policy with a view of its own of the creatives logs a world of `benchmarks.worlds`; another one is
judged on that log by each estimator, as `evaluate` judges it, with its reward model. The error is
against what the policy earns in the same rounds.

Each log's error counts as a share of the best estimator's typical error in its world, so that all
worlds count alike. On `tuning` it was settled what `cross_validated` chooses from, and how;
`held_out` judges it.

    python -m benchmarks.bench_estimator_choice --half tuning
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bandit.ope.base import Batch
from bandit.ope.batches import Kinds
from bandit.ope.estimators import ESTIMATORS, open_estimator
from bandit.ope.models import fit_model
from bandit.ope.readers.events import LoggedEvent
from benchmarks.worlds.game import Game
from benchmarks.worlds.suite import HALVES, worlds_of
from streams.events import Decision

SIZES = (500, 2000)
FLOOR, SURE = 0.2, 6.0
NAMES = tuple(name for name in ESTIMATORS if name not in ("replay", "mrdr", "betting", "bernstein"))
"""Those with a value of their own; `mrdr` is DR with another model."""


def pmfs_of(scores: np.ndarray, floor: float) -> np.ndarray:
    """Returns a softmax of scores in units of their spread, above a floor."""
    spread = scores - scores.mean(axis=1, keepdims=True)
    spread = SURE * spread / (np.abs(spread).max() + 1e-12)
    greedy = np.exp(spread)
    greedy /= greedy.sum(axis=1, keepdims=True)
    return floor / scores.shape[1] + (1.0 - floor) * greedy


def log_of(game: Game, n: int, seed: int) -> tuple[list[LoggedEvent], list[np.ndarray], float]:
    """Returns a log of a game, the pmfs of the policy to judge, and what that policy earns."""
    rng, live = np.random.default_rng([seed, n, 5]), game.live()
    views = rng.standard_normal((2, game.means.shape[1])) * game.means.std()
    events, pmfs, earned = [], [], 0.0
    for number in np.linspace(0, game.rounds - 1, n).astype(int).tolist():
        epoch = live[number]
        means = game.means[number, epoch.columns]
        logged, wanted = (
            pmfs_of((0.5 * means + view[epoch.columns])[None], floor)[0]
            for view, floor in zip(views, (FLOOR, 0.02), strict=True)
        )
        index = min(int((rng.random() > logged.cumsum()).sum()), len(logged) - 1)
        decision = Decision(
            event_id=f"{seed}/{number}",
            placement="world",
            timestamp_ms=game.time_ms(number),
            context=game.contexts[number],
            actions=epoch.actions,
            pmf=tuple(logged.tolist()),
            index=index,
            policy_version="world",
        )
        reward = game.reward(number, int(epoch.columns[index]))
        events.append(LoggedEvent(decision, reward))
        pmfs.append(wanted)
        earned += float(wanted @ means)
    return events, pmfs, earned / n


def batch_of(events: list[LoggedEvent], pmfs: list[np.ndarray], scores: list[np.ndarray]) -> Batch:
    """Returns the log as columns."""
    kinds, rows = Kinds(0.8), []
    for event, pmf, score in zip(events, pmfs, scores, strict=True):
        decision, logged = event.decision, np.array(event.decision.pmf)
        index, kind = decision.index, kinds.of(decision.actions)
        same = kind == kind[index]
        marginal = pmf[same].sum() / logged[same].sum()
        rows.append((event.reward, logged[index], pmf[index], score[index], pmf @ score, marginal))
    return Batch(*np.array(rows).T)


def judge(half: str, world: str, seed: int, n: int) -> dict[str, Any]:
    """Returns the error of each estimator and proposal on one log."""
    game = worlds_of(half)[world](seed)
    events, pmfs, truth = log_of(game, n, seed)
    batch = batch_of(events, pmfs, fit_model("ridge", events).scores(events))
    found: dict[str, float] = {}
    for name in NAMES:
        estimator = open_estimator(name)
        estimator.add(batch)
        found[name] = float(estimator.get().value or 0.0)
    row: dict[str, Any] = {"half": half, "world": world, "seed": seed, "n": n}
    return row | {name: value - truth for name, value in found.items()}


def _judge(given: tuple[str, str, int, int]) -> dict[str, Any]:
    return judge(*given)


def table(rows: list[dict[str, Any]]) -> str:
    """Returns, for each estimator, its root mean squared error as a share of the best one's."""
    names = [
        key for key in rows[0] if key not in ("half", "world", "seed", "n") and "chose" not in key
    ]
    cases = sorted({(row["world"], row["n"]) for row in rows})
    errors = {
        (name, case): float(
            np.sqrt(np.mean([r[name] ** 2 for r in rows if (r["world"], r["n"]) == case]))
        )
        for name, case in product(names, cases)
    }
    lines = [" " * 16 + " ".join(f"{w[:11]}/{n}" for w, n in cases)]
    for name in names:
        shares = [errors[name, c] / min(errors[other, c] for other in names) for c in cases]
        told = " ".join(f"{share:5.2f}" for share in shares)
        lines.append(
            f"{name:16} {np.exp(np.mean(np.log(shares))):5.3f} worst {max(shares):5.2f}: {told}"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints, by estimator, the geometric mean over worlds of its error as a share of the best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=HALVES, default="tuning")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    first = HALVES[asked.half].first_seed
    jobs = []
    for world, number, n in product(worlds_of(asked.half), range(asked.seeds), SIZES):
        if n == SIZES[0] or world not in ("thousand", "crowd"):
            jobs.append((asked.half, world, first + number, n))
    with ProcessPoolExecutor(asked.processes) as pool:
        rows = list(pool.map(_judge, jobs))
    if asked.keep:
        asked.keep.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    print(table(rows))


if __name__ == "__main__":
    main()

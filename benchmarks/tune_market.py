"""Tunes every contestant of the simulated market alike, and keeps what did best.

All know the same of a visit, each in the form that it takes best. Each gets the same number of
configurations, drawn at random from its own grid, and plays them in the same worlds, which are
not those that `bench_regret` measures in. Run as `python -m benchmarks.tune_market`; with names
after it, only those are tuned anew.
"""

from __future__ import annotations

import json
import random
import sys
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from bandit.policies import open_policy
from benchmarks.market import Contestant, Played, play
from benchmarks.market_peers import Binned, ContextualBandits, MabWiser
from benchmarks.segment_world import SegmentWorld

TUNED = Path(__file__).with_name("market_tuned.json")
SEEDS = (100, 101, 102)
CONFIGURATIONS = 12
VISITS = 12_000
TUNING_VISITS = 8_000

Spec = dict[str, Any]

_VW = {
    "-l": ["0.05", "0.1", "0.2", "0.5", "1.0"],
    "": [
        "-q ue -q de -q me",
        "-q ui -q di -q mi",
        "-q ui -q ue",
        "-q ui -q ue -q di -q de -q mi -q me",
    ],
    "wait": [6, 12, 24],
}
_LINEAR = {
    "dimensions": [64, 128],
    "noise": [0.05, 0.1, 0.2],
    "ridge": [1.0, 5.0, 20.0],
    "wait": [None],
}
GRIDS: dict[str, dict[str, list[Any]]] = {
    "hybrid": {
        "shared": [1.0, 1.5, 2.0, 3.0],
        "own": [0.25, 0.5, 1.0],
        "explore": [0.1, 0.2, 0.3, 0.5],
        "epsilon": [0.0, 0.01],
        "half_life_days": [None, 4.0, 8.0],
        "wait": [None],
    },
    "lin_ts": _LINEAR,
    "lin_ucb": _LINEAR | {"alpha": [0.3, 1.0], "epsilon": [0.0, 0.05]},
    "thompson": {"alpha": [0.5, 1.0, 2.0], "beta": [10.0, 20.0, 50.0, 99.0], "wait": [None]},
    "vw squarecb": _VW | {"--squarecb --gamma_scale": ["100", "300", "1000", "3000"]},
    "vw epsilon": _VW | {"--epsilon": ["0.02", "0.05", "0.1", "0.2"]},
    "vw regcb": _VW
    | {"--regcb --cb_min_cost -1 --cb_max_cost 0 --mellowness": ["0.0001", "0.001", "0.01", "0.1"]},
    "vw cover": _VW | {"--psi": ["0.01", "0.1", "1.0"], "--cover": ["3", "6"]},
    "vw softmax": _VW | {"--softmax --lambda": ["10", "30", "100", "300"]},
    "MABWiser LinUCB": {
        "alpha": [0.02, 0.05, 0.1, 0.2, 0.5],
        "l2_lambda": [1.0, 5.0, 20.0],
        "wait": [6, 12, 24],
    },
    "MABWiser LinTS": {
        "alpha": [0.02, 0.05, 0.1, 0.2, 0.5],
        "l2_lambda": [1.0, 5.0, 20.0],
        "wait": [6, 12, 24],
    },
    "contextualbandits LinUCB": {
        "alpha": [0.02, 0.05, 0.1, 0.2, 0.5],
        "lambda_": [1.0, 5.0, 20.0],
        "ucb_from_empty": [True],
        "wait": [6, 12, 24],
    },
    "contextualbandits LinTS": {
        "v_sq": [0.0003, 0.001, 0.003, 0.01, 0.05],
        "lambda_": [1.0, 5.0, 20.0],
        "wait": [6, 12, 24],
    },
}


def draw(name: str) -> list[Spec]:
    """Returns the configurations that are tried for a contestant; its own draw, by its name."""
    drawn = random.Random(name)
    grid = GRIDS[name]
    found: list[Spec] = []
    while len(found) < CONFIGURATIONS:
        spec = {key: drawn.choice(values) for key, values in grid.items()}
        if spec not in found:
            found.append(spec)
    return found


def enter(name: str, spec: Spec) -> Contestant:
    """Returns the contestant with one configuration."""
    parameters = {key: value for key, value in spec.items() if key != "wait"}
    library, _, policy = name.partition(" ")
    match library:
        case "vw":
            options = " ".join(f"{key} {value}".strip() for key, value in parameters.items())
            args = f"--cb_explore_adf --cb_type mtr {options}"
            return Played(Binned(open_policy({"name": "vw", "args": args})), spec["wait"])
        case "MABWiser":
            return MabWiser(policy, parameters, spec["wait"])
        case "contextualbandits":
            return ContextualBandits(policy, parameters, spec["wait"])
        case _:
            return Played(open_policy({"name": name, **parameters}))


def regret(job: tuple[str, Spec, int, int]) -> float:
    """Returns the whole regret of a contestant in the world of a seed, over so many visits."""
    name, spec, seed, n_visits = job
    return float(play(SegmentWorld(seed), enter(name, spec), n_visits).sum())


def main(names: list[str]) -> None:
    kept = json.loads(TUNED.read_text()) if TUNED.exists() else {}
    with Pool(2) as pool:
        for name in names or list(GRIDS):
            tried = draw(name)
            jobs = [(name, spec, seed, TUNING_VISITS) for spec in tried for seed in SEEDS]
            found = pool.map(regret, jobs, chunksize=1)
            means = [
                sum(found[i : i + len(SEEDS)]) / len(SEEDS) for i in range(0, len(jobs), len(SEEDS))
            ]
            best = min(range(len(tried)), key=means.__getitem__)
            kept[name] = {"spec": tried[best], "regret": means[best], "tried": sorted(means)}
            print(name, [round(mean) for mean in kept[name]["tried"]], tried[best], flush=True)
            TUNED.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

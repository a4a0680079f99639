"""Does what is served get better with each round that the loop takes by itself?

`copyloop up --finetune` runs as a user starts it; SmolLM2, taught 200 headlines by hand and then
those of its own that the screen passes, is the first version, made live by hand. People with a
hidden taste come to four placements that renew their creatives by themselves. From there on nobody
steers: what won is taught, judged by the gate, tried on a part of the traffic, promoted or pulled,
three times. `usual` has the gate's own bounds; `eased` asks that 70 % of texts pass the screen in
place of 95, which a model of this size hardly does, so that what comes after the gate is measured.

The baseline is what was served before the first version that the loop taught was judged, when the
policy and the rotation had already picked among what the hand-taught version wrote; `ctr_served`
has that and what was served after each round, in true click rates that only the audience knows.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from benchmarks.bench_generator_loop import LEARNED, base_run
from benchmarks.closed_loop import Watched, begin_with, open_placements, running, watch
from benchmarks.generator_loop import THRESHOLDS, Product, products
from benchmarks.loop_audience import Audience
from benchmarks.taste import HiddenTaste
from generator.models.opening import ADAPTER, open_backend
from generator.training.config import FinetuneConfig
from generator.versions.gate import GateConfig
from generator.writing.texts import Sampler, SamplingConfig, take_samples

SEED: Final = 1
ROUNDS: Final = 3
PLACEMENTS: Final = 4
VISITS: Final = 500.0
"""A second: about a core's work, so that the other one trains and writes."""
NEW_PAIRS: Final = 120
MOST_PAIRS: Final = 240
"""That a round learns from, lest the later ones take ever longer."""
TRIAL_SHARE: Final = 0.5
"""Of the traffic, for a version on trial: this audience is there to be tried on."""
TRIAL_DECISIONS: Final = 150_000
WINDOW_SECONDS: Final = 30.0
SETTLE_SECONDS: Final = 35.0
"""How long people come after the last verdict: losers retire, the policy learns."""
LONGEST_SECONDS: Final = 3_000.0


GATES: Final[dict[str, dict[str, Any]]] = {
    "usual": {},
    "eased": {"pass_rate": 0.7, "pass_margin": 0.1},
}


@pytest.mark.benchmark(timer=time.time)
@pytest.mark.parametrize("gate", GATES)
def test_three_rounds(benchmark: Any, tmp_path: Path, gate: str) -> None:
    """Three rounds in one process tree; the seconds are of them all."""
    made = benchmark.pedantic(three_rounds, (tmp_path, GATES[gate]), rounds=1)
    benchmark.extra_info.update(made)


def three_rounds(folder: Path, bounds: dict[str, Any]) -> dict[str, Any]:
    """Returns what was served before and after each round, and what each round was."""
    base, played = base_run(), products("played")[:PLACEMENTS]
    config, by_hand, gate = (folder / f"{name}.json" for name in ("train", "by-hand", "gate"))
    capped = msgspec.structs.replace(LEARNED, most_pairs=MOST_PAIRS)
    taught = FinetuneConfig(method="dpo", seed=SEED, parent=str(base), dpo=capped)
    config.write_bytes(msgspec.json.encode(taught))
    # A person answers for the first version; those that the loop teaches meet the usual bounds.
    by_hand.write_text('{"pass_rate": 0.0, "pass_margin": 1.0, "sampling": {"samples": 4}}')
    gate.write_bytes(msgspec.json.encode(bounds))
    taste = HiddenTaste(SEED, usual_texts(base, played))
    options = ["--finetune", "--finetune-pairs", str(NEW_PAIRS), "--finetune-look-seconds", "20"]
    options += ["--finetune-config", str(config), "--finetune-gate", str(gate)]
    options += ["--trial-share", str(TRIAL_SHARE)]
    options += ["--trial-decisions", str(TRIAL_DECISIONS)]
    with running(folder / "data", options) as tree:
        first = begin_with(tree, base, by_hand)
        placements = open_placements(tree, played)
        audience = Audience(tree.url, taste, placements, per_second=VISITS, seed=SEED)
        began_at = time.time()
        audience.start()
        found = watch(tree, audience, first, rounds=ROUNDS, longest_seconds=LONGEST_SECONDS)
        time.sleep(SETTLE_SECONDS)
        ended_at = time.time()
        audience.stop()
    return figures(audience, first, found, began_at, ended_at)


def figures(
    audience: Audience, first: str, found: list[Watched], began_at: float, ended_at: float
) -> dict[str, Any]:
    """Returns what is kept: click rates in percent, times in seconds."""
    ends = [each.judged_at for each in found] + [ended_at]
    served = [audience.served(end - WINDOW_SECONDS, end) for end in ends]
    written = {name: sum(rates) / len(rates) for name, rates in audience.written_by().items()}
    return {
        "rounds": len(found),
        "ctr_served": [100.0 * each.ctr for each in served],
        "gain": served[-1].ctr / served[0].ctr,
        "decisions": audience.decisions,
        "refused_requests": audience.refused,
        "seconds": ended_at - began_at,
        "hand_taught": first,
        "ctr_written": {name: 100.0 * rate for name, rate in written.items()},
        "windows": [each._asdict() for each in served],
        "each": [told_of(each, began_at) | fresh(audience, each) for each in found],
    }


def fresh(audience: Audience, watched: Watched) -> dict[str, float]:
    """Returns the true click rates, in percent, of what both wrote for the trial, if any."""
    name = watched.version["id"]
    rates = {side: audience.written_for(f"{side}-{name}-") for side in ("canary", "beside")}
    return {f"ctr_{side}": 100.0 * sum(of) / len(of) for side, of in rates.items() if of}


def told_of(watched: Watched, began_at: float) -> dict[str, Any]:
    """Returns what is kept of one round."""
    version, manifest = watched.version, watched.version["manifest"]
    return {
        "version": version["id"],
        "parent": version["parent"],
        "replaces": version["replaces"],
        "status": version["status"],
        "rows": manifest["rows"],
        "training_cpu_seconds": manifest["cpu_seconds"],
        "cpu_seconds": {name: round(spent, 1) for name, spent in watched.cpu_seconds.items()},
        "began_s": watched.began_at - began_at,
        "judged_s": watched.judged_at - began_at,
        "decided_s": watched.decided_at - began_at,
        "gate": {row["rule"]: row["why"] for row in version["gate"]},
        "refused_by": [row["rule"] for row in version["gate"] if not row["passed"]],
        "refused_by_usual_bounds": [row["rule"] for row in version["gate"] if not usual(row)],
        "canary": version["canary"],
        "steps": [(step["status"], step["reason"]) for step in version["steps"]],
    }


def usual(row: dict[str, Any]) -> bool:
    """Returns whether a rule, eased or not, would have passed by the gate's own bounds."""
    least = GateConfig().pass_rate if row["rule"] == "pass_rate" else 0.0
    return bool(row["passed"] and (row["value"] is None or row["value"] >= least))


def usual_texts(base: Path, played: list[Product]) -> dict[str, list[str]]:
    """Returns what the hand-taught version writes for each product, which the taste is about."""
    writer = Sampler(open_backend("smollm2"), str(base / ADAPTER))
    briefs = [product.brief for product in played]
    texts = take_samples(writer, briefs, SamplingConfig(), THRESHOLDS).texts
    return {product.name: found for product, found in zip(played, texts, strict=True)}

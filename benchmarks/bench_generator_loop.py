"""How much more are headlines clicked once the generator has learned from what won?

SmolLM2, taught 200 headlines by hand (the base), writes for twelve products; a Thompson policy
shows them to people with a hidden taste; what the log says won becomes pairs and a reward model.
Then, for products that nobody wrote for before, the true click rate of (a) what the base writes,
(b) the best 8 of 32 by the reward model, (c) what the fine-tuned model writes, (d) the best 8 of 32
of that. The baseline is (a), `gain` is d/a. Settings were compared with the seed 100 and the
products `chosen`; what is reported has other seeds, tastes and products.

A text passes if no gate refuses it; near-duplicates count for distinctness instead. Two controls:
an adapter that was trained too long without its anchor, and a reward model of shuffled labels.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest

from benchmarks.generator_loop import (
    Headline,
    Play,
    Product,
    kl_to_base,
    passed,
    play,
    products,
    reward_model,
    taught,
    write,
)
from benchmarks.taste import HiddenTaste
from generator.backends import Backend, open_backend
from generator.promising import CACHE
from generator.reward import Encoder, RewardModel, open_encoder, rank
from generator.training.config import DpoConfig, FinetuneConfig, SftConfig
from generator.training.dataset import Dataset, Thresholds
from generator.training.dataset_files import write_dataset
from generator.training.finetune import finetune

SEEDS: Final = (1, 2, 3)
WRITTEN: Final = 32
PICKED: Final = 8
READER: Final = "wordllama+smollm2"
DIVERSITY: Final = 0.25
BASE: Final = FinetuneConfig(method="sft", seed=1, sft=SftConfig(epochs=3.0, learning_rate=1e-3))
LEARNED: Final = DpoConfig(epochs=1.0, learning_rate=5e-4, anchor=0.3)
OVER_TRAINED: Final = DpoConfig(epochs=2.0, learning_rate=5e-4, anchor=0.0)
FOLDER: Final = Path.home() / ".cache" / "copyloop" / "benchmarks" / "loop"
"""Keeps the base, which is the same for every seed, from one run to the next."""


class Start(NamedTuple):
    """What all seeds share: a model that writes headlines, and what it wrote."""

    backend: Backend
    base: Path
    reader: Encoder
    shown: list[tuple[Product, list[Headline]]]
    unseen: list[tuple[Product, list[Headline]]]


@pytest.fixture(scope="module")
def start() -> Start:
    base = trained(taught(), FOLDER / "base", BASE)
    backend = open_backend("smollm2")
    return Start(
        backend,
        base,
        open_encoder(READER, CACHE),
        written(backend, products("played"), base),
        written(backend, products("reported"), base),
    )


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("seed", SEEDS)
def test_loop(benchmark: Any, start: Start, tmp_path: Path, seed: int) -> None:
    """One round on products that nobody has written for; CPU time is of what is learned."""
    game = played(start, seed)
    model = reward_model(game.evidence, start.reader)
    config = FinetuneConfig(method="dpo", seed=seed, parent=str(FOLDER / "base"), dpo=LEARNED)
    adapter = benchmark.pedantic(trained, (game.dataset, tmp_path / "dpo", config), rounds=1)
    tuned = written(start.backend, products("reported"), adapter)
    benchmark.extra_info.update(judged(start, game, model, tuned, adapter))


@pytest.mark.benchmark(timer=time.process_time)
def test_over_trained(benchmark: Any, start: Start, tmp_path: Path) -> None:
    """Two epochs without the anchor: what it writes is clicked, and is not to be let through."""
    game = played(start, SEEDS[0])
    model = reward_model(game.evidence, start.reader)
    config = FinetuneConfig(
        method="dpo", seed=SEEDS[0], parent=str(FOLDER / "base"), dpo=OVER_TRAINED
    )
    adapter = benchmark.pedantic(trained, (game.dataset, tmp_path / "dpo", config), rounds=1)
    tuned = written(start.backend, products("reported"), adapter)
    benchmark.extra_info.update(judged(start, game, model, tuned, adapter))


@pytest.mark.benchmark(timer=time.process_time)
def test_shuffled_labels(benchmark: Any, start: Start) -> None:
    """How often a model of labels that were dealt out anew is trusted; 2.5 % is what was asked."""
    game = played(start, SEEDS[0])
    reader = open_encoder("wordllama", CACHE)

    def trusted() -> list[bool]:
        return [reward_model(game.evidence, reader, shuffled=s).trusted for s in range(40)]

    found = benchmark.pedantic(trusted, rounds=1)
    benchmark.extra_info.update(shuffles=len(found), trusted=float(np.mean(found)))


def trained(dataset: Dataset, folder: Path, config: FinetuneConfig) -> Path:
    """Returns the adapter that these rows make; what is finished is not made again."""
    rows = folder.with_name(f"{folder.name}-rows")
    write_dataset(dataset, rows, log=(), thresholds=Thresholds())
    finetune(rows, folder, config)
    return folder / "adapter"


def written(
    backend: Backend, asked: list[Product], adapter: Path
) -> list[tuple[Product, list[Headline]]]:
    """Returns what an adapter writes for each product; the draws' seeds are always the same."""
    return [
        (product, write(backend, product, WRITTEN, seed=number, adapter=str(adapter)))
        for number, product in enumerate(asked)
    ]


def played(start: Start, seed: int) -> Play:
    """Returns a taste of its own, and what traffic says of the base's texts that passed."""
    usual = {product.name: [h.text for h in found] for product, found in start.shown + start.unseen}
    return play(start.shown, HiddenTaste(seed, usual), seed=seed)


def judged(
    start: Start,
    game: Play,
    model: RewardModel,
    tuned: list[tuple[Product, list[Headline]]],
    adapter: Path,
) -> dict[str, Any]:
    """Returns the four click rates, and what the tuned model writes like."""
    base_rate, best_of_base = rates(start.unseen, game.taste, model, start.reader)
    tuned_rate, best_of_tuned = rates(tuned, game.taste, model, start.reader)
    texts = [h for _, found in tuned for h in found]
    return {
        "gain": best_of_tuned / base_rate,
        "ctr_base": base_rate,
        "ctr_best_of_base": best_of_base,
        "ctr_tuned": tuned_rate,
        "ctr_best_of_tuned": best_of_tuned,
        "pass_rate": float(np.mean([passed(h) for h in texts])),
        "pass_rate_base": float(np.mean([passed(h) for _, f in start.unseen for h in f])),
        "form_rate": float(np.mean([passed(h, form_alone=True) for h in texts])),
        "distinct": distinct(tuned),
        "distinct_ratio": distinct(tuned) / distinct(start.unseen),
        "kl_to_base": kl_to_base(tuned, adapter, start.base),
        "pairs": sum(row.split == "train" for row in game.dataset.prefer),
        "reward_accuracy": model.accuracy.value,
        "reward_trusted": model.trusted,
        "suspicious": len(game.dataset.suspicious),
        "examples": [h.text for _, found in tuned for h in found[:2]],
    }


def rates(
    found: list[tuple[Product, list[Headline]]],
    taste: HiddenTaste,
    model: RewardModel,
    reader: Encoder,
) -> tuple[float, float]:
    """Returns the mean true click rate of what passed, and of the 8 that promise most."""
    plain, best = [], []
    for product, headlines in found:
        texts = list(dict.fromkeys(h.text for h in headlines if passed(h)))
        if not texts:
            continue
        true = taste.rates(product.name, texts)
        picked = rank(texts, encoder=reader, model=model, k=PICKED, diversity=DIVERSITY)
        plain.append(taste.rates(product.name, [h.text for h in headlines if passed(h)]).mean())
        best.append(true[[each.place for each in picked]].mean())
    return float(np.mean(plain)), float(np.mean(best))


def distinct(found: list[tuple[Product, list[Headline]]]) -> float:
    """Returns the share of texts that no other of the same product equals, case aside."""
    shares = [len({h.text.lower() for h in texts}) / len(texts) for _, texts in found]
    return float(np.mean(shares))

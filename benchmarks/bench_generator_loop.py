"""How much more are headlines clicked once the generator has learned from what won?

SmolLM2, taught 200 headlines by hand and then those of its own that the screen passes (the base),
writes for twelve products; a Thompson policy shows them to people with a hidden taste; what the log
says won becomes pairs and a reward model. With that, if it is trusted, the fine-tuned model
practises: of what it writes for those products and for those that it was taught by hand, the better
half is taught again, as far as the screen passes it.
Then, for products that nobody wrote for before, the true click rate of (a) what the base writes,
(b) the best 8 of 32 by the reward model, (c) what the fine-tuned model writes, (d) the best 8 of 32
of that. The baseline is (a), `gain` is d/a. Settings were compared with the seed 100 and the
products `chosen`; what is reported has other seeds, tastes and products.

A text passes if no gate refuses it; near-duplicates count for distinctness instead. Two controls:
an adapter that was trained too long without its anchor, and a reward model of shuffled labels.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
from msgspec import Struct
from msgspec.structs import fields, replace

from benchmarks.generator_loop import (
    HEADLINES,
    THRESHOLDS,
    Play,
    Product,
    play,
    products,
    reward_model,
    taught,
)
from benchmarks.taste import HiddenTaste
from generator.data.augment import PracticeConfig, practised
from generator.data.dataset import Dataset, EvidenceThresholds, write_dataset
from generator.models.base import Backend
from generator.models.opening import ADAPTER, MANIFEST, open_backend
from generator.reward.encoders import TextEncoder, open_encoder
from generator.reward.model import TextRewardModel
from generator.reward.ranking import rank, ranked_by
from generator.settings import CACHE
from generator.training.config import DpoConfig, FinetuneConfig, SftConfig
from generator.training.finetune import finetune
from generator.versions.gate import GateConfig, divergence, rows
from generator.versions.schedule import FREELY, GENTLY
from generator.writing.texts import Sampler, Samples, SamplingConfig, take_samples

SEEDS: Final = (1, 2, 3)
PICKED: Final = 8
WEIGHED: Final = 8
"""Of how many texts of a product the distance to the bare model is the mean."""
READER: Final = "wordllama+smollm2"
DIVERSITY: Final = 0.25
BY_HAND: Final = FinetuneConfig(method="sft", seed=1, sft=SftConfig(epochs=3.0, learning_rate=1e-3))
PRACTICE: Final = PracticeConfig(
    sampling=SamplingConfig(samples=32, seed=7, temperature=0.7, presence_penalty=0.0)
)
PRACTISED: Final = FinetuneConfig(
    method="sft", seed=1, sft=SftConfig(epochs=1.0, learning_rate=5e-4)
)
LEARNED: Final = DpoConfig(epochs=1.0, learning_rate=5e-4, anchor=0.3)
PROMISING: Final = PracticeConfig(sampling=SamplingConfig(samples=32, seed=11, temperature=FREELY))
"""How it practises once preferences were taught, as a round does that takes itself."""
OVER_TRAINED: Final = DpoConfig(epochs=2.0, learning_rate=5e-4, anchor=0.0)
FOLDER: Final = Path.home() / ".cache" / "copyloop" / "benchmarks" / "loop"
"""Keeps the base, which is the same for every seed, from one run to the next."""


class Start(NamedTuple):
    """What all seeds share: a model that writes headlines, and what it wrote."""

    backend: Backend
    reader: TextEncoder
    played: list[Product]
    shown: Samples
    reported: list[Product]
    unseen: Samples
    base: Path


@pytest.fixture(scope="module")
def start() -> Start:
    base = base_run()
    adapter = base / ADAPTER
    backend = open_backend("smollm2")
    played, reported = products("played"), products("reported")
    return Start(
        backend,
        open_encoder(READER, CACHE),
        played,
        written(backend, played, adapter),
        reported,
        written(backend, reported, adapter),
        base,
    )


@pytest.fixture(scope="module")
def passed_by_hand(start: Start) -> float:
    """What passes of a model that has not practised."""
    return share_passed(written(start.backend, start.reported, by_hand_run() / ADAPTER))


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("seed", SEEDS)
def test_loop(
    benchmark: Any, start: Start, passed_by_hand: float, tmp_path: Path, seed: int
) -> None:
    """One round on products that nobody has written for; CPU time is of what is learned."""
    benchmark.extra_info["pass_rate_taught_by_hand"] = passed_by_hand
    benchmark.extra_info.update(one_round(benchmark, start, tmp_path, seed, LEARNED))


@pytest.mark.benchmark(timer=time.process_time)
def test_over_trained(benchmark: Any, start: Start, tmp_path: Path) -> None:
    """Two epochs without the anchor: what it writes is clicked, and is not to be let through."""
    benchmark.extra_info.update(
        one_round(benchmark, start, tmp_path, SEEDS[0], OVER_TRAINED, practise=False)
    )


@pytest.mark.benchmark(timer=time.process_time)
def test_shuffled_labels(benchmark: Any, start: Start) -> None:
    """How often a model of labels that were dealt out anew is trusted; 2.5 % is what was asked."""
    game = played(start, SEEDS[0])
    reader = open_encoder("wordllama", CACHE)

    def trusted() -> list[bool]:
        return [reward_model(game.evidence, reader, shuffled=s).accuracy.trusted for s in range(40)]

    found = benchmark.pedantic(trusted, rounds=1)
    benchmark.extra_info.update(shuffles=len(found), trusted=float(np.mean(found)))


def by_hand_run() -> Path:
    """Returns the run that taught the model to write headlines, made if it is not there yet."""
    folder = _kept("by-hand", BY_HAND)
    if not (folder / MANIFEST).exists():
        trained(taught(), folder, BY_HAND)
    return folder


def base_run() -> Path:
    """Returns the run that went on with what the screen passed of the model's own headlines."""
    folder = _kept("base", BY_HAND, PRACTICE, PRACTISED)
    if not (folder / MANIFEST).exists():
        before = by_hand_run()
        briefs = [product.brief for product in products("taught")]
        writer = Sampler(open_backend("smollm2"), str(before / ADAPTER))
        own = practised(writer, briefs, PRACTICE, thresholds=THRESHOLDS)
        both = own._replace(imitate=own.imitate + taught().imitate)
        trained(both, folder, replace(PRACTISED, parent=str(before)))
    return folder


def _kept(name: str, *made_of: Struct) -> Path:
    """Returns where a run is kept that headlines and settings, as far as told, make what it is."""
    told = [
        (field.name, getattr(each, field.name))
        for each in made_of
        for field in fields(each)
        if getattr(each, field.name) != field.default
    ]
    digest = hashlib.blake2b(HEADLINES.read_bytes() + repr(told).encode(), digest_size=8)
    return FOLDER / f"{name}-{digest.hexdigest()}"


def trained(dataset: Dataset, folder: Path, config: FinetuneConfig) -> Path:
    """Returns the adapter that these rows make."""
    rows = folder.with_name(f"{folder.name}-rows")
    write_dataset(dataset, rows, log=(), thresholds=EvidenceThresholds())
    finetune(rows, folder, config)
    return folder / ADAPTER


def written(backend: Backend, asked: list[Product], adapter: Path) -> Samples:
    """Returns what an adapter writes, drawn and judged as the gate before promotion does."""
    briefs = [product.brief for product in asked]
    return take_samples(Sampler(backend, str(adapter)), briefs, SamplingConfig(), THRESHOLDS)


def played(start: Start, seed: int) -> Play:
    """Returns a taste of its own, and what traffic says of the base's texts that passed."""
    asked, texts = start.played + start.reported, start.shown.texts + start.unseen.texts
    usual = {product.name: found for product, found in zip(asked, texts, strict=True)}
    return play(start.played, start.shown, HiddenTaste(seed, usual), seed=seed)


def one_round(
    benchmark: Any,
    start: Start,
    folder: Path,
    seed: int,
    learned: DpoConfig,
    *,
    practise: bool = True,
) -> dict[str, Any]:
    """Returns the four click rates, what the tuned model writes like, and what the gate says."""
    game = played(start, seed)
    model = reward_model(game.evidence, start.reader)
    config = FinetuneConfig(method="dpo", seed=seed, parent=str(start.base), dpo=learned)

    def tune() -> Path:
        preferring = trained(game.dataset, folder / "dpo", config)
        if not (practise and model.accuracy.trusted):
            return preferring
        return practised_by(start, preferring, model, folder, seed)

    adapter = benchmark.pedantic(tune, rounds=1)
    tuned = written(start.backend, start.reported, adapter)
    few = Samples([texts[:WEIGHED] for texts in tuned.texts], [], 0)
    briefs = [product.brief for product in start.reported]
    kl = divergence(Sampler(start.backend, str(adapter)), briefs, few)
    table = rows(tuned, start.unseen, kl, GateConfig(), model)
    base_rate, best_of_base = rates(start, start.unseen, game.taste, model)
    tuned_rate, best_of_tuned = rates(start, tuned, game.taste, model)
    return {
        "gain": best_of_tuned / base_rate,
        "ctr_base": base_rate,
        "ctr_best_of_base": best_of_base,
        "ctr_tuned": tuned_rate,
        "ctr_best_of_tuned": best_of_tuned,
        "pass_rate": share_passed(tuned),
        "pass_rate_base": share_passed(start.unseen),
        "distinct": tuned.distinct,
        "distinct_ratio": tuned.distinct / start.unseen.distinct,
        "kl_per_token": kl,
        "gate_refuses_by": [row.rule for row in table if not row.passed],
        "pairs": len(game.dataset.prefer),
        "suspicious": len(game.dataset.suspicious),
        "reward_accuracy": model.accuracy.value,
        "reward_trusted": model.accuracy.trusted,
        "examples": [text for texts in tuned.texts for text in texts[:2]],
    }


def practised_by(
    start: Start, before: Path, model: TextRewardModel, folder: Path, seed: int
) -> Path:
    """Returns the adapter of one that went on with what it wrote itself, the better half."""
    briefs = [product.brief for product in products("taught") + start.played]
    writer, rank = Sampler(start.backend, str(before)), ranked_by(model)
    own = practised(writer, briefs, PROMISING, rank=rank, thresholds=THRESHOLDS)
    config = FinetuneConfig(method="sft", seed=seed, parent=str(before), sft=GENTLY)
    return trained(own, folder / "practised", config)


def rates(
    start: Start, found: Samples, taste: HiddenTaste, model: TextRewardModel
) -> tuple[float, float]:
    """Returns the mean true click rate of what passed, and of the 8 that promise most."""
    plain, best = [], []
    for product, passed in zip(start.reported, found.passed, strict=True):
        if not passed:
            continue
        plain.append(taste.rates(product.name, passed).mean())
        texts = list(dict.fromkeys(passed))
        picked = rank(texts, encoder=start.reader, model=model, k=PICKED, diversity=DIVERSITY)
        best.append(taste.rates(product.name, [texts[place] for place in picked]).mean())
    return float(np.mean(plain)), float(np.mean(best))


def share_passed(found: Samples) -> float:
    """Returns the share of texts that no gate refused; near-duplicates are not counted here."""
    return sum(map(len, found.passed)) / found.n

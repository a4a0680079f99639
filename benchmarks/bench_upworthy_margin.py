"""Does a model that learns from real winners find later winners likelier than later losers?

Upworthy's headline tests in order of week: SmolLM2 imitates the winners of the first half of the
stories and then learns from their pairs, through the product's own evidence, thresholds, weights
and trainings. Of the second half it is asked how likely each pair's winner and loser are. The
baseline is the bare model; beside it stand the rule that the longer headline wins, and reward
models of the same early tests. One setting and a prompt without the lede were tried beforehand,
within the first half.

A test has no brief. What its headlines share is the lede, the story's opening, the same whatever
the headline said: its beginning is the brief's product, so that pairs differ by the headline alone.
Stories were tested again under other ids: a story is one brief, wholly in one half, and has one
pair, its surest.
"""

from __future__ import annotations

import html
import re
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
from msgspec.structs import replace
from pyarrow import parquet

from bandit.abtests.data import AbTest
from bandit.ope.estimators.snips import Winner
from bandit.ope.intervals import wilson_interval
from benchmarks.upworthy import DATA, read_upworthy
from generator.brief.prompts import plain_prompt
from generator.brief.schema import Brief, brief_hash
from generator.data.dataset import Dataset, EvidenceThresholds, Prefer, build_dataset, write_dataset
from generator.data.evidence import Evidence
from generator.models.devices import pick_device
from generator.models.opening import ADAPTER
from generator.reward.encoders import open_encoder
from generator.reward.model import fit_reward_model
from generator.reward.regression import Floats, from_ab_tests
from generator.screening.screen import STOP
from generator.settings import CACHE
from generator.training.adapters import load_base
from generator.training.config import DpoConfig, FinetuneConfig, SftConfig
from generator.training.finetune import finetune
from generator.training.rows import IGNORED, RowReader, log_probs
from streams.events import Creative, Lineage

LIMITS: Final = EvidenceThresholds(sure=0.95, pairs_per_text=1, held_out=0.5)
LEDE: Final = 120
"""How many characters of a lede stand in the prompt; every token of it costs time in training."""
LEARNED: Final = 300
"""How many of the early pairs are learned from, the surest ones: each costs a CPU-second."""
IMITATED: Final = FinetuneConfig(
    method="sft", seed=1, sft=SftConfig(epochs=2.0, learning_rate=5e-4)
)
PREFERRED: Final = FinetuneConfig(
    method="dpo", seed=1, dpo=DpoConfig(epochs=1.0, learning_rate=5e-4, anchor=0.3)
)
READERS: Final = ("minilm", "smollm2")
BATCH: Final = 16
RESAMPLES: Final = 2000
_TAG: Final = re.compile(r"<[^>]*>")

pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not here; README.md says where it is"),
    pytest.mark.benchmark(timer=time.process_time),
]


class Archive(NamedTuple):
    """The tests whose packages share a lede, and the brief that it makes, by test."""

    tests: list[AbTest]
    briefs: dict[str, Brief]


class Told(NamedTuple):
    """The better texts less the worse: log-probabilities in nats, and tokens, each (n_pairs,)."""

    total: Floats
    per_token: Floats
    tokens: Floats


@pytest.fixture(scope="module")
def archive() -> Archive:
    return read_archive()


@pytest.fixture(scope="module")
def rows(archive: Archive) -> Dataset:
    return one_a_story(dataset_of(archive, LIMITS))


def test_margins(benchmark: Any, rows: Dataset, tmp_path: Path) -> None:
    """Imitation, then preference; CPU time is of both trainings."""

    def learn() -> list[Path | None]:
        imitated = trained(rows, tmp_path / "sft", IMITATED)
        return [None, imitated, trained(rows, tmp_path / "dpo", PREFERRED, parent=imitated)]

    adapters = benchmark.pedantic(learn, rounds=1)
    asked = held_out(rows)
    bare, imitated, preferred = (told(asked, adapter) for adapter in adapters)
    benchmark.extra_info.update(
        {"pairs": len(asked), "pairs_learned": min(LEARNED, len(learned(rows)))}
        | {"imitated": sum(row.split == "train" for row in rows.imitate)}
        | right("longer_wins", bare.tokens)
        | figures("bare", bare)
        | figures("sft", imitated)
        | figures("dpo", preferred)
        | right("sft_raised", imitated.total - bare.total)
        | right("dpo_raised", preferred.total - imitated.total)
        | right("both_raised", preferred.total - bare.total)
        | mean("sft_raised_by", imitated.total - bare.total)
        | mean("dpo_raised_by", preferred.total - imitated.total)
    )


@pytest.mark.parametrize("reader", READERS)
def test_reward_model(benchmark: Any, archive: Archive, rows: Dataset, reader: str) -> None:
    """The reward model of the early tests, asked about the same pairs."""
    encoder = open_encoder(reader, CACHE)
    early = {row.placement for row in learned(rows)}
    examples = from_ab_tests([test for test in archive.tests if test.id in early])
    model = benchmark.pedantic(fit_reward_model, (examples, encoder), rounds=1)
    asked = held_out(rows)
    better = model.score([pair.better for pair in asked]).value
    worse = model.score([pair.worse for pair in asked]).value
    benchmark.extra_info.update({"pairs": len(asked)} | right("model", better - worse))


def read_archive() -> Archive:
    """Returns the tests in order of week; packages with another lede may differ by it too."""
    ledes: dict[str, set[str]] = {}
    columns = ["clickability_test_id", "lede"]
    for row in parquet.read_table(DATA, columns=columns).to_pylist():
        ledes.setdefault(row["clickability_test_id"], set()).add(opening(row["lede"] or ""))
    shared = {name: next(iter(found)) for name, found in ledes.items() if len(found) == 1}
    briefs = {name: Brief(product=lede) for name, lede in shared.items() if lede}
    tests = read_upworthy(min_headlines=2, min_impressions=500)
    return Archive([test for test in tests if test.id in briefs], briefs)


def opening(lede: str) -> str:
    """Returns the words with which a lede begins.

    >>> opening("<p>She sang.&nbsp;They&rsquo;d wait.</p>")
    'She sang. They’d wait.'
    """
    plain = " ".join(html.unescape(_TAG.sub(" ", lede)).split())
    return plain if len(plain) <= LEDE else plain[: LEDE + 1].rpartition(" ")[0]


def dataset_of(archive: Archive, limits: EvidenceThresholds) -> Dataset:
    """Returns what the tests teach; each is a placement, and its week its creatives' time.

    A headline with the sign that ends a text is left out, as a training would leave it out.
    """
    briefs = archive.briefs
    evidence = [
        each
        for test in archive.tests
        for each in evidence_of(test, briefs)
        if not any(mark in each.creative.parts["headline"] for mark in STOP)
    ]
    return build_dataset(
        evidence, lambda each: plain_prompt(briefs[each.creative.placement]), thresholds=limits
    )


def evidence_of(test: AbTest, briefs: dict[str, Brief]) -> list[Evidence]:
    """Returns a test's evidence, the surest first; shown evenly, SNIPS is the plain click rate."""
    level = sum(arm.clicks for arm in test.arms) / sum(arm.impressions for arm in test.arms)
    found = [
        Evidence(
            Creative(
                id=f"{number}",
                placement=test.id,
                parts={"headline": arm.headline},
                status="live",
                timestamp_ms=test.week,
                lineage=Lineage(brief=brief_hash(briefs[test.id])),
            ),
            "",
            Winner(
                f"{number}",
                arm.impressions,
                arm.ctr,
                wilson_interval(arm.ctr, arm.impressions)[0],
                arm.impressions,
            ),
            level,
        )
        for number, arm in enumerate(test.arms)
    ]
    return sorted(found, key=lambda each: -each.winner.lower)


def one_a_story(dataset: Dataset) -> Dataset:
    """Returns the surest pair of each story and its best text; later pairs have no early text."""
    early = {
        text for row in dataset.prefer if row.split == "train" for text in (row.better, row.worse)
    }
    early |= {row.text for row in dataset.imitate if row.split == "train"}
    surest = sorted(dataset.prefer, key=lambda row: -row.weight)
    prefer = {row.brief: row for row in reversed(surest)}
    imitate = {row.brief: row for row in sorted(dataset.imitate, key=lambda row: row.lower)}
    asked = [
        row
        for row in prefer.values()
        if row.split == "train" or early.isdisjoint((row.better, row.worse))
    ]
    return dataset._replace(imitate=list(imitate.values()), prefer=asked, judge=[])


def learned(rows: Dataset) -> list[Prefer]:
    """Returns the pairs of early stories, of which `LEARNED` are learned from."""
    return [row for row in rows.prefer if row.split == "train"]


def held_out(rows: Dataset) -> list[Prefer]:
    """Returns the pairs of later stories."""
    return [row for row in rows.prefer if row.split == "test"]


def trained(
    rows: Dataset, folder: Path, config: FinetuneConfig, *, parent: Path | None = None
) -> Path:
    """Returns the adapter that the early rows make; the later ones are not shown to a training."""
    pairs = sorted(learned(rows), key=lambda row: -row.weight)[:LEARNED]
    imitate = [row for row in rows.imitate if row.split == "train"]
    early = rows._replace(imitate=imitate, prefer=pairs)
    made_of = folder.with_name(f"{folder.name}-rows")
    write_dataset(early, made_of, log=(), thresholds=LIMITS)
    finetune(made_of, folder, replace(config, parent=str(parent) if parent else None))
    return folder / ADAPTER


def told(pairs: Sequence[Prefer], adapter: Path | None) -> Told:
    """Returns what the model says with this adapter, or bare."""
    with warnings.catch_warnings():
        # peft asks for a property by the name that transformers is about to drop.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        base = load_base(IMITATED, pick_device(), parent=adapter)
    read = RowReader(base.tokenizer, IMITATED.max_tokens).pairs(pairs)
    rows = [row for pair in read for row in (pair.better, pair.worse)]
    # texts of about one length waste the least on padding
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].input_ids))
    found = np.empty(len(rows))
    ordered = [rows[place] for place in order]
    found[order] = log_probs(base.model, ordered, base.tokenizer.pad_token_id, batch=BATCH)
    tokens = np.array([sum(label != IGNORED for label in row.labels) for row in rows])
    each = found / tokens
    return Told(found[::2] - found[1::2], each[::2] - each[1::2], tokens[::2] - tokens[1::2])


def figures(name: str, said: Told) -> dict[str, float]:
    """Returns margins in nats and shares of pairs ranked right, by whole texts and by token."""
    return {
        **mean(f"{name}_margin", said.total),
        **mean(f"{name}_margin_per_token", said.per_token),
        **right(f"{name}_right", said.total),
        **right(f"{name}_right_per_token", said.per_token),
    }


def right(name: str, margins: Floats) -> dict[str, float]:
    """Returns the share of pairs whose better text leads; a tie is half of one."""
    return mean(name, (margins > 0.0) + 0.5 * (margins == 0.0))


def mean(name: str, values: Floats) -> dict[str, float]:
    """Returns a mean with its 95 % percentile bootstrap over stories, which have a value each."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {name: float(values.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}

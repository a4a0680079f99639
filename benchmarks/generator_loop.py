"""The steps of the closed loop as the benchmark takes them: write, show, learn, judge.

Every step is the product's own: backend, screen, policy, evidence, reward model. Only the people
who click are made up (`benchmarks.taste`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import yaml
from msgspec.structs import replace

from bandit.policies import open_policy
from bandit.policy import sample
from benchmarks.taste import EASY, HiddenTaste
from generator.brief.prompts import plain_prompt
from generator.brief.schema import Brief, brief_from_json, brief_hash
from generator.data.dataset import Dataset, EvidenceThresholds, Imitate, build_dataset
from generator.data.evidence import ClickLook, Evidence, gather, suspicions
from generator.data.reading import RefusedText, with_refusals
from generator.reward.encoders import TextEncoder
from generator.reward.model import TextRewardModel, fit_reward_model
from generator.reward.regression import Example, Floats
from generator.screening.settings import usual
from generator.writing.texts import Samples
from streams.events import Action, Creative, Decision, Interaction, Lineage, PolicySpec

HEADLINES: Final = Path(__file__).parent / "headlines.yaml"
POLICY: Final[PolicySpec] = {
    "name": "floor",
    "epsilon": 0.3,
    "policy": {"name": "thompson", "alpha": 1.0, "beta": 30.0},
}
SHOWN: Final = 20
"""How many texts of a product meet traffic."""
VISITS: Final = 12_000
"""How many people each product's texts are shown to."""
PAIRS_PER_TEXT: Final = 2
"""The surest pairs alone, which a pair costs half a CPU-second to learn from."""
REFRESH: Final = 250
"""After how many decisions a placement's policy is asked anew, as a snapshot would be."""
THRESHOLDS: Final = replace(usual(), skip=("nonsense",))
"""All gates but the one that reads with the model: it would cost more than everything else."""


class Product(NamedTuple):
    """What headlines are written for."""

    name: str
    brief: Brief

    @property
    def prompt(self) -> str:
        """What a headline goes on from."""
        return plain_prompt(self.brief)


def products(part: str) -> list[Product]:
    """Returns the products of one part of `headlines.yaml`."""
    return [Product(entry["product"], _brief(entry)) for entry in _read()[part]]


def taught() -> Dataset:
    """Returns the hand-written headlines, as rows to imitate."""
    rows = [
        Imitate(plain_prompt(brief), text, brief_hash(brief), "by hand", "", 0.0, 0.0, "train")
        for entry in _read()["taught"]
        for brief in [_brief(entry)]
        for text in entry["headlines"]
    ]
    return Dataset(rows, [], [], {})


class Play(NamedTuple):
    """What came of showing texts: the taste that clicked, what the log tells, what it teaches."""

    taste: HiddenTaste
    evidence: list[Evidence]
    dataset: Dataset


def play(asked: Sequence[Product], written: Samples, taste: HiddenTaste, *, seed: int) -> Play:
    """Returns what traffic says of the first texts of each product that passed.

    Every product is a placement of its own, with a policy that learns as it shows.
    """
    shown = [
        (product, list(dict.fromkeys(texts))[:SHOWN])
        for product, texts in zip(asked, written.passed, strict=True)
    ]
    creatives = {
        (product.name, f"{k}"): _creative(product, f"{k}", text)
        for product, texts in shown
        for k, text in enumerate(texts)
    }
    look = ClickLook()
    interactions = look.passing(
        interaction
        for number, (product, texts) in enumerate(shown)
        for interaction in _shown(
            product.name, taste.rates(product.name, texts), seed=1000 * seed + number
        )
    )
    evidence = gather(interactions, creatives)
    prompts = {product.name: product.prompt for product, _ in shown}
    dataset = build_dataset(
        evidence,
        lambda each: prompts[each.creative.placement],
        thresholds=EvidenceThresholds(pairs_per_text=PAIRS_PER_TEXT, held_out=0.0),
        suspicious=suspicions(look, evidence),
    )
    return Play(taste, evidence, with_refusals(dataset, evidence, _refusals(asked, written)))


def _refusals(asked: Sequence[Product], written: Samples) -> list[RefusedText]:
    return [
        RefusedText(product.prompt, text, brief_hash(product.brief), product.name, code)
        for product, texts, codes in zip(asked, written.texts, written.refused, strict=True)
        for text, code in zip(texts, codes, strict=True)
        if code is not None
    ]


def reward_model(
    evidence: Sequence[Evidence], encoder: TextEncoder, *, shuffled: int | None = None
) -> TextRewardModel:
    """Returns a model of what texts earn; with `shuffled`, of labels dealt out by that seed."""
    rows = [(each.winner.estimate, each.winner.effective_n) for each in evidence]
    if shuffled is not None:
        order = np.random.default_rng(shuffled).permutation(len(rows))
        rows = [rows[k] for k in order]
    examples = [
        Example(
            each.creative.placement,
            each.creative.parts["headline"],
            rate,
            each.level * (1.0 - each.level) / effective_n,
        )
        for each, (rate, effective_n) in zip(evidence, rows, strict=True)
    ]
    return fit_reward_model(examples, encoder)


def _shown(placement: str, rates: Floats, *, seed: int) -> Iterator[Interaction]:
    rng = np.random.default_rng(seed)
    policy = open_policy(POLICY)
    actions = tuple(Action(f"{k}") for k in range(len(rates)))
    pmf: tuple[float, ...] = ()
    for number in range(VISITS):
        mobile = bool(rng.random() < 0.5)
        user = f"u{int(rng.integers(VISITS))}"
        context = msgspec.Raw(msgspec.json.encode({"mobile": mobile, "user": user}))
        if number % REFRESH == 0:
            asked = policy.pmf(context, actions)
            pmf = tuple((asked / asked.sum()).tolist())
        event_id = f"{placement}-{seed}-{number}"
        decision = Decision(
            event_id=event_id,
            placement=placement,
            timestamp_ms=number,
            context=context,
            actions=actions,
            pmf=pmf,
            index=sample(pmf, event_id),
            policy_version="simulated@0",
        )
        reward = float(rng.random() < rates[decision.index] * EASY[mobile])
        policy.learn(decision, reward)
        yield Interaction(
            source=0,
            sequence=number,
            decision=decision,
            reward=reward,
            status="closed",
            timestamp_ms=number,
        )


def _creative(product: Product, number: str, text: str) -> Creative:
    return Creative(
        id=number,
        placement=product.name,
        parts={"headline": text},
        status="live",
        timestamp_ms=0,
        lineage=Lineage(brief=brief_hash(product.brief)),
    )


def _brief(entry: Mapping[str, Any]) -> Brief:
    content = {"version": 2, "product": entry["product"], "facts": entry["facts"]}
    return brief_from_json(msgspec.Raw(msgspec.json.encode(content)))


def _read() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = yaml.safe_load(HEADLINES.read_text(encoding="utf-8"))
    return found

"""More texts to imitate: those that won, said again in other words, and the model's own best ones.

Nobody clicked a paraphrase, so it is marked by `made_from` and is never in a pair. The own texts
are rejection sampling, as RAFT does it (Dong et al. 2023): no traffic is needed to teach what the
gates let through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from generator.brief.prompts import brief_said, plain_prompt
from generator.brief.schema import Brief, brief_hash
from generator.data.dataset import Dataset, Imitate, Split
from generator.errors import DatasetError
from generator.models.base import Backend, Sampling
from generator.screening.gates.likeness import vectors_of
from generator.screening.screen import STOP, CandidateText, Screen, clean, singly
from generator.screening.settings import Thresholds, usual
from generator.writing.texts import Rank, Sampler, SamplingConfig, take_samples

CLOSE: Final = 0.5
"""The least cosine, by small word embeddings, with the text that is said again."""
RowProgress: TypeAlias = Callable[[int, int], None]
"""Told how many texts or briefs are done, and how many there are."""
TRIES: Final = 4
"""How many are drawn for each that is wanted."""
SAMPLING: Final = Sampling(STOP, max_new_tokens=32, temperature=0.8)
EXAMPLES: Final = (
    ("Fresh bread before you wake", "Your bread is baked while you sleep"),
    ("Leave the car at home today", "Today is a good day without the car"),
    ("Sleep better from tonight", "Better nights begin this evening"),
)
OWN: Final = "own"
"""The placement of such rows, since no traffic stands behind them."""


def with_paraphrases(
    dataset: Dataset,
    backend: Backend,
    n: int,
    *,
    seed: int = 1,
    progress: RowProgress | None = None,
) -> Dataset:
    """Returns the dataset with up to `n` paraphrases of each text to imitate that is trained on.

    The gates read a brief that says what the prompt says, as the rewards of GRPO do.

    Args:
        dataset: its rows stay as they are, and first.
        backend: who says it again.
        n: how many of each, at least 1.
        seed: of the draws.
        progress: told text by text.

    Raises:
        BackendError: the model failed.
    """
    limits = singly(usual())
    known = {(row.prompt, row.text.casefold()) for row in dataset.imitate}
    added: list[Imitate] = []
    train = [row for row in dataset.imitate if row.split == "train"]
    for number, row in enumerate(train):
        drawn = backend.complete([_asked(row.text)] * (TRIES * n), SAMPLING, seed=seed + number)
        cleaned = [clean(completion.text) for completion in drawn]
        written = [CandidateText(text, ended=ended) for text, ended in cleaned]
        kept = 0
        for text in _passed(row, written, limits):
            if kept < n and (row.prompt, text.casefold()) not in known:
                known.add((row.prompt, text.casefold()))
                added.append(row._replace(text=text, made_from=row.text))
                kept += 1
        if progress is not None:
            progress(number + 1, len(train))
    return dataset._replace(imitate=[*dataset.imitate, *added])


def _asked(text: str) -> str:
    shown = [*EXAMPLES, (text, "")]
    lines = [f'"{said}"\nIn other words: "{again}"' for said, again in shown]
    return "\n\n".join(lines).removesuffix('"')


def _passed(row: Imitate, written: Sequence[CandidateText], limits: Thresholds) -> list[str]:
    """Returns the texts that pass the screen and say what the row's text says, in order."""
    verdicts = Screen(brief_said(row.prompt), thresholds=limits).judge(written)
    texts = [
        each.text
        for each, verdict in zip(written, verdicts, strict=True)
        if verdict.rejection is None
    ]
    own, *others = vectors_of([row.text, *texts])
    close = [float(own @ other) for other in others]
    return [text for text, cosine in zip(texts, close, strict=True) if cosine >= CLOSE]


class PracticeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model practises.

    Attributes:
        sampling: how it writes; cooler than in use, as more of that passes.
        keep: which share of the texts that passed is taught, the best by the ranking; all without.
        held_out: which share of the briefs is for testing, the last ones.
    """

    sampling: SamplingConfig = SamplingConfig(samples=16, temperature=0.7)
    keep: Annotated[float, Meta(gt=0, le=1)] = 0.5
    held_out: Annotated[float, Meta(ge=0, lt=1)] = 0.0


def practised(
    sampler: Sampler,
    briefs: Sequence[Brief],
    config: PracticeConfig,
    *,
    rank: Rank | None = None,
    thresholds: Thresholds | None = None,
    progress: RowProgress | None = None,
) -> Dataset:
    """Returns rows to imitate: for each brief the different texts that pass, the best first.

    Args:
        sampler: the model, with the adapter that it is to go on from.
        briefs: what to write about.
        config: how much, how freely, and what to keep.
        rank: orders texts by what they promise; None keeps all that passed.
        thresholds: of the screen, None for the usual ones.
        progress: told brief by brief.

    Raises:
        BackendError: the model failed.
        DatasetError: there are no briefs, or nothing passed the screen.
    """
    if not briefs:
        raise DatasetError("no briefs to write for; name some, or a log with requests")
    left_out: Counter[str] = Counter()
    rows: list[Imitate] = []
    trained_on = round((1.0 - config.held_out) * len(briefs))
    for number, brief in enumerate(briefs):
        split: Split = "train" if number < trained_on else "test"
        written = take_samples(sampler, [brief], config.sampling, thresholds)
        texts = _different(written.passed[0], left_out)
        left_out.update(code for code in written.refused[0] if code is not None)
        prompt, name = plain_prompt(brief), brief_hash(brief)
        rows += [
            Imitate(prompt, text, name, OWN, "", 0.0, 0.0, split)
            for text in _best(texts, rank, config.keep, left_out)
        ]
        if progress is not None:
            progress(number + 1, len(briefs))
    if not rows:
        raise DatasetError(
            f"nothing that the model wrote for {len(briefs)} briefs passed ({dict(left_out)}); "
            "teach it texts by hand first (finetune --method sft), or take a larger one"
        )
    return Dataset(rows, [], [], dict(left_out))


def _different(texts: Sequence[str], left_out: Counter[str]) -> list[str]:
    different: dict[str, str] = {}
    for text in texts:
        different.setdefault(text.casefold(), text)
    if len(different) < len(texts):
        left_out["said_twice"] += len(texts) - len(different)
    return list(different.values())


def _best(
    texts: Sequence[str], rank: Rank | None, keep: float, left_out: Counter[str]
) -> list[str]:
    if rank is None or not texts:
        return list(texts)
    kept = max(1, round(keep * len(texts)))
    left_out["promises_less"] += len(texts) - kept
    return [texts[place] for place in list(rank(texts))[:kept]]

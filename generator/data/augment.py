"""More texts to imitate: those that won, said again in other words.

An option for where few texts won. What people clicked was the text itself, so its paraphrases are
marked by `made_from`, are taught beside it and never in pairs, and have to pass the screen and stay
close to what they say again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from msgspec.structs import replace

from generator.brief.prompts import brief_said
from generator.data.dataset import Dataset, Imitate
from generator.models import Backend, Sampling
from generator.screening import ALIKE, STOP, Screen, Thresholds, Written, clean, usual
from generator.screening.gates.similarity import vectors

CLOSE: Final = 0.5
"""The least cosine, by small word embeddings, with the text that is said again."""
TRIES: Final = 4
"""How many are drawn for each that is wanted."""
Progress: TypeAlias = Callable[[int, int], None]
"""Told how many texts were said again, and how many there are."""
SAMPLING: Final = Sampling(STOP, max_new_tokens=32, temperature=0.8)
EXAMPLES: Final = (
    ("Fresh bread before you wake", "Your bread is baked while you sleep"),
    ("Leave the car at home today", "Today is a good day without the car"),
    ("Sleep better from tonight", "Better nights begin this evening"),
)


def with_paraphrases(
    dataset: Dataset,
    backend: Backend,
    n: int,
    *,
    seed: int = 1,
    thresholds: Thresholds | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Returns the dataset with up to `n` paraphrases of each text to imitate that is trained on.

    The gates read a brief that says what the prompt says, as the rewards of GRPO do.

    Args:
        dataset: its rows stay as they are, and first.
        backend: who says it again.
        n: how many of each, at least 1.
        seed: of the draws.
        thresholds: of the screen, None for the usual ones.
        progress: told text by text.

    Raises:
        BackendError: the model failed.
    """
    limits = thresholds or usual()
    limits = replace(limits, skip=(*limits.skip, *ALIKE))
    known = {(row.prompt, row.text.casefold()) for row in dataset.imitate}
    added: list[Imitate] = []
    train = [row for row in dataset.imitate if row.split == "train"]
    for number, row in enumerate(train):
        drawn = backend.complete([_asked(row.text)] * (TRIES * n), SAMPLING, seed=seed + number)
        cleaned = [clean(completion.text) for completion in drawn]
        written = [Written(text, ended=ended) for text, ended in cleaned]
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


def _passed(row: Imitate, written: Sequence[Written], limits: Thresholds) -> list[str]:
    """Returns the texts that pass the screen and say what the row's text says, in order."""
    verdicts = Screen(brief_said(row.prompt), thresholds=limits).judge(written)
    texts = [
        each.text
        for each, verdict in zip(written, verdicts, strict=True)
        if verdict.rejection is None
    ]
    close = vectors(texts) @ vectors([row.text])[0] if texts else ()
    return [text for text, cosine in zip(texts, close, strict=True) if cosine >= CLOSE]

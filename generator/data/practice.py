"""Rows of the model's own texts: it writes for many briefs, and what the screen passes is taught.

Rejection sampling, as RAFT does it (Dong et al. 2023), costs no traffic. Before any, it teaches a
model what the gates let through; after preferences were taught, which loosen that again, it keeps
what they brought, by a reward model's order, and drops what the gates refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from generator.brief import Brief, brief_hash
from generator.brief.prompts import plain_prompt
from generator.data.dataset import Dataset, Imitate, Split
from generator.errors import DatasetError
from generator.screening import Thresholds
from generator.writing.samples import SamplingConfig, Writer, take_samples
from generator.writing.texts import Rank

OWN: Final = "own"
"""The placement of such rows, since no traffic stands behind them."""
Progress: TypeAlias = Callable[[int, int], None]
"""Told for how many briefs it has written, and how many there are."""


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
    writer: Writer,
    briefs: Sequence[Brief],
    config: PracticeConfig,
    *,
    rank: Rank | None = None,
    thresholds: Thresholds | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Returns rows to imitate: for each brief the different texts that pass, the best first.

    Args:
        writer: the model, with the adapter that it is to go on from.
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
    left_out: dict[str, int] = {}
    rows: list[Imitate] = []
    trained_on = round((1.0 - config.held_out) * len(briefs))
    for number, brief in enumerate(briefs):
        split: Split = "train" if number < trained_on else "test"
        written = take_samples(writer, [brief], config.sampling, thresholds)
        texts = _different(written.passed[0], left_out)
        for code in (code for code in written.refused[0] if code is not None):
            left_out[code] = left_out.get(code, 0) + 1
        prompt, name = plain_prompt(brief), brief_hash(brief)
        rows += [
            Imitate(prompt, text, name, OWN, "", 0.0, 0.0, split)
            for text in _best(texts, rank, config.keep, left_out)
        ]
        if progress is not None:
            progress(number + 1, len(briefs))
    if not rows:
        raise DatasetError(
            f"nothing that the model wrote for {len(briefs)} briefs passed ({left_out}); teach it "
            "texts by hand first (finetune --method sft), or take a larger one"
        )
    return Dataset(rows, [], [], left_out)


def _different(texts: Sequence[str], left_out: dict[str, int]) -> list[str]:
    different: dict[str, str] = {}
    for text in texts:
        different.setdefault(text.casefold(), text)
    found = list(different.values())
    if len(found) < len(texts):
        left_out["said_twice"] = left_out.get("said_twice", 0) + len(texts) - len(found)
    return found


def _best(
    texts: Sequence[str], rank: Rank | None, keep: float, left_out: dict[str, int]
) -> list[str]:
    if rank is None or not texts:
        return list(texts)
    kept = max(1, round(keep * len(texts)))
    left_out["promises_less"] = left_out.get("promises_less", 0) + len(texts) - kept
    return [texts[place] for place in list(rank(texts))[:kept]]

"""What the gates refused, as pairs: any text that passed is better than one that did not.

Clicks teach what is liked, and a model that learns from them alone drifts towards texts that the
gates refuse: what is liked is said twice in one line. Refusals cost no traffic and pull it back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Final, NamedTuple

from generator.data.dataset import Dataset, Imitate, Judge, Prefer
from generator.data.evidence import Evidence
from generator.screening.settings import CODES

BESIDE_OTHERS: Final = ("cut_off", "required_claims", "duplicate", "crowding")
"""Refusals that say nothing against a text by itself."""
TAUGHT: Final = tuple(code for code in CODES if code not in BESIDE_OTHERS)
WEIGHT: Final = 1.0
"""What such a pair is worth: as much as one that traffic is sure of, since a gate is sure, too."""


class Refusal(NamedTuple):
    """A text that a gate refused: what it went on from, for which brief and placement, and why."""

    prompt: str
    text: str
    brief: str
    placement: str
    code: str


def with_refusals(
    dataset: Dataset,
    evidence: Sequence[Evidence],
    refusals: Iterable[Refusal],
    *,
    weight: float = WEIGHT,
) -> Dataset:
    """Returns the dataset with a pair for each refusal by a gate that reads a text by itself.

    The better texts are those that were shown for the same brief and placement, in turn. Briefs
    without any other row are passed over, as it is not known what they are for.

    Args:
        dataset: what traffic teaches.
        evidence: of `gather`; who was left out of the dataset as suspicious is not used here.
        refusals: in any order.
        weight: of each pair, in (0, 1].
    """
    doubted = {(each.placement, each.creative_id) for each in dataset.suspicious}
    rows: list[Imitate | Prefer | Judge] = [*dataset.imitate, *dataset.prefer, *dataset.judge]
    splits = {row.brief: row.split for row in rows}
    passed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in evidence:
        creative, brief = each.creative, each.creative.lineage.brief
        known = brief in splits and (creative.placement, creative.id) not in doubted
        if brief is not None and known and len(creative.parts) == 1:
            passed[creative.placement, brief] += creative.parts.values()
    turns = {key: cycle(texts) for key, texts in passed.items()}
    pairs = [
        Prefer(
            prompt=each.prompt,
            better=next(turns[each.placement, each.brief]),
            worse=each.text,
            brief=each.brief,
            placement=each.placement,
            segment="",
            weight=weight,
            split=splits[each.brief],
            refused=True,
        )
        for each in refusals
        if each.code in TAUGHT and (each.placement, each.brief) in turns
    ]
    return dataset._replace(prefer=[*dataset.prefer, *pairs])

"""Which of many candidates to show: those that promise most, and do not say the same.

Candidates are cheap and traffic is not, so many are written and few admitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from generator.reward.encoders import Encoder
from generator.reward.model import Reward, RewardModel


class Ranked(NamedTuple):
    """A candidate that was picked, and why.

    Attributes:
        place: its place among the candidates.
        score: how far it should be above the others, in the model's `unit`; 0 where no model is
            trusted.
        low: the lower bound of that, at 95 %.
        high: the upper one.
        closeness: the cosine to the nearest of those picked before, 0 for the first.
    """

    place: int
    score: float
    low: float
    high: float
    closeness: float


def rank(
    candidates: Sequence[str],
    *,
    encoder: Encoder,
    model: Reward | None,
    k: int,
    diversity: float = 0.5,
) -> list[Ranked]:
    """Returns the `k` best candidates, the first one first; fewer if there are fewer.

    Each next one has most of (score in standard deviations) - diversity x (its closeness to
    those picked before, likewise): maximal marginal relevance (Carbonell & Goldstein 1998). A
    model that is not trusted has no say, and the order is that of diversity alone.

    Args:
        candidates: texts that passed the screen.
        encoder: what reads them; of the model, where there is one.
        model: of the placement's reward, or None.
        k: how many are wanted.
        diversity: what a standard deviation of closeness costs, 0 or more.
    """
    if not candidates:
        return []
    vectors, _ = encoder(candidates)
    if model is not None and model.trusted:
        # A regression has no need to read them again.
        if isinstance(model, RewardModel):
            scores = model.score_vectors(vectors)
        else:
            scores = model.score(candidates)
        value, low, high = scores.value, scores.low, scores.high
    else:
        value = low = high = np.zeros(len(candidates))
    centred = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.maximum(lengths, 1e-12)
    cosine = unit @ unit.T
    merit = value / max(float(value.std()), 1e-12) if value.any() else value
    spread = (
        max(float(cosine[~np.eye(len(unit), dtype=bool)].std()), 1e-12) if len(unit) > 1 else 1.0
    )
    closest = np.zeros(len(candidates))
    left = np.ones(len(candidates), dtype=bool)
    picked: list[Ranked] = []
    while left.any() and len(picked) < k:
        worth = np.where(left, merit - diversity * closest / spread, -np.inf)
        place = int(worth.argmax())
        picked.append(
            Ranked(
                place,
                float(value[place]),
                float(low[place]),
                float(high[place]),
                float(closest[place]),
            )
        )
        left[place] = False
        closest = np.maximum(closest, cosine[place]) if len(picked) > 1 else cosine[place].copy()
    return picked


def ranked_by(model: Reward, encoder: Encoder) -> Callable[[Sequence[str]], list[int]]:
    """Returns what orders texts by what they promise, for a `Selection`."""

    def order(texts: Sequence[str]) -> list[int]:
        return [r.place for r in rank(texts, encoder=encoder, model=model, k=len(texts))]

    return order

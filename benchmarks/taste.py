"""A simulated audience whose hidden taste no gate, prompt or reward model has as a feature.

What is liked is a random direction through the sentences as MiniLM sees them, which the reward
model of the benchmark does not read with, and three habits of wording: to speak to the reader, to
use long words, to break the line with a comma. Signs and sizes come from the seed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from generator.reward.encoders import TextEncoder, open_encoder
from generator.reward.regression import Floats

LEVEL: Final = 0.035
"""Mean click rate of the headlines that are usual."""
SPREAD: Final = 0.65
"""Standard deviation of the log rate, roughly: what `bandit.simulate.TasteWorld` has too."""
HABIT: Final = 0.4
"""What a standard deviation of a habit is worth, beside one of the direction."""
EASY: Final = (0.5, 1.5)
"""How much rarer and more often desktop and mobile users click than the mean."""
_WORD: Final = re.compile(r"[a-z']+")


class HiddenTaste:
    """Click rates by text, against what is usual for the product; the seed decides the taste.

    Rates lie between the level times exp(-2 spread) and exp(2 spread), softly: piling up what is
    liked must not win without end.

    Args:
        seed: of direction, signs and sizes.
        usual: headlines of each product that are neither liked nor disliked, taken together.
        encoder: what sees sentences; MiniLM if None.
    """

    def __init__(
        self, seed: int, usual: Mapping[str, Sequence[str]], *, encoder: TextEncoder | None = None
    ) -> None:
        self._encode = encoder or open_encoder("minilm", Path())
        rng = np.random.default_rng(seed)
        names = list(usual)
        vectors = [self._seen(usual[name]) for name in names]
        self._centre = {n: v.mean(axis=0) for n, v in zip(names, vectors, strict=True)}
        apart = np.concatenate([v - v.mean(axis=0) for v in vectors])
        direction = rng.normal(size=apart.shape[1] - 3)
        direction /= (apart[:, :-3] @ direction).std()
        signs = rng.choice([-1.0, 1.0], size=3)
        habits = HABIT * signs / np.maximum(apart[:, -3:].std(axis=0), 1e-9)
        self._taste = np.concatenate([direction, habits])
        self._taste /= (apart @ self._taste).std()
        self._base = LEVEL / float(np.exp(SPREAD * _bounded(apart @ self._taste)).mean())

    def rates(self, product: str, texts: Sequence[str]) -> Floats:
        """Returns the true click rate of each text over the whole audience, shape (n_texts,)."""
        liking = (self._seen(texts) - self._centre[product]) @ self._taste
        return np.asarray(self._base * np.exp(SPREAD * _bounded(liking)), dtype=np.float64)

    def _seen(self, texts: Sequence[str]) -> Floats:
        """Returns the vectors and the three habits, shape (n_texts, d + 3)."""
        return np.hstack([self._encode(texts)[0], [_habits(text) for text in texts]])


def _bounded(liking: Floats) -> Floats:
    return np.asarray(2.0 * np.tanh(liking / 2.0), dtype=np.float64)


def _habits(text: str) -> tuple[float, float, float]:
    words = _WORD.findall(text.lower())
    to_reader = any(word in ("you", "your", "yours") for word in words)
    length = sum(map(len, words)) / max(len(words), 1)
    return float(to_reader), length, float("," in text)

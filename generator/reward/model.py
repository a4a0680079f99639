"""The reward model: how much better a text should do than those beside it, and how sure that is.

It knows its own strength. Scores, chances and trust rest on texts that were held out, and a model
that could not tell the better of two more often than a coin says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np

from bandit.distributions import quantile
from bandit.ope.intervals import Interval
from generator.errors import RewardModelError
from generator.reward.encoders import TextEncoder, open_encoder
from generator.reward.regression import (
    Example,
    Floats,
    GroupedExamples,
    Ints,
    Pairs,
    Ridge,
    fit_ridge,
    significant_pairs,
)
from streams.files import BY_UMASK, write_whole

LEVEL: Final = 0.95
REPLICATES: Final = 1000
STEPS: Final = 50
FEWEST_PAIRS: Final = 20
"""Fewer pairs that traffic told apart are no test of a model."""


class Accuracy(NamedTuple):
    """How often the better of two held-out texts was picked, among pairs that were told apart."""

    value: float
    interval: Interval
    n_pairs: int

    @property
    def trusted(self) -> bool:
        """True if the better of two texts is surely picked more often than by a coin."""
        return self.n_pairs >= FEWEST_PAIRS and self.interval.low > 0.5


class Scores(NamedTuple):
    """What is expected of texts, each of shape (n_texts,).

    `value` is how far a text is above its company, as a share of the company's reward or in
    whatever else the model's `unit` says; `low` and `high` hold it with 95 % probability.
    """

    value: Floats
    low: Floats
    high: Floats


class Reward(Protocol):
    """What scores texts, and knows how good it is at that: a regression, or a transformer."""

    reader: TextEncoder
    """What tells how alike texts are."""
    accuracy: Accuracy
    unit: str
    """What scores are in, in words."""

    def score(self, texts: Sequence[str]) -> Scores:
        """Returns what is expected of each text, and within which bounds."""

    def chances(self, texts: Sequence[str]) -> Floats:
        """Returns how probably each does better than its company at large, shape (n_texts,)."""


class TextRewardModel:
    """Scores texts by what was learned of others; a `Reward`, made by `fit_reward_model`.

    Attributes:
        reader: what reads the texts.
        ridge: what was learned.
        accuracy: on texts that were held out.
        slope: how many logits of being the better one a score's difference of 1 is worth.
        unit: what scores are in.
    """

    unit = "of the reward of its company"

    def __init__(
        self, encoder: TextEncoder, ridge: Ridge, accuracy: Accuracy, slope: float
    ) -> None:
        self.reader = encoder
        self.ridge = ridge
        self.accuracy = accuracy
        self.slope = slope

    def score(self, texts: Sequence[str]) -> Scores:
        """Returns what is expected of each text, and within which bounds."""
        return self.score_vectors(self.reader(texts)[0])

    def score_vectors(self, vectors: Floats) -> Scores:
        """Returns the same of texts that its encoder has read, shape (n_texts, d)."""
        value = self.ridge.score(vectors)
        half = quantile(LEVEL) * self.ridge.error(vectors)
        return Scores(value, value - half, value + half)

    def chances(self, texts: Sequence[str]) -> Floats:
        """Returns how probably each does better than its company at large, shape (n_texts,)."""
        return logistic(self.slope * self.score(texts).value)

    def save(self, path: Path) -> None:
        """Writes the model to a file; what reads the texts is named in it, not contained."""
        ridge = self.ridge
        saved = _Saved(
            encoder=self.reader.name,
            d=len(ridge.weights),
            weights=ridge.weights.tobytes(),
            scale=ridge.scale.tobytes(),
            factor=ridge.factor.tobytes(),
            spread=ridge.spread,
            noise=ridge.noise,
            accuracy=self.accuracy,
            slope=self.slope,
        )
        write_whole(path, msgspec.msgpack.encode(saved), mode=BY_UMASK)


class _Saved(msgspec.Struct, kw_only=True):
    encoder: str
    d: int
    weights: bytes
    scale: bytes
    factor: bytes
    spread: float
    noise: float
    accuracy: Accuracy
    slope: float
    v: int = 1


def is_saved_trusted(path: Path) -> bool:
    """Returns whether a saved model is trusted, without the encoder that it wants.

    Raises:
        RewardModelError: there is no reward model in this file.
    """
    return _saved(path).accuracy.trusted


def load_reward_model(path: Path, cache: Path) -> TextRewardModel:
    """Returns the model in a file, with what reads its texts (`open_encoder`).

    Raises:
        RewardModelError: there is none.
        BackendMissing: what reads its texts is not installed.
    """
    saved = _saved(path)
    ridge = Ridge(
        np.frombuffer(saved.weights),
        np.frombuffer(saved.scale),
        np.frombuffer(saved.factor).reshape(saved.d, saved.d),
        saved.spread,
        saved.noise,
    )
    return TextRewardModel(open_encoder(saved.encoder, cache), ridge, saved.accuracy, saved.slope)


def _saved(path: Path) -> _Saved:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=_Saved)
    except (OSError, msgspec.MsgspecError) as error:
        raise RewardModelError(f"no reward model in {path}: {error}") from error


def fit_reward_model(
    examples: Sequence[Example], encoder: TextEncoder, *, seed: int = 0
) -> TextRewardModel:
    """Returns a model of these examples, checked on folds that were held out.

    Args:
        examples: in order of time; groups of them are held out together where there are ten or
            more, else single texts.
        encoder: what reads the texts.
        seed: of the resampling behind the accuracy's interval.

    Raises:
        TooLittleEvidence: too few texts were tried beside others, or nobody earned anything.
    """
    grouped = group_examples(examples, encoder)
    ridge, held_out = fit_ridge(grouped)
    pairs = significant_pairs(grouped)
    accuracy = measure_accuracy(held_out, pairs, grouped.group, seed=seed)
    return TextRewardModel(encoder, ridge, accuracy, calibrate(held_out, pairs))


def group_examples(examples: Sequence[Example], encoder: TextEncoder) -> GroupedExamples:
    """Returns the examples as an encoder reads them, groups numbered in their order."""
    number = {name: k for k, name in enumerate(dict.fromkeys(e.group for e in examples))}
    x, block = encoder([example.text for example in examples])
    return GroupedExamples(
        x=x,
        rate=np.array([example.rate for example in examples]),
        variance=np.array([example.variance for example in examples]),
        group=np.array([number[example.group] for example in examples], dtype=np.int64),
        block=block,
    )


def measure_accuracy(scores: Floats, pairs: Pairs, group: Ints, *, seed: int) -> Accuracy:
    """Returns how often the better of a pair has the higher score; a tie counts one half.

    The interval is a percentile bootstrap (Efron 1979) over texts, a pair weighing what both of
    its texts do (the pigeonhole bootstrap: Owen 2007), and with ten groups or more also over whole
    groups, which may share what makes them easy; each bound is the wider one's. Over groups alone
    a dozen placements had models of shuffled labels trusted in 7 of 80 cases.

    Args:
        scores: of texts, shape (n,).
        pairs: which were told apart, as rows.
        group: of each text, shape (n,), from 0.
        seed: of the resampling.
    """
    n_pairs = len(pairs.better)
    if not n_pairs:
        return Accuracy(0.5, Interval("bootstrap", LEVEL, 0.0, 1.0), 0)
    apart = scores[pairs.better] - scores[pairs.worse]
    right = (apart > 0.0) + 0.5 * (apart == 0.0)
    rng = np.random.default_rng(seed)
    n_groups = int(group.max()) + 1
    bounds = [_bounds(rng, right, [pairs.better, pairs.worse], len(scores))]
    if n_groups >= 10:
        bounds.append(_bounds(rng, right, [group[pairs.better]], n_groups))
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    interval = Interval("bootstrap", LEVEL, low, high)
    return Accuracy(float(right.mean()), interval, n_pairs)


def _bounds(
    rng: np.random.Generator, right: Floats, units: Sequence[Ints], n: int
) -> tuple[float, float]:
    """Returns the bounds of a mean whose rows weigh what all their `n` units do."""
    drawn = []
    for _ in range(REPLICATES):
        times = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        weight = np.prod([times[unit] for unit in units], axis=0)
        if weight.sum() > 0.0:
            drawn.append(float(weight @ right / weight.sum()))
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail]) if drawn else (0.0, 1.0)
    return float(low), float(high)


def calibrate(scores: Floats, pairs: Pairs) -> float:
    """Returns the maximum-likelihood slope of a logistic curve through 0, by Newton's method.

    Platt (1999) scales scores likewise, towards (n + 1) / (n + 2) in place of 1: n pairs that are
    all told apart rightly do not make a model certain. A prior of variance 100² keeps it finite
    where scores are alike, and a slope that would turn the scores around is 0.
    """
    sure = (len(pairs.better) + 1) / (len(pairs.better) + 2)
    apart = scores[pairs.better] - scores[pairs.worse]
    slope = 0.0
    for _ in range(STEPS):
        chance = logistic(slope * apart)
        rise = float(((sure - chance) * apart).sum()) - slope / 1e4
        fall = float((chance * (1.0 - chance) * apart * apart).sum()) + 1e-4
        step = min(max(rise / fall, -10.0), 10.0)
        slope += step
        if abs(step) < 1e-9:
            break
    return max(slope, 0.0)


def logistic(x: Floats | float) -> Floats:
    """Returns the chances that are so many logits, in [0, 1]."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -500.0, 500.0))), dtype=np.float64)

"""Whether segments of an audience are treated alike: what one is told must not be worse for it.

Texts are written for one segment at a time. Across a batch this shows what no text shows alone: a
segment of which fewer texts pass, or that is spoken to in a gloomier tone, or for which harmful
texts were written at all. A person looks at what is found; nothing is refused for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance
from typing import Final, NamedTuple

from generator.screening.screen import HARMFUL

SURE: Final = 2.58
"""Standard errors (99 %) by which a segment must differ from all others together."""
FEWEST: Final = 10
"""Texts of a segment, and of the others: of fewer nothing is said."""


class Told(NamedTuple):
    """A text that was written for a segment, and the code by which it was refused, if it was."""

    segment: str
    text: str
    code: str | None


class SegmentRow(NamedTuple):
    """One segment of a batch.

    Attributes:
        segment: its name.
        written: how many texts were written for it.
        passed: the share of them that passed the gates.
        tone: the mean sentiment of its texts, from -1 to 1.
        harmful: how many were refused as harm, profanity, or against platforms' rules.
        concerns: what a person should look at, in words.
    """

    segment: str
    written: int
    passed: float
    tone: float
    harmful: int
    concerns: tuple[str, ...]


def across_segments(told: Sequence[Told]) -> list[SegmentRow]:
    """Returns a row for each segment, by name; none where there are fewer than two segments.

    Shares are compared by a two-proportion z test, tones by Welch's test at its normal limit;
    sentiment is VADER's compound score (Hutto & Gilbert 2014), which knows English.
    """
    names = sorted({text.segment for text in told})
    if len(names) < 2:
        return []
    tones = tones_of([text.text for text in told])
    return [_row(name, told, tones) for name in names]


def _row(name: str, told: Sequence[Told], tones: Sequence[float]) -> SegmentRow:
    own = [(text, tone) for text, tone in zip(told, tones, strict=True) if text.segment == name]
    others = [(text, tone) for text, tone in zip(told, tones, strict=True) if text.segment != name]
    passed, elsewhere = (fmean(text.code is None for text, _ in side) for side in (own, others))
    tone, brightness = (fmean(tone for _, tone in side) for side in (own, others))
    harmful = sum(text.code in HARMFUL for text, _ in own)
    concerns = []
    if harmful:
        concerns.append(f"{harmful} of {len(own)} texts were harmful or against the rules")
    if min(len(own), len(others)) >= FEWEST:
        if shares_apart(elsewhere, len(others), passed, len(own)) >= SURE:
            concerns.append(f"{passed:.0%} of its texts pass; {elsewhere:.0%} of the others' do")
        if _lower([tone for _, tone in own], [tone for _, tone in others]):
            concerns.append(f"its tone is {tone:.2f}; that of the others {brightness:.2f}")
    return SegmentRow(name, len(own), passed, tone, harmful, tuple(concerns))


def shares_apart(share: float, n: int, other: float, m: int) -> float:
    """Returns by how many standard errors a share of n is above another of m (z test)."""
    pooled = (share * n + other * m) / (n + m)
    error = math.sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m))
    return (share - other) / error if error else 0.0


def _lower(own: Sequence[float], others: Sequence[float]) -> bool:
    error = math.sqrt(variance(own) / len(own) + variance(others) / len(others))
    return error > 0.0 and (fmean(others) - fmean(own)) / error >= SURE


def tones_of(texts: Sequence[str]) -> list[float]:
    """Returns the sentiment of each text, VADER's compound score, from -1 to 1."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    return [float(analyser.polarity_scores(text)["compound"]) for text in texts]

"""The segments of an audience: what each clicked on, and whether texts treat them alike.

What a segment clicked goes into prompts. Each word of it must be borne out by many people, so that
nothing of any one person gets there. What is written for segments is compared for a person to see.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, variance
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from bandit.features.reading import mostly, words
from generator.brief.schema import Brief
from generator.screening.gates.form import forms
from generator.screening.screen import HARMFUL
from streams.events import INTERACTIONS, interactions_in
from streams.fold import partitions, scan
from streams.logs.base import Log, TopicPartition

LEAST_PEOPLE: Final = 20
"""Of a segment, and behind each word that is said of it: people who clicked."""
LEAST_CLICKS_UNNAMED: Final = 5 * LEAST_PEOPLE
"""The same where contexts name no users, so that some of the clicks may be one person's."""
KEYWORDS: Final = 4
SURE: Final = 1.96
"""Standard errors by which a word's click rate must lie above the rest's."""
TONE: Final = 0.1
"""The least difference of sentiment, on a scale from -1 to 1, that is worth a word."""
USER: Final = "user"
"""The key of a context by which people are told apart."""
DENSE: Final = ("han", "kana", "hangul")
"""Scripts of which two letters are a word that tells something."""
LATEST: Final = 50_000
"""How many interactions are looked at, the latest ones."""


class Impression(NamedTuple):
    """A creative that was shown: to whom, and whether it earned anything."""

    context: Raw
    creative_id: str
    rewarded: bool


class ImpressionReader:
    """Follows a log's interactions and keeps the latest of each placement."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._offsets: dict[TopicPartition, int] = {}
        self._impressions: dict[str, deque[Impression]] = {}

    def impressions(self, placement: str) -> list[Impression]:
        """Returns what was shown lately, the oldest first."""
        for partition in partitions(self._log, INTERACTIONS):
            self._catch_up(partition)
        return list(self._impressions.get(placement, ()))

    def _catch_up(self, partition: TopicPartition) -> None:
        latest = self._log.end_offset(partition) - LATEST
        start = max(self._log.start_offset(partition), latest)
        offset = max(self._offsets.get(partition, start), start)
        for record in scan(self._log, partition, offset):
            for event in interactions_in(record.value):
                # Every decision is closed once; before that it is not known what came of it.
                if event.status == "closed":
                    shown = event.decision
                    kept = self._impressions.setdefault(shown.placement, deque(maxlen=LATEST))
                    kept.append(Impression(shown.context, shown.action.id, event.reward > 0))
            self._offsets[partition] = record.offset + 1


def with_insights(
    brief: Brief,
    impressions: Iterable[Impression],
    texts: Mapping[str, str],
) -> Brief:
    """Returns the brief with what each segment clicked on added to the segment's behaviour.

    Args:
        brief: its segments say by `context` which impressions are theirs; one that does not is left
            as it is.
        impressions: what was shown on the brief's placement.
        texts: of its creatives, by id.
    """
    contexts = [(msgspec.json.decode(impression.context), impression) for impression in impressions]
    learned = []
    for segment in brief.segments:
        own = [
            SeenText(
                str(value_at(context, USER) or ""),
                texts[impression.creative_id],
                impression.rewarded,
            )
            for context, impression in contexts
            if segment.context
            and impression.creative_id in texts
            and all(value_at(context, path) == value for path, value in segment.context.items())
        ]
        learned.append(replace(segment, behaviour=(*segment.behaviour, *liked(own))))
    return replace(brief, segments=tuple(learned))


class SeenText(NamedTuple):
    """A text that someone saw, and whether they clicked; `user` is empty where nobody is named."""

    user: str
    text: str
    clicked: bool


def liked(seen: Iterable[SeenText]) -> tuple[str, ...]:
    """Returns what a group of people clicked more than other things, in a few words.

    Nothing is said of a group of fewer than 20 people who clicked (100 clicks, where people are
    not named), nor by a word behind which there are fewer. A word is said if the click rate of
    texts with it lies above that of the others by 1.96 standard errors (a two-proportion z test).
    """
    seen = list(seen)
    if not _enough(impression for impression in seen if impression.clicked):
        return ()
    said = []
    words = _liked_words(seen)
    if words:
        said.append(f"clicked on {', '.join(words)}")
    tone = _tone(seen)
    if abs(tone) >= TONE:
        said.append("likes a cheerful tone" if tone > 0 else "likes a sober tone")
    return tuple(said)


def _enough(clicks: Iterable[SeenText]) -> bool:
    users = [click.user for click in clicks]
    if "" in users:
        return len(users) >= LEAST_CLICKS_UNNAMED
    return len(set(users)) >= LEAST_PEOPLE


def _liked_words(seen: list[SeenText]) -> list[str]:
    telling: dict[str, set[str]] = {}
    for text in {impression.text for impression in seen}:
        for word in set(words(text)) - forms("en").small:
            if len(word) >= (2 if mostly(word) in DENSE else 3):
                telling.setdefault(word, set()).add(text)
    scored = []
    for word, texts in telling.items():
        mine = [impression for impression in seen if impression.text in texts]
        others = [impression for impression in seen if impression.text not in texts]
        if not others:
            continue
        rate, other = (fmean(each.clicked for each in side) for side in (mine, others))
        z = shares_apart(rate, len(mine), other, len(others))
        if z >= SURE and _enough(impression for impression in mine if impression.clicked):
            scored.append((-z, word))
    return [word for _, word in sorted(scored)[:KEYWORDS]]


def _tone(seen: list[SeenText]) -> float:
    """Returns how much brighter what was clicked is than what was shown (VADER, Hutto 2014)."""
    texts = list({impression.text for impression in seen})
    tones = dict(zip(texts, tones_of(texts), strict=True))
    clicked = [tones[impression.text] for impression in seen if impression.clicked]
    return sum(clicked) / len(clicked) - sum(tones[s.text] for s in seen) / len(seen)


def value_at(context: Any, path: str) -> object:
    """Returns the value that a context has at a path, keys joined by dots; None where none is."""
    for key in path.split("."):
        context = context.get(key) if isinstance(context, dict) else None
    return context


TREATED_WORSE: Final = 2.58
"""Standard errors (99 %) by which a segment must differ from all others together."""
FEWEST: Final = 10
"""Texts of a segment, and of the others: of fewer nothing is said."""


class SegmentText(NamedTuple):
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


def across_segments(told: Sequence[SegmentText]) -> list[SegmentRow]:
    """Returns a row for each segment, by name; none where there are fewer than two segments.

    A person looks at what is found; nothing is refused for it.
    Shares are compared by a two-proportion z test, tones by Welch's test at its normal limit;
    sentiment is VADER's compound score (Hutto & Gilbert 2014), which knows English.
    """
    names = sorted({text.segment for text in told})
    if len(names) < 2:
        return []
    tones = tones_of([text.text for text in told])
    return [_row(name, told, tones) for name in names]


def _row(name: str, told: Sequence[SegmentText], tones: Sequence[float]) -> SegmentRow:
    own = [(text, tone) for text, tone in zip(told, tones, strict=True) if text.segment == name]
    others = [(text, tone) for text, tone in zip(told, tones, strict=True) if text.segment != name]
    passed, elsewhere = (fmean(text.code is None for text, _ in side) for side in (own, others))
    tone, brightness = (fmean(tone for _, tone in side) for side in (own, others))
    harmful = sum(text.code in HARMFUL for text, _ in own)
    concerns = []
    if harmful:
        concerns.append(f"{harmful} of {len(own)} texts were harmful or against the rules")
    if min(len(own), len(others)) >= FEWEST:
        if shares_apart(elsewhere, len(others), passed, len(own)) >= TREATED_WORSE:
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
    return error > 0.0 and (fmean(others) - fmean(own)) / error >= TREATED_WORSE


def tones_of(texts: Sequence[str]) -> list[float]:
    """Returns the sentiment of each text, VADER's compound score, from -1 to 1."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyser = SentimentIntensityAnalyzer()
    return [float(analyser.polarity_scores(text)["compound"]) for text in texts]

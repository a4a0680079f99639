"""What segments of an audience clicked on, in words that a prompt can hold.

Only groups speak: a segment, and each word of what is said about it, must be borne out by many
people, so that nothing of any one person gets into a prompt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from generator.brief.schema import Brief, Segment
from generator.screening.gates.text import SMALL, words
from generator.screening.segments import shares_apart, tones_of
from streams.events import INTERACTIONS, Interaction, decode
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
            self._take(record.value)
            self._offsets[partition] = record.offset + 1

    def _take(self, value: bytes) -> None:
        event = decode(value)
        # Every decision is closed once; before that it is not known what came of it.
        if isinstance(event, Interaction) and event.status == "closed":
            shown = event.decision
            kept = self._impressions.setdefault(shown.placement, deque(maxlen=LATEST))
            kept.append(Impression(shown.context, shown.action.id, event.reward > 0))


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
            if segment.context and impression.creative_id in texts and _matches(context, segment)
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
        for word in set(words(text)) - SMALL:
            if len(word) >= 3:
                telling.setdefault(word, set()).add(text)
    scored = []
    for word, texts in telling.items():
        mine = [impression for impression in seen if impression.text in texts]
        z = _z(mine, [impression for impression in seen if impression.text not in texts])
        if z >= SURE and _enough(impression for impression in mine if impression.clicked):
            scored.append((-z, word))
    return [word for _, word in sorted(scored)[:KEYWORDS]]


def _z(mine: list[SeenText], others: list[SeenText]) -> float:
    """Returns by how many standard errors the one click rate is above the other."""
    if not mine or not others:
        return 0.0
    rate, other = (sum(s.clicked for s in side) / len(side) for side in (mine, others))
    return shares_apart(rate, len(mine), other, len(others))


def _tone(seen: list[SeenText]) -> float:
    """Returns how much brighter what was clicked is than what was shown (VADER, Hutto 2014)."""
    texts = list({impression.text for impression in seen})
    tones = dict(zip(texts, tones_of(texts), strict=True))
    clicked = [tones[impression.text] for impression in seen if impression.clicked]
    return sum(clicked) / len(clicked) - sum(tones[s.text] for s in seen) / len(seen)


def _matches(context: object, segment: Segment) -> bool:
    return all(value_at(context, path) == value for path, value in segment.context.items())


def value_at(context: Any, path: str) -> object:
    """Returns the value that a context has at a path, keys joined by dots; None where none is."""
    for key in path.split("."):
        context = context.get(key) if isinstance(context, dict) else None
    return context

"""Prompts: a brief as the beginning of a text that goes on with a headline.

The model is asked to continue, not to answer: it sees a few products with headlines, then ours,
and the headline's opening words. The openings ("frames") keep a small model on the product and
make its headlines differ; which one was used goes into the creative's lineage.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from generator.brief import Brief


class Frame(NamedTuple):
    """A way to open a headline, and a headline for each of `PRODUCTS` that does.

    `opening` is the beginning; {keyword} and {fact} stand for one of the brief's.
    """

    name: str
    opening: str
    headlines: tuple[str, str, str]


class Prompt(NamedTuple):
    """What the model continues; `opening` is the part of it that belongs to the headline."""

    text: str
    opening: str
    frame: str

    @property
    def label(self) -> str:
        """Frame and opening, as a creative's lineage keeps them."""
        return f"{self.frame}: {self.opening}".rstrip(": ")


PRODUCTS: Final = (
    "a cordless drill for people who fix up their homes (charges fast, light, quiet)",
    "herbal sleep tea for tired parents (chamomile, lemon balm, no caffeine)",
    "online piano lessons for adult beginners (short lessons, real teachers)",
)
FRAMES: Final = (
    Frame(
        "promise",
        "{keyword} that",
        (
            "A drill that never makes you wait",
            "A tea that turns the day down low",
            "Lessons that fit in a lunch break",
        ),
    ),
    Frame(
        "fact",
        "{fact},",
        (
            "Charges fast, works all weekend",
            "No caffeine, just a calmer night",
            "Short lessons, songs you know by Friday",
        ),
    ),
    Frame(
        "the",
        "The {keyword} you",
        (
            "The shelves you always meant to hang",
            "The nights you look forward to",
            "The music you always wanted to play",
        ),
    ),
    Frame(
        "question",
        "Ready for",
        (
            "Ready for a wall of new shelves?",
            "Ready for a full night's sleep?",
            "Ready for your first song?",
        ),
    ),
    Frame(
        "make",
        "Make {keyword}",
        ("Make Saturdays count", "Make nights quiet again", "Make music after work"),
    ),
    Frame(
        "meet",
        "Meet the",
        (
            "Meet the drill that finishes first",
            "Meet the tea that ends the day",
            "Meet the teacher who comes to you",
        ),
    ),
    Frame(
        "enjoy",
        "Enjoy",
        (
            "Enjoy a home that is finished",
            "Enjoy a night without interruptions",
            "Enjoy your first song this week",
        ),
    ),
    Frame(
        "because",
        "Because {keyword}",
        (
            "Because shelves should not wait",
            "Because nights are better in peace",
            "Because music is for everyone",
        ),
    ),
    Frame(
        "better",
        "Better {keyword},",
        (
            "Better shelves, built by you",
            "Better nights, one cup at a time",
            "Better music, note by note",
        ),
    ),
    Frame(
        "more",
        "More {keyword}, more",
        (
            "More shelves, more room to live",
            "More calm, more sleep",
            "More music, more evenings at home",
        ),
    ),
    Frame(
        "your",
        "Your {keyword},",
        (
            "Your shelves, up in no time",
            "Your nights, calm at last",
            "Your music, played by you",
        ),
    ),
    Frame(
        "where",
        "Where {keyword}",
        (
            "Where shelves go up in minutes",
            "Where nights are quiet again",
            "Where music begins with you",
        ),
    ),
    Frame(
        "keep",
        "Keep your {keyword}",
        (
            "Keep your shelves straight for good",
            "Keep your nights calm and long",
            "Keep your music going all week",
        ),
    ),
    Frame(
        "take",
        "Take your {keyword}",
        ("Take your shelves to new heights", "Take your nights slowly", "Take your music anywhere"),
    ),
)
EXAMPLE_HEADLINES: Final = tuple(line for frame in FRAMES for line in frame.headlines)
ARTICLE: Final = re.compile(r"^(?:an?|the)\s+", re.I)
ROOM: Final = 0.6
"""An opening takes at most this share of a headline's characters."""


def prompts(brief: Brief, *, seed: int, winners: Sequence[str] = ()) -> Iterator[Prompt]:
    """Yields prompts without end: frame after frame, and in each one opening after the other.

    With winners, every other prompt opens as one of them does.
    """
    order = random.Random(seed)
    openings = [found for frame in FRAMES if (found := _openings(brief, frame))]
    for found in openings:
        order.shuffle(found)
    for turn in itertools.count():
        for found in order.sample(openings, len(openings)):
            yield found[turn % len(found)]
            if winners:
                yield _like_winner(brief, winners, order)


def _openings(brief: Brief, frame: Frame) -> list[Prompt]:
    """Returns the frame's prompts for this brief, one for each opening that leaves room."""
    keywords = brief.keywords or (brief.product,)
    bare = [ARTICLE.sub("", _one_line(keyword)) for keyword in keywords]
    subjects = brief.facts if "{fact}" in frame.opening else bare
    filled = {frame.opening.format(keyword=text, fact=text) for text in subjects}
    openings = {_one_line(opening[:1].upper() + opening[1:]) for opening in filled}
    return [
        _prompt(brief, zip(PRODUCTS, frame.headlines, strict=True), opening, frame.name)
        for opening in sorted(openings)
        if len(opening) <= ROOM * brief.constraints.max_characters
    ]


def _like_winner(brief: Brief, winners: Sequence[str], order: random.Random) -> Prompt:
    """Opens as one winner does, and shows those that begin with other words.

    One that shares a word with the opening would be copied to its end.
    """
    words = order.choice(winners).split()
    opening = words[: order.randint(min(2, len(words)), max(2, len(words) // 2))]
    unlike = [winner for winner in winners if set(opening).isdisjoint(winner.split())]
    shown = [(_about(brief), winner) for winner in unlike[:2]]
    examples = zip(PRODUCTS, order.choice(FRAMES).headlines, strict=True)
    return _prompt(brief, [*examples, *shown], " ".join(opening), "winner")


def _prompt(brief: Brief, shown: Iterable[tuple[str, str]], opening: str, frame: str) -> Prompt:
    examples = "".join(
        f'Product: {product}\nHeadline: "{headline}"\n\n' for product, headline in shown
    )
    text = f'{examples}Product: {_about(brief)}\nHeadline: "{opening}'
    return Prompt(text, opening, frame)


def _about(brief: Brief) -> str:
    segments = " and ".join(segment.who for segment in brief.segments)
    audience = f" for {segments}" if segments else ""
    voice = (brief.voice,) if brief.voice else ()
    notes = [*brief.claims(), *brief.time.said(), *brief.environment.said(), *voice]
    noted = f" ({', '.join(notes)})" if notes else ""
    return _one_line(f"{brief.product}{audience}{noted}")


def _one_line(text: str) -> str:
    return " ".join(text.split())

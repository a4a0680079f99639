"""Instructions: a brief in words, for models that converse, in the language of the brief.

A strong model keeps to what it is told, so it is told all that the screen asks for: how long a
text may be, what may be claimed, what grounds there are for urgency and proof, and what must not
be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from generator.brief.channels import Counting, load_channel
from generator.brief.prompts import TextForm
from generator.brief.schema import LANGUAGES, Brief, Segment
from generator.brief.words import WORDS, Words, listed, moment_in, place_in, words_of
from generator.models.base import Task


class Wanted(NamedTuple):
    """The kind of text that is wanted, and the segment and the winner that it is written for."""

    form: TextForm
    max_units: int
    counting: Counting = "characters"
    segment: str | None = None
    winner: str | None = None


def task_of(brief: Brief, wanted: Wanted, *, taken: Sequence[str] = ()) -> Task:
    """Returns the task that asks for texts of a brief.

    Args:
        brief: what the texts are about.
        wanted: of which kind they are.
        taken: texts that new ones must differ from.
    """
    words = words_of(brief.language) or WORDS["en"]
    one, several = words.line if wanted.form == "line" else words.sentence
    return Task(
        about="\n".join(_lines(brief, wanted, words)),
        one=f"{one} {words.answer}",
        several=f"{several} {words.answer}",
        avoid=words.avoid,
        taken=tuple(taken),
    )


def _lines(brief: Brief, wanted: Wanted, words: Words) -> list[str]:
    """Returns the lines of an instruction; those that have nothing to say are left out."""
    limits, channel = brief.constraints, brief.environment.channel
    segments = [s for s in brief.segments if wanted.segment in (s.name, None)]
    urgent = [text for text in (brief.time.promotion, brief.time.holiday) if text]
    attributes = (f"{name}: {value}" for name, value in brief.attributes.items())
    rows: list[tuple[str, Sequence[str | None]]] = [
        (words.product, [brief.product]),
        (words.brand, [brief.brand]),
        (words.channel, [load_channel(channel).title if channel else None]),
        (_length(wanted, words), [str(wanted.max_units)]),
        (words.audience, [_audience(segment, words) for segment in segments]),
        (words.time, moment_in(brief.time, words)),
        (words.place, place_in(brief.environment, words)),
        (words.voice, [brief.voice]),
        (words.goals, brief.goals),
        (words.keywords, brief.keywords),
        (words.pictured, [text for each in brief.material for text in each.said()]),
        (words.claims, [*brief.facts, *attributes]),
        (words.proof if limits.allowed_claims else words.no_proof, limits.allowed_claims or ("",)),
        (words.urgency if urgent else words.no_urgency, urgent or [""]),
        (words.added, limits.required_claims),
        (words.never, limits.never_use),
        (words.competitors, limits.competitors),
        (words.figures, [""]),
        (words.winner, [f"“{wanted.winner}”"] if wanted.winner else []),
    ]
    said = [
        line.replace("{}", listed(values, words), 1)
        for line, values in rows
        if any(value is not None for value in values)
    ]
    language = LANGUAGES.get(brief.language, brief.language)
    return [words.role.replace("{language}", language), *said]


def _length(wanted: Wanted, words: Words) -> str:
    if wanted.counting == "characters":
        return words.length
    return f"{words.length} {words.wide}".replace("{half}", str(wanted.max_units // 2))


def _audience(segment: Segment, words: Words) -> str:
    known = [*segment.interests, *segment.behaviour]
    return f"{segment.who} ({listed(known, words)})" if known else segment.who

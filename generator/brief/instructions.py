"""Instructions: a brief in words, for models that converse, in the language of the brief.

A strong model keeps to what it is told, so it is told all that the screen asks for: how long a
text may be, what may be claimed, what grounds there are for urgency and proof, and what must not
be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
import yaml
from msgspec import Meta, Struct

from generator.brief.channels import Counting, load_channel
from generator.brief.prompts import TextForm
from generator.brief.schema import LANGUAGES, Brief, Environment, Segment, Time
from generator.models.base import Task

WEEKDAYS: Final = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip
SEASONS: Final = ("spring", "summer", "autumn", "winter")
DEVICES: Final = ("mobile", "tablet", "desktop", "tv")
FILE: Final = Path(__file__).parent / "instructions.yaml"
Asked = Annotated[tuple[str, ...], Meta(min_length=2, max_length=2)]


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    """What the parts of an instruction are called in one language.

    Days, seasons and devices stand in the order of the brief's schema.
    """

    between: str
    hours: str
    days: tuple[str, ...]
    seasons: tuple[str, ...]
    devices: tuple[str, ...]
    role: str
    product: str
    brand: str
    channel: str
    length: str
    wide: str
    audience: str
    time: str
    place: str
    voice: str
    goals: str
    keywords: str
    pictured: str
    claims: str
    proof: str
    no_proof: str
    urgency: str
    no_urgency: str
    added: str
    never: str
    competitors: str
    figures: str
    winner: str
    avoid: str
    line: Asked
    sentence: Asked
    answer: str


# The file comes with the package and does not change.
WORDS: Final = msgspec.convert(
    yaml.safe_load(FILE.read_text(encoding="utf-8")), dict[str, Words], strict=True
)


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
    known = (brief.language, brief.language.partition("-")[0], "en")
    words = next(WORDS[language] for language in known if language in WORDS)
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
        (words.time, _moment(brief.time, words)),
        (words.place, _place(brief.environment, words)),
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
        line.replace("{}", _listed(values, words), 1)
        for line, values in rows
        if any(value is not None for value in values)
    ]
    language = LANGUAGES.get(brief.language, brief.language)
    return [words.role.replace("{language}", language), *said]


def _length(wanted: Wanted, words: Words) -> str:
    if wanted.counting == "characters":
        return words.length
    return f"{words.length} {words.wide}".replace("{half}", str(wanted.max_units // 2))


def _moment(time: Time, words: Words) -> list[str | None]:
    """Returns when the texts are shown, but for what is a ground for urgency."""
    hours = words.hours.format(*time.hours.split("-")) if time.hours else None
    days = [words.days[WEEKDAYS.index(day)] for day in time.weekdays]
    season = words.seasons[SEASONS.index(time.season)] if time.season else None
    return [time.when, *days, hours, season]


def _place(environment: Environment, words: Words) -> list[str | None]:
    device = words.devices[DEVICES.index(environment.device)] if environment.device else None
    return [environment.site, device, environment.position]


def _audience(segment: Segment, words: Words) -> str:
    known = [*segment.interests, *segment.behaviour]
    return f"{segment.who} ({_listed(known, words)})" if known else segment.who


def _listed(values: Sequence[str | None], words: Words) -> str:
    return words.between.join(" ".join(value.split()) for value in values if value)

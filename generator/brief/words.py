"""What the parts of a brief are called in each language, for prompts and instructions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec
import yaml
from msgspec import Meta, Struct

from generator.brief.schema import Environment, Time

WEEKDAYS: Final = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip
SEASONS: Final = ("spring", "summer", "autumn", "winter")
DEVICES: Final = ("mobile", "tablet", "desktop", "tv")
FILE: Final = Path(__file__).parent / "instructions.yaml"
Asked: TypeAlias = Annotated[tuple[str, ...], Meta(min_length=2, max_length=2)]


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
    headline: str
    description: str


# The file comes with the package and does not change.
WORDS: Final = msgspec.convert(
    yaml.safe_load(FILE.read_text(encoding="utf-8")), dict[str, Words], strict=True
)


def words_of(language: str) -> Words | None:
    """Returns the words of a language, None where there are none of its own."""
    return WORDS.get(language, WORDS.get(language.partition("-")[0]))


def moment_in(time: Time, words: Words) -> list[str | None]:
    """Returns when the texts are shown, but for what is a ground for urgency."""
    hours = words.hours.format(*time.hours.split("-")) if time.hours else None
    days = [words.days[WEEKDAYS.index(day)] for day in time.weekdays]
    season = words.seasons[SEASONS.index(time.season)] if time.season else None
    return [time.when, *days, hours, season]


def place_in(environment: Environment, words: Words) -> list[str | None]:
    """Returns where the texts are shown, but for the channel."""
    device = words.devices[DEVICES.index(environment.device)] if environment.device else None
    return [environment.site, device, environment.position]


def listed(values: Sequence[str | None], words: Words) -> str:
    """Returns values in one line, without those that are missing."""
    return words.between.join(" ".join(value.split()) for value in values if value)

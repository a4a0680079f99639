"""What the gates let through: one YAML file of thresholds, and whatever of it a user changes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import yaml
from msgspec import Meta, Struct

from generator.errors import ThresholdsError
from generator.files import Count, Fraction
from generator.screening.gates.lists import markets
from generator.screening.gates.rules import themes
from streams.files.yaml_text import yaml_value

FILE: Final = Path(__file__).parent / "thresholds.yaml"
CODES: Final = (
    "cut_off", "empty", "length", "fragment", "leaked", "chat", "markup", "characters", "never_use",
    "repeats", "against", "required_claims", "unfounded", "figures", "copied", "profanity",
    "platform", "law", "harm", "language", "off_topic", "grammar", "nonsense", "duplicate",
    "crowding",
)  # fmt: skip
"""The gates in the order in which they run; each is the code of its rejections."""
Percentage: TypeAlias = Annotated[float, Meta(ge=0, le=100)]


class Length(Struct, frozen=True, forbid_unknown_fields=True):
    """How short a text may be; how long, channel and brief say."""

    least_words: Count


class Characters(Struct, frozen=True, forbid_unknown_fields=True):
    """Characters that are let through beside plain ones."""

    extra: str


class LanguageThresholds(Struct, frozen=True, forbid_unknown_fields=True):
    """When a text counts as another language."""

    sure: Fraction
    unlikely: Fraction
    least_words: Count


class Grammar(Struct, frozen=True, forbid_unknown_fields=True):
    """Which complaints count, and words that are right all the same."""

    kinds: tuple[str, ...]
    ignored: tuple[str, ...]


class ProfanityLists(Struct, frozen=True, forbid_unknown_fields=True):
    """What is added to the packaged list, and what is taken out of it."""

    extra: tuple[str, ...]
    allowed: tuple[str, ...]


class Platform(Struct, frozen=True, forbid_unknown_fields=True):
    """Which themes of rules hold."""

    themes: tuple[str, ...]


class Law(Struct, frozen=True, forbid_unknown_fields=True):
    """The markets whose law on advertising holds."""

    markets: tuple[str, ...]


class LikenessSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What reads texts to compare them: a model of sentence-transformers, or none."""

    model: str


class OffTopic(Struct, frozen=True, forbid_unknown_fields=True):
    """How close to the product a text must be; by letters, one at least `letters_from` wide."""

    floor: Annotated[float, Meta(ge=-1, le=1)]
    letters: Annotated[float, Meta(ge=-1, le=1)]
    letters_from: Count


class Duplicate(Struct, frozen=True, forbid_unknown_fields=True):
    """From when on two texts say the same."""

    alike: Percentage
    close: Fraction
    worded: Percentage
    letters: Percentage


class Copied(Struct, frozen=True, forbid_unknown_fields=True):
    """From when on a text is one that the model was shown."""

    nearly_equal: Percentage


class Nonsense(Struct, frozen=True, forbid_unknown_fields=True):
    """How unlikely a text may be."""

    ceiling: Annotated[float, Meta(gt=1)]


class Crowding(Struct, frozen=True, forbid_unknown_fields=True):
    """How distinct a text must be from the `nearest` ones of its set, taken together."""

    floor: Fraction
    letters: Fraction
    nearest: Count


class Thresholds(Struct, frozen=True, forbid_unknown_fields=True):
    """Every gate's settings; `skip` names those that are not run."""

    skip: tuple[str, ...]
    length: Length
    characters: Characters
    language: LanguageThresholds
    grammar: Grammar
    profanity: ProfanityLists
    platform: Platform
    law: Law
    likeness: LikenessSettings
    off_topic: OffTopic
    duplicate: Duplicate
    copied: Copied
    nonsense: Nonsense
    crowding: Crowding


# The file comes with the package and does not change.
@cache
def usual() -> Thresholds:
    """Returns the thresholds that hold unless told otherwise."""
    return msgspec.convert(_read(FILE), Thresholds, strict=True)


def load_thresholds(path: Path | None) -> Thresholds:
    """Returns the usual thresholds with what the file changes of them.

    Raises:
        ThresholdsError: it cannot be read, or something in it is no threshold.
    """
    if path is None:
        return usual()
    changes = _read(path)
    merged = _merged(_read(FILE), changes)
    try:
        found = msgspec.convert(merged, Thresholds, strict=True)
    except msgspec.ValidationError as error:
        raise ThresholdsError(f"{path}: {error}") from error
    for name in found.skip:
        if name not in CODES:
            raise ThresholdsError(f"{path}: skip: {name!r} is no gate; expected {', '.join(CODES)}")
    for theme in found.platform.themes:
        if theme not in themes():
            expected = ", ".join(themes())
            raise ThresholdsError(f"{path}: platform.themes: {theme!r}; expected {expected}")
    for market in found.law.markets:
        if market not in markets():
            expected = ", ".join(markets())
            raise ThresholdsError(f"{path}: law.markets: {market!r}; expected {expected}")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml_value(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ThresholdsError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ThresholdsError(f"{path}: expected thresholds by gate, as `copyloop gates` prints")
    return content


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        inner = base.get(name)
        both = isinstance(inner, dict) and isinstance(value, dict)
        merged[name] = _merged(inner, value) if both else value  # type: ignore[arg-type]
    return merged

"""What a brief may say, version 2, and how one is read: from YAML, JSON, or a `Generation`.

Whoever wrote one that cannot be used is told the file, the line and the field. A change that makes
an older brief mean something else takes a new version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from generator.brief.channels import channel_names, load_channel
from generator.errors import BriefError
from generator.files import FieldError, converted, read_file
from streams.events import AdDetails

Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Texts: TypeAlias = Annotated[tuple[Text, ...], Meta(max_length=16)]
WordList: TypeAlias = Annotated[tuple[Text, ...], Meta(max_length=200)]
Attributes: TypeAlias = Annotated[dict[Text, Text | float | bool], Meta(max_length=32)]
"""Named properties: {"roast": "medium", "weight_g": 250}."""
BRIEF_VERSION: Final = 2
DEFAULT_MAX_CHARACTERS: Final = 60
LANGUAGES: Final = {
    "ar": "Arabic",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "hi": "Hindi",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nb": "Norwegian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
    "zh-Hans": "Simplified Chinese",
    "zh-Hant": "Traditional Chinese",
}
"""The languages that a model can be asked for, by ISO 639-1 code; Chinese by its form as well.

`zh` is the form that the brief itself is written in.
"""

Weekday: TypeAlias = Literal[
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"
]
Scalar: TypeAlias = str | int | float | bool

# The lists are for the schema that others read; `_problems` names them when it refuses.
Language: TypeAlias = Annotated[str, Meta(extra_json_schema={"enum": list(LANGUAGES)})]
ChannelName: TypeAlias = Annotated[str, Meta(extra_json_schema={"enum": list(channel_names())})]


class Material(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file, or a description of one.

    `file` is a path, relative to the brief's own. What is said here wins over what a model sees
    in it: a `description` is taken in its place, and `attributes` in place of those of the same
    name. Without a file the description is all there is.
    """

    kind: Literal["image", "video", "sound"]
    file: Text | None = None
    description: Text | None = None
    attributes: Attributes = {}

    def said(self) -> tuple[str, ...]:
        """Returns the description and the attributes, each as words."""
        described = (self.description,) if self.description else ()
        return (*described, *(f"{name}: {value}" for name, value in self.attributes.items()))


class Segment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some of the audience.

    `behaviour` is what they did before, in words; `context` says which contexts of a placement
    are of this segment, so that it can be learned from what they clicked: {"device": "mobile"}.
    """

    name: Text
    who: Text
    interests: Texts = ()
    behaviour: Texts = ()
    context: Annotated[dict[Text, Scalar], Meta(max_length=16)] = {}


class Time(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the creatives are shown; `when` in free words, the rest where it is known."""

    when: Text | None = None
    weekdays: Annotated[tuple[Weekday, ...], Meta(max_length=7)] = ()
    hours: Annotated[str, Meta(pattern=r"^([01]?\d|2[0-4])-([01]?\d|2[0-4])$")] | None = None
    season: Literal["spring", "summer", "autumn", "winter"] | None = None
    holiday: Text | None = None
    promotion: Text | None = None

    def said(self) -> tuple[str, ...]:
        """Returns it in words."""
        days = ", ".join(day.capitalize() for day in self.weekdays)
        hours = f"{self.hours.replace('-', ' to ')} h" if self.hours else None
        parts = (self.when, days, hours, self.season, self.holiday, self.promotion)
        return tuple(part for part in parts if part)


class Environment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the creatives are shown; the channel sets what is written and how long it may be."""

    channel: ChannelName | None = None
    device: Literal["mobile", "tablet", "desktop", "tv"] | None = None
    site: Text | None = None
    position: Text | None = None

    def said(self) -> tuple[str, ...]:
        """Returns it in words, but for the channel, which is no matter of words."""
        return tuple(part for part in (self.site, self.device, self.position) if part)


class Constraints(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What creatives must keep to.

    `max_characters` holds for headlines where no channel says how long they may be.
    `required_claims` appear word for word in every creative; `allowed_claims` may be made.
    `never_use` are words and phrases that no text may have, `competitors` names of others.
    """

    max_characters: Annotated[int, Meta(ge=15, le=200)] = DEFAULT_MAX_CHARACTERS
    required_claims: Texts = ()
    allowed_claims: Texts = ()
    never_use: WordList = ()
    competitors: WordList = ()


class Brief(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to advertise, to whom, when, where and how.

    `product` says in a few words what it is ("coffee beans by post"), `brand` whose it is.
    `facts` and `attributes` are what a text may claim: a number that is in none of a brief's
    texts is not let through. `keywords` are things to speak of, best in a form that can start a
    headline ("coffee", "slow mornings"). `voice` is how the brand speaks, `goals` what a reader
    should do. `ad` is what each creative has beside its texts, such as where a click leads.
    """

    version: Literal[2] = BRIEF_VERSION
    product: Text
    brand: Text | None = None
    facts: Texts = ()
    attributes: Attributes = {}
    voice: Text | None = None
    segments: Annotated[tuple[Segment, ...], Meta(max_length=16)] = ()
    time: Time = Time()
    environment: Environment = Environment()
    language: Language = "en"
    goals: Texts = ()
    keywords: Texts = ()
    material: Annotated[tuple[Material, ...], Meta(max_length=16)] = ()
    constraints: Constraints = Constraints()
    # Left out where there is none, so that a brief's hash stays what it was in older logs.
    ad: AdDetails | UnsetType = UNSET

    def texts(self) -> tuple[str, ...]:
        """Returns everything that the brief says, apart from what is not to be said."""
        whole = [self.brand, *self.goals, self.voice, *self.time.said(), *self.environment.said()]
        return (
            self.product,
            *self.claims(),
            *self.keywords,
            *(text for text in whole if text is not None),
            *(text for s in self.segments for text in (s.who, *s.interests, *s.behaviour)),
            *(text for material in self.material for text in material.said()),
        )

    def claims(self) -> tuple[str, ...]:
        """Returns what may be claimed: facts, attributes in words, and claims."""
        described = (f"{name} {value}" for name, value in self.attributes.items())
        constraints = self.constraints
        return (
            *self.facts,
            *described,
            *constraints.allowed_claims,
            *constraints.required_claims,
        )

    def unsaid(self) -> tuple[str, ...]:
        """Returns what guides the writer and has no place in a text: voice and environment."""
        return (*((self.voice,) if self.voice else ()), *self.environment.said())


def _problems(brief: Brief) -> Iterator[tuple[str, str]]:
    """Yields the path of a field and what is wrong with it, where types cannot say so."""
    if brief.language not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        yield "language", f"is {brief.language!r}; expected one of {known}"
    channel = brief.environment.channel
    if channel is not None and channel not in channel_names():
        expected = ", ".join(channel_names())
        yield "environment.channel", f"is {channel!r}; expected one of {expected}"
    if brief.ad:
        why = brief.ad.problem()
        if why is None and channel in channel_names():
            why = load_channel(channel).problem_with(brief.ad)
        if why is not None:
            yield "ad", why
    names = [segment.name for segment in brief.segments]
    for position, name in enumerate(names):
        if name in names[:position]:
            yield f"segments[{position}].name", f"is {name!r}, as an earlier one is"
    for position, material in enumerate(brief.material):
        if material.file is None and not material.said():
            yield f"material[{position}]", "has neither a file nor a description"


def _blanks(path: str, value: object) -> Iterator[tuple[str, str]]:
    """Yields the path of each text in the value that is only white space, and a complaint."""
    match value:
        case str():
            if not value.strip():
                yield path, "is blank; write something or leave it out"
        case dict():
            for name, inner in value.items():
                yield from _blanks(f"{path}.{name}".lstrip("."), inner)
        case list() | tuple():
            for position, inner in enumerate(value):
                yield from _blanks(f"{path}[{position}]", inner)


def load_brief(path: Path) -> Brief:
    """Returns the brief in a YAML file, or in a JSON one if its name ends so.

    Raises:
        BriefError: the file cannot be read or is no brief; the message starts `FILE:LINE: FIELD`.
    """
    return read_file(path, _brief, BriefError)


def brief_from_json(data: Raw) -> Brief:
    """Returns the brief that a `Generation` carries.

    Raises:
        BriefError: it is not JSON or no brief; the message starts with the field.
    """
    try:
        return _brief(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, FieldError) as error:
        raise BriefError(str(error)) from error


def brief_to_json(brief: Brief) -> Raw:
    """Returns the brief as a `Generation` carries it; `brief_from_json` reads it back."""
    return Raw(msgspec.json.encode(brief))


def brief_hash(brief: Brief) -> str:
    """Returns what tells this brief from others in a creative's lineage: 16 hexadecimal digits.

    >>> brief_hash(Brief(product="tea")) == brief_hash(Brief(product="tea", language="en"))
    True
    """
    data = msgspec.json.encode(brief, order="deterministic")
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _brief(content: object) -> Brief:
    version = content.get("version", BRIEF_VERSION) if isinstance(content, dict) else BRIEF_VERSION
    if version != BRIEF_VERSION:
        problem = f"is {version!r}; this copyloop reads version {BRIEF_VERSION}"
        raise FieldError("version", problem)
    brief = converted(content, Brief)
    found = [*_blanks("", msgspec.to_builtins(brief)), *_problems(brief)]
    for field, problem in found:
        raise FieldError(field, problem)
    return brief

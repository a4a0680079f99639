"""Briefs: what an advertiser says about a product, checked before a model sees it.

A brief is a small YAML or JSON file, or the JSON that a `Generation` carries. Whoever wrote one
that cannot be used is told the file, the line and the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec
import yaml
from msgspec import Meta, Raw, Struct

from generator.errors import BriefError

BRIEF_VERSION: Final = 1
LANGUAGES: Final = ("en",)
"""The languages that the prompts are written in."""

Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Texts: TypeAlias = Annotated[tuple[Text, ...], Meta(max_length=16)]


class Constraints(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a headline must keep to."""

    max_characters: Annotated[int, Meta(ge=15, le=200)] = 60
    never_use: Annotated[tuple[Text, ...], Meta(max_length=200)] = ()


class Brief(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to advertise, to whom, where and how.

    `product` says in a few words what it is ("coffee beans by post"), `brand` whose it is.
    `facts` are what a headline may claim: a number that is in none of a brief's texts is not
    let through. `keywords` are things to speak of, best in a form that can start a headline
    ("coffee", "slow mornings").
    """

    version: int = 1
    product: Text
    brand: Text | None = None
    facts: Texts = ()
    audience: Text | None = None
    time: Text | None = None
    environment: Text | None = None
    tone: Text | None = None
    language: str = "en"
    keywords: Texts = ()
    constraints: Constraints = Constraints()

    def texts(self) -> tuple[str, ...]:
        """Returns everything that the brief says, apart from its constraints."""
        optional = (self.brand, self.audience, self.time, self.environment, self.tone)
        said = [text for text in optional if text is not None]
        return (self.product, *self.facts, *self.keywords, *said)


def load_brief(path: Path) -> Brief:
    """Returns the brief in a YAML file, or in a JSON one if its name ends so.

    Raises:
        BriefError: the file cannot be read or is no brief; the message starts `FILE:LINE: FIELD`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BriefError(f"{path}: cannot be read: {error}") from error
    if path.suffix == ".json":
        return _from_json(text.encode(), f"{path}: ")
    return _from_yaml(text, path)


def brief_from_json(data: Raw) -> Brief:
    """Returns the brief that a `Generation` carries.

    Raises:
        BriefError: it is not JSON or no brief; the message starts with the field.
    """
    return _from_json(bytes(data), "")


def brief_to_json(brief: Brief) -> Raw:
    """Returns the brief as a `Generation` carries it; `brief_from_json` reads it back."""
    return Raw(msgspec.json.encode(brief))


def _from_json(data: bytes, where: str) -> Brief:
    try:
        brief = msgspec.json.decode(data, type=Brief)
    except msgspec.ValidationError as error:
        field, problem = _split(str(error))
        raise BriefError(f"{where}{field}: {problem}" if field else f"{where}{problem}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BriefError(f"{where}{error}") from error
    for field, problem in _problems(brief):
        raise BriefError(f"{where}{field}: {problem}")
    return brief


def _from_yaml(text: str, path: Path) -> Brief:
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        _no_field_twice(tree, path)
        brief = msgspec.convert(yaml.safe_load(text), Brief, strict=True)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise BriefError(f"{path}{line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise BriefError(f"{path}: not YAML: {error}") from error
    except msgspec.ValidationError as error:
        field, problem = _split(str(error))
        named = f"{field}: " if field else ""
        raise BriefError(f"{path}:{_line(tree, field)}: {named}{problem}") from error
    for field, problem in _problems(brief):
        raise BriefError(f"{path}:{_line(tree, field)}: {field}: {problem}")
    return brief


def _problems(brief: Brief) -> Iterator[tuple[str, str]]:
    """Yields the field and what is wrong with it, where types cannot say so."""
    if brief.version != BRIEF_VERSION:
        yield "version", f"is {brief.version}; this copyloop reads version {BRIEF_VERSION}"
    if brief.language not in LANGUAGES:
        yield "language", f"is {brief.language!r}; expected one of {', '.join(LANGUAGES)}"
    for field, texts in _written(brief):
        if not all(text.strip() for text in texts):
            yield field, "is blank, or has a blank entry; write something or leave it out"


def _written(brief: Brief) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields each field that holds text, and its texts."""
    for field, value in msgspec.structs.asdict(brief).items():
        if isinstance(value, str | tuple):
            yield field, (value,) if isinstance(value, str) else value
    yield "constraints.never_use", brief.constraints.never_use


def _split(message: str) -> tuple[str, str]:
    """Returns msgspec's message as the path of the field (may be empty) and the problem."""
    problem, _, at = message.partition(" - at `$")
    path = at.strip(".`")
    named = re.search(r"(unknown|required) field `(.*)`", problem)
    if named:
        path = f"{path}.{named[2]}".lstrip(".")
        problem = "there is no such field" if named[1] == "unknown" else "is missing"
    return path, problem


def _line(tree: yaml.Node | None, path: str) -> int:
    """Returns the line of the field at `path`, or of what it would be in if it is missing."""
    line = 1
    for step in re.findall(r"[^.\[\]]+", path):
        found = _child(tree, step)
        if found is None:
            break
        tree, line = found
    return line


def _child(tree: yaml.Node | None, step: str) -> tuple[yaml.Node, int] | None:
    if isinstance(tree, yaml.SequenceNode):
        entry = tree.value[int(step)]
        return entry, entry.start_mark.line + 1
    if isinstance(tree, yaml.MappingNode):
        for key, value in tree.value:
            if key.value == step:
                return value, key.start_mark.line + 1
    return None


def _no_field_twice(tree: yaml.Node | None, path: Path) -> None:
    """YAML itself would keep the second one and drop the first without a word."""
    if not isinstance(tree, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in tree.value:
        if key.value in seen:
            raise BriefError(f"{path}:{key.start_mark.line + 1}: {key.value}: is there twice")
        seen.add(key.value)
        _no_field_twice(value, path)

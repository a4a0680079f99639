"""Reads briefs: from a YAML or JSON file, or from the JSON that a `Generation` carries.

Whoever wrote one that cannot be used is told the file, the line and the field.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw

from generator.brief.first_version import NOW_AT, FirstBrief, upgraded
from generator.brief.schema import BRIEF_VERSION, Brief, blanks, problems
from generator.errors import BriefError
from generator.files import FieldError, converted, read_file

AnyBrief: TypeAlias = FirstBrief | Brief
VERSIONS: Final[dict[object, type[AnyBrief]]] = {1: FirstBrief, BRIEF_VERSION: Brief}


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
    version = content.get("version", 1) if isinstance(content, dict) else BRIEF_VERSION
    kind = VERSIONS.get(version) if isinstance(version, int) else None
    if kind is None:
        known = " and ".join(str(known) for known in VERSIONS)
        raise FieldError("version", f"is {version!r}; this copyloop reads versions {known}")
    try:
        brief: AnyBrief = converted(content, kind)
    except FieldError as error:
        hint = _other_version(error.field, kind)
        raise FieldError(error.field, error.problem + hint) from error
    for field, problem in blanks("", msgspec.to_builtins(brief)):
        raise FieldError(field, problem)
    present = upgraded(brief) if isinstance(brief, FirstBrief) else brief
    for field, problem in problems(present):
        raise FieldError(field, problem)
    return present


def _other_version(field: str, kind: type[AnyBrief]) -> str:
    """Returns a hint where the field is one of another version; mixing them up is easy."""
    if kind is FirstBrief:
        own, other = FirstBrief.__struct_fields__, Brief.__struct_fields__
        hint = f" in version 1, which a brief without one is; write version: {BRIEF_VERSION}"
    else:
        own, other = Brief.__struct_fields__, FirstBrief.__struct_fields__
        hint = f"; since version {BRIEF_VERSION} it is {NOW_AT.get(field, '')}"
    return hint if field in other and field not in own else ""

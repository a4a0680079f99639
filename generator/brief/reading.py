"""Reads briefs: from a YAML or JSON file, or from the JSON that a `Generation` carries.

Whoever wrote one that cannot be used is told the file, the line and the field.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import yaml
from msgspec import Raw

from generator.brief.first_version import NOW_AT, FirstBrief, upgraded
from generator.brief.schema import BRIEF_VERSION, Brief, blanks, problems
from generator.errors import BriefError

AnyBrief: TypeAlias = FirstBrief | Brief
VERSIONS: Final[dict[object, type[AnyBrief]]] = {1: FirstBrief, BRIEF_VERSION: Brief}


def load_brief(path: Path) -> Brief:
    """Returns the brief in a YAML file, or in a JSON one if its name ends so.

    Raises:
        BriefError: the file cannot be read or is no brief; the message starts `FILE:LINE: FIELD`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BriefError(f"{path}: cannot be read: {error}") from error
    return brief_from_text(text, str(path), is_json=path.suffix == ".json")


def brief_from_text(text: str, name: str, *, is_json: bool = False) -> Brief:
    """Returns the brief that a file of this name and content holds.

    Raises:
        BriefError: it is no brief; the message starts `NAME:LINE: FIELD`.
    """
    tree = _tree(text, name, is_json=is_json)
    try:
        content = msgspec.json.decode(text) if is_json else yaml.safe_load(text)
    except msgspec.DecodeError as error:
        raise BriefError(f"{name}: not JSON: {error}") from error
    try:
        return _converted(content)
    except _FieldError as error:
        line = _line(tree, error.field)
        raise BriefError(f"{name}:{line}: {error}") from error


def brief_from_json(data: Raw) -> Brief:
    """Returns the brief that a `Generation` carries.

    Raises:
        BriefError: it is not JSON or no brief; the message starts with the field.
    """
    try:
        return _converted(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, _FieldError) as error:
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


class _FieldError(Exception):
    """What is wrong with a field; `field` is its path, empty for the whole."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field


def _converted(content: object) -> Brief:
    version = content.get("version", 1) if isinstance(content, dict) else BRIEF_VERSION
    kind = VERSIONS.get(version) if isinstance(version, int) else None
    if kind is None:
        known = " and ".join(str(known) for known in VERSIONS)
        raise _FieldError("version", f"is {version!r}; this copyloop reads versions {known}")
    try:
        brief: AnyBrief = msgspec.convert(content, kind, strict=True)
    except msgspec.ValidationError as error:
        field, problem = _split(str(error))
        raise _FieldError(field, problem + _other_version(field, kind)) from error
    for field, problem in blanks("", msgspec.to_builtins(brief)):
        raise _FieldError(field, problem)
    present = upgraded(brief) if isinstance(brief, FirstBrief) else brief
    for field, problem in problems(present):
        raise _FieldError(field, problem)
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


def _split(message: str) -> tuple[str, str]:
    """Returns msgspec's message as the path of the field (may be empty) and the problem."""
    problem, _, at = message.partition(" - at `")
    path = at.removeprefix("key in `").strip("`").removeprefix("$").strip(".")
    named = re.search(r"(unknown|required) field `(.*)`", problem)
    if named:
        path = f"{path}.{named[2]}".lstrip(".")
        problem = "there is no such field" if named[1] == "unknown" else "is missing"
    return path, problem


def _tree(text: str, name: str, *, is_json: bool) -> yaml.Node | None:
    """Returns the file with its positions; None for JSON of a form that YAML does not know.

    Raises:
        BriefError: it is not YAML, or a field is there twice.
    """
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        if is_json:
            return None
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise BriefError(f"{name}{line}: not YAML: {problem}") from error
    _no_field_twice(tree, name)
    return tree


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


def _no_field_twice(tree: yaml.Node | None, name: str) -> None:
    """Both YAML and JSON would keep the second one and drop the first without a word."""
    if isinstance(tree, yaml.SequenceNode):
        for entry in tree.value:
            _no_field_twice(entry, name)
    if not isinstance(tree, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in tree.value:
        if key.value in seen:
            raise BriefError(f"{name}:{key.start_mark.line + 1}: {key.value}: is there twice")
        seen.add(key.value)
        _no_field_twice(value, name)

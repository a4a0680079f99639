"""Files: YAML and JSON whose errors tell line and field, and hashes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import msgspec
import yaml
from msgspec import Meta

from generator.errors import GeneratorError
from streams.files.yaml_text import yaml_tree, yaml_value

T = TypeVar("T")
Count: TypeAlias = Annotated[int, Meta(ge=1)]
AboveZero: TypeAlias = Annotated[float, Meta(gt=0.0)]
NotNegative: TypeAlias = Annotated[float, Meta(ge=0.0)]
Fraction: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
"""Of these are the numbers in files of settings."""


class FieldError(Exception):
    """What is wrong with a field; `field` is its path, empty for the whole; `problem` says what."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field, self.problem = field, problem


def read_file(path: Path, made: Callable[[object], T], error: type[GeneratorError]) -> T:
    """Returns what `made` makes of a file's content: YAML, or JSON if its name ends so.

    Raises:
        GeneratorError: an `error`, whose message starts `FILE:LINE: FIELD` where `made` raised a
            `FieldError`, the file is neither YAML nor JSON, or a field is in it twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise error(f"{path}: cannot be read: {cause}") from cause
    is_json = path.suffix == ".json"
    tree = _tree(text, path, error, is_json=is_json)
    try:
        content = msgspec.json.decode(text) if is_json else yaml_value(text)
    except msgspec.DecodeError as cause:
        raise error(f"{path}: not JSON: {cause}") from cause
    try:
        return made(content)
    except FieldError as cause:
        cut = "" if is_json else _cut_at_comma(text, tree, cause.field)
        raise error(f"{path}:{_line(tree, cause.field)}: {cause}{cut}") from cause


def converted(content: object, kind: type[T]) -> T:
    """Returns the content as a struct.

    Raises:
        FieldError: it is none.
    """
    try:
        return msgspec.convert(content, kind, strict=True)
    except msgspec.ValidationError as error:
        raise FieldError(*_split(str(error))) from error


def _split(message: str) -> tuple[str, str]:
    """Returns msgspec's message as the path of the field (may be empty) and the problem."""
    problem, _, at = message.partition(" - at `")
    path = at.removeprefix("key in `").strip("`").removeprefix("$").strip(".")
    named = re.search(r"(unknown|required) field `(.*)`", problem)
    if named:
        path = f"{path}.{named[2]}".lstrip(".")
        problem = "there is no such field" if named[1] == "unknown" else "is missing"
    return path, problem


def _tree(text: str, path: Path, error: type[GeneratorError], *, is_json: bool) -> yaml.Node | None:
    """Returns the file with its positions; None for JSON of a form that YAML does not know."""
    try:
        tree = yaml_tree(text)
    except yaml.YAMLError as cause:
        if is_json:
            return None
        mark = getattr(cause, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(cause, "problem", None) or cause
        raise error(f"{path}{line}: not YAML: {problem}") from cause
    _no_field_twice(tree, path, error)
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


def _cut_at_comma(text: str, tree: yaml.Node | None, path: str) -> str:
    """Returns what to do where the field is part of a number that YAML cut at its comma."""
    steps = re.findall(r"[^.\[\]]+", path)
    for step in steps[:-1]:
        found = _child(tree, step)
        tree = found[0] if found else None
    if not isinstance(tree, yaml.SequenceNode) or not steps[-1:] or not steps[-1].isdecimal():
        return ""
    place = int(steps[-1])
    for first, second in cut_numbers(text, tree):
        if place in (first, second):
            one = text[tree.value[first].start_mark.index : tree.value[second].end_mark.index]
            return f'; YAML parts a list at each comma; if {one} is one entry, write "{one}"'
    return ""


def cut_numbers(text: str, entries: yaml.SequenceNode) -> Iterator[tuple[int, int]]:
    """Yields the places of neighbours in a list that are one number in the text, as 1,5 is."""
    for place, (first, second) in enumerate(pairwise(entries.value)):
        plain = first.start_mark.line == second.start_mark.line and not (
            first.style or second.style
        )
        around = text[max(first.end_mark.index - 1, 0) : second.start_mark.index + 4]
        if entries.flow_style and plain and re.match(r"\d,\d{1,3}(?!\d)", around):
            yield place, place + 1


def cut_in_file(path: Path) -> set[tuple[str, str]]:
    """Returns neighbours in lists of a YAML file that are one number in it, each as it reads."""
    text = path.read_text(encoding="utf-8")
    found, waiting = set(), [yaml_tree(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
            cut = cut_numbers(text, node)
            found |= {(str(node.value[a].value), str(node.value[b].value)) for a, b in cut}
    return found


def _child(tree: yaml.Node | None, step: str) -> tuple[yaml.Node, int] | None:
    if isinstance(tree, yaml.SequenceNode):
        entry = tree.value[int(step)]
        return entry, entry.start_mark.line + 1
    if isinstance(tree, yaml.MappingNode):
        for key, value in tree.value:
            if key.value == step:
                return value, key.start_mark.line + 1
    return None


def _no_field_twice(tree: yaml.Node | None, path: Path, error: type[GeneratorError]) -> None:
    """Both YAML and JSON would keep the second one and drop the first without a word."""
    if isinstance(tree, yaml.SequenceNode):
        for entry in tree.value:
            _no_field_twice(entry, path, error)
    if not isinstance(tree, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in tree.value:
        if key.value in seen:
            raise error(f"{path}:{key.start_mark.line + 1}: {key.value}: is there twice")
        seen.add(key.value)
        _no_field_twice(value, path, error)


def files_hash(paths: Iterable[Path]) -> str:
    """Returns the SHA-256 of files, names and contents, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            inner = hashlib.file_digest(file, "sha256")
        digest.update(f"{path.name}:{inner.hexdigest()}\n".encode())
    return digest.hexdigest()

"""Builds `copyloop_client` from this repository: `bandit.client` and the modules that it imports.

The client lives in one place. Its distribution holds the same modules under names of its own, so
that it can be installed beside the server or anything else called `bandit`.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent
RENAMED = {"bandit.client": "copyloop_client", "bandit": "copyloop_client._bandit"}
"""Where the modules go, the longest name first; what is not in here keeps its last name."""
START = "bandit.client"


def new_name(module: str) -> str:
    """Returns what a module of the repository is called in the package.

    >>> new_name("bandit.client.wire"), new_name("streams.logs.base")
    ('copyloop_client.wire', 'copyloop_client._streams.logs.base')
    """
    for old, new in (*RENAMED.items(), ("streams", "copyloop_client._streams")):
        if module == old or module.startswith(f"{old}."):
            return new + module[len(old) :]
    return module


def imported(source: str) -> Iterator[str]:
    """Yields the modules of the repository that a source may import, and names within them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        elif isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in ("bandit", "streams"))


def needed(root: Path) -> dict[str, Path]:
    """Returns the client's modules and all that they import from the repository."""
    found: dict[str, Path] = {}
    todo = [START]
    while todo:
        module = todo.pop()
        place = root.joinpath(*module.split("."))
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if module not in found and file.exists():
            found[module] = file
            todo += imported(file.read_text())
    return found


def write_package(root: Path, target: Path) -> None:
    """Writes the package into the folder `target`, in place of an earlier one."""
    shutil.rmtree(target / "copyloop_client", ignore_errors=True)
    for module, file in needed(root).items():
        place = target.joinpath(*new_name(module).split("."))
        out = place / "__init__.py" if file.name == "__init__.py" else place.with_suffix(".py")
        out.parent.mkdir(parents=True, exist_ok=True)
        source = re.sub(
            r"\b(?:bandit|streams)(?:\.\w+)+",
            lambda match: new_name(match[0]),
            file.read_text(),
        )
        out.write_text(source)
    for folder in (target / "copyloop_client").rglob("*"):
        if folder.is_dir():
            (folder / "__init__.py").touch()
    (target / "copyloop_client" / "py.typed").touch()


class CustomBuildHook(BuildHookInterface):
    """Writes the package before hatchling packs it."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Builds the package beside this file."""
        write_package(HERE.parents[1], HERE)

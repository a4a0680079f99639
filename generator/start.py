"""Starts the `copyloop` command once the package `bandit` that Python finds is copyloop's own.

A linter has the same name. An environment that holds both has files of either in one folder.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from generator.errors import PackageOverwritten
from streams.process import run_command

MARKS = {"__init__.py": b"replay", "__main__.py": b"streams.process", "policy.py": b"pmf"}
"""What stands in files of ours and in none of the linter's."""


def main() -> None:
    """Runs the command line; an error prints its code and message, and exits with 2."""
    run_command(_checked, PackageOverwritten)


def _checked() -> None:
    check_package()
    from generator.commands.main import main

    main()


def check_package() -> None:
    """Returns if the files of the package `bandit` are copyloop's.

    Raises:
        PackageOverwritten: some are of another distribution.
    """
    package = find_spec("bandit")
    (folder,) = map(Path, package.submodule_search_locations or ()) if package else (Path(),)
    for name, mark in MARKS.items():
        file = folder / name
        if not file.exists() or mark not in file.read_bytes():
            raise PackageOverwritten(
                f"{file} is not copyloop's: another distribution called bandit, a linter, is "
                "installed here as well, and has overwritten files. Keep the linter elsewhere "
                "(pipx install bandit): pip uninstall bandit, then install copyloop again with "
                "pip install --force-reinstall --no-deps"
            )

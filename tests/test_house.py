"""What holds for the project as a whole."""

import re
import subprocess
import sys

import pytest

from tests.readme import ROOT


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("streams", ["numpy", "pyarrow", "torch", "fastapi"]),
        ("bandit", ["fastapi", "torch", "vowpal_wabbit_next"]),
        ("bandit.policies", ["fastapi", "torch", "vowpal_wabbit_next"]),
        ("generator", ["torch", "transformers"]),
        ("generator.commands.main", ["torch", "transformers", "fastapi", "numpy", "pyarrow"]),
    ],
)
def test_importing_a_package_does_not_load_what_it_may_not_need(package, heavy):
    code = f"import sys, {package}; print([m for m in {heavy!r} if m in sys.modules])"
    assert python(code) == "[]"


def test_every_file_and_folder_that_the_architecture_names_is_there():
    named = re.findall(r"`([\w./]+(?:/|\.py|\.md))`", (ROOT / "docs/architecture.md").read_text())
    assert len(named) > 50
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_test_that_the_security_page_names_is_there():
    rows = [line.split(" | ")[-1] for line in (ROOT / "SECURITY.md").read_text().splitlines()]
    named = re.findall(
        r"`([\w./]+(?:\.py|/))`", "\n".join(row for row in rows if row.endswith(" |"))
    )
    assert len(named) > 30
    known = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    there = [(ROOT / "tests" / name).exists() if "/" in name else name in known for name in named]
    assert [name for name, is_there in zip(named, there, strict=True) if not is_there] == []

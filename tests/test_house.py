"""What holds for the project as a whole."""

import subprocess
import sys

import pytest


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

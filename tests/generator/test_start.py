"""Installed beside the linter that has the name of one of our packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINTER = "bandit==1.9.4"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with our packages, as pip would have installed them."""
    folder = tmp_path_factory.mktemp("site")
    for package in ("streams", "bandit", "generator"):
        shutil.copytree(ROOT / package, folder / package)
    return folder


def copyloop(site, *words):
    """Runs the command with the packages of that folder before all others."""
    return subprocess.run(
        [sys.executable, "-P", "-c", "from generator.start import main; main()", *words],
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_files_of_the_linter_are_noticed_and_the_way_out_is_told(site):
    assert copyloop(site, "--version").stdout.startswith("copyloop ")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade"]
    subprocess.run([*pip, "--target", site, LINTER], check=True, timeout=120)
    for words in (["--version"], ["doctor"], ["up"]):
        done = copyloop(site, *words)
        assert done.returncode == 2
        assert done.stderr.startswith("copyloop: package_overwritten: ")
        assert f"{site / 'bandit'}" in done.stderr
        assert "pip uninstall bandit" in done.stderr

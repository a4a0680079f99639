"""Runs a script of tests/node under Node, with the clients that `make node` installed there."""

import json
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent / "node"


def run_script(name, *arguments, timeout_seconds=120):
    """Returns the JSON that the last line of the script's output is."""
    node = shutil.which("node")
    assert node, "there is no node; make node installs it"
    assert (FOLDER / "node_modules").is_dir(), "the JavaScript clients are missing; make node"
    done = subprocess.run(
        [node, str(FOLDER / name), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])

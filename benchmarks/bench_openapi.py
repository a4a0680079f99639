"""Does the API ever answer with a 5xx, or with what its OpenAPI document does not say?

Schemathesis asks for long, by chance and one request after another as they lead to each other;
the bounded run of the tests is the baseline.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bandit.service.test_api_server import served
from tests.bandit.service.test_openapi import CHECKS, LAST, STREAM

SEED = 20
RUNS = {
    "bounded": ["--phases", "examples,coverage,fuzzing", "--max-examples", "3"],
    "long": ["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "200"],
}


@pytest.mark.parametrize("run", RUNS)
def test_no_answer_is_off_its_document(benchmark, run, tmp_path):
    done = benchmark.pedantic(asked, (tmp_path, RUNS[run]), rounds=1)
    cases = re.search(r"(\d+) generated", done.stdout)
    assert cases, done.stdout[-2000:]
    failures = re.search(r"found (\d+) unique failure", done.stdout)
    benchmark.extra_info.update(
        cases=int(cases[1]), failures=int(failures[1]) if failures else 0, checks=len(CHECKS)
    )
    assert done.returncode == 0, done.stdout[-6000:]


def asked(directory, options):
    with served(directory / "data") as (_, api):
        api.placement("home")
        command = [str(Path(sys.executable).with_name("st")), "run", f"{api.url}/openapi.json"]
        command += ["--exclude-path", STREAM, "--exclude-path", LAST, "--checks", ",".join(CHECKS)]
        command += ["--seed", str(SEED), "--continue-on-failure", "--no-color", *options]
        command += ["--suppress-health-check", "all", "--request-timeout", "60"]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)

"""The README's examples run, as they stand."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bandit.client import Client
from bandit.service.settings import Settings
from tests.running import copyloop_up

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)


def commands():
    """Every command of the console blocks; a quoted body may go over several lines."""
    for block in BLOCKS:
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = command.splitlines()
            # a command ends with the first line at which its quotes are balanced
            for end in range(1, len(lines) + 1):
                try:
                    yield shlex.split("\n".join(lines[:end]), comments=True)
                    break
                except ValueError:
                    continue
            else:
                raise AssertionError(f"unbalanced quotes in the README: {command}")


CURL = [words for words in commands() if words[0] == "curl"]


def send(client, words, event_id):
    method, body, path = "GET", None, None
    rest = iter(words[1:])
    for word in rest:
        match word:
            case "-X":
                method = next(rest)
            case "-H":
                next(rest)
            case "-d":
                body = json.loads(next(rest))
                method = "POST" if method == "GET" else method
            case _:
                if "localhost:8080" in word:
                    path = word.partition("localhost:8080")[2]
    assert path is not None, words
    return client.request(method, path.replace("EVENT_ID", event_id), body)


def test_the_curl_examples_work_one_after_the_other(tmp_path):
    assert len(CURL) >= 4
    event_id = ""
    with copyloop_up(tmp_path, "--no-generator") as url:
        client = Client(url)
        for words in CURL:
            answer = send(client, words, event_id)
            if isinstance(answer, dict) and "event_id" in answer:
                event_id = answer["event_id"]
        client.close()
    assert event_id


NAMED = sorted({tuple(w[1:3]) for w in commands() if w[0] == "copyloop" and len(w) > 1})


@pytest.mark.parametrize("words", NAMED, ids=" ".join)
def test_every_copyloop_command_of_the_readme_exists(words):
    command = [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)]
    run = [sys.executable, "-m", "generator.cli", *command, "--help"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_every_make_target_of_the_readme_exists():
    makefile = (ROOT / "Makefile").read_text()
    for words in commands():
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), words


@pytest.mark.parametrize("field", msgspec.structs.fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_in_the_readme(field):
    assert f"COPYLOOP_{field.name.upper()}" in README

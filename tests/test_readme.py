"""The README's examples run, as they stand."""

import re
import subprocess

import msgspec
import pytest

from bandit.client import Client
from bandit.service.settings import Settings
from tests.readme import README, ROOT, commands, section, send
from tests.running import COPYLOOP, copyloop_up


def test_the_curl_examples_work_one_after_the_other(tmp_path):
    text = section("Run it") + section("Several slots at once") + section("Resources")
    curl = [words for words in commands(text) if words[0] == "curl"]
    assert len(curl) >= 7
    event_id = ""
    with copyloop_up(tmp_path, "--no-generator") as url:
        client = Client(url)
        for words in curl:
            answer = send(client, words, event_id)
            if isinstance(answer, dict) and "event_id" in answer:
                event_id = answer["event_id"]
        client.close()
    assert event_id


NAMED = sorted({tuple(w[1:3]) for w in commands() if w[0] == "copyloop" and len(w) > 1})


@pytest.mark.parametrize("words", NAMED, ids=" ".join)
def test_every_copyloop_command_of_the_readme_exists(words):
    command = [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)]
    run = [*COPYLOOP, *command, "--help"]
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

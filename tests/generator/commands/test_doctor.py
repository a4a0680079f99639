"""`copyloop generator doctor`: what there is to compute with, and what a file asks for in vain."""

import json

from typer.testing import CliRunner

from generator.commands.main import app, generator_app
from generator.models.devices import pick_device


def run(*words):
    return CliRunner().invoke(generator_app, ["doctor", "--format", "json", *map(str, words)])


def test_it_says_what_is_used_and_does_not_take_the_place_of_the_loop_s_doctor(tmp_path):
    found = run("--accelerate", tmp_path / "none.yaml")
    assert found.exit_code == 0, found.output
    rows = {row["of"]: row for row in json.loads(found.stdout)}
    assert rows["device"]["used"] == pick_device().name
    assert rows["accelerate"]["found"] == "no configuration"
    own = CliRunner().invoke(app, ["generator", "doctor", "--help"])
    loops = CliRunner().invoke(app, ["doctor", "--help"])
    assert "what is missing" in " ".join(own.output.split())
    assert "lag" in loops.output


def test_what_cannot_be_had_ends_it_with_1(tmp_path):
    config = tmp_path / "train.yaml"
    config.write_text("quantize: 4bit\n")
    found = run("--config", config, "--accelerate", tmp_path / "none.yaml")
    rows = {row["of"]: row for row in json.loads(found.stdout)}
    missing = not rows["4 and 8 bits"]["fine"]
    assert found.exit_code == missing
    assert missing or pick_device().name == "cuda"

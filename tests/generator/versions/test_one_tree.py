"""`copyloop up --finetune` as it is started: a round by itself, through a kill, in one tree."""

import contextlib
import json
import time

import msgspec
import psutil
import pytest

from bandit.client import Client
from generator.training.config import SftConfig
from streams.logs.sqlite import SqliteLog
from tests.generator.data.made_log import made_log
from tests.generator.training.conftest import quick
from tests.running import copyloop_up

PATIENCE_SECONDS = 240
MARK = 123.0
"""A loss that no training has, put into a checkpoint to see who goes on from it."""


def eventually(look):
    """Returns what `look` finds, once it finds anything."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
    return found


def process_named(name, data):
    """Returns the process that `copyloop up` on this folder runs under this name."""
    [up] = [each for each in psutil.Process().children() if str(data) in each.cmdline()]
    return next((each for each in up.children() if name in each.cmdline()), None)


def mark(checkpoints):
    """Has every checkpoint that was written to its end remember a loss that nobody had."""
    for state in checkpoints.glob("*/trainer_state.json"):
        with contextlib.suppress(ValueError):  # killed in the midst of writing it
            kept = json.loads(state.read_bytes())
            kept["log_history"].append({"loss": MARK, "step": 1})
            state.write_text(json.dumps(kept))


@pytest.mark.timeout(600)  # some 30 seconds of one core, which others may share
def test_a_round_goes_on_after_a_kill_and_its_version_is_adopted_once(ground, tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    made_log(products=("coffee", "tea"), shown=2500, log=log)
    log.close()
    config, gate = tmp_path / "train.json", tmp_path / "gate.json"
    long = quick(ground, method="sft", sft=SftConfig(epochs=60.0, learning_rate=0.001))
    config.write_bytes(msgspec.json.encode(long))
    gate.write_text('{"sampling": {"samples": 2, "most_new_tokens": 8}}')
    options = ["--model", ground.model, "--finetune", "--finetune-pairs", "1"]
    options += ["--finetune-look-seconds", "0.5", "--finetune-config", str(config)]
    options += ["--finetune-gate", str(gate)]
    here = tmp_path / "generator" / "rounds" / "000001"
    with copyloop_up(tmp_path, *options) as url, Client(url, timeout_seconds=60.0) as client:

        def versions():
            return client.request("GET", "/v1/generator/versions")["items"]

        checkpoints = here / "run" / "checkpoints" / "sft"
        eventually(lambda: list(checkpoints.glob("*/trainer_state.json")))
        killed = process_named("teach", tmp_path)
        [training] = killed.children()
        killed.kill()
        psutil.wait_procs([training], timeout=PATIENCE_SECONDS)
        mark(checkpoints)
        assert versions() == []
        [version] = eventually(versions)
        # The round is over, and a few looks later nothing was taught or adopted again.
        eventually((here / "done").exists)
        time.sleep(2.0)
        assert [each["id"] for each in versions()] == [version["id"]]
        assert process_named("teach", tmp_path).pid != killed.pid
    manifest = msgspec.json.decode((here / "run" / "manifest.json").read_bytes())
    assert MARK in [step.get("loss") for step in manifest["steps"]], "it was begun anew"
    assert version["status"] == "rejected"
    assert "pass_rate: " in version["reason"]
    assert [step["status"] for step in version["steps"]] == ["rejected"]
    assert [folder.name for folder in (tmp_path / "generator" / "versions").iterdir()] == [
        version["id"]
    ]
    said = (tmp_path / "up.log").read_text()
    assert "teach     | was killed by signal 9; starts again" in said
    assert f"version {version['id']} is rejected: pass_rate" in said
    assert said.count("INFO round 000001 is over, code 3") == 1

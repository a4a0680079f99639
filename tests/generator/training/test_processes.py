"""Trainings in processes of their own: killed ones, and two that train together."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from generator.models.opening import read_manifest
from generator.training.config import AdapterConfig, Manifest, SftConfig
from generator.training.finetune import finetune
from tests.generator.training.conftest import quick
from tests.readme import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
COMMAND = ["-m", "generator", "finetune"]


@contextlib.contextmanager
def running(*words):
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def written(folder, config):
    path = folder / "finetune.json"
    path.write_bytes(msgspec.json.encode(config))
    return path


def wait_for(process, checkpoints, number):
    while not list(checkpoints.glob(f"checkpoint-{number}*/trainer_state.json")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


def test_a_stopped_and_then_killed_training_goes_on_to_the_same_adapter(ground, tmp_path):
    config = quick(ground, method="sft", sft=SftConfig(epochs=80.0, learning_rate=0.001))
    words = (*COMMAND, ground.dataset, tmp_path / "run", "--config", written(tmp_path, config))
    checkpoints = tmp_path / "run" / "checkpoints" / "sft"
    with running(*words) as process:
        wait_for(process, checkpoints, "3")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=100)
    assert (process.returncode, "training_stopped" in said) == (2, True), said
    with running(*words) as process:
        wait_for(process, checkpoints, "12")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=100)
    assert not (tmp_path / "run" / "manifest.json").exists()
    # As a kill in the midst of writing one leaves it.
    (checkpoints / "checkpoint-9999").mkdir()
    with running(*words, "--format", "json") as process:
        out, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    whole = finetune(ground.dataset, tmp_path / "whole", config)
    resumed = msgspec.convert(json.loads(out), type(whole))
    assert resumed == read_manifest(tmp_path / "run" / "manifest.json", Manifest)
    assert resumed.adapter_sha256 == whole.adapter_sha256


def test_two_processes_train_what_one_does_with_twice_the_batch(ground, tmp_path):
    """Rows are shared out and gradients averaged: but for rounding it is the same sum."""
    shape = AdapterConfig(rank=4, dropout=0.0, targets=("v_proj",))
    one = quick(ground, batch=4, adapter=shape)
    alone = finetune(ground.dataset, tmp_path / "alone", one)
    two = msgspec.structs.replace(one, batch=2)
    launch = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", 2)
    launch += ("--num_machines", 1, "--mixed_precision", "no", "--dynamo_backend", "no")
    words = (*launch, *COMMAND, ground.dataset, tmp_path / "both")
    with running(*words, "--config", written(tmp_path, two), "--format", "json") as process:
        out, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    both = msgspec.convert(json.loads(out), type(alone))  # so one process alone printed
    assert both.processes == 2
    assert both.rows == alone.rows
    assert len(both.steps) == len(alone.steps)
    for step, other in zip(both.steps, alone.steps, strict=True):
        assert step["step"] == other["step"]
        for name in {"loss", "grad_norm"} & step.keys():
            assert step[name] == pytest.approx(other[name], rel=0.02), (name, step["step"])
    for metric, value in alone.metrics.items():
        assert both.metrics[metric] == pytest.approx(value, rel=0.01), metric

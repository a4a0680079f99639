"""Configurations of accelerate's: those that the README names are parsed, and run on two CPUs."""

import json
import re

import pytest

from generator.errors import TrainingConfigError
from generator.models.devices import Gpu, Machine
from generator.settings import launched_with
from generator.training.config import SftConfig
from generator.training.launching import examine_launch, read_launch
from tests.generator.training.conftest import quick
from tests.generator.training.test_processes import COMMAND, running, written
from tests.readme import ROOT

CPU = Machine((), False, False, True, 2, 2**33, frozenset())
GPUS = CPU._replace(gpus=(Gpu("A100", 2**36, 2**36),) * 4, gpu_bf16=True)
README = (ROOT / "generator" / "README.md").read_text()
NAMED = re.findall(r"```yaml\n# (\S+\.yaml): accelerate[^\n]*\n(.*?)```", README, re.S)


def test_the_readme_names_some():
    assert {name for name, _ in NAMED} == {"gpus.yaml", "machines.yaml", "deepspeed.yaml"}


@pytest.mark.parametrize(("name", "text"), NAMED, ids=[name for name, _ in NAMED])
def test_accelerate_reads_what_the_readme_names(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    found = examine_launch(path, GPUS._replace(packages=frozenset({"deepspeed"})))
    assert found[0].fine, found
    missing = [row for row in examine_launch(path, GPUS) if not row.fine]
    assert [row.used for row in missing] == ["pip install deepspeed"] * (name == "deepspeed.yaml")


@pytest.mark.parametrize("name", ["gpus.yaml", "machines.yaml"])
def test_two_cpu_processes_train_by_it(ground, tmp_path, name):
    """With the same file; only how many there are is said anew, and that it is one machine."""
    path = tmp_path / name
    path.write_text(dict(NAMED)[name])
    config = quick(ground, method="sft", sft=SftConfig(epochs=1.0, learning_rate=0.01))
    launch = ("-m", "accelerate.commands.launch", "--config_file", path, "--num_processes", 2)
    launch += ("--num_machines", 1, "--machine_rank", 0, "--main_process_ip", "127.0.0.1")
    words = (*launch, *COMMAND, ground.dataset, tmp_path / "run", "--format", "json")
    with running(*words, "--config", written(tmp_path, config)) as process:
        out, said = process.communicate(timeout=280)
    assert process.returncode == 0, said
    assert json.loads(out)["processes"] == 2
    assert "copyloop: sft 2 updates" in said


@pytest.mark.parametrize(
    ("text", "used"),
    [
        ("distributed_type: FSDP", "FSDP spreads the weights"),
        ("distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 3}", "stage 3 spreads"),
    ],
)
def test_what_spreads_the_weights_is_refused(tmp_path, text, used):
    path = tmp_path / "default.yaml"
    path.write_text(
        f"compute_environment: LOCAL_MACHINE\nnum_processes: 2\nuse_cpu: false\n"
        f"mixed_precision: 'no'\ndebug: false\n{text}\n"
    )
    row = examine_launch(path, GPUS)[0]
    assert not row.fine
    assert used in row.used


def test_a_file_that_is_none_of_accelerate_s_is_said(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("compute_environment: LOCAL_MACHINE\nnumber: 2\n")
    with pytest.raises(TrainingConfigError, match=r"wrong.yaml: accelerate cannot read it"):
        read_launch(path)
    assert examine_launch(tmp_path / "none.yaml", CPU)[0].used.startswith("one process")


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, None),
        ({"ACCELERATE_USE_FSDP": "true"}, "FSDP"),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2"}, None),
        (
            {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
            "DeepSpeed's stage 3",
        ),
    ],
)
def test_how_a_process_was_launched_is_read(environment, asked):
    assert launched_with(environment) == asked

"""What a training says that it will take, and that it stops where it cannot have it."""

import re

import pytest
from msgspec.structs import replace

from generator.errors import TrainingConfigError, TrainingTooLarge
from generator.training import needs as needs_module
from generator.training.config import AdapterConfig, GrpoConfig
from generator.training.finetune import finetune
from tests.generator.training.conftest import quick

METHODS = ["sft", "dpo", "kto", "loop", "reward"]


def told(ground, out, config):
    found = []
    finetune(ground.dataset, out, config, told=found.append)
    [needs] = found
    return needs


@pytest.mark.parametrize("method", METHODS)
def test_the_updates_that_are_told_are_those_that_are_made(ground, tmp_path, method):
    steps, found = [], []
    config = quick(ground, method=method)
    finetune(ground.dataset, tmp_path / "run", config, progress=steps.append, told=found.append)
    for stage in found[0].stages:
        [total] = {step.total for step in steps if step.stage == stage.stage}
        assert stage.updates == total, stage
        assert stage.tokens > 1


def test_memory_grows_with_what_takes_it_and_shrinks_with_what_spares_it(ground, tmp_path):
    base = quick(ground, method="sft")
    usual = told(ground, tmp_path / "usual", base)
    larger = told(ground, tmp_path / "larger", replace(base, batch=12))
    spared = told(ground, tmp_path / "spared", replace(base, gradient_checkpointing=True))
    wider = told(
        ground,
        tmp_path / "wider",
        replace(base, adapter=AdapterConfig(rank=16, targets=("q_proj", "v_proj"))),
    )
    assert larger.batch == 3 * usual.batch
    assert spared.batch < usual.batch
    assert wider.adapter == 4 * usual.adapter
    assert usual.memory == usual.weights + usual.adapter + usual.batch
    said = usual.words()
    assert re.match(r"sft 12 updates; about .* MB of memory beside .*; about \d+ seconds$", said)


def test_what_cannot_fit_stops_before_it_begins(ground, tmp_path, monkeypatch):
    monkeypatch.setattr(needs_module, "free_memory", lambda: 10_000)
    steps = []
    with pytest.raises(TrainingTooLarge, match=r"nothing was begun. gradient_checkpointing") as big:
        finetune(ground.dataset, tmp_path / "run", quick(ground), progress=steps.append)
    assert big.value.code == "training_too_large"
    assert not steps
    assert not (tmp_path / "run").exists()


def test_kto_on_a_batch_of_one_is_told_by_its_field(ground, tmp_path):
    config = quick(ground, method="kto", batch=1, accumulate=8)
    with pytest.raises(TrainingConfigError, match=r"^batch: is 1; expected 2 or more"):
        finetune(ground.dataset, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_updates_of_grpo_are_counted_by_groups(ground, tmp_path):
    config = quick(ground, method="grpo", batch=8, grpo=GrpoConfig(reward="none", group=4))
    rows, device = needs_module.Dataset([], [], [], {}), None
    stage = needs_module._Stages(config, rows, None, 1).of("grpo")
    assert (stage.rows, stage.updates, device) == (0, 0, None)

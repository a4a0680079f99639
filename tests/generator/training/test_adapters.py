"""What holds of an adapter of every kind, and what each kind is refused."""

import json

import pytest
import torch
from peft import AdaLoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from generator.data.dataset import read_dataset
from generator.errors import TrainingConfigError, TrainingError
from generator.models.base import Sampling
from generator.models.transformers import TransformersBackend
from generator.training.adapters import PARENTS, save_adapter
from generator.training.config import AdapterConfig, KtoConfig, SftConfig
from generator.training.finetune import finetune
from generator.training.rows import END
from tests.generator.training.conftest import quick, resumed

SMALL = {"rank": 4, "targets": ("q_proj", "v_proj")}
SHAPES = {
    "lora": AdapterConfig(**SMALL),
    "adalora": AdapterConfig(kind="adalora", start_rank=6, **SMALL),
    "prefix": AdapterConfig(kind="prefix", positions=4),
}
RATES = SftConfig(epochs=4.0, learning_rate=0.05)


@pytest.fixture(scope="module", params=SHAPES)
def taught(request, ground, tmp_path_factory):
    """Returns a kind, and the folder and manifest of a supervised run with it."""
    out = tmp_path_factory.mktemp(request.param) / "run"
    config = quick(ground, method="sft", adapter=SHAPES[request.param], sft=RATES)
    return request.param, out, finetune(ground.dataset, out, config)


def test_the_generator_reads_as_it_was_trained(ground, taught):
    _, out, manifest = taught
    metrics = manifest.metrics
    assert metrics["sft/held_out_loss"] < metrics["sft/held_out_loss_before"]
    backend = TransformersBackend(ground.model, name="tiny")
    adapter = str(out / "adapter")
    held_out = [row for row in read_dataset(ground.dataset)[0].imitate if row.split == "test"]
    total = tokens = 0.0
    for row in held_out:  # byte for byte, so a text has as many tokens as it has characters
        [found] = backend.surprise([row.text + END], after=row.prompt, adapter=adapter)
        total, tokens = total + found * len(row.text + END), tokens + len(row.text + END)
    assert total / tokens == pytest.approx(metrics["sft/held_out_loss"], rel=2e-3)


def test_the_generator_writes_with_one_and_then_another_and_bare(ground, taught):
    _, out, _ = taught
    backend = TransformersBackend(ground.model, name="tiny")
    prompts = ['Product: tea\nHeadline: "', 'Product: warm boots\nHeadline: "'] * 4
    sampling = Sampling('"\n', 24, temperature=0.5)
    adapter = str(out / "adapter")
    bare = backend.complete(prompts, sampling, seed=1)
    ours = backend.complete(prompts, sampling, seed=1, adapter=adapter)
    assert [c.text for c in ours] != [c.text for c in bare]
    assert backend.complete(prompts, sampling, seed=1) == bare
    assert backend.complete(prompts, sampling, seed=1, adapter=adapter) == ours


def test_it_goes_on_where_it_was_stopped(ground, taught, tmp_path):
    _, _, whole = taught
    again = resumed(ground, tmp_path / "run", whole.config, after=8)
    assert again.adapter_sha256 == whole.adapter_sha256


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_later_methods_go_on_from_it(ground, taught, tmp_path, method):
    _, out, manifest = taught
    config = quick(ground, method=method, parent=str(out), adapter=None, kto=KtoConfig(epochs=1.0))
    made = finetune(ground.dataset, tmp_path / "run", config)
    assert made.parent_sha256 is not None
    assert made.adapter_sha256 != manifest.adapter_sha256
    shapes = [
        json.loads((folder / "adapter" / "adapter_config.json").read_bytes())["peft_type"]
        for folder in (out, tmp_path / "run")
    ]
    assert shapes[0] == shapes[1]
    assert shapes[0] in PARENTS


@pytest.mark.parametrize("taught", ["adalora"], indirect=True)
def test_adalora_keeps_so_many_directions_and_leaves_a_lora(taught):
    _, out, _ = taught
    weights = load_file(out / "adapter" / "adapter_model.safetensors")
    kept = [int((w != 0).any(dim=1).sum()) for name, w in weights.items() if "lora_A" in name]
    assert sum(kept) == 4 * len(kept)
    assert max(kept) <= 6


def test_adalora_is_kept_as_the_lora_that_computes_the_same(ground, tmp_path):
    load = AutoModelForCausalLM.from_pretrained
    shape = AdaLoraConfig(init_r=6, target_r=4, total_step=9, target_modules=["q_proj", "v_proj"])
    adapted = get_peft_model(load(ground.model, dtype=torch.float32), shape)
    for name, weights in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weights, std=0.5)
    save_adapter(adapted, tmp_path)
    plain = load(ground.model, dtype=torch.float32)
    plain.load_adapter(str(tmp_path))
    read = AutoTokenizer.from_pretrained(ground.model)("Warm tea", return_tensors="pt")
    with torch.inference_mode():
        expected, found = adapted.eval()(**read).logits, plain.eval()(**read).logits
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("adapter", "changes", "says"),
    [
        ({"kind": "prefix", "rank": 4}, {}, "adapter.rank: is of no use to prefix"),
        ({"positions": 4}, {}, "adapter.positions: is of no use to lora"),
        ({"free": 0.2}, {}, "adapter.free: is of no use to lora"),
        ({"kind": "adalora", "start_rank": 8}, {}, "expected more than rank, 8"),
        ({"kind": "adalora", "free": 0.5, "settled": 0.5}, {}, "adapter.settled: with free it"),
        ({"kind": "adalora"}, {"method": "kto"}, "kto compares with a copy"),
        ({"kind": "prefix"}, {"gradient_checkpointing": True}, "a prefix lives in the cache"),
    ],
)
def test_what_does_not_go_together_is_refused(ground, tmp_path, adapter, changes, says):
    config = quick(ground, adapter=AdapterConfig(**adapter), **changes)
    with pytest.raises(TrainingConfigError, match=says):
        finetune(ground.dataset, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("taught", ["prefix"], indirect=True)
def test_a_parent_s_kind_is_asked_too(ground, taught, tmp_path):
    _, out, _ = taught
    config = quick(ground, parent=str(out), adapter=None, gradient_checkpointing=True)
    with pytest.raises(TrainingConfigError, match="a prefix lives in the cache"):
        finetune(ground.dataset, tmp_path / "run", config)
    adapter = tmp_path / "other"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    (adapter / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    config = quick(ground, parent=str(adapter), adapter=None)
    with pytest.raises(TrainingError, match="is a IA3 adapter; expected one of LORA"):
        finetune(ground.dataset, tmp_path / "run", config)

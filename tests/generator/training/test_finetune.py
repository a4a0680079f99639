"""Trainings of a tiny model: what they learn, leave behind, and refuse."""

import json
import threading
from importlib.util import find_spec

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import _telemetry
from safetensors.torch import load_file

from generator.data.dataset import Dataset, EvidenceThresholds, read_dataset, write_dataset
from generator.errors import BackendMissing, DatasetError, TrainingError, TrainingStopped
from generator.models.base import Sampling
from generator.models.opening import read_manifest
from generator.models.transformers import TransformersBackend
from generator.training.config import AdapterConfig, DpoConfig, Manifest, SftConfig
from generator.training.finetune import finetune
from tests.generator.training.conftest import quick, resumed


@pytest.fixture(scope="module")
def looped(ground, tmp_path_factory):
    """Returns the folder of a run of `loop`, with its manifest and what it told of its steps."""
    out = tmp_path_factory.mktemp("looped") / "run"
    told = []
    return out, finetune(ground.dataset, out, quick(ground), progress=told.append), told


@pytest.fixture(scope="module")
def imitated(ground, tmp_path_factory):
    """Returns the folder of a supervised run, and its manifest."""
    out = tmp_path_factory.mktemp("imitated") / "sft"
    return out, finetune(ground.dataset, out, quick(ground, method="sft"))


def test_a_loop_imitates_and_then_prefers(looped):
    _, manifest, told = looped
    metrics = manifest.metrics
    assert metrics["sft/held_out_loss"] < metrics["sft/held_out_loss_before"]
    assert metrics["dpo/held_out_margin"] > metrics["dpo/held_out_margin_before"]
    assert manifest.rows["imitate/train"] == manifest.rows["prefer/train"] == 12
    assert [step.stage for step in told] == ["sft"] * 12 + ["dpo"] * 12
    assert (told[-1].done, told[-1].total) == (12, 12)


def test_a_single_update_learns_too(ground, tmp_path):
    once = quick(ground, method="sft", batch=64, sft=SftConfig(epochs=1.0, learning_rate=0.01))
    made = finetune(ground.dataset, tmp_path / "run", once)
    weights = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    moved = [float(each.abs().max()) for name, each in weights.items() if "lora_B" in name]
    assert made.rows["imitate/train"] == 12
    assert moved == pytest.approx([0.01] * len(moved), rel=0.01), "Adam's first step is the rate"


def test_nobody_is_told_of_a_training(ground, tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(_telemetry, "_start_telemetry_thread", lambda: None)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr(_telemetry._TELEMETRY_QUEUE, "put", sent.append)
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    _telemetry.send_telemetry("a/topic")
    assert sent  # so this is how it would be seen
    sent.clear()
    finetune(ground.dataset, tmp_path / "run", quick(ground, method="sft"))
    assert not sent


def test_a_run_leaves_an_adapter_and_its_manifest_alone(looped):
    out, manifest, _ = looped
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert files == [
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "manifest.json",
    ]
    assert read_manifest(out / "manifest.json", Manifest) == manifest
    shape = json.loads((out / "adapter" / "adapter_config.json").read_bytes())
    assert shape["base_model_name_or_path"] == manifest.config.model


def test_the_generator_writes_with_the_adapter(ground, looped):
    backend = TransformersBackend(ground.model, name="tiny")
    out, _, _ = looped
    prompts = ['Product: tea\nHeadline: "'] * 8
    sampling = Sampling('"\n', 24, temperature=0.5)
    bare = [c.text for c in backend.complete(prompts, sampling, seed=1)]
    taught = backend.complete(prompts, sampling, seed=1, adapter=str(out / "adapter"))
    assert [c.text for c in taught] != bare


def test_a_run_is_repeated_from_its_manifest(ground, looped, tmp_path):
    out, before, _ = looped
    again = finetune(ground.dataset, tmp_path / "again", before.config, before=before)
    assert again.adapter_sha256 == before.adapter_sha256
    weights = "adapter/adapter_model.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (out / weights).read_bytes()


def test_a_run_is_not_repeated_on_other_rows(ground, looped, tmp_path):
    dataset, card = read_dataset(ground.dataset)
    write_dataset(
        dataset, tmp_path / "rows", log=card.log, thresholds=EvidenceThresholds(effective_n=7.0)
    )
    with pytest.raises(TrainingError, match="cannot be repeated with other data"):
        finetune(tmp_path / "rows", tmp_path / "run", looped[1].config, before=looped[1])
    # another text, with the same counts and so the same card
    first, *others = dataset.imitate
    changed = dataset._replace(imitate=[first._replace(text="Another"), *others])
    write_dataset(changed, tmp_path / "rows", log=card.log, thresholds=card.thresholds)
    assert read_dataset(tmp_path / "rows")[1] == card
    with pytest.raises(TrainingError, match="cannot be repeated with other data"):
        finetune(tmp_path / "rows", tmp_path / "run", looped[1].config, before=looped[1])


def test_preference_starts_from_a_supervised_run_alone(ground, looped, imitated, tmp_path):
    out, manifest, _ = looped
    with pytest.raises(TrainingError, match="was made by loop; expected a run of sft"):
        finetune(
            ground.dataset,
            tmp_path / "run",
            quick(ground, method="dpo", parent=str(out), adapter=None),
        )
    then = quick(ground, method="dpo", parent=str(imitated[0]), adapter=None)
    made = finetune(ground.dataset, tmp_path / "dpo", then)
    # Step for step the same as in one go.
    assert made.adapter_sha256 == manifest.adapter_sha256
    assert made.parent_sha256 is not None


def test_the_anchor_holds_what_was_imitated(ground, imitated, tmp_path):
    made = {}
    for name, anchor in (("with", 1.0), ("without", 0.0)):
        config = quick(
            ground,
            method="dpo",
            parent=str(imitated[0]),
            adapter=None,
            dpo=DpoConfig(epochs=4.0, learning_rate=0.01, anchor=anchor),
        )
        made[name] = finetune(ground.dataset, tmp_path / name, config).adapter_sha256
    assert made["with"] != made["without"]


def test_judged_texts_move_apart_and_leave_one_adapter(ground, imitated, tmp_path):
    config = quick(ground, method="kto", parent=str(imitated[0]), adapter=None)
    made = resumed(ground, tmp_path / "run", config, after=8)
    assert made.rows == {"judge/train": 24, "judge/test": 12}
    assert made.metrics["kto/held_out_good_moved"] > made.metrics["kto/held_out_bad_moved"] + 1.0
    assert [path.name for path in (tmp_path / "run" / "adapter").iterdir() if path.is_dir()] == []
    whole = finetune(ground.dataset, tmp_path / "whole", config)
    assert made.adapter_sha256 == whole.adapter_sha256


@pytest.mark.parametrize("after", [1, 7, 14])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(ground, looped, tmp_path, after):
    stop = threading.Event()
    steps = []

    def told(step):
        steps.append(step)
        if len(steps) == after:
            stop.set()

    config = looped[1].config
    with pytest.raises(TrainingStopped, match="the same call goes on"):
        finetune(ground.dataset, tmp_path / "run", config, progress=told, stop=stop)
    assert len(steps) == after
    assert not (tmp_path / "run" / "manifest.json").exists()
    made = finetune(ground.dataset, tmp_path / "run", config, progress=steps.append)
    assert len(steps) == 24
    assert made.adapter_sha256 == looped[1].adapter_sha256


def test_a_folder_belongs_to_one_training(ground, looped, tmp_path):
    out, manifest, _ = looped
    with pytest.raises(TrainingError, match="holds a finished training already"):
        finetune(ground.dataset, out, manifest.config)
    with pytest.raises(TrainingStopped):
        finetune(ground.dataset, tmp_path / "run", manifest.config, stop=lambda: True)
    with pytest.raises(TrainingError, match="is of another training"):
        finetune(ground.dataset, tmp_path / "run", quick(ground, seed=2))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(TrainingError, match="holds other files"):
        finetune(ground.dataset, tmp_path / "mine", manifest.config)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "mine"


def test_rows_that_cannot_be_taught_are_counted(ground, tmp_path):
    dataset, card = read_dataset(ground.dataset)
    long, ends = (dataset.imitate[0]._replace(text=text) for text in ("x" * 600, 'so "good"'))
    rows = Dataset([*dataset.imitate, long, ends], dataset.prefer, [], {})
    write_dataset(rows, tmp_path / "rows", log=card.log, thresholds=card.thresholds)
    made = finetune(tmp_path / "rows", tmp_path / "run", quick(ground, method="sft"))
    assert made.rows["left_out/too_long"] == made.rows["left_out/end_within_text"] == 1
    assert made.rows["imitate/train"] == 12


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"model": "nowhere/at/all"}, TrainingError, "expected smollm2, a folder"),
        ({"adapter": AdapterConfig(targets=("c_attn",))}, TrainingError, "does not fit the model"),
        ({"parent": "/nowhere", "adapter": None}, TrainingError, "holds no adapter"),
        ({"parent": "/nowhere"}, TrainingError, "of no use beside parent"),
        ({"report_to": ("wandb",)}, BackendMissing, "pip install wandb"),
        ({"quantize": "4bit"}, TrainingError, "needs an NVIDIA GPU"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(ground, tmp_path, changes, error, says):
    if "quantize" in changes and torch.cuda.is_available():
        pytest.skip("is about machines without an NVIDIA GPU")
    if "report_to" in changes and find_spec("wandb") is not None:
        pytest.skip("is about machines without wandb")
    with pytest.raises(error, match=says):
        finetune(ground.dataset, tmp_path / "run", quick(ground, **changes))


@pytest.mark.parametrize(
    ("method", "says"), [("sft", "--method dpo"), ("dpo", "--method sft"), ("kto", "takes both")]
)
def test_a_dataset_without_rows_for_the_method_is_refused(ground, tmp_path, method, says):
    write_dataset(
        Dataset([], [], [], {}), tmp_path / "rows", log=(), thresholds=EvidenceThresholds()
    )
    with pytest.raises(DatasetError, match=says):
        finetune(tmp_path / "rows", tmp_path / "run", quick(ground, method=method))


def test_it_stops_early_where_the_held_out_loss_rises_and_keeps_the_best(ground, tmp_path):
    config = quick(ground, method="sft", patience=1, sft=SftConfig(epochs=60.0, learning_rate=0.2))
    made = finetune(ground.dataset, tmp_path / "run", config)
    seen = [step["eval_loss"] for step in made.steps if "eval_loss" in step]
    assert len(seen) < 60  # one every third of 180 updates
    assert made.metrics["sft/held_out_loss"] == pytest.approx(min(seen), rel=0.01)


def test_the_adapter_is_float32_and_checkpointed_gradients_change_nothing(
    ground, imitated, tmp_path
):
    config = quick(ground, method="sft", gradient_checkpointing=True)
    checked = finetune(ground.dataset, tmp_path / "checked", config)
    out, plain = imitated
    first, second = (
        load_file(folder / "adapter" / "adapter_model.safetensors")
        for folder in (tmp_path / "checked", out)
    )
    assert {weights.dtype for weights in first.values()} == {torch.float32}
    assert checked.metrics == pytest.approx(plain.metrics, rel=1e-3)
    assert all(torch.allclose(first[name], second[name], atol=1e-3) for name in first)

"""Adapters in a local model: named per call, and away again."""

import shutil

import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from generator.errors import BackendError
from generator.models.base import Sampling, ended
from generator.models.devices import pick_device
from generator.models.transformers import TransformersBackend

GREEDY = Sampling("\x00", 12, temperature=1e-4, top_p=0.5)
PROMPTS = ["tea for", "coffee that", "a night train to"]


def opened(model, name):
    found = TransformersBackend(model, name=name)
    found._model.float()
    return found


@pytest.fixture(scope="module")
def backend(tiny):
    return opened(tiny.model, "tiny")


@pytest.fixture(scope="module")
def merged(tiny):
    return opened(tiny.merged, "merged")


def texts(backend, **options):
    return [c.text for c in backend.complete(PROMPTS, GREEDY, seed=1, **options)]


def test_an_adapter_writes_what_the_model_merged_with_it_writes(backend, merged, tiny):
    bare = texts(backend)
    adapted = backend.complete(PROMPTS, GREEDY, seed=1, adapter=tiny.adapter)
    assert [c.text for c in adapted] == texts(merged)
    assert {(c.model, c.adapter) for c in adapted} == {("tiny", tiny.adapter)}
    assert texts(backend) == bare != texts(merged)


def test_an_adapter_is_loaded_once(backend, tiny):
    texts(backend, adapter=tiny.adapter)
    texts(backend, adapter=tiny.adapter)
    assert list(backend._adapters) == [tiny.adapter]


def test_an_adapter_without_some_of_its_weights_is_refused(tiny, tmp_path):
    opened = TransformersBackend(tiny.model, name="tiny")
    torn = shutil.copytree(tiny.adapter, tmp_path / "torn")
    weights = load_file(torn / "adapter_model.safetensors")
    weights.popitem()
    save_file(weights, torn / "adapter_model.safetensors")
    with pytest.raises(BackendError, match="no weights for 1 of its parts"):
        texts(opened, adapter=str(torn))


def test_a_second_adapter_leaves_the_first_as_it_was(tiny, tmp_path, capfd):
    second = opened(tiny.model, "tiny")
    other = shutil.copytree(tiny.adapter, tmp_path / "other")
    weights = load_file(other / "adapter_model.safetensors")
    turned = {name: -value if "lora_B" in name else value for name, value in weights.items()}
    save_file(turned, other / "adapter_model.safetensors")
    first = texts(second, adapter=tiny.adapter)
    assert texts(second, adapter=str(other)) != first
    assert "MISSING" not in capfd.readouterr().err
    assert texts(second, adapter=tiny.adapter) == first


def test_a_prefix_stands_before_each_prompt_and_leaves_the_rest_alone(backend, tiny, tmp_path):
    torch.manual_seed(0)
    # As the backend loaded its own, which may round.
    model = AutoModelForCausalLM.from_pretrained(tiny.model, dtype=pick_device().dtype).float()
    shape = PrefixTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM")
    adapted = get_peft_model(model, shape)
    adapted.save_pretrained(tmp_path)
    bare, lora = texts(backend), texts(backend, adapter=tiny.adapter)
    prefixed = texts(backend, adapter=str(tmp_path))
    assert prefixed == [greedily(adapted, backend._tokenizer, prompt) for prompt in PROMPTS]
    assert prefixed != bare
    assert (texts(backend), texts(backend, adapter=tiny.adapter)) == (bare, lora)
    assert texts(backend, adapter=str(tmp_path)) == prefixed


def greedily(model, tokenizer, prompt):
    """Returns the likeliest text, read anew for every token as in training."""
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    before = ids.shape[1]
    for _ in range(GREEDY.max_new_tokens):
        with torch.inference_mode():
            likeliest = model(input_ids=ids).logits[:, -1].argmax(-1)
        ids = torch.cat([ids, likeliest[:, None]], dim=-1)
        if likeliest.item() == tokenizer.eos_token_id:
            break
    return ended(
        tokenizer.decode(ids[0, before:], skip_special_tokens=True), "\x00", by_itself=False
    )


def test_a_prefix_of_another_model_is_named(backend, tiny, tmp_path):
    shape = PrefixTuningConfig(
        num_virtual_tokens=5, num_layers=3, token_dim=32, num_attention_heads=4,
        task_type="CAUSAL_LM", inference_mode=True,
    )  # fmt: skip
    shape.save_pretrained(tmp_path)
    save_file({"prompt_embeddings": torch.zeros(5, 192)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(BackendError, match="has 192 numbers a position, and the model wants 128"):
        texts(backend, adapter=str(tmp_path))


def test_the_model_itself_is_left_as_it_was(tiny):
    opened = TransformersBackend(tiny.model, name="tiny")
    before = {n: w.clone() for n, w in opened._model.named_parameters() if "lora" not in n}
    texts(opened, adapter=tiny.adapter)
    after = {n.replace(".base_layer", ""): w for n, w in opened._model.named_parameters()}
    assert all(torch.equal(weights, after[name]) for name, weights in before.items())


@pytest.mark.parametrize("named", ["nowhere/at/all", "an_empty_folder"])
def test_an_adapter_that_cannot_be_had_is_named(backend, tmp_path, named):
    if named == "an_empty_folder":
        named = str(tmp_path)
    bare = texts(backend)
    with pytest.raises(BackendError, match="cannot be loaded into tiny: expected a folder"):
        texts(backend, adapter=named)
    assert texts(backend) == bare

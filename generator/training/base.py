"""The model that an adapter is trained for, and the adapter: new, or a parent's."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import (
    PeftConfig,
    PeftModel,
    get_peft_model,
    load_peft_weights,
    set_peft_model_state_dict,
)
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from generator.errors import BackendMissing, TrainingError
from generator.models.adapters import ADAPTER, MANIFEST, WEIGHTS, Origin, read_manifest
from generator.models.base import SMOLLM2
from generator.models.device import Device
from generator.models.opening import model_folder, weights_hash
from generator.models.transformers import quietly
from generator.training.adapters import new_adapter
from generator.training.config import AdapterConfig, FinetuneConfig


class Base(NamedTuple):
    """A model with a trainable adapter, its tokenizer, and the hash of its own weights."""

    model: Any
    tokenizer: Any
    sha256: str


def load_base(config: FinetuneConfig, device: Device, *, parent: Path | None) -> Base:
    """Returns the model with an adapter to train, its first values drawn by the config's seed.

    The model's own weights stay as they are, in the device's type, and in float32 if it scores; the
    adapter's are float32.

    Raises:
        BackendMissing: the packaged model is not installed.
        TrainingError: model or parent cannot be loaded, or the adapter does not fit the model.
    """
    folder = model_folder(config.model)
    bits = _quantization(config, device)
    scores = config.method == "reward"
    # A head that is trained wants float32, and its input has to be of the same type.
    loader: Any = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    kind: dict[str, Any] = {"num_labels": 1, "dtype": torch.float32} if scores else {}
    torch.manual_seed(config.seed)
    try:
        with quietly(heads=scores):
            model = loader.from_pretrained(
                config.model if config.model != SMOLLM2 else folder,
                quantization_config=bits,
                **({"dtype": device.dtype} | kind),
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise TrainingError(f"model {config.model!r} cannot be loaded: {error}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # The cache would be in the way of gradient checkpointing, and nothing is generated.
    model.config.use_cache = False
    torch.manual_seed(config.seed)
    adapted = _adapted(model, config, parent)
    # With a name in place of a folder, peft asks the hub about it whenever it saves.
    adapted.peft_config["default"].base_model_name_or_path = str(folder)
    return Base(adapted, tokenizer, weights_hash(folder))


def _adapted(model: Any, config: FinetuneConfig, parent: Path | None) -> Any:
    try:
        if parent is not None:
            return _gone_on_from(model, str(parent))
        shape, scores = config.adapter or AdapterConfig(), config.method == "reward"
        return new_adapter(model, shape, scores=scores)
    except (OSError, ValueError, RuntimeError) as error:
        named = f"adapter {str(parent)!r}" if parent else "adapter.targets"
        raise TrainingError(
            f"{named} does not fit the model {config.model!r}; expected names of its linear "
            f"layers (all-linear takes them all), or an adapter of it: {error}"
        ) from error


def _gone_on_from(model: Any, parent: str) -> Any:
    shape: Any = PeftConfig.from_pretrained(parent)
    if not shape.is_prompt_learning:
        return PeftModel.from_pretrained(model, parent, is_trainable=True)
    # peft loads a prefix for writing alone, so a new one is made and given the values.
    shape.inference_mode = False
    adapted = get_peft_model(model, shape)
    set_peft_model_state_dict(adapted, load_peft_weights(parent, device="cpu"))
    return adapted


def _quantization(config: FinetuneConfig, device: Device) -> Any:
    if config.quantize is None:
        return None
    if device.name != "cuda":
        raise TrainingError(
            f"quantize: {config.quantize} needs an NVIDIA GPU, and this is {device.name}; "
            "leave it out here"
        )
    if find_spec("bitsandbytes") is None:
        raise BackendMissing("quantize wants bitsandbytes; pip install bitsandbytes")
    import transformers

    bits: Any = transformers.BitsAndBytesConfig
    return bits(
        load_in_4bit=config.quantize == "4bit",
        load_in_8bit=config.quantize == "8bit",
        bnb_4bit_compute_dtype=device.dtype,
        bnb_4bit_quant_type="nf4",
    )


def parent_adapter(config: FinetuneConfig) -> Path | None:
    """Returns the folder of the adapter that a training goes on from.

    Raises:
        TrainingError: there is none, or it comes from anything but supervised fine-tuning:
            preferences taught on top of preferences drift where nobody looked.
    """
    if config.parent is None:
        return None
    folder = Path(config.parent)
    if (folder / MANIFEST).exists():
        method = read_manifest(folder / MANIFEST, Origin).config.method
        if method != "sft":
            raise TrainingError(
                f"parent {config.parent}: was made by {method}; expected a run of sft, from "
                "which every later version starts"
            )
        folder = folder / ADAPTER
    if not (folder / WEIGHTS).exists():
        raise TrainingError(f"parent {config.parent}: holds no adapter ({WEIGHTS})")
    return folder

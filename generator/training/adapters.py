"""The model that is trained and its adapter: new or a parent's, of which kind, and how it is saved.

LoRA and a prefix train as they are. AdaLoRA begins with more directions than it may keep and has
to be told after every update which it gives up; what it leaves behind is a LoRA adapter.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from peft import (
    AdaLoraConfig,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    get_peft_model,
    load_peft_weights,
    set_peft_model_state_dict,
)
from safetensors.torch import load_file, save, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)

from generator.errors import BackendMissing, TrainingConfigError, TrainingError
from generator.models.base import SHAPE, SMOLLM2
from generator.models.devices import Device
from generator.models.opening import (
    ADAPTER,
    MANIFEST,
    WEIGHTS,
    Origin,
    model_folder,
    read_manifest,
    weights_hash,
)
from generator.models.transformers import quietly
from generator.training.config import AdapterConfig, AdapterKind, FinetuneConfig
from streams.files.writing import BY_UMASK, write_whole


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


ALLOTTED: Final = "allotted.safetensors"
"""What AdaLoRA knows of its directions, in each checkpoint."""
PARENTS: Final[dict[str, AdapterKind]] = {"LORA": "lora", "PREFIX_TUNING": "prefix"}
"""The kinds of adapters that a training goes on from, by peft's names."""
OF_LORA: Final = ("rank", "alpha", "dropout", "targets")
OWN: Final[dict[AdapterKind, tuple[str, ...]]] = {
    "lora": OF_LORA,
    "adalora": (*OF_LORA, "start_rank", "free", "settled"),
    "prefix": ("positions",),
}
"""The fields that each kind reads."""


def check_adapter(config: FinetuneConfig, parent: Path | None) -> None:
    """Returns if the adapter, new or a parent's, can be trained as the configuration says.

    Raises:
        TrainingConfigError: it cannot; the message names the field.
        TrainingError: the parent is of a kind that is not gone on from.
    """
    adapter = config.adapter or AdapterConfig()
    kind = adapter.kind if parent is None else _kind_of(parent)
    if parent is None:
        _check_fields(adapter)
    if kind == "prefix" and config.gradient_checkpointing:
        raise TrainingConfigError(
            "gradient_checkpointing: a prefix lives in the cache, which checkpointed layers do "
            "without; leave it out, or take adapter.kind lora"
        )
    if kind == "adalora" and config.method in ("kto", "grpo"):
        raise TrainingConfigError(
            f"adapter.kind: adalora allows one adapter a model, and {config.method} compares with "
            "a copy; train sft with it first and give that run as parent, or take lora"
        )


def _check_fields(adapter: AdapterConfig) -> None:
    usual = AdapterConfig()
    for name in adapter.__struct_fields__:
        of_others = name != "kind" and name not in OWN[adapter.kind]
        if of_others and getattr(adapter, name) != getattr(usual, name):
            raise TrainingConfigError(
                f"adapter.{name}: is of no use to {adapter.kind}, which reads "
                f"{', '.join(OWN[adapter.kind])}; leave it out"
            )
    if adapter.kind == "adalora" and start_rank(adapter) <= adapter.rank:
        raise TrainingConfigError(
            f"adapter.start_rank: is {start_rank(adapter)}; expected more than rank, "
            f"{adapter.rank}, or there is nothing to give up"
        )
    if adapter.free + adapter.settled >= 1.0:
        raise TrainingConfigError(
            f"adapter.settled: with free it makes {adapter.free + adapter.settled:g} of the "
            "updates; expected less than 1, as directions are given up in between"
        )


def _kind_of(folder: Path) -> AdapterKind:
    try:
        name = json.loads((folder / SHAPE).read_bytes())["peft_type"]
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"parent {folder}: {SHAPE} cannot be read: {error}") from error
    if name not in PARENTS:
        raise TrainingError(
            f"parent {folder}: is a {name} adapter; expected one of {', '.join(PARENTS)}"
        )
    return PARENTS[name]


def start_rank(adapter: AdapterConfig) -> int:
    """Returns how many directions each matrix of AdaLoRA begins with: half as many more, unsaid."""
    return adapter.start_rank or adapter.rank + (adapter.rank + 1) // 2


def new_adapter(model: Any, adapter: AdapterConfig, *, scores: bool = False) -> Any:
    """Returns the model with an adapter of this shape, ready to be trained.

    Args:
        model: it is changed in place.
        adapter: the shape.
        scores: whether the model scores texts, and its head is trained too.
    """
    shape = _shape_of(adapter)
    if scores:
        shape.task_type = "SEQ_CLS"
    adapted = get_peft_model(model, shape)
    for name, weights in adapted.named_parameters():
        # AdaLoRA divides by it; peft takes it for a weight to train, and saves it nowhere.
        if "ranknum" in name:
            weights.requires_grad_(False)
    return adapted


def _shape_of(adapter: AdapterConfig) -> PeftConfig:
    if adapter.kind == "prefix":
        return PrefixTuningConfig(num_virtual_tokens=adapter.positions, task_type="CAUSAL_LM")
    targets: Any = "all-linear" if "all-linear" in adapter.targets else list(adapter.targets)
    known: dict[str, Any] = {
        "lora_alpha": adapter.alpha,
        "lora_dropout": adapter.dropout,
        "target_modules": targets,
        "task_type": "CAUSAL_LM",
    }
    if adapter.kind == "lora":
        return LoraConfig(r=adapter.rank, **known)
    # How many updates there will be is known only once it trains (`Allotting`).
    return AdaLoraConfig(init_r=start_rank(adapter), target_r=adapter.rank, total_step=1, **known)


class Allotting(TrainerCallback):
    """Has AdaLoRA give up directions as the training goes on (Zhang et al. 2023, section 3.2).

    peft would shorten what it saves by what is given up, and a checkpoint like that fits neither
    the model nor its optimizer. So peft is shown the pattern only while it works on it.
    """

    def __init__(self, model: Any, adapter: AdapterConfig) -> None:
        self._tuner, self._adapter = model.base_model, adapter
        self._shape: Any = model.peft_config["default"]
        self._pattern: dict[str, list[bool]] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Fits the schedule to the number of updates, and takes up what a checkpoint knew."""
        total = state.max_steps
        self._shape.total_step = total
        self._shape.tinit = int(self._adapter.free * total)
        self._shape.tfinal = int(self._adapter.settled * total)
        if state.global_step:
            self._load(_checkpoint(args, state) / ALLOTTED, args.device)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Weighs the directions, and gives up the least of them."""
        # Of an update that did not happen the gradients overflowed.
        if not getattr(known.get("optimizer"), "step_was_skipped", False):
            self._shape.rank_pattern = self._pattern
            self._tuner.update_and_allocate(state.global_step + 1)
            self._pattern, self._shape.rank_pattern = self._shape.rank_pattern, None

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keeps what it knows beside the weights."""
        if state.is_world_process_zero:
            found = save(self._known())
            write_whole(_checkpoint(args, state) / ALLOTTED, found, mode=BY_UMASK)

    def _known(self) -> dict[str, torch.Tensor]:
        allocator = self._tuner.rankallocator
        averages = {"ipt": allocator.exp_avg_ipt, "unc": allocator.exp_avg_unc}
        found = {f"{kind}/{name}": t for kind, of in averages.items() for name, t in of.items()}
        found |= {f"kept/{name}": torch.tensor(k) for name, k in (self._pattern or {}).items()}
        return {name: tensor.contiguous() for name, tensor in found.items()}

    def _load(self, path: Path, device: Any) -> None:
        allocator = self._tuner.rankallocator
        kept: dict[str, list[bool]] = {}
        for name, tensor in load_file(path, device=str(device)).items():
            kind, _, of = name.partition("/")
            if kind == "kept":
                kept[of] = tensor.tolist()
            else:
                getattr(allocator, f"exp_avg_{kind}")[of] = tensor
                # Overwritten with the next gradients; peft makes all three when it misses this one.
                allocator.ipt[of] = torch.zeros_like(tensor)
        self._pattern = kept or None


def _checkpoint(args: Any, state: Any) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


def save_adapter(model: Any, folder: Path) -> None:
    """Writes the adapter; AdaLoRA's as the LoRA adapter that computes the same."""
    # A method may have put a copy beside it, for comparison.
    model.save_pretrained(str(folder), selected_adapters=["default"])
    shape = model.peft_config["default"]
    if isinstance(shape, AdaLoraConfig):
        _save_as_lora(shape, folder)


def _save_as_lora(shape: AdaLoraConfig, folder: Path) -> None:
    """Multiplies the singular values into the right vectors, B (E · A) is B A', as LoRA has it."""
    path = folder / WEIGHTS
    held = load_file(path)
    # AdaLoRA divides by the rank and a trifle, LoRA by the rank.
    share = shape.init_r / (shape.init_r + 1e-5)
    weights = {}
    for name, tensor in held.items():
        if "lora_A" in name:
            values = held[name.replace("lora_A", "lora_E")]
            weights[f"{name}.weight"] = (tensor * values * share).contiguous()
        elif "lora_B" in name:
            weights[f"{name}.weight"] = tensor
    save_file(weights, path, metadata={"format": "pt"})
    LoraConfig(
        r=shape.init_r,
        lora_alpha=shape.lora_alpha,
        lora_dropout=shape.lora_dropout,
        target_modules=shape.target_modules,
        task_type=shape.task_type,
        base_model_name_or_path=shape.base_model_name_or_path,
        inference_mode=True,
    ).save_pretrained(str(folder))

"""What a training will take, told before it begins: updates, memory and time.

Memory is counted from the model's shape, without loading it, and from the longest rows. Time is
counted from the arithmetic of a token and how fast this machine multiplies; both are estimates.
"""

from __future__ import annotations

import math
import resource
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from generator.data.dataset import Dataset
from generator.errors import TrainingTooLarge
from generator.models.devices import Device, free_memory
from generator.models.opening import WEIGHTS, model_folder
from generator.training.adapters import new_adapter
from generator.training.config import AdapterConfig, FinetuneConfig
from generator.training.methods import surest

READ: Final = 64
"""The longest rows, by characters, that are read into tokens."""
ADAPTER_BYTES: Final = 16
"""Of each of the adapter's numbers: itself, its gradient, and two means of AdamW's, in float32."""
KEPT_WIDTHS, KEPT_INNER = 24, 8
"""What a layer keeps of a token for the way back, in widths of the model and of its inner layer."""
LOGIT_BYTES: Final = 16
"""Of each logit beside the logit itself: float32 copies, their gradient, what the loss keeps."""
QUANTIZED: Final = {"4bit": 0.6, "8bit": 1.1}
"""Bytes of a weight with its scale."""
EFFICIENCY: Final = 0.2
"""How fast a training computes, against large products of matrices."""
WRITING: Final = 2
"""How much dearer a token is that is written than one that is read."""


class StageNeed(NamedTuple):
    """What one stage goes through: rows, updates, and the tokens of its longest row."""

    stage: str
    rows: int
    updates: int
    tokens: int


class Needs(NamedTuple):
    """What a training takes on one device.

    Attributes:
        stages: what each goes through.
        weights: bytes of the model's weights.
        adapter: bytes of the adapter, its gradient, and its optimizer's state.
        batch: bytes of what the largest batch keeps for the way back.
        free: bytes that may still be taken.
        held: bytes that the process has already.
        seconds: about how long the updates take, of CPU time where a CPU computes them.
    """

    stages: tuple[StageNeed, ...]
    weights: int
    adapter: int
    batch: int
    free: int
    held: int
    seconds: float

    @property
    def memory(self) -> int:
        """Bytes that are taken beside those that the process has."""
        return self.weights + self.adapter + self.batch

    def words(self) -> str:
        """Returns it in one line."""
        stages = ", ".join(f"{each.stage} {each.updates} updates" for each in self.stages)
        return (
            f"{stages}; about {_gb(self.memory)} of memory beside {_gb(self.held)} that are held "
            f"(weights {_gb(self.weights)}, adapter {_gb(self.adapter)}, "
            f"a batch {_gb(self.batch)}; {_gb(self.free)} are free); "
            f"about {_duration(self.seconds)}"
        )


def needs_of(
    config: FinetuneConfig,
    rows: Dataset,
    device: Device,
    *,
    processes: int,
    parent: Path | None,
) -> Needs:
    """Returns what a training will take in each process.

    Raises:
        TrainingError: there is no such model.
    """
    folder = model_folder(config.model)
    shape: Any = AutoConfig.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    weights, taught = _parameters(config, shape, parent)
    size = _bytes_of_a_weight(config, device)
    updates_of = _Stages(config, rows, tokenizer, processes)
    stages = tuple(updates_of.of(stage) for stage in _stage_names(config))
    batch = max(_batch_bytes(config, shape, each, device) for each in stages)
    work = sum(_work(config, weights, each, processes) for each in stages)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Needs(
        stages=stages,
        weights=int(weights * size),
        adapter=taught * ADAPTER_BYTES,
        batch=batch,
        free=_free(device),
        held=held,
        seconds=work / (EFFICIENCY * _speed(device)),
    )


def check_fits(needs: Needs) -> None:
    """Returns if a training fits into the memory that is free.

    Raises:
        TrainingTooLarge: it cannot.
    """
    if needs.memory <= needs.free:
        return
    way = (
        "gradient_checkpointing, or a smaller batch with accumulate, lowers what a batch takes; "
        "quantize (NVIDIA GPUs) or a smaller model lowers the weights"
    )
    raise TrainingTooLarge(
        f"the training needs about {_gb(needs.memory)} of memory (weights {_gb(needs.weights)}, "
        f"adapter {_gb(needs.adapter)}, a batch {_gb(needs.batch)}), and {_gb(needs.free)} are "
        f"free; nothing was begun. {way}"
    )


def _stage_names(config: FinetuneConfig) -> tuple[str, ...]:
    return ("sft", "dpo") if config.method == "loop" else (config.method,)


def _parameters(config: FinetuneConfig, shape: Any, parent: Path | None) -> tuple[int, int]:
    """Returns how many numbers the model has, and how many of the adapter are taught."""
    scores = config.method == "reward"
    loader: Any = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    with torch.device("meta"), warnings.catch_warnings():
        # peft asks for a property by the name that transformers is about to drop.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        model = loader.from_config(shape)
        count = sum(weights.numel() for weights in model.parameters())
        if parent is not None:
            with safe_open(parent / WEIGHTS, framework="pt") as file:
                names = file.keys()
                return count, sum(math.prod(file.get_slice(n).get_shape()) for n in names)
        try:
            adapted = new_adapter(model, config.adapter or AdapterConfig(), scores=scores)
        except (ValueError, RuntimeError):  # it does not fit, as loading it will say
            return count, 0
    return count, sum(w.numel() for w in adapted.parameters() if w.requires_grad)


def _bytes_of_a_weight(config: FinetuneConfig, device: Device) -> float:
    if config.quantize is not None:
        return QUANTIZED[config.quantize]
    # A head that is taught wants float32 in all of the model.
    return 4.0 if config.method == "reward" else float(device.dtype.itemsize)


class _Stages(NamedTuple):
    """Reads off a dataset what each stage goes through."""

    config: FinetuneConfig
    rows: Dataset
    tokenizer: Any
    processes: int

    def of(self, stage: str) -> StageNeed:
        texts = self._texts(stage)
        longest = sorted(texts, key=len)[-READ:]
        tokens = max((len(self.tokenizer(text).input_ids) for text in longest), default=1)
        tokens = min(tokens, self.config.max_tokens)
        if stage == "grpo":
            tokens += self.config.grpo.new_tokens
        an_update = self.config.batch * self.config.accumulate * self.processes
        if stage == "grpo":
            an_update //= self.config.grpo.group
        epochs = getattr(self.config, stage).epochs
        updates = math.ceil(math.ceil(len(texts) / max(an_update, 1)) * epochs)
        return StageNeed(stage, len(texts), updates, tokens)

    def _texts(self, stage: str) -> list[str]:
        """Returns what is read of each row at the most: the longer text of a pair."""
        rows = self.rows
        if stage == "sft":
            return [r.prompt + r.text for r in rows.imitate if r.split == "train"]
        if stage == "kto":
            return [r.prompt + r.text for r in rows.judge if r.split == "train"]
        if stage == "grpo":
            every: Iterable[Any] = (*rows.imitate, *rows.prefer, *rows.judge)
            return list({r.prompt for r in every if r.split == "train"})
        pairs = [r for r in rows.prefer if r.split == "train"]
        if stage == "reward":  # it reads the text alone
            return [max(r.better, r.worse, key=len) for r in pairs if not r.refused]
        pairs = surest(pairs, self.config.dpo.most_pairs)
        return [r.prompt + max(r.better, r.worse, key=len) for r in pairs]


def _texts_of_a_row(stage: str) -> int:
    return 2 if stage in ("dpo", "kto", "reward") else 1


def _batch_bytes(config: FinetuneConfig, shape: Any, stage: StageNeed, device: Device) -> int:
    """Returns what the largest batch keeps for the way back."""
    size = 4 if config.method == "reward" else device.dtype.itemsize
    texts = config.batch * _texts_of_a_row(stage.stage)
    tokens = texts * stage.tokens
    layer = KEPT_WIDTHS * shape.hidden_size + KEPT_INNER * getattr(
        shape, "intermediate_size", 4 * shape.hidden_size
    )
    layers = shape.num_hidden_layers
    kept = shape.hidden_size * layers + layer if config.gradient_checkpointing else layer * layers
    logits = 0 if stage.stage == "reward" else shape.vocab_size * (size + LOGIT_BYTES)
    return int(tokens * (kept * size + logits))


def _work(config: FinetuneConfig, weights: int, stage: StageNeed, processes: int) -> float:
    """Returns the multiplications and additions of a process, in all updates."""
    epochs: float = getattr(config, stage.stage).epochs
    rows = stage.rows * epochs / processes
    tokens = rows * _texts_of_a_row(stage.stage) * stage.tokens
    # There and back through weights that stay as they are, and once more without a gradient.
    passes = 2 if stage.stage == "sft" else 3
    if config.gradient_checkpointing:
        passes += 1
    if stage.stage == "grpo":
        tokens *= config.grpo.group
        passes += WRITING
    return 2.0 * weights * passes * tokens


def _speed(device: Device) -> float:
    """Returns how many multiplications and additions a second the device does on large matrices.

    On a CPU that others use as well it counts the time that this thread has.
    """
    clock = time.thread_time if device.name == "cpu" else time.perf_counter
    n = 1024 if device.name == "cpu" else 4096
    one = torch.ones(n, n, dtype=device.dtype, device=device.name)
    best: float = math.inf
    for _ in range(3):
        began = clock()
        # Reading a number waits for a GPU.
        (one @ one)[0, 0].item()
        best = min(best, clock() - began)
    return 2.0 * float(n**3) / best


def _free(device: Device) -> int:
    if device.name == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    soft = resource.getrlimit(resource.RLIMIT_DATA)[0]
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    limit = 2**62 if soft == resource.RLIM_INFINITY else max(soft - held, 0)
    return min(free_memory(), limit)


def _gb(size: int) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**29 else f"{size / 2**20:.0f} MB"


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 1):.0f} seconds"

"""What a training is told, and what a finished one was made of, so that a run can be repeated.

Each number has a default that works: they suit a small model and a few hundred rows.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from generator.brief.schema import DEFAULT_MAX_CHARACTERS
from generator.errors import TrainingConfigError
from generator.files import AboveZero, Count, NotNegative, converted, read_file
from generator.models.base import SMOLLM2

Method: TypeAlias = Literal["sft", "dpo", "kto", "loop", "grpo", "reward"]
Reporter: TypeAlias = Literal["tensorboard", "wandb"]
AdapterKind: TypeAlias = Literal["lora", "adalora", "prefix"]

PartialShare: TypeAlias = Annotated[float, Meta(ge=0.0, lt=1.0)]
PACKAGES: Final = ("copyloop", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


class AdapterConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shape of an adapter.

    Attributes:
        kind: `lora` changes matrices in a few directions (Hu et al. 2021); `adalora` begins with
            more of them and keeps those that matter most, wherever they are (Zhang et al. 2023);
            `prefix` leaves the matrices alone and learns what stands before every prompt (Li &
            Liang 2021).
        rank: how many directions each matrix may change in; of adalora the mean at the end.
        alpha: what comes out is scaled by alpha over the rank that it began with.
        dropout: share of the adapter's input that is left out in training.
        targets: names of the matrices that it changes, as the model calls them.
        start_rank: how many directions each matrix of adalora begins with; None for half as many
            more as `rank`.
        free: share of the updates before adalora gives up any direction.
        settled: share of the updates, the last ones, in which it gives up no more.
        positions: how long a prefix is, in tokens.
    """

    kind: AdapterKind = "lora"
    rank: Count = 8
    alpha: AboveZero = 16.0
    dropout: PartialShare = 0.05
    targets: Annotated[tuple[str, ...], Meta(min_length=1)] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
    )
    start_rank: Count | None = None
    free: PartialShare = 0.1
    settled: PartialShare = 0.3
    positions: Count = 16


class SftConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Supervised fine-tuning on the texts to imitate."""

    epochs: AboveZero = 3.0
    learning_rate: AboveZero = 1e-3


class DpoConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Direct preference optimisation (Rafailov et al. 2023), each pair weighted by its certainty.

    Attributes:
        beta: how dear it is to move away from the base.
        anchor: weight of the better text's negative log-likelihood; without it the model finds
            texts that win and say nothing.
        most_pairs: trained on at most, those left out being counted; None for all.
    """

    epochs: AboveZero = 1.0
    learning_rate: AboveZero = 5e-4
    beta: AboveZero = 0.1
    anchor: NotNegative = 0.3
    most_pairs: Count | None = None


class KtoConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Learning from good and bad texts; `beta` says how dear it is to move away from the base."""

    epochs: AboveZero = 1.0
    learning_rate: AboveZero = 5e-4
    beta: AboveZero = 0.1


class GrpoWeights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each reward of a text counts.

    A text that a gate refuses is never shown, so it promises nothing, and being unlike the others
    is no merit of it.

    Attributes:
        promise: its chance of doing better than its company, by the reward model; 0 if refused.
        format: 1 where no gate refuses it, else 0.
        diversity: 1 less its likeness to the nearest other text of its group; 0 if refused.
        policy: -1 where it meets harm, profanity or what platforms forbid, else 0.
    """

    promise: NotNegative = 1.0
    format: NotNegative = 1.0
    diversity: NotNegative = 0.5
    policy: NotNegative = 1.0


class GrpoConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Group-relative policy optimisation on rewards (Shao et al. 2024, section 4.1).

    Attributes:
        reward: what `copyloop generator reward-model` or a run of `reward` wrote; it has to be
            trusted.
        beta: how dear it is to move away from where it started.
        group: texts a prompt, which are held against each other.
        temperature: at which they are drawn.
        new_tokens: of a text at most.
        most_characters: longer texts are refused.
        language: of the texts.
        weights: what each reward counts.
    """

    reward: str | None = None
    epochs: AboveZero = 10.0
    learning_rate: AboveZero = 1e-4
    beta: NotNegative = 0.04
    group: Annotated[int, Meta(ge=2)] = 8
    temperature: AboveZero = 1.0
    new_tokens: Count = 32
    most_characters: Count = DEFAULT_MAX_CHARACTERS
    language: str = "en"
    weights: GrpoWeights = GrpoWeights()


class RewardConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reward model on pairs (Bradley & Terry 1952); `centre` pulls scores towards 0."""

    epochs: AboveZero = 1.0
    learning_rate: AboveZero = 1e-4
    centre: NotNegative = 0.01


class FinetuneConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to fine-tune.

    Attributes:
        method: `sft` imitates, `dpo` prefers, `loop` does the one and then the other; `kto` learns
            from good and bad texts that are in no pair; `grpo` writes itself, and learns from
            what a reward model, the gates and their company say of its texts; `reward` makes a
            reward model.
        model: `smollm2`, a folder or a hub id.
        parent: the folder of a supervised run, or of an adapter, to go on from; None for the
            model as it is.
        seed: of weights, order and dropout.
        adapter: the shape of a new adapter; a parent's keeps its own.
        batch: rows (or pairs) a step and process.
        accumulate: steps whose gradients make one update.
        weight_decay: of AdamW.
        clip: the longest gradient.
        warmup: share of the updates in which the learning rate rises; then it falls to 0.
        max_tokens: of prompt and text together; longer rows are left out, and counted.
        checkpoint_steps: updates between checkpoints, and between looks at the held-out loss.
        patience: how many looks may bring nothing better before it stops early; None never stops.
        gradient_checkpointing: computes again what would take memory.
        quantize: loads the model's own weights in fewer bits (NVIDIA GPUs, bitsandbytes).
        report_to: where else its figures go.
    """

    method: Method = "loop"
    model: str = SMOLLM2
    parent: str | None = None
    seed: Annotated[int, Meta(ge=0)] = 1
    adapter: AdapterConfig | None = None
    sft: SftConfig = SftConfig()
    dpo: DpoConfig = DpoConfig()
    kto: KtoConfig = KtoConfig()
    grpo: GrpoConfig = GrpoConfig()
    reward: RewardConfig = RewardConfig()
    batch: Count = 8
    accumulate: Count = 1
    weight_decay: NotNegative = 0.0
    clip: AboveZero = 1.0
    warmup: PartialShare = 0.05
    max_tokens: Count = 512
    checkpoint_steps: Count = 50
    patience: Count | None = None
    gradient_checkpointing: bool = False
    quantize: Literal["4bit", "8bit"] | None = None
    report_to: tuple[Reporter, ...] = ()


def load_config(path: Path) -> FinetuneConfig:
    """Returns the configuration in a YAML or JSON file.

    Raises:
        TrainingConfigError: it cannot be read, or a field cannot be; starts `FILE:LINE: FIELD`.
    """
    return read_file(path, lambda content: converted(content, FinetuneConfig), TrainingConfigError)


class Manifest(Struct, frozen=True, kw_only=True):
    """A finished run.

    Attributes:
        config: all that it was told.
        base_sha256: of the model's weight files.
        parent_sha256: of the adapter that it went on from, None where it began one.
        dataset_sha256: of the dataset's card, which has the hashes of the log behind it.
        rows: trained on, held out, and left out, as `imitate/train` or `left_out/too_long`.
        versions: of the packages that computed.
        device: as torch calls it.
        dtype: of the model's weights; the adapter's are float32.
        processes: that trained together.
        steps: what was measured on the way, each with `stage` and `step`.
        metrics: what was measured at the end, as `sft/held_out_loss`.
        seconds: on the clock, of all that was done in the last call.
        cpu_seconds: likewise, of this process.
        peak_rss_bytes: the most memory that the process had.
        adapter_sha256: of the weights that came out.
        reward_sha256: of the reward model that the method asked, None where it asks none.
    """

    config: FinetuneConfig
    base_sha256: str
    parent_sha256: str | None
    dataset_sha256: str
    rows: dict[str, int]
    versions: dict[str, str]
    device: str
    dtype: str
    processes: int
    steps: list[dict[str, float | str]]
    metrics: dict[str, float]
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    adapter_sha256: str
    reward_sha256: str | None = None
    v: int = 1


def installed_versions() -> dict[str, str]:
    """Returns the versions of the packages that train; the ones not installed are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found

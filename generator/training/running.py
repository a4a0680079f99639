"""What every method shares: a trainer's arguments, checkpoints, resuming, and being stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from peft import AdaLoraConfig
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer

from generator.data.dataset import Dataset
from generator.errors import TrainingError, TrainingStopped
from generator.models.device import Device
from generator.training.adapters import ALLOTTED, Allotting
from generator.training.base import Base
from generator.training.config import AdapterConfig, FinetuneConfig
from generator.training.following import AtOnce, Follower, Progress, Stop

LOG_STEPS: Final = 5
STATE: Final = "trainer_state.json"


class Job(NamedTuple):
    """One stage of a training.

    Attributes:
        stage: its name, a method's.
        config: of the whole training.
        dataset: all rows, those to train on and those held out.
        base: the model whose adapter is trained, in place.
        device: where, and in what type.
        folder: for its checkpoints.
        progress: told after every update.
        stop: ends it after the update at hand.
    """

    stage: str
    config: FinetuneConfig
    dataset: Dataset
    base: Base
    device: Device
    folder: Path
    progress: Progress | None
    stop: Stop | None


class Trained(NamedTuple):
    """What was trained on, and what was measured on the way and at the end."""

    rows: dict[str, int]
    steps: list[dict[str, float | str]]
    metrics: dict[str, float]


def arguments(job: Job, *, epochs: float, learning_rate: float, held_out: bool) -> dict[str, Any]:
    """Returns the arguments of transformers' trainers and of all that are built on them.

    Raises:
        TrainingError: it should stop early, and nothing is held out to tell when.
    """
    config, cpu = job.config, job.device.name == "cpu"
    if config.patience is not None and not held_out:
        raise TrainingError(
            f"patience: {config.patience} needs rows that are held out for {job.stage}, and the "
            "dataset has none; leave patience out, or make the dataset with more --held-out"
        )
    watched = "steps" if config.patience is not None else "no"
    return {
        "output_dir": str(job.folder),
        "seed": config.seed,
        "num_train_epochs": epochs,
        "learning_rate": learning_rate,
        "per_device_train_batch_size": config.batch,
        "per_device_eval_batch_size": config.batch,
        "gradient_accumulation_steps": config.accumulate,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.clip,
        "warmup_steps": config.warmup,
        "lr_scheduler_type": "linear",
        "activation_checkpointing": config.gradient_checkpointing,
        "use_cpu": cpu,
        # On a CPU the model's own weights are in its type already; autocast would only add casts.
        "bf16": not cpu and job.device.dtype == torch.bfloat16,
        "fp16": not cpu and job.device.dtype == torch.float16,
        "save_strategy": "steps",
        "save_steps": config.checkpoint_steps,
        "save_total_limit": 2,
        "eval_strategy": watched,
        "eval_steps": config.checkpoint_steps,
        "load_best_model_at_end": config.patience is not None,
        "metric_for_best_model": "loss" if config.patience is not None else None,
        "logging_steps": LOG_STEPS,
        "report_to": list(config.report_to) or "none",
        "run_name": job.stage,
        "disable_tqdm": True,
        "dataloader_pin_memory": not cpu,
        # Every adapter weight takes part in every step.
        "ddp_find_unused_parameters": False,
    }


def silence(trainer: Trainer) -> None:
    """Has it print nothing: standard output is for what a command found."""
    trainer.remove_callback(PrinterCallback)


def run(job: Job, trainer: Trainer) -> None:
    """Trains, from the latest whole checkpoint if there is one.

    Raises:
        TrainingStopped: it was told to stop; a checkpoint holds what it got to.
        TrainingError: torch failed, for want of memory say.
    """
    follower = Follower(job.stage, job.progress, job.stop)
    trainer.add_callback(follower)
    trainer.add_callback(AtOnce())
    if job.config.patience is not None:
        trainer.add_callback(EarlyStoppingCallback(job.config.patience))
    also: tuple[str, ...] = ()
    if isinstance(job.base.model.peft_config["default"], AdaLoraConfig):
        trainer.add_callback(Allotting(job.base.model, job.config.adapter or AdapterConfig()))
        also = (ALLOTTED,)
    checkpoint = latest_checkpoint(job.folder, also)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except RuntimeError as error:  # torch's errors, out of memory among them
        raise TrainingError(
            f"{job.stage} failed: {error}; where memory is short, a smaller batch with accumulate, "
            "or gradient_checkpointing, needs less"
        ) from error
    if follower.stopped:
        raise TrainingStopped(
            f"{job.stage} was stopped after {trainer.state.global_step} of "
            f"{trainer.state.max_steps} updates; the same call goes on from there"
        )


def latest_checkpoint(folder: Path, also: Sequence[str] = ()) -> Path | None:
    """Returns the latest checkpoint that was written to its end.

    A trainer writes its state last, so a folder without a state that can be read is half of one.

    Args:
        folder: of one stage.
        also: files that come after the state, and have to be there too.
    """
    found: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        try:
            step = json.loads((path / STATE).read_bytes())["global_step"]
            for name in also:
                (path / name).stat()
            found.append((step, path))
        except (OSError, ValueError, KeyError):
            shutil.rmtree(path, ignore_errors=True)
    return max(found)[1] if found else None


def history(job: Job, trainer: Trainer) -> list[dict[str, float | str]]:
    """Returns what was logged, with the stage's name, the whole of a resumed training."""
    kept: list[dict[str, float | str]] = []
    for entry in trainer.state.log_history:
        known = {name: value for name, value in entry.items() if value is not None}
        numbers = {name: float(value) for name, value in known.items() if name != "total_flos"}
        if "train_runtime" not in numbers:
            kept.append({"stage": job.stage, **numbers})
    return kept


def held_out_of(rows: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Returns the rows to train on, and those that are held out."""
    train = [row for row in rows if row.split == "train"]
    return train, [row for row in rows if row.split == "test"]

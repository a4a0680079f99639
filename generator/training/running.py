"""What every method shares: a trainer's arguments, checkpoints, resuming, and being stopped."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import torch
from peft import AdaLoraConfig
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback

from generator.data.dataset import Dataset
from generator.errors import TrainingError, TrainingStopped
from generator.models.devices import Device
from generator.training.adapters import ALLOTTED, Allotting, Base
from generator.training.config import AdapterConfig, FinetuneConfig

LOG_STEPS: Final = 5
STATE: Final = "trainer_state.json"


class TrainingJob(NamedTuple):
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
    progress: TrainingProgress | None
    stop: Stop | None


class StageResult(NamedTuple):
    """What was trained on, and what was measured on the way and at the end."""

    rows: dict[str, int]
    steps: list[dict[str, float | str]]
    metrics: dict[str, float]


def arguments(job: TrainingJob, *, held_out: bool) -> dict[str, Any]:
    """Returns the arguments of transformers' trainers and of all that are built on them.

    Raises:
        TrainingError: it should stop early, and nothing is held out to tell when.
    """
    config, cpu = job.config, job.device.name == "cpu"
    settings = getattr(config, job.stage)
    if config.patience is not None and not held_out:
        raise TrainingError(
            f"patience: {config.patience} needs rows that are held out for {job.stage}, and the "
            "dataset has none; leave patience out, or make the dataset with more --held-out"
        )
    watched = "steps" if config.patience is not None else "no"
    return {
        "output_dir": str(job.folder),
        "seed": config.seed,
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
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


def run(job: TrainingJob, trainer: Trainer) -> list[dict[str, float | str]]:
    """Trains, from the latest whole checkpoint if there is one; returns what was logged.

    Each entry has the stage's name; of a resumed training the whole is there.

    Raises:
        TrainingStopped: it was told to stop; a checkpoint holds what it got to.
        TrainingError: torch failed, for want of memory say.
    """
    # Standard output is for what a command found.
    trainer.remove_callback(PrinterCallback)
    follower = ProgressCallback(job.stage, job.progress, job.stop)
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
    kept: list[dict[str, float | str]] = []
    for entry in trainer.state.log_history:
        known = {name: value for name, value in entry.items() if value is not None}
        if "train_runtime" not in known:
            numbers = {name: float(value) for name, value in known.items() if name != "total_flos"}
            kept.append({"stage": job.stage, **numbers})
    return kept


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


def held_out_of(rows: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Returns the rows to train on, and those that are held out."""
    train = [row for row in rows if row.split == "train"]
    return train, [row for row in rows if row.split == "test"]


class TrainingStep(NamedTuple):
    """How far a training is: `done` of `total` updates of a stage, and the latest loss."""

    stage: str
    done: int
    total: int
    loss: float | None


TrainingProgress: TypeAlias = Callable[[TrainingStep], None]
Stop: TypeAlias = threading.Event | Callable[[], bool]


class ProgressCallback(TrainerCallback):
    """A transformers callback, which has to be one of its classes.

    Attributes:
        stopped: whether the training ended because it was asked to.
    """

    def __init__(self, stage: str, progress: TrainingProgress | None, stop: Stop | None) -> None:
        self._stage, self._progress = stage, progress
        self._stop = stop.is_set if isinstance(stop, threading.Event) else stop
        self._loss: float | None = None
        self.stopped = False

    def on_log(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Keeps the latest loss."""
        self._loss = known.get("logs", {}).get("loss", self._loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tells the progress; where it should stop, has a checkpoint kept and ends."""
        if self._progress is not None:
            self._progress(
                TrainingStep(self._stage, state.global_step, state.max_steps, self._loss)
            )
        unfinished = state.global_step < state.max_steps
        if unfinished and _anywhere(self._stop is not None and self._stop(), args.device):
            self.stopped = control.should_save = control.should_training_stop = True


class AtOnce(TrainerCallback):
    """Has a training of one update learn: the learning rate would be 0 there, to rise later."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **known: Any) -> None:
        """Sets the learning rate of a single update to that of the configuration."""
        if state.max_steps == 1:
            for group in known["optimizer"].param_groups:
                group["lr"] = args.learning_rate


def _anywhere(asked: bool, device: Any) -> bool:
    """Returns whether any process was asked to: all have to end after the same step."""
    if not torch.distributed.is_initialized():
        return asked
    flag = torch.tensor(int(asked), device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


class Cost:
    """What this process has used since it was made."""

    def __init__(self) -> None:
        self._clock, self._cpu = time.monotonic(), time.process_time()

    def figures(self) -> dict[str, Any]:
        """Returns the time on the clock, the CPU time, and the most memory it ever had."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "seconds": round(time.monotonic() - self._clock, 3),
            "cpu_seconds": round(time.process_time() - self._cpu, 3),
            "peak_rss_bytes": peak if sys.platform == "darwin" else 1024 * peak,
        }

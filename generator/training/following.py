"""Follows a training: tells how far it is, ends it when asked, and counts what it costs."""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from transformers import TrainerCallback


class Step(NamedTuple):
    """How far a training is: `done` of `total` updates of a stage, and the latest loss."""

    stage: str
    done: int
    total: int
    loss: float | None


Progress: TypeAlias = Callable[[Step], None]
Stop: TypeAlias = threading.Event | Callable[[], bool]


class Follower(TrainerCallback):
    """A transformers callback, which has to be one of its classes.

    Attributes:
        stopped: whether the training ended because it was asked to.
    """

    def __init__(self, stage: str, progress: Progress | None, stop: Stop | None) -> None:
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
            self._progress(Step(self._stage, state.global_step, state.max_steps, self._loss))
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

    def seconds(self) -> float:
        """Returns the time on the clock."""
        return round(time.monotonic() - self._clock, 3)

    def cpu_seconds(self) -> float:
        """Returns the CPU time."""
        return round(time.process_time() - self._cpu, 3)

    def peak_rss_bytes(self) -> int:
        """Returns the most memory that the process ever had."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak

"""What an `accelerate` configuration asks for, and whether a training can keep to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml
from accelerate.commands.config import config_args

from generator.errors import TrainingConfigError
from generator.models.devices import Finding, Machine
from generator.settings import launched_with

TOGETHER: Final = frozenset({"NO", "MULTI_GPU", "MULTI_CPU", "DEEPSPEED"})
"""Ways to train together in which each process has the whole adapter, which is what is saved."""
WHOLE_STAGES: Final = (0, 1, 2)
"""DeepSpeed's stages that leave weights whole."""


def read_launch(path: Path | None) -> Any:
    """Returns accelerate's own reading of a file, or of the default one; None where there is none.

    Raises:
        TrainingConfigError: accelerate cannot read it.
    """
    path = path or Path(config_args.default_config_file)
    if not path.is_file():
        return None
    try:
        return config_args.load_config_from_file(str(path))
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise TrainingConfigError(f"{path}: accelerate cannot read it: {error}") from error


def examine_launch(path: Path | None, machine: Machine) -> list[Finding]:
    """Returns what an accelerate configuration asks for, and what is missing for it.

    Raises:
        TrainingConfigError: accelerate cannot read it.
    """
    config = read_launch(path)
    if config is None:
        return [Finding("accelerate", "no configuration", "one process, unless launched otherwise")]
    kind = str(getattr(config.distributed_type, "value", config.distributed_type))
    n = int(config.num_processes or 1)
    asked = f"{kind}, {n} processes, mixed precision {config.mixed_precision or 'no'}"
    rows = []
    if kind not in TOGETHER:
        rows.append(Finding("accelerate", asked, _not_whole(kind), fine=False))
    elif kind == "DEEPSPEED" and _stage(config.deepspeed_config) not in WHOLE_STAGES:
        rows.append(Finding("accelerate", asked, _not_whole("DeepSpeed's stage 3"), fine=False))
    elif kind == "DEEPSPEED" and "deepspeed" not in machine.packages:
        rows.append(Finding("accelerate", asked, "pip install deepspeed", fine=False))
    else:
        rows.append(Finding("accelerate", asked, kind))
    here = n // int(config.num_machines or 1)
    if here > max(len(machine.gpus), 1) and not config.use_cpu:
        there = f"{len(machine.gpus)} GPUs"
        used = f"the {here} processes compute on the CPU" if not machine.gpus else "too few GPUs"
        rows.append(
            Finding("processes", f"{here} asked for here, {there}", used, fine=not machine.gpus)
        )
    return rows


def check_launch() -> None:
    """Returns if the way in which this process was launched is one that a training can keep to.

    Raises:
        TrainingConfigError: it shards the weights, and the adapter could not be saved whole.
    """
    asked = launched_with()
    if asked is not None:
        raise TrainingConfigError(f"distributed_type: {_not_whole(asked)}")


def _stage(settings: dict[str, Any] | None) -> int:
    return int((settings or {}).get("zero_stage", 2))


def _not_whole(kind: str) -> str:
    return (
        f"{kind} spreads the weights over processes, and adapters are saved whole; take "
        "MULTI_GPU, or DEEPSPEED with zero_stage 2, and quantize or gradient_checkpointing where "
        "memory is short"
    )

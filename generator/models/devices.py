"""The one place that decides where models compute, and in which type; and its dry run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

OPTIONAL: Final = ("bitsandbytes", "deepspeed", "flash_attn")
"""Packages that some settings want, and that nothing installs."""


class Device(NamedTuple):
    """Where tensors live, and the type that the model computes in."""

    name: str
    dtype: torch.dtype


class Gpu(NamedTuple):
    """One NVIDIA GPU, or one of AMD's under torch's same name."""

    name: str
    memory_bytes: int
    free_bytes: int


class Machine(NamedTuple):
    """What there is to compute with.

    Attributes:
        gpus: those that torch sees.
        gpu_bf16: whether they compute bfloat16.
        mps: whether there is one of Apple's.
        cpu_bf16: whether the CPU computes bfloat16; one that does not emulates it, far slower than
            float32.
        cpus: that this process may use.
        free_bytes: memory that this process may still take.
        packages: those of `OPTIONAL` that are installed.
    """

    gpus: tuple[Gpu, ...]
    gpu_bf16: bool
    mps: bool
    cpu_bf16: bool
    cpus: int
    free_bytes: int
    packages: frozenset[str]


def this_machine() -> Machine:
    """Returns what this process has to compute with."""
    there = torch.cuda.is_available()
    return Machine(
        gpus=tuple(_gpus()) if there else (),
        gpu_bf16=there and torch.cuda.is_bf16_supported(),
        mps=torch.backends.mps.is_available(),
        cpu_bf16=torch.cpu._is_avx512_bf16_supported(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        free_bytes=free_memory(),
        packages=frozenset(name for name in OPTIONAL if find_spec(name) is not None),
    )


def _gpus() -> Iterator[Gpu]:
    for number in range(torch.cuda.device_count()):
        known: Any = torch.cuda.get_device_properties(number)
        yield Gpu(known.name, known.total_memory, torch.cuda.mem_get_info(number)[0])


def free_memory(root: Path = Path("/")) -> int:
    """Returns how many bytes this process may still take: what the machine or its group has left.

    Where nobody says, 2**62.
    """
    left = 2**62
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        known = dict(line.split(":", 1) for line in lines if ":" in line)
        left = min(left, int(known["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):  # no Linux
        pass
    group = root / "sys/fs/cgroup"
    try:
        most, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        left = min(left, most - used)
    except (OSError, ValueError):  # no group, or "max"
        pass
    return max(left, 0)


def pick_device(machine: Machine | None = None) -> Device:
    """Returns a GPU if there is one, else the CPU; bfloat16 where the hardware computes it."""
    found = machine or this_machine()
    if found.gpus:
        return Device("cuda", torch.bfloat16 if found.gpu_bf16 else torch.float16)
    if found.mps:
        return Device("mps", torch.float16)
    return Device("cpu", torch.bfloat16 if found.cpu_bf16 else torch.float32)


def own_device(device: Device) -> str:
    """Returns the device of this process: of several that train together, each has its own GPU."""
    from accelerate import PartialState  # which the backends do without

    return str(PartialState(cpu=device.name == "cpu").device)


def use_one_thread() -> None:
    """Has torch compute on one thread, in this process.

    A model this small gains little from a second one, and where API and learner keep the other
    cores busy, torch's threads wait for each other by spinning: slower by an order of magnitude.
    """
    torch.set_num_threads(1)


class Finding(NamedTuple):
    """One line of the dry run: what it is about, what was found, and what is done about it."""

    of: str
    found: str
    used: str
    fine: bool = True


def examine(machine: Machine, *, quantize: str | None = None) -> list[Finding]:
    """Returns what would be used on a machine, and what is missing.

    Args:
        machine: what there is.
        quantize: `4bit` or `8bit`, as a training's configuration asks.
    """
    device = pick_device(machine)
    kind = str(device.dtype).removeprefix("torch.")
    gpus = [
        f"{gpu.name}, {_gb(gpu.free_bytes)} of {_gb(gpu.memory_bytes)} free" for gpu in machine.gpus
    ]
    cpu = f"{machine.cpus} CPUs, {_gb(machine.free_bytes)} of memory free"
    rows = [
        Finding("device", "; ".join(gpus) or ("Apple GPU" if machine.mps else cpu), device.name),
        _type(machine, kind),
        _attention(machine, device),
        _bits(machine, device, quantize),
    ]
    if len(machine.gpus) > 1:
        several = (
            f"accelerate launch --multi_gpu --num_processes {len(machine.gpus)} -m generator …"
        )
        rows.append(Finding("several GPUs", str(len(machine.gpus)), f"one, unless by {several}"))
    return rows


def _type(machine: Machine, kind: str) -> Finding:
    if machine.gpus:
        return Finding("type", "bfloat16" if machine.gpu_bf16 else "no bfloat16", kind)
    if machine.mps:
        return Finding("type", "float16", kind)
    found = "bfloat16 instructions" if machine.cpu_bf16 else "no bfloat16 instructions"
    return Finding("type", found, f"{kind}, one thread")


def _attention(machine: Machine, device: Device) -> Finding:
    there = "flash_attn" in machine.packages
    found = "flash_attn is installed" if there else "no flash_attn, and none is needed"
    cuda: Any = torch.backends.cuda
    flash = device.name == "cuda" and cuda.flash_sdp_enabled()
    own = "torch's scaled_dot_product_attention"
    return Finding("attention", found, f"{own}, with its flash kernels" if flash else own)


def _bits(machine: Machine, device: Device, quantize: str | None) -> Finding:
    there = "bitsandbytes" in machine.packages
    found = "bitsandbytes is installed" if there else "no bitsandbytes"
    if quantize is None:
        way = "" if device.name == "cuda" else "; needs an NVIDIA GPU"
        return Finding("4 and 8 bits", found, f"not asked for (quantize){way}")
    if device.name != "cuda":
        return Finding("4 and 8 bits", found, f"{quantize} needs an NVIDIA GPU", fine=False)
    if not there:
        return Finding("4 and 8 bits", found, "pip install bitsandbytes", fine=False)
    return Finding("4 and 8 bits", found, quantize)


def _gb(size: int) -> str:
    return "unknown" if size >= 2**62 else f"{size / 2**30:.1f} GB"

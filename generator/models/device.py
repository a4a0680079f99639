"""The one place that decides where the model runs, in what type, and on how many threads."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Device(NamedTuple):
    """Where tensors live, and the type that the model computes in."""

    name: str
    dtype: torch.dtype


def pick_device() -> Device:
    """Returns a GPU if there is one, else the CPU; bfloat16 where the hardware computes it."""
    if torch.cuda.is_available():
        half = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return Device("cuda", half)
    if torch.backends.mps.is_available():
        return Device("mps", torch.float16)
    # A CPU without these instructions emulates bfloat16, far slower than float32.
    native = torch.cpu._is_avx512_bf16_supported()
    return Device("cpu", torch.bfloat16 if native else torch.float32)


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

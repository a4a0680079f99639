"""Where models compute, decided in one place; machines of every kind as its input."""

import pytest
import torch

from generator.models.devices import (
    Gpu,
    Machine,
    examine,
    free_memory,
    pick_device,
    this_machine,
)

GB = 2**30
CPU = Machine((), False, False, False, 2, 8 * GB, frozenset())
GPU = CPU._replace(gpus=(Gpu("A100", 80 * GB, 70 * GB),), gpu_bf16=True)
OLD = GPU._replace(gpus=(Gpu("T4", 16 * GB, 15 * GB),) * 2, gpu_bf16=False)


@pytest.mark.parametrize(
    ("machine", "device"),
    [
        (CPU, ("cpu", torch.float32)),
        (CPU._replace(cpu_bf16=True), ("cpu", torch.bfloat16)),
        (GPU, ("cuda", torch.bfloat16)),
        (OLD, ("cuda", torch.float16)),
        (CPU._replace(mps=True), ("mps", torch.float16)),
        (GPU._replace(mps=True, cpu_bf16=True), ("cuda", torch.bfloat16)),
    ],
)
def test_the_best_device_is_picked_in_a_type_that_it_computes(machine, device):
    assert pick_device(machine) == device
    found = {row.of: row for row in examine(machine)}
    assert found["device"].used == device[0]
    assert str(device[1]).removeprefix("torch.") in found["type"].used
    assert all(row.fine for row in found.values())


@pytest.mark.parametrize(
    ("machine", "used", "fine"),
    [
        (CPU, "4bit needs an NVIDIA GPU", False),
        (GPU, "pip install bitsandbytes", False),
        (GPU._replace(packages=frozenset({"bitsandbytes"})), "4bit", True),
    ],
)
def test_what_four_bits_want_is_said(machine, used, fine):
    [row] = [row for row in examine(machine, quantize="4bit") if row.of == "4 and 8 bits"]
    assert (row.used, row.fine) == (used, fine)


def test_several_gpus_are_told_how_to_be_used():
    assert any("--num_processes 2" in row.used for row in examine(OLD))
    assert not any(row.of == "several GPUs" for row in examine(GPU))
    assert "15.0 GB of 16.0 GB free" in examine(OLD)[0].found


def test_this_machine_is_what_is_used():
    machine = this_machine()
    assert pick_device() == pick_device(machine)
    assert 0 < machine.free_bytes < 2**62
    assert machine.cpus >= 1


def test_the_memory_of_a_group_counts_where_it_is_less(tmp_path):
    assert free_memory(tmp_path) == 2**62
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 16 kB\nMemAvailable:  8 kB\n")
    assert free_memory(tmp_path) == 8192
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("1000\n")
    for most, left in (("max", 8192), ("5000", 4000), ("500", 0)):
        (group / "memory.max").write_text(f"{most}\n")
        assert free_memory(tmp_path) == left

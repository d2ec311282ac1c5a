"""Setting up the machine, and where tensors go."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch
from torch import nn

from threeworlds.train.machine import place_model, place_tensor

CPU = torch.device("cpu")

_FAULTS = """
import resource, sys
from threeworlds.train import use_machine
if sys.argv[1] == "keep":
    use_machine(1)
import torch
def step():
    torch.ones(1 << 23)  # 32 MB, freed at once
for _ in range(12):  # the heap takes a few to settle
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults, torch.get_num_threads(), float(torch.tensor(1e-40) * 1))
"""


def _in_fresh_process(mode: str) -> list[float]:
    done = subprocess.run([sys.executable, "-c", _FAULTS, mode], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives buffers back")
def test_large_buffers_are_kept() -> None:
    kept, threads, denormal = _in_fresh_process("keep")
    assert (threads, denormal) == (1, 0.0)
    left, _, denormal = _in_fresh_process("leave")
    assert denormal > 0
    assert kept < left / 4


def test_only_convolutions_are_channels_last() -> None:
    module = nn.Module()
    module.conv = nn.Conv2d(8, 8, 3)
    module.table = nn.Parameter(torch.zeros(2, 3, 4, 5))
    place_model(module, CPU)
    assert module.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert module.table.is_contiguous()


def test_tensors_are_aligned() -> None:
    shifted = torch.arange(33.0)[1:]
    assert shifted.data_ptr() % 64
    placed = place_tensor(shifted, CPU)
    assert placed.data_ptr() % 64 == 0
    assert torch.equal(placed, shifted)
    assert place_tensor(placed, CPU) is placed


_PEAKS = """
import torch
from threeworlds.train.ledger import peak_memory_mb, reset_peak_memory
reset_peak_memory()
before = peak_memory_mb()
torch.ones(50 << 20)  # 210 MB, given back at once
print(peak_memory_mb() - before)
reset_peak_memory()
print(peak_memory_mb() - before)
"""


def test_peak_memory_is_of_this_stage() -> None:
    """In a process of its own: one that keeps its buffers would not give this one back."""
    done = subprocess.run([sys.executable, "-c", _PEAKS], capture_output=True, text=True, check=True)
    with_it, after_it = map(float, done.stdout.split())
    assert 200 < with_it < 400
    assert after_it < 50

"""The machine: memory, threads and number format, set once per process; and where tensors go."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from threeworlds.types import Batch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h


def use_machine(threads: int | None = None) -> None:
    """Set this process up for training on a CPU. Call it once, before the first large tensor; harmless elsewhere.

    ``threads`` is the number of cores to use; without it OMP_NUM_THREADS, or else every core this process may use.
    """
    _keep_buffers()
    torch.set_flush_denormal(True)  # before the worker threads start: they inherit it
    torch.set_num_threads(threads or int(os.environ.get("OMP_NUM_THREADS", 0)) or _cores())


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _keep_buffers() -> None:
    """Keep large freed buffers in the process.

    By default glibc gives each large buffer back to the kernel and page-faults the next one in again, every step.
    """
    with suppress(OSError, AttributeError):  # not glibc
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
        mallopt(_M_TOP_PAD, 64 << 20)


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def place_model(module: nn.Module, device: torch.device) -> None:
    """Move to the device, 2-D convolution weights to channels_last (several times faster on a CPU)."""
    module.to(device)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            # mypy does not know this overload of Module.to
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def place_tensor(tensor: Tensor, device: torch.device) -> Tensor:
    """Move to the device; on the CPU make sure of the alignment that torch's own tensors have.

    A matrix product may sum in another order when its input starts elsewhere in memory, and a numpy array starts
    anywhere. Runs would then differ in the last bit.
    """
    if device.type != "cpu":
        return tensor.to(device, non_blocking=True)
    return tensor if tensor.data_ptr() % 64 == 0 else tensor.clone()


def place_batch(batch: Batch, device: torch.device) -> Batch:
    """The same batch with every tensor on the device."""

    def move(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else place_tensor(tensor, device)

    cached = {name: place_tensor(value, device) for name, value in batch.cached.items()}
    return replace(batch, video=move(batch.video), action=move(batch.action), state=move(batch.state), cached=cached)


def autocast(device: torch.device, function: Callable[..., Any], *given: Any) -> Any:
    """Call with bf16 autocast on a GPU; on a CPU fp32, where bf16 is slower, not faster."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        return function(*given)

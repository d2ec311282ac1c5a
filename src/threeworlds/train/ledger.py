"""What training cost: counting FLOPs and memory, and adding ledgers up."""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from threeworlds.types import Ledger

T = TypeVar("T")


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


# torch counts attention on a GPU, but its CPU kernel as nothing.
_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


class FlopMeter:
    """Counts the FLOPs of each kind of call once and adds them up every time.

    Multiply and add count apart. Counting slows a call down and may take other kernels, so the figures belong in
    the checkpoint: a resumed run must not count again what the uninterrupted one did not.
    """

    def __init__(self, known: dict[str, float] | None = None) -> None:
        self.known = dict(known or {})
        self.total = 0.0

    def run(self, key: str, function: Callable[[], T]) -> T:
        """Call ``function``; calls under one ``key`` are taken to cost the same."""
        if key in self.known:
            result = function()
        else:
            with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
                result = function()
            self.known[key] = float(counter.get_total_flops())
        self.total += self.known[key]
        return result


def reset_peak_memory() -> None:
    """Start a new high-water mark of memory, where the system can (Linux, CUDA)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # buffers kept from what was trained before are not this one's
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """Largest memory since the last reset in MB: on the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def total_ledger(ledgers: Iterable[Ledger], parameters: int) -> Ledger:
    """The sum of several stages' ledgers. ``parameters`` is given, since stages may share weights."""
    stages = list(ledgers)
    return Ledger(
        clips=sum(x.clips for x in stages),
        unique_clips=max((x.unique_clips for x in stages), default=0),
        steps=sum(x.steps for x in stages),
        flops=sum(x.flops for x in stages),
        seconds=sum(x.seconds for x in stages),
        peak_memory_mb=max((x.peak_memory_mb for x in stages), default=0.0),
        parameters=parameters,
        supervision=tuple(dict.fromkeys(name for x in stages for name in x.supervision)),
    )

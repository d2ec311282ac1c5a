"""The machine a result was measured on, so that its seconds can be compared with another's."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import torch


def describe_machine() -> dict[str, Any]:
    """Versions, processor, cores, memory, and the speed of a float32 matrix product, measured now in half a second."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.system(),
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "sgemm_gflops": round(measure_sgemm(), 1),
    }


def measure_sgemm(size: int = 1024, seconds: float = 0.4) -> float:
    """Best GFLOP/s of a float32 [size, size] product on the CPU: 2 size^3 operations, multiply and add counted apart.

    The best of many, not the mean: another process's load is no property of the machine.
    """
    a, b = torch.ones(size, size), torch.ones(size, size)
    best, end = float("inf"), time.perf_counter() + seconds
    a @ b  # the first call starts the threads
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def _processor() -> str:
    """The processor's own name where Linux tells it, else what Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

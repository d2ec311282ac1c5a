"""What each measure for training on a CPU is worth, and how near a training step comes to the machine's own speed.

    python benchmarks/training.py --out results/benchmark-training.json

Two networks, a convolutional autoencoder and a small transformer, each take training steps (forward, backward,
AdamW) in a fresh process: on one thread with every measure, with one of them left out, and on two threads. The
variants take turns, several rounds of them, so that what else the machine does falls on all alike. A ratio is the
seconds of a step without the measure over those with it, paired by round; above 1 the measure pays. Each process also
times a large matrix product (sgemm), the most that this machine can do; ``of_sgemm`` is the step's FLOP/s as a part
of it. Two threads on a machine that is busy with other things wait for each other: see ``load_average``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from threeworlds.score.machine import describe_machine, measure_sgemm
from threeworlds.train import use_machine
from threeworlds.train.ledger import FlopMeter
from threeworlds.train.machine import place_model

MEASURES = ("kept_buffers", "channels_last", "two_threads", "fused_adamw")
ROUNDS = 4
SECONDS = 0.7  # of timed steps in each process
WARM_UP = 3  # steps


def conv_net() -> tuple[nn.Module, Tensor]:
    """An autoencoder of 32 x 32 frames, 128 of them a batch."""
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 3, 4, 2, 1),
    )
    return net, torch.randn(128, 3, 32, 32)


def transformer() -> tuple[nn.Module, Tensor]:
    """Three pre-norm blocks of width 128 over 16 sequences of 128 tokens."""
    block = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(block, 3, enable_nested_tensor=False), torch.randn(16, 128, 128)


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {"conv": conv_net, "transformer": transformer}


def measure(network: str, variant: str) -> dict[str, float]:
    """Median seconds of a training step in this process: without one measure, or on two threads."""
    threads = 2 if variant == "two_threads" else 1
    if variant == "kept_buffers":
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
    else:
        use_machine(threads)
    torch.manual_seed(0)
    net, x = NETWORKS[network]()
    if variant != "channels_last":
        place_model(net, x.device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=variant != "fused_adamw")

    def step() -> None:
        net(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    meter = FlopMeter()
    meter.run("step", step)
    seconds, faults = timed(step)
    return {"seconds": seconds, "page_faults": faults, "flops": meter.total, "sgemm_gflops": measure_sgemm()}


def timed(step: Callable[[], None]) -> tuple[float, float]:
    """(median seconds, page faults a step)."""
    for _ in range(WARM_UP):
        step()
    seconds: list[float] = []
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    while sum(seconds) < SECONDS:
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return statistics.median(seconds), faults / len(seconds)


def in_fresh_process(network: str, variant: str) -> dict[str, float]:
    """:func:`measure`, where no buffer was made and no thread started before."""
    command = [sys.executable, __file__, "--measure", network, variant]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def compare(network: str, rounds: int) -> list[dict[str, Any]]:
    """One row for every measure that concerns this network, and one for all of them together."""
    measures = [name for name in MEASURES if network == "conv" or name != "channels_last"]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ("", *measures)}
    for _ in range(rounds):
        for variant, results in runs.items():
            results.append(in_fresh_process(network, variant))
    best = runs.pop("")
    gflops = [run["flops"] / run["seconds"] / 1e9 for run in best]
    rows: list[dict[str, Any]] = [
        {
            "network": network,
            "measure": "all, on one thread",
            "seconds": statistics.median(run["seconds"] for run in best),
            "gflops": statistics.median(gflops),
            "of_sgemm": statistics.median(x / run["sgemm_gflops"] for x, run in zip(gflops, best, strict=True)),
            "page_faults": statistics.median(run["page_faults"] for run in best),
        }
    ]
    for name, results in runs.items():
        ratios = [run["seconds"] / base["seconds"] for run, base in zip(results, best, strict=True)]
        if name == "two_threads":  # the one that is added, not left out
            ratios = [1 / ratio for ratio in ratios]
        rows.append(
            {
                "network": network,
                "measure": name,
                "ratio": statistics.median(ratios),
                "ratio_low": min(ratios),
                "ratio_high": max(ratios),
                "seconds": statistics.median(run["seconds"] for run in results),
                "page_faults": statistics.median(run["page_faults"] for run in results),
            }
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, write JSON to standard output or ``--out``, and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, standard output")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns that the variants take")
    parser.add_argument("--measure", nargs=2, metavar=("NETWORK", "VARIANT"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    result: dict[str, Any]
    if given.measure:
        result = measure(*given.measure)
    else:
        rows = [row for network in NETWORKS for row in compare(network, given.rounds)]
        result = {
            "benchmark": "training",
            "machine": describe_machine(),
            "load_average": os.getloadavg()[0],
            "rounds": given.rounds,
            "rows": rows,
        }
    text = json.dumps(result, indent=1) + "\n"
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text)
    else:
        sys.stdout.write(text)
    return result


if __name__ == "__main__":
    main()

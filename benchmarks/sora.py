"""How fast the sora route trains, samples and streams, beside diffusers' Wan transformer.

    python benchmarks/sora.py --out results/benchmark-sora.json

Both transformers have the same width, depth, heads, tokens, words and feed-forward size (they agree on the same
weights: tests/routes/test_sora_wan.py), random weights, and latents of 16 frames of 64 pixels. They take turns in one
process, on one thread; a ratio is Wan's seconds over ours, paired by round: above 1, ours is faster. Seconds are the
processor's for this process, so that what else the machine does counts little. "frames' own times" is what noise as
the mask of the task needs: Wan then takes a time for each token. Streaming is the base recipe at 64 pixels: chunks of
4 frames in the recipe's solver steps, under words, decoding included, with keys and values kept, and computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from threeworlds.routes import get_route
from threeworlds.routes.sora.generator import Generator
from threeworlds.routes.sora.model import Sora
from threeworlds.routes.sora.recipes import GeneratorConfig
from threeworlds.routes.sora.stream import stream
from threeworlds.score.machine import describe_machine
from threeworlds.train import use_machine
from threeworlds.train.ledger import FlopMeter
from threeworlds.types import ClipSpec

CONFIG = GeneratorConfig(width=192, layers=6, heads=6, text_width=192, frames=16)
CHANNELS, GRID, WORDS, BATCH = 4, (8, 8), 16, 2
WARM_UP, ROUNDS = 2, 12
Step = Callable[[], None]


def our_forward(model: nn.Module) -> Callable[[], Tensor]:
    clip, level = torch.randn(BATCH, CONFIG.frames, CHANNELS, *GRID), torch.full((BATCH, CONFIG.frames), 0.4)
    words = torch.randn(BATCH, WORDS, CONFIG.text_width), torch.ones(BATCH, WORDS, dtype=torch.bool)
    return lambda: model(clip, level, words)


def wan_forward(model: nn.Module, *, own_times: bool) -> Callable[[], Tensor]:
    clip = torch.randn(BATCH, CHANNELS, CONFIG.frames, *GRID)
    tokens = CONFIG.frames * GRID[0] * GRID[1] // CONFIG.patch**2
    level = torch.full((BATCH, tokens) if own_times else (BATCH,), 400.0)
    text = torch.randn(BATCH, WORDS, CONFIG.text_width)
    return lambda: model(clip, level, text, return_dict=False)[0]


def wan_model() -> nn.Module:
    from diffusers import WanTransformer3DModel

    model: nn.Module = WanTransformer3DModel(
        patch_size=(1, CONFIG.patch, CONFIG.patch),
        num_attention_heads=CONFIG.heads,
        attention_head_dim=CONFIG.width // CONFIG.heads,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=CONFIG.text_width,
        freq_dim=128,
        ffn_dim=4 * CONFIG.width,
        num_layers=CONFIG.layers,
    )
    return model


def training_step(model: nn.Module, forward: Callable[[], Tensor]) -> Step:
    used = [p for name, p in model.named_parameters() if not name.startswith("text.")]  # words come embedded
    optimizer = torch.optim.AdamW(used, lr=1e-5, fused=True)

    def step() -> None:
        forward().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def sampling_step(forward: Callable[[], Tensor]) -> Step:
    @torch.no_grad()
    def step() -> None:
        forward()

    return step


def take_turns(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of every round of each."""
    for step in steps.values():
        for _ in range(WARM_UP):
            step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time()
            step()
            seconds[name].append(time.process_time() - start)
    return seconds


def compare(*, compiled: bool, rounds: int) -> list[dict[str, Any]]:
    """Training and sampling, ours against Wan with one time a clip and with a time for each frame."""
    ours, wan = Generator(CONFIG, CHANNELS, GRID), wan_model()
    run_ours, run_wan = (torch.compile(m) if compiled else m for m in (ours, wan))
    peers = {"one time a clip": False, "frames' own times": True}
    rows = []
    for task in ("training step", "sampling step"):
        forwards = {"ours": (ours, our_forward(run_ours))}
        forwards |= {name: (wan, wan_forward(run_wan, own_times=own)) for name, own in peers.items()}
        steps = {n: training_step(m, f) if task[0] == "t" else sampling_step(f) for n, (m, f) in forwards.items()}
        flops = {} if compiled else {name: counted(step) for name, step in steps.items()}
        seconds = take_turns(steps, rounds)
        for peer in peers:
            ratios = [b / a for a, b in zip(seconds["ours"], seconds[peer], strict=True)]
            rows.append(
                {
                    "task": task,
                    "mode": "compiled" if compiled else "eager",
                    "peer": f"Wan, {peer}",
                    "ratio": statistics.median(ratios),
                    "ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
                    "our_ms": 1e3 * statistics.median(seconds["ours"]),
                    "peer_ms": 1e3 * statistics.median(seconds[peer]),
                    "our_gflop": flops.get("ours", 0) / 1e9,
                    "peer_gflop": flops.get(peer, 0) / 1e9,
                }
            )
    rows[0]["our_parameters"] = sum(p.numel() for n, p in ours.named_parameters() if not n.startswith("text."))
    rows[0]["peer_parameters"] = sum(p.numel() for p in wan.parameters())
    return rows


def counted(step: Step) -> float:
    meter = FlopMeter()
    meter.run("step", step)
    return meter.total


def streaming(rounds: int, *, chunk: int = 4) -> dict[str, Any]:
    """Frames a second of a stream of one film of 64 pixels, its window full, kept against computed again."""
    route = get_route("sora")
    config = route.recipes["base"]()
    config, steps = replace(config, generator=replace(config.generator, causal=True)), config.generator.steps
    model = route.build(config, ClipSpec(height=64, width=64, fps=10, captioned=True)).eval()
    assert isinstance(model, Sora)
    context = torch.zeros(1, config.generator.frames, 3, 64, 64)
    turns: dict[str, Step] = {}
    start = time.process_time()
    next(stream(model, context, ("a red disc",), seed=0, chunk=chunk, steps=steps))
    first = time.process_time() - start
    for name, cached in (("kept", True), ("computed again", False)):
        film = stream(model, context, ("a red disc",), seed=0, chunk=chunk, steps=steps, cached=cached)
        turns[name] = lambda film=film: list(islice(film, 1)) and None  # type: ignore[misc]
    seconds = take_turns(turns, rounds)
    ratios = [b / a for a, b in zip(seconds["kept"], seconds["computed again"], strict=True)]
    return {
        "pixels": 64,
        "chunk": chunk,
        "steps": steps,
        "window": config.generator.frames,
        "frames_per_second": {name: chunk / statistics.median(times) for name, times in seconds.items()},
        "first_chunk_ms": 1e3 * first,
        "ratio": statistics.median(ratios),
        "horizon_frames": chunk * (rounds + WARM_UP),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, write JSON to standard output or ``--out``, and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, standard output")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns that the two take")
    parser.add_argument("--eager", action="store_true", help="leave out torch.compile, which takes minutes")
    given = parser.parse_args(arguments)
    use_machine(1)
    torch.manual_seed(0)
    result: dict[str, Any] = {"benchmark": "sora", "machine": describe_machine(), "load_average": os.getloadavg()[0]}
    result["streaming"] = streaming(given.rounds)
    modes = (False,) if given.eager else (False, True)
    result["rows"] = [row for compiled in modes for row in compare(compiled=compiled, rounds=given.rounds)]
    text = json.dumps(result, indent=1) + "\n"
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text)
    else:
        sys.stdout.write(text)
    return result


if __name__ == "__main__":
    main()

"""Training steps of each part of the genie route against public ones at equal shapes.

    pip install --no-deps simulusion==1.1.0 vector-quantize-pytorch==1.32.0 einops einx torch-einops-utils frozendict
    python benchmarks/genie.py --out results/benchmark-genie.json

The peers are simulusion's Genie (tokenizer, latent action model and dynamics: spacetime transformers as the paper has
them) and the quantizers of vector-quantize-pytorch. Same batch, frames, pixels, patches, width, depth, heads and codes;
forward and backward on one thread. The sides take turns, so that what else the machine does falls on both alike; a
ratio is the peer's seconds over ours, paired by round: above 1, ours is faster. Shapes are equal, work is not quite:
simulusion's latent action model decodes one frame where ours decodes all, and its dynamics leaves out a frame and the
action's own token, where ours takes finished frames and a draft of each through. The two rows called small are no such
comparison: they set the convolutional parts that recipe `small` trains beside the peer's, on the same frames. Play is
measured apart, at 64 pixels, with random weights.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from threeworlds.nn.quantize import FSQ, VQ
from threeworlds.routes.genie.dynamics import MaskedDynamics
from threeworlds.routes.genie.latent_action import build_latent_action
from threeworlds.routes.genie.model import Genie
from threeworlds.routes.genie.recipes import (
    RECIPES,
    DynamicsConfig,
    LatentActionConfig,
    TokenizerConfig,
    TransformerConfig,
)
from threeworlds.routes.genie.tokenizer import build_tokenizer
from threeworlds.score.machine import describe_machine, measure_sgemm
from threeworlds.train import use_machine
from threeworlds.train.ledger import FlopMeter
from threeworlds.train.machine import place_model
from threeworlds.types import Batch, ClipSpec

BATCH, FRAMES, SIZE, WIDTH, LAYERS, HEADS = 4, 8, 32, 128, 3, 4
CODES, CODE_WIDTH, ACTIONS = 1024, 32, 8
ROUNDS = 5
PLAYED = (("small", 64, 1), ("small", 64, 2), ("base", 64, 1), ("base", 64, 2))
WARM = 20  # frames before the clock: the window is full and slides

Step = Callable[[], Any]


def transformer(patch: int) -> TransformerConfig:
    return TransformerConfig(width=WIDTH, layers=LAYERS, heads=HEADS, patch=patch)


def learns(loss: Callable[[], Tensor]) -> Step:
    return lambda: loss().backward()


def tokenizers() -> tuple[Step, Step]:
    """The published tokenizer, patches of 4."""
    from simulusion.vision.video_tokenizer import VideoTokenizer

    config = TokenizerConfig(
        kind="spacetime", transformer=transformer(4), codes=CODES, code_width=CODE_WIDTH, frames=FRAMES
    )
    ours, video = build_tokenizer(config, SIZE, SIZE), torch.rand(BATCH, FRAMES, 3, SIZE, SIZE)
    theirs = VideoTokenizer(
        num_frames=FRAMES, image_size=SIZE, encoder_dim=WIDTH, decoder_dim=WIDTH, encoder_depth=LAYERS,
        decoder_depth=LAYERS, num_heads=HEADS, patch_size=4, vocab_size=CODES, embedding_dim=CODE_WIDTH,
    )  # fmt: skip

    def peer() -> Tensor:
        losses = theirs(video.transpose(1, 2))[2]
        loss: Tensor = losses["recon_loss"] + losses["vq_loss"]
        return loss

    return learns(lambda: ours(Batch(video=video))[0]), learns(peer)


def latent_actions() -> tuple[Step, Step]:
    """The published latent action model, patches of 8."""
    from simulusion.models.latent_action_model import LatentActionModel

    config = LatentActionConfig(kind="vq", transformer=transformer(8), latent=CODE_WIDTH, codes=ACTIONS)
    ours, video = build_latent_action(config, SIZE, SIZE, 0), torch.rand(BATCH, FRAMES, 3, SIZE, SIZE)
    theirs = LatentActionModel(
        num_frames=FRAMES, image_size=SIZE, encoder_dim=WIDTH, decoder_dim=WIDTH, encoder_depth=LAYERS,
        decoder_depth=LAYERS, num_heads=HEADS, patch_size=8, vocab_size=ACTIONS, embedding_dim=CODE_WIDTH,
    )  # fmt: skip

    def peer() -> Tensor:
        made = theirs(video.transpose(1, 2)[:, :, :-1], video[:, -1])
        loss: Tensor = made["recon_loss"] + made["vq_loss"]
        return loss

    return learns(lambda: ours(Batch(video=video))[0]), learns(peer)


def small_tokenizer() -> tuple[Step, Step]:
    """What recipe `small` trains on the same frames, against the peer's tokenizer."""
    ours, video = build_tokenizer(TokenizerConfig(), SIZE, SIZE), torch.rand(BATCH, FRAMES, 3, SIZE, SIZE)
    place_model(ours, video.device)
    return learns(lambda: ours(Batch(video=video))[0]), tokenizers()[1]


def small_latent_actions() -> tuple[Step, Step]:
    """What recipe `small` trains on the same frames, against the peer's latent action model."""
    ours = build_latent_action(LatentActionConfig(), SIZE, SIZE, 0)
    video = torch.rand(BATCH, FRAMES, 3, SIZE, SIZE)
    place_model(ours, video.device)
    return learns(lambda: ours(Batch(video=video))[0]), latent_actions()[1]


def dynamics() -> tuple[Step, Step]:
    """Masked dynamics over 64 tokens a frame; the peer without its gradient checkpointing, which is slower."""
    from simulusion.models.dynamics_model import DynamicsModel

    config = DynamicsConfig(width=WIDTH, layers=LAYERS, heads=HEADS, frames=FRAMES)
    count = (SIZE // 4) ** 2
    ours = MaskedDynamics(config, torch.rand(CODES, CODE_WIDTH) * 2 - 1, ACTIONS, (SIZE // 4, SIZE // 4))
    tokens, codes = torch.randint(CODES, (BATCH, FRAMES, count)), torch.randint(ACTIONS, (BATCH, FRAMES))
    theirs = DynamicsModel(
        num_frames=FRAMES, image_size=SIZE, vocab_size=CODES, embedding_dim=CODE_WIDTH, action_vocab_size=ACTIONS,
        dim=WIDTH, depth=LAYERS, num_heads=HEADS, patch_size=4, gradient_checkpointing=False,
    )  # fmt: skip

    def peer() -> Tensor:
        logits = theirs(tokens[:, :-1], codes[:, :-1])
        return torch.nn.functional.cross_entropy(logits.flatten(0, 2), tokens[:, 1:].flatten())

    cached = {"tokens": tokens, "code": codes}
    return learns(lambda: ours(Batch(cached=cached))[0]), learns(peer)


def finite_scalar() -> tuple[Step, Step]:
    """FSQ of 16,384 vectors."""
    from vector_quantize_pytorch import FSQ as Peer

    levels = (8, 5, 5, 5)
    ours, theirs, x = FSQ(levels), Peer(list(levels)), torch.randn(64, 256, len(levels), requires_grad=True)

    def own() -> Tensor:
        code = ours(x)
        ours.index(code.detach())
        return code.square().sum()

    return learns(own), learns(lambda: theirs(x)[0].square().sum())


def vector() -> tuple[Step, Step]:
    """Cosine VQ of 4,096 vectors with running means, in train mode."""
    from vector_quantize_pytorch import VectorQuantize

    ours, x = VQ(CODES, CODE_WIDTH, decay=0.98), torch.randn(16, 256, CODE_WIDTH, requires_grad=True)
    theirs = VectorQuantize(CODE_WIDTH, CODES, decay=0.98, use_cosine_sim=True, threshold_ema_dead_code=0)

    def own() -> Tensor:
        code, _, commitment = ours(x)
        return code.square().sum() + commitment

    def peer() -> Tensor:
        code, _, commitment = theirs(x)
        return code.square().sum() + commitment.sum()

    return learns(own), learns(peer)


PARTS: dict[str, tuple[str, Callable[[], tuple[Step, Step]]]] = {
    "tokenizer, published": ("simulusion", tokenizers),
    "latent actions, published": ("simulusion", latent_actions),
    "tokenizer, small": ("simulusion", small_tokenizer),
    "latent actions, small": ("simulusion", small_latent_actions),
    "dynamics, masked": ("simulusion", dynamics),
    "FSQ": ("vector-quantize-pytorch", finite_scalar),
    "VQ": ("vector-quantize-pytorch", vector),
}


def compare(part: str, rounds: int, sgemm: float) -> dict[str, Any]:
    """One row: seconds of both sides, their ratio, and ours as a part of the machine's matrix product."""
    peer, build = PARTS[part]
    torch.manual_seed(0)
    ours, theirs = build()
    meter = FlopMeter()
    meter.run("ours", ours)
    theirs()
    pairs = [(timed(ours), timed(theirs)) for _ in range(rounds)]
    ratios = [b / a for a, b in pairs]
    seconds = statistics.median(a for a, _ in pairs)
    return {
        "part": part,
        "peer": peer,
        "seconds": seconds,
        "peer_seconds": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "gflops": meter.total / seconds / 1e9,
        "of_sgemm": meter.total / seconds / 1e9 / sgemm,
    }


def play(recipe: str, size: int, threads: int, frames: int) -> dict[str, Any]:
    """Frames a second of a world with random weights, picture included; each frame is waited for."""
    torch.set_num_threads(threads)
    model = Genie(RECIPES[recipe](), ClipSpec(height=size, width=size, fps=10.0))
    place_model(model, torch.device("cpu"))  # as a loaded model is
    world = model.as_world()
    world.reset(seed=0)
    seconds = []
    for number in range(WARM + frames):
        start = time.perf_counter()
        world.step(number % world.model.n_codes)
        seconds.append(time.perf_counter() - start)
    ordered = sorted(seconds[WARM:])
    return {
        "recipe": recipe,
        "pixels": size,
        "threads": threads,
        "fps": len(ordered) / sum(ordered),
        "median_ms": 1e3 * statistics.median(ordered),
        "p95_ms": 1e3 * ordered[int(0.95 * len(ordered))],
    }


def timed(step: Step) -> float:
    """Seconds of the fastest of three steps: the one least disturbed."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, write JSON to standard output or ``--out``, and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, standard output")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns that the sides take")
    given = parser.parse_args(arguments)
    use_machine(1)
    sgemm = measure_sgemm()
    result = {
        "benchmark": "genie",
        "machine": describe_machine(),
        "load_average": os.getloadavg()[0],
        "rounds": given.rounds,
        "sgemm_gflops": sgemm,
        "rows": [compare(part, given.rounds, sgemm) for part in PARTS],
        "play": [play(recipe, size, threads, 20 * given.rounds) for recipe, size, threads in PLAYED],
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

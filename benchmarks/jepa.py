"""A training step of the jepa route against stable-worldmodel's LeWM (arXiv 2603.19312), and the loss both share.

    pip install --no-deps stable-worldmodel==0.1.1 einops
    python benchmarks/jepa.py --out results/benchmark-jepa.json

"equal": the same convolutional encoder object, state, width, depth and number of projections on the same clips; LeWM
predicts with its transformer over three states, ours with a residual network from one. "as shipped": what recipe
`small` trains on 64 pixels, all terms of its loss, beside LeWM at its published size on 224 pixels. There the peer's
encoder is a ViT-Tiny of PyTorch's own layers, since the one it names is loaded from transformers. Forward and backward
on one thread; the sides take turns. A ratio is the peer's seconds a frame over ours, paired by round: above 1, ours is
faster. As shipped, most of it is resolution and size, not code: see the FLOPs of a frame.

SIGReg is the loss that both use: its value on the same states and projections, and its seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from genie import timed
from torch import Tensor, nn

from threeworlds.nn.regularize import sigreg
from threeworlds.routes.jepa.objective import WorldModelObjective
from threeworlds.routes.jepa.parts import Encoder, Predictor
from threeworlds.routes.jepa.recipes import WorldModelConfig, small
from threeworlds.score.machine import describe_machine, measure_sgemm
from threeworlds.train import use_machine
from threeworlds.train.ledger import FlopMeter
from threeworlds.train.machine import place_model
from threeworlds.types import ActionSpec, Batch
from threeworlds.worlds.foreign import borrowed

PEER = "stable_worldmodel.wm"
BATCH, FRAMES, SIZE, WIDTH, DEPTH, PROJECTIONS = 64, 4, 64, 128, 2, 64
SHIPPED_BATCH, SHIPPED_SIZE, TINY = 2, 224, 192
ACTION = ActionSpec(kind="continuous", size=2, names=("right", "up"))
ROUNDS = 5

Step = Callable[[], Any]
Side = tuple[Step, int]  # a training step, and how many frames it sees


class Seen(nn.Module):
    """An encoder of frames, as LeWM calls one: it reads the first token of the last hidden state."""

    def __init__(self, look: nn.Module) -> None:
        super().__init__()
        self.look = look

    def forward(self, frames: Tensor, interpolate_pos_encoding: bool) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.look(frames)[:, None])


class VisionTransformer(nn.Module):
    """ViT-Tiny, patches of 14: frames [n, 3, 224, 224] -> its first token [n, 192]."""

    def __init__(self) -> None:
        super().__init__()
        self.read_in = nn.Conv2d(3, TINY, 14, 14)
        self.first = nn.Parameter(torch.zeros(1, 1, TINY))
        self.places = nn.Parameter(0.02 * torch.randn(1, 1 + (SHIPPED_SIZE // 14) ** 2, TINY))
        layer = nn.TransformerEncoderLayer(TINY, 3, 4 * TINY, 0.0, "gelu", batch_first=True, norm_first=True)
        self.tower = nn.TransformerEncoder(layer, 12, nn.LayerNorm(TINY), enable_nested_tensor=False)

    def forward(self, frames: Tensor) -> Tensor:
        patches = self.read_in(frames).flatten(2).mT
        tokens = torch.cat([self.first.expand(len(frames), -1, -1), patches], dim=1)
        seen: Tensor = self.tower(tokens + self.places)[:, 0]
        return seen


def ours(config: WorldModelConfig, encoder: Encoder) -> Side:
    """The objective of the world model."""
    objective = WorldModelObjective(config, encoder, Predictor(config, ACTION), ACTION, (SIZE, SIZE))
    place_model(objective, torch.device("cpu"))
    frames = FRAMES + config.stack - 1
    batch = Batch(video=torch.rand(BATCH, frames, 3, SIZE, SIZE), action=torch.rand(BATCH, frames - 1, 2))
    return lambda: objective(batch)[0].backward(), BATCH * frames


def theirs(
    look: nn.Module, width: int, projections: int, batch: int, size: int, projector: nn.Module | None, **predictor: Any
) -> Side:
    """LeWM's modules and loss: one step ahead of each state, and SIGReg with its published weight."""
    parts, shell = borrowed(f"{PEER}.lewm.module"), borrowed(f"{PEER}.lewm.lewm").LeWM
    head = parts.Predictor(num_frames=FRAMES - 1, input_dim=width, hidden_dim=width, **predictor)
    model = shell(Seen(look), head, parts.Embedder(input_dim=2, emb_dim=width), projector, None)
    guard = borrowed(f"{PEER}.loss").SIGReg(num_proj=projections)
    video, action = torch.rand(batch, FRAMES, 3, size, size), torch.rand(batch, FRAMES, 2)

    def step() -> None:
        seen = model.encode({"pixels": video, "action": action})
        z, acts = seen["emb"], seen["act_emb"]
        ahead = model.predict(z[:, :-1], acts[:, :-1])
        (F.mse_loss(ahead, z[:, 1:]) + 0.09 * guard(z.transpose(0, 1))).backward()

    return step, batch * FRAMES


def equal() -> tuple[Side, Side]:
    """The same encoder, state, width and depth."""
    config = WorldModelConfig(
        stack=1, state=WIDTH, hidden=WIDTH, layers=DEPTH, frames=FRAMES, unroll=1, directions=PROJECTIONS, inverse=0.0
    )
    encoder = Encoder(config, SIZE, SIZE)
    peer = theirs(
        encoder.look, WIDTH, PROJECTIONS, BATCH, SIZE, None, depth=DEPTH, heads=4, dim_head=32, mlp_dim=WIDTH
    )  # fmt: skip
    return ours(config, encoder), peer


def shipped() -> tuple[Side, Side]:
    """Recipe `small`, and LeWM as published."""
    config = small().world
    module = borrowed(f"{PEER}.lewm.module")
    projector = module.MLP(TINY, 2048, TINY, norm_fn=nn.BatchNorm1d)
    peer = theirs(
        VisionTransformer(), TINY, 1024, SHIPPED_BATCH, SHIPPED_SIZE, projector,
        depth=6, heads=16, dim_head=64, mlp_dim=2048, dropout=0.1,
    )  # fmt: skip
    return ours(config, Encoder(config, SIZE, SIZE)), peer


def guards() -> tuple[Side, Side]:
    """SIGReg alone, on a batch of states."""
    z, peer = torch.randn(FRAMES, BATCH, WIDTH, requires_grad=True), borrowed(f"{PEER}.loss").SIGReg(num_proj=1024)
    return (lambda: sigreg(z, 1024).backward(), BATCH * FRAMES), (lambda: peer(z).backward(), BATCH * FRAMES)


PARTS = {"equal encoder and widths": equal, "as shipped": shipped, "SIGReg, 1,024 projections": guards}


def compare(part: str, rounds: int, sgemm: float) -> dict[str, Any]:
    """One row: seconds and FLOPs a frame of both sides, their ratio, and ours as a part of the machine's product."""
    torch.manual_seed(0)
    (step, frames), (peer_step, peer_frames) = PARTS[part]()
    meter, peer_meter = FlopMeter(), FlopMeter()
    meter.run("ours", step)
    peer_meter.run("theirs", peer_step)
    pairs = [(timed(step) / frames, timed(peer_step) / peer_frames) for _ in range(rounds)]
    ratios, seconds = [b / a for a, b in pairs], statistics.median(a for a, _ in pairs)
    return {
        "part": part,
        "seconds_a_frame": seconds,
        "peer_seconds_a_frame": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "flops_a_frame": meter.total / frames,
        "peer_flops_a_frame": peer_meter.total / peer_frames,
        "of_sgemm": meter.total / frames / seconds / 1e9 / sgemm,
    }


def parity() -> dict[str, float]:
    """Both values of SIGReg on the same states and projections: a Gaussian, and a state that has collapsed."""
    peer, found = borrowed(f"{PEER}.loss").SIGReg(num_proj=256), {}
    for name, z in (("gaussian", torch.randn(FRAMES, BATCH, WIDTH)), ("collapsed", torch.zeros(FRAMES, BATCH, WIDTH))):
        values = []
        for loss in (lambda z: sigreg(z, 256), peer):
            torch.manual_seed(1)
            values.append(float(loss(z)))
        found |= {name: values[0], f"peer_{name}": values[1]}
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, write JSON to standard output or ``--out``, and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write; without it, standard output")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns that the sides take")
    given = parser.parse_args(arguments)
    use_machine(1)
    sgemm = measure_sgemm()
    result = {
        "benchmark": "jepa",
        "peer": "stable-worldmodel 0.1.1",
        "machine": describe_machine(),
        "load_average": os.getloadavg()[0],
        "rounds": given.rounds,
        "sgemm_gflops": sgemm,
        "sigreg": parity(),
        "rows": [compare(part, given.rounds, sgemm) for part in PARTS],
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

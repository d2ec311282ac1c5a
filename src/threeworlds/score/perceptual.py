"""LPIPS, a learnt perceptual distance (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric", arXiv 1801.03924), where its weights are present. Nothing is downloaded.

Two files: the features of AlexNet as torchvision keeps them, ``alexnet-*.pth`` in torch's hub folder, and the linear
heads that the package ``lpips`` brings (``pip install --no-deps lpips``; it is not imported).

Legend: n pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

NAME = "LPIPS 0.1, AlexNet"
SIDE = 64  # pixels: smaller pictures are made as large, since AlexNet sees nothing in fewer
SEEN = (1, 4, 7, 9, 11)  # layers after which features are compared
MEAN, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of its training, for values in [-1, 1]
CHUNK = 64  # pictures at a time
EPSILON = 1e-10


def weights() -> tuple[Path, Path] | None:
    """Files of the features and of the heads; None where one of them is missing."""
    features = sorted((Path(torch.hub.get_dir()) / "checkpoints").glob("alexnet-*.pth"))
    package = find_spec("lpips")
    heads = Path(package.origin).parent / "weights" / "v0.1" / "alex.pth" if package and package.origin else None
    return (features[0], heads) if features and heads is not None and heads.exists() else None


class Lpips(nn.Module):
    """Distance of pictures, 0 where they are equal.

    Args:
        features: ``state_dict`` file of AlexNet, keys ``features.*``.
        heads: file of its linear heads, keys ``lin*.model.1.weight``.

    Raises:
        ValueError: a file holds other weights than these. It is read as tensors alone: nothing in it is run.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: Path, heads: Path) -> None:
        super().__init__()
        self.features = alexnet()
        self.heads = nn.ParameterList([torch.empty(1, width, 1, 1) for width in (64, 192, 384, 256, 256)])
        _load(self.features, "features.", features)
        _load(self.heads, "lin", heads, rename=lambda key: key.partition(".")[0])
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])
        self.requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Pictures [n, 3, h, w] in [-1, 1] -> [n], Eq. 1."""
        pairs = zip(self._seen(a), self._seen(b), self.heads, strict=True)
        return torch.stack([((x - y).square() * head).sum(1).mean((1, 2)) for x, y, head in pairs]).sum(0)

    def _seen(self, picture: Tensor) -> list[Tensor]:
        x, found = (picture - self.mean) / self.scale, []
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in SEEN:
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + EPSILON))
        return found


def alexnet() -> nn.Sequential:
    """Its convolutions (Krizhevsky 2014, "One weird trick", arXiv 1404.5997)."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )


def distance(a: Tensor, b: Tensor) -> np.ndarray:
    """Pictures [n, c, h, w] in [-1, 1], pair by pair: [n]. Needs ``weights()``."""
    found = weights()
    assert found is not None
    net = _net(*found)
    with torch.inference_mode():
        parts = zip(_as_seen(a).split(CHUNK), _as_seen(b).split(CHUNK), strict=True)
        return torch.cat([net(x, y) for x, y in parts]).double().numpy()


@cache
def _net(features: Path, heads: Path) -> Lpips:
    return Lpips(features, heads)


def _as_seen(picture: Tensor) -> Tensor:
    """Three channels, and at least SIDE pixels each way."""
    picture = picture.cpu().float().expand(-1, 3, -1, -1)
    factor = max(1.0, SIDE / min(picture.shape[-2:]))
    return nn.functional.interpolate(picture, scale_factor=factor, mode="bilinear") if factor > 1 else picture


def _load(module: nn.Module, prefix: str, file: Path, rename: Callable[[str], str] = str) -> None:
    kept = torch.load(file, map_location="cpu", weights_only=True)
    named = {rename(key.removeprefix(prefix)): value for key, value in kept.items() if key.startswith(prefix)}
    try:
        module.load_state_dict(named)
    except RuntimeError as error:
        raise ValueError(f"{file}: not the weights of {NAME}: {error}") from error

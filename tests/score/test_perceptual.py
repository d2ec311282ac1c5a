"""LPIPS from files that lie on this machine; here they hold seeded weights, the true ones are not ours to keep."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from threeworlds.score import perceptual, prediction
from threeworlds.score.exam import Measured

WIDTHS = (64, 192, 384, 256, 256)
GOLDEN = (0.9370341, 0.9905631)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Both files, where torchvision and the package lpips leave them."""
    generator = torch.Generator().manual_seed(0)
    features = tmp_path / "hub" / "checkpoints" / "alexnet-owt-0.pth"
    heads = tmp_path / "lpips" / "weights" / "v0.1" / "alex.pth"
    for file in (features, heads):
        file.parent.mkdir(parents=True)
    drawn = {
        f"features.{name}": torch.randn(value.shape, generator=generator) * 0.05
        for name, value in perceptual.alexnet().state_dict().items()
    }
    torch.save({**drawn, "classifier.1.weight": torch.zeros(2, 2)}, features)
    shapes = {f"lin{i}.model.1.weight": (1, width, 1, 1) for i, width in enumerate(WIDTHS)}
    torch.save({name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}, heads)
    (tmp_path / "lpips" / "__init__.py").touch()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lpips", raising=False)
    return features, heads


def pictures(n: int, side: int = 64) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_files_are_found_where_both_lie(kept: tuple[Path, Path]) -> None:
    assert perceptual.weights() == kept
    kept[0].unlink()
    assert perceptual.weights() is None


def test_distance_is_that_of_the_reference(kept: tuple[Path, Path]) -> None:
    """Values of the package lpips 0.1.4 with these weights and pictures."""
    a, b = pictures(4).split(2)
    np.testing.assert_allclose(perceptual.distance(a, b), GOLDEN, rtol=1e-4)
    np.testing.assert_allclose(perceptual.distance(b, a), GOLDEN, rtol=1e-4)
    assert perceptual.distance(a, a).tolist() == [0, 0]


def test_small_and_grey_pictures_are_seen(kept: tuple[Path, Path]) -> None:
    a, b = pictures(4, side=32).split(2)
    assert (perceptual.distance(a, b) > 0).all()
    grey = a[:, :1]
    np.testing.assert_allclose(
        perceptual.distance(grey, b[:, :1]),
        perceptual.distance(grey.expand(-1, 3, -1, -1), b[:, :1].expand(-1, 3, -1, -1)),
        rtol=1e-5,
    )


def test_other_weights_are_refused(kept: tuple[Path, Path]) -> None:
    features, heads = kept
    with pytest.raises(ValueError, match=r"alex.pth: not the weights of LPIPS"):
        perceptual.Lpips(heads, features)


def test_the_question_has_its_rows_where_weights_are(kept: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(2)
    futures = torch.rand(3, 2, 3, 16, 16, generator=generator) * 2 - 1
    exam = SimpleNamespace(future=futures, horizons=(1, 2))
    floors = {"copy the last frame": futures[:, :1].expand_as(futures)}
    videos = {"a": futures.flip(1)}

    def asked() -> list[Measured]:
        return prediction._perceptual_metrics(exam, videos, floors, {"a": futures}, {}, "given")

    first, second = asked()
    assert (first.metric, second.metric, first.direction) == ("lpips_h1", "lpips_h2", "lower")
    expected = perceptual.distance(futures[:, 0], futures[:, 1])
    np.testing.assert_allclose(second.values["a"], expected, rtol=1e-5)
    assert not first.floors["copy the last frame"].any()
    assert not second.own_ceilings["a"][1].any()
    kept[1].unlink()
    assert asked() == []

"""Weights that keep a small moving thing from drowning in a still background."""

from __future__ import annotations

from torch import Tensor


def moving_weight(video_btchw: Tensor, extra: float) -> Tensor:
    """1 where a pixel shows the clip's mean picture, up to 1 + extra where it differs by half the range or more.

    [b, t, c, h, w] -> [b, t, 1, h, w], divided by its mean so that the loss keeps its scale.
    """
    still = video_btchw.mean(1, keepdim=True)
    weight = 1 + extra * (video_btchw - still).abs().amax(2, keepdim=True).clamp(max=1)
    return weight / weight.mean()


def changed_weight(before: Tensor, after: Tensor, extra: float) -> Tensor:
    """1 where a pixel stays as it was, up to 1 + extra where it changes. [..., c, h, w] -> [..., 1, h, w]."""
    weight = 1 + extra * (after - before).abs().amax(-3, keepdim=True).clamp(max=1)
    return weight / weight.mean()

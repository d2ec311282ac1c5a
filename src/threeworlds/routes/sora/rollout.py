"""Longer than the window: which frames are made next, and what the network is shown of the others.

``fill`` is the whole model to this file: latents [b, t, c, y, x] and levels [b, t] (1 given, 0 to be made, between:
to be made anew from there) -> finished latents, t no longer than the window. b batch, t frames.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Fill = Callable[[Tensor, Tensor], Tensor]


def between(fill: Fill, head: Tensor, tail: Tensor, frames: int, window: int) -> Tensor:
    """``frames`` >= 0 latents that lead from ``head`` to ``tail``, either of which may have no frame.

    The film grows at the end of the head, or at the start of the tail where there is no head, with half a window as
    context. What is left in the end is made with both sides in view.
    """
    start, end, half = head.shape[1], tail.shape[1], window // 2
    while left := frames - (head.shape[1] - start) - (tail.shape[1] - end):
        grows_back = not head.shape[1] and tail.shape[1] > 0
        both = head.shape[1] > 0 and tail.shape[1] > 0
        if both and left <= half:
            after = min(tail.shape[1], (window - left) // 2)
            before = min(head.shape[1], window - left - after)
        else:
            before, after = min(head.shape[1], half), min(tail.shape[1], half) if grows_back else 0
        wanted = left - half if both and left > half else left
        made = _make(fill, head[:, head.shape[1] - before :], min(wanted, window - before - after), tail[:, :after])
        if grows_back:
            tail = torch.cat([made, tail], dim=1)
        else:
            head = torch.cat([head, made], dim=1)
    return torch.cat([head[:, start:], tail[:, : tail.shape[1] - end]], dim=1)


def _make(fill: Fill, before: Tensor, new: int, after: Tensor) -> Tensor:
    unknown = before.new_zeros(len(before), new, *before.shape[2:])
    clip = torch.cat([before, unknown, after], dim=1)
    level = clip.new_ones(clip.shape[:2])
    level[:, before.shape[1] : before.shape[1] + new] = 0
    return fill(clip, level)[:, before.shape[1] : before.shape[1] + new]


def anew(fill: Fill, latent: Tensor, level: float, window: int) -> Tensor:
    """Every frame made anew from ``level``, window by window; half of each window is shown what was made before."""
    done = fill(latent[:, :window], latent.new_full((len(latent), min(window, latent.shape[1])), level))
    while done.shape[1] < latent.shape[1]:
        context = done[:, -(window // 2) :]
        rest = latent[:, done.shape[1] : done.shape[1] + window - context.shape[1]]
        clip = torch.cat([context, rest], dim=1)
        levels = torch.cat([context.new_ones(context.shape[:2]), rest.new_full(rest.shape[:2], level)], dim=1)
        done = torch.cat([done, fill(clip, levels)[:, context.shape[1] :]], dim=1)
    return done

"""Dynamics in play: one world, one frame at a time, as many a second as may be.

Any kind goes on from its cache. The masked kind is laid out anew for it: the same maps with fewer and larger matrix
products, positions and embeddings worked out once, finished frames in a ring that nothing is copied from. What it
computes is what `MaskedDynamics.next_frame` does, but for rounding.

Legend: m = 1 + n places of a frame (its code in front), h heads, e head width, d = h e (or the heads' own), w frames of
the window.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import pi
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.attention import Attention, Rope, rope_table
from threeworlds.nn.spacetime import SpaceTimeBlock
from threeworlds.routes.genie.dynamics import Cache, Dynamics, MaskedDynamics, fill

GELU = (2 / pi) ** 0.5  # arXiv 1606.08415, section 2


class Player(Protocol):
    """What goes on from the frames so far."""

    def next_frame(self, code: Tensor, generator: torch.Generator, refinements: int | None = None) -> Tensor:
        """code [1] -> the tokens [1, n] of the frame that it leads to, which is remembered."""
        ...


def player(dynamics: Dynamics, past: Cache, time: int) -> Player:
    """Go on from a cache of one clip; ``time``: of the next frame. Weights are taken as they are now."""
    if type(dynamics) is MaskedDynamics:  # one that only descends from it may compute something else
        return MaskedPlayer(dynamics, past, time)
    return CachePlayer(dynamics, past, time)


class CachePlayer:
    """Any kind, by its own `next_frame`."""

    def __init__(self, dynamics: Dynamics, past: Cache, time: int) -> None:
        self.dynamics, self.past, self.time = dynamics, past, time

    def next_frame(self, code: Tensor, generator: torch.Generator, refinements: int | None = None) -> Tensor:
        tokens, past = self.dynamics.next_frame(self.past, code, self.time, generator, refinements)
        self.past, self.time = self.dynamics.forget(past), self.time + 1
        return tokens


class MaskedPlayer:
    """`MaskedDynamics`, laid out for play."""

    def __init__(self, dynamics: MaskedDynamics, past: Cache, time: int) -> None:
        self.dynamics, self.time = dynamics, time
        space, _ = dynamics.ropes(time, 1)
        frames = dynamics.config.frames
        blocks = cast(Iterable[SpaceTimeBlock], dynamics.blocks)
        self.layers = [Layer(block, space, kept, frames) for block, kept in zip(blocks, past, strict=True)]
        self.seen = past[0][0].shape[-2]  # frames in the ring so far, counted on
        self.table = dynamics.tokens.table(dynamics.codebook)
        self.scores, self.bias = dynamics.read_out.as_one_map(dynamics.codebook)

    def next_frame(self, code: Tensor, generator: torch.Generator, refinements: int | None = None) -> Tensor:
        dynamics, passes = self.dynamics, self.dynamics.passes(refinements)
        time, count = rope_table(torch.full((1, 1), float(self.time)), dynamics.head_width), dynamics.count
        for layer in self.layers:
            layer.turn(time)
        null = torch.full_like(code, dynamics.null)

        def logits(tokens: Tensor) -> Tensor:
            given = self._logits(tokens, code)
            guided = dynamics.config.guidance != 1
            return dynamics.guided(given, self._logits(tokens, null)) if guided else given

        tokens = fill(logits, (1, 1, count), passes, dynamics.mask, dynamics.config.temperature, generator, code.device)
        self._run(tokens, code, remember=True)
        self.time, self.seen = self.time + 1, self.seen + 1
        return tokens[:, 0]

    def _logits(self, tokens: Tensor, code: Tensor) -> Tensor:
        norm = self.dynamics.norm
        z = F.layer_norm(self._run(tokens, code)[1:], norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        return torch.addmm(self.bias, z, self.scores)[None, None]

    def _run(self, tokens: Tensor, code: Tensor, remember: bool = False) -> Tensor:
        """tokens [1, 1, n] -> [m, d]; to ``remember`` them, the last layer's keys and values are enough."""
        prepended, added = self.dynamics.actions.weight[code].chunk(2, dim=-1)
        z = torch.cat([prepended, self.table[tokens[0, 0]] + added])
        for layer in self.layers:
            layer.run(z, self.seen, remember and layer is self.layers[-1])
        return z


class Layer:
    """A `SpaceTimeBlock` over one frame [m, d], and the ring of its finished frames' keys and values."""

    def __init__(self, block: SpaceTimeBlock, space: Rope, past: tuple[Tensor, Tensor], frames: int) -> None:
        norms = cast(Iterable[nn.LayerNorm], block.norms)
        self.norms = [(n.normalized_shape, n.weight, n.bias, n.eps) for n in norms]
        self.over_space, self.over_time = Projection(block.space), Projection(block.time)
        self.over_space.turn(space)
        self.up, self.down = cast(nn.Linear, block.mlp[0]), cast(nn.Linear, block.mlp[2])
        kept = torch.stack([x[0].movedim(-2, 0) for x in past])  # keys and values, [2, kept, m, h, e]
        self.ring = kept.new_zeros(2, frames, *kept.shape[2:])
        self.ring[:, : kept.shape[1]] = kept

    def turn(self, time: Rope) -> None:
        """The next frame's place in time."""
        self.over_time.turn(time)

    def run(self, z: Tensor, seen: int, keys_alone: bool) -> None:
        """Adds to z [m, d] what the layer makes of it, after ``seen`` frames. ``keys_alone``: only fills the ring."""
        query, key, value = (x.transpose(0, 1)[None] for x in self.over_space(F.layer_norm(z, *self.norms[0])))
        read = F.scaled_dot_product_attention(query, key, value)
        self.over_space.add(z, read[0].transpose(0, 1))
        query, key, value = self.over_time(F.layer_norm(z, *self.norms[1]))
        slot = seen % self.ring.shape[1]
        self.ring[0, slot], self.ring[1, slot] = key, value
        if keys_alone:
            return
        keys, values = self.ring[:, : seen + 1]
        # One query a place: sums of products are twice as fast as so many products of small matrices.
        weights = (keys * query).sum(-1, keepdim=True).mul_(query.shape[-1] ** -0.5).softmax(0)  # [w, m, h, 1]
        self.over_time.add(z, (weights * values).sum(0))
        inner = gelu(self.up(F.layer_norm(z, *self.norms[2])))
        z.add_(self.down.bias).addmm_(inner, self.down.weight.T)


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form; by the sigmoid, (1 + tanh(u)) / 2 = sigmoid(2 u), it takes half as long."""
    twice = (x * x).mul_(2 * GELU * 0.044715).add_(2 * GELU).mul_(x)
    return twice.sigmoid_().mul_(x)


class Projection:
    """Queries, keys and values of an `Attention` in one product; norms and turns of queries and keys in one go."""

    def __init__(self, attention: Attention) -> None:
        self.shape = (3, attention.heads, attention.head_width)
        self.weight = torch.cat([attention.query.weight, attention.key_value.weight]).T.contiguous()
        self.out = attention.out.weight.T
        self.scale = torch.stack([attention.query_norm.weight, attention.key_norm.weight])[:, None]  # [2, 1, e]
        eps = attention.query_norm.eps
        self.eps = torch.finfo(self.weight.dtype).eps if eps is None else eps

    def turn(self, rope: Rope) -> None:
        """Where the queries and keys to come stand, one row a place or one for all."""
        cos, sin = (x[:, None, None] for x in rope)  # [m, 1, 1, e / 2]
        first, second = self.scale.chunk(2, dim=-1)
        self.straight = torch.cat([first * cos, second * cos], dim=-1)  # [m, 2, 1, e]
        self.across = torch.cat([-second * sin, first * sin], dim=-1)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [m, d] -> turned queries and keys, and values, each [m, h, e]."""
        made = (x @ self.weight).unflatten(1, self.shape)
        both = made[:, :2]
        length = torch.linalg.vector_norm(both, dim=-1, keepdim=True)
        small = length.square_().div_(self.shape[-1]).add_(self.eps).rsqrt_()
        turned = (both * self.straight).addcmul_(both.roll(self.shape[-1] // 2, -1), self.across).mul_(small)
        return turned[:, 0], turned[:, 1], made[:, 2]

    def add(self, z: Tensor, read: Tensor) -> None:
        """Adds what was read [m, h, e], mapped, to z [m, d]."""
        z.addmm_(read.flatten(1), self.out)

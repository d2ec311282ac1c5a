"""Causal dynamics: token after token, as language models write (IRIS, arXiv 2209.00588, section 2.2).

A clip is one sequence: the code that led to a frame, then the frame's tokens. A frame takes as many passes as it has
tokens, each of one token.

Legend: b batch, t frames, n tokens a frame, s = t (1 + n) places of the sequence, d width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.attention import Attention, FeedForward, KeyValue, Rope, grid_positions, rope_table
from threeworlds.routes.genie.dynamics import Cache, Dynamics, TokenEmbedding, TokenScores, draw
from threeworlds.routes.genie.recipes import DynamicsConfig
from threeworlds.types import Batch


class CausalDynamics(Dynamics):
    """Each token given all before it."""

    def __init__(
        self, config: DynamicsConfig, codebook: Tensor, codes: int, grid: tuple[int, int], learnt: bool = False
    ) -> None:
        super().__init__(config, codebook, codes, grid, learnt)
        self.count = grid[0] * grid[1]
        self.span = 1 + self.count
        self.tokens = TokenEmbedding(len(codebook), codebook.shape[1], config.width)
        self.actions = nn.Embedding(codes + 1, config.width)
        self.head_width = config.head_width or config.width // config.heads
        self.blocks = nn.ModuleList(
            CausalBlock(config.width, config.heads, config.head_width, config.mlp) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.read_out = TokenScores(len(codebook), codebook.shape[1], config.width)
        nn.init.normal_(self.actions.weight, std=0.5)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        tokens, codes = batch.cached["tokens"].long(), self.hide_actions(batch.cached["code"].long())
        logits = self.logits(self.corrupt(tokens), codes)[0][:, 1:]
        loss = F.cross_entropy(logits.flatten(0, 2), tokens[:, 1:].flatten())
        right = (logits.argmax(-1) == tokens[:, 1:]).float().mean()
        return loss, {"accuracy": right.detach()}

    def logits(self, tokens: Tensor, codes: Tensor) -> tuple[Tensor, Cache]:
        """tokens [b, t, n], codes [b, t] -> logits [b, t, n, v], each given what is before it, and the cache."""
        z = torch.cat([self.actions(codes)[:, :, None], self.tokens(tokens, self.codebook)], dim=2)
        z, kept = self._run(z.flatten(1, 2), None, 0)
        before = z.unflatten(1, (tokens.shape[1], self.span))[:, :, :-1]
        return self.read_out(before, self.codebook), kept

    def remember(self, tokens: Tensor, codes: Tensor) -> Cache:
        return self.logits(tokens, codes)[1]

    @torch.no_grad()
    def next_frame(
        self, past: Cache, code: Tensor, time: int, generator: torch.Generator, refinements: int | None = None
    ) -> tuple[Tensor, Cache]:
        """Token after token."""
        self.passes(refinements)
        free, unguided = past, self.config.guidance == 1
        given, without = self.actions(code)[:, None], self.actions(torch.full_like(code, self.null))[:, None]
        made: list[Tensor] = []
        for place in range(self.count):
            z, past = self._run(given, past, time * self.span + place)
            logits = self.read_out(z, self.codebook)
            if not unguided:
                z, free = self._run(without, free, time * self.span + place)
                logits = self.guided(logits, self.read_out(z, self.codebook))
            made.append(draw(logits, self.config.temperature, generator)[0])
            given = without = self.tokens(made[-1], self.codebook)
        past = self._run(given, past, time * self.span + self.count)[1]
        return torch.cat(made, dim=1), past

    def passes(self, refinements: int | None = None) -> int:
        """One a token, and one for the action: there is nothing to choose."""
        if refinements is not None:
            raise ValueError(f"refinements {refinements!r}: a causal dynamics makes a frame token after token")
        return self.span

    @property
    def in_play(self) -> int | None:
        """No choice."""
        return None

    @torch.no_grad()
    def surprise(self, tokens: Tensor, codes: Tensor) -> Tensor:
        """Negative log-likelihood of each frame given those before it, in nats: [b, t], NaN at the first."""
        costs = [tokens.new_full((len(tokens),), torch.nan, dtype=torch.float32)]
        for time in range(1, tokens.shape[1]):
            window = slice(max(0, time - self.config.frames + 1), time + 1)
            logits = self.logits(tokens[:, window], codes[:, window])[0][:, -1]
            costs.append(F.cross_entropy(logits.transpose(1, 2), tokens[:, time], reduction="none").sum(1))
        return torch.stack(costs, dim=1)

    def _run(self, z: Tensor, past: Cache | None, first: int) -> tuple[Tensor, Cache]:
        """z [b, s, d] at places ``first`` and after; with ``past``, one place at a time."""
        rope, kept = self._rope(first, z.shape[1]), []
        for layer, block in enumerate(self.blocks):
            z, key_value = block(z, rope, past[layer] if past is not None else None)
            kept.append(key_value)
        return self.norm(z), kept

    def _rope(self, first: int, places: int) -> Rope:
        """A place is (time, row, column); the code stands at the origin of its frame."""
        place = torch.arange(first, first + places)
        cells = torch.cat([torch.zeros(1, 2), grid_positions(*self.grid) + 1])
        positions = torch.cat([(place // self.span)[:, None].float(), cells[place % self.span]], dim=1)
        return rope_table(positions.to(self.actions.weight.device), self.head_width)


class CausalBlock(nn.Module):
    """Causal attention and an MLP, each after a norm."""

    def __init__(self, width: int, heads: int, head_width: int | None, mlp: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = Attention(width, heads, head_width=head_width)
        self.mlp = FeedForward(width, mlp)

    def forward(self, z_bsd: Tensor, rope: Rope, past: KeyValue | None) -> tuple[Tensor, KeyValue]:
        x = self.norms[0](z_bsd)
        key, value = self.attention.project(x, rope)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=-2), torch.cat([past[1], value], dim=-2)
        z_bsd = z_bsd + self.attention.attend(x, (key, value), rope=rope, causal=past is None)
        return z_bsd + self.mlp(self.norms[1](z_bsd)), (key, value)

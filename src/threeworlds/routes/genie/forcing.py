"""Diffusion dynamics: the places of a frame's tokens in the code grid, out of noise.

Every frame has a noise level of its own, and given frames have none (Diffusion Forcing, arXiv 2407.01392). The network
predicts clean places, the loss is in velocity space (JiT, arXiv 2511.13720), and what comes out falls on the nearest
token.

Legend: b batch, t frames, n tokens a frame, c channels of a code, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threeworlds.flow.path import STRAIGHT, logit_normal
from threeworlds.flow.solver import euler, time_grid
from threeworlds.nn.attention import grid_positions, rope_table
from threeworlds.nn.spacetime import SpaceTimeBlock
from threeworlds.routes.genie.dynamics import Cache, Dynamics
from threeworlds.routes.genie.recipes import DynamicsConfig
from threeworlds.types import Batch

TIME_MEAN, TIME_STD = -1.2, 1.0  # of training's noise levels, on the logit scale: nearer to the noise


class DiffusionDynamics(Dynamics):
    """Noise to codes, given the frames so far."""

    def __init__(
        self, config: DynamicsConfig, codebook: Tensor, codes: int, grid: tuple[int, int], learnt: bool = False
    ) -> None:
        super().__init__(config, codebook, codes, grid, learnt)
        self.read_in = nn.Linear(codebook.shape[1], config.width)
        self.level = nn.Sequential(nn.Linear(1, config.width), nn.SiLU(), nn.Linear(config.width, config.width))
        self.actions = nn.Embedding(codes + 1, 2 * config.width)
        self.head_width = config.head_width or config.width // config.heads
        self.blocks = nn.ModuleList(
            SpaceTimeBlock(config.width, config.heads, config.head_width, config.mlp) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.read_out = nn.Linear(config.width, codebook.shape[1])
        nn.init.normal_(self.actions.weight, std=0.5)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        tokens, codes = batch.cached["tokens"].long(), self.hide_actions(batch.cached["code"].long())
        level = noise_levels(len(codes), codes.shape[1], self.config.clean).to(codes.device)
        x_1 = self.codebook[tokens]
        time = level[..., None, None]
        given = (level == 1)[..., None, None]
        x_t = torch.where(given, self.codebook[self.corrupt(tokens)], STRAIGHT.point(torch.randn_like(x_1), x_1, time))
        estimate = self.estimate(x_t, level, codes)[0]
        error = STRAIGHT.weighted(estimate - x_1, time).square().mean((2, 3))
        noised = (level < 1).float()
        right = ((self.nearest(estimate) == tokens).float().mean(2) * noised).sum() / noised.sum()
        return (noised * error).sum() / noised.sum(), {"accuracy": right.detach()}

    def estimate(
        self, x_t: Tensor, level: Tensor, codes: Tensor, past: Cache | None = None, first: int = 0
    ) -> tuple[Tensor, Cache]:
        """Noisy places [b, t, n, c] at levels [b, t] in [0, 1] (1 = clean), codes [b, t] -> clean places, cache."""
        prepended, added = self.actions(codes)[:, :, None].chunk(2, dim=-1)
        added = added + self.level(level[..., None])[:, :, None]
        z, kept = torch.cat([prepended + added, self.read_in(x_t) + added], dim=2), []
        cells = torch.cat([torch.zeros(1, 2), grid_positions(*self.grid) + 1])
        space = rope_table(cells.to(z.device), self.head_width)
        time = rope_table(grid_positions(first + x_t.shape[1])[first:].to(z.device), self.head_width)
        for layer, block in enumerate(self.blocks):
            z, key_value = block(z, space, time, past[layer] if past else None)
            kept.append(key_value)
        return self.read_out(self.norm(z[:, :, 1:])), kept

    def nearest(self, x: Tensor) -> Tensor:
        """Places [..., c] -> the tokens they fall on, int64 [...]."""
        return torch.cdist(x.flatten(0, -2), self.codebook).argmin(-1).view(x.shape[:-1])

    def remember(self, tokens: Tensor, codes: Tensor) -> Cache:
        return self.estimate(self.codebook[tokens], torch.ones(codes.shape, device=tokens.device), codes)[1]

    @torch.no_grad()
    def next_frame(
        self, past: Cache, code: Tensor, time: int, generator: torch.Generator, refinements: int | None = None
    ) -> tuple[Tensor, Cache]:
        """A few Euler steps from noise to the frame."""
        codes = code[:, None]
        shape = (len(code), 1, self.grid[0] * self.grid[1], self.codebook.shape[1])

        def velocity(x: Tensor, t: float) -> Tensor:
            level = torch.full(codes.shape, t, device=codes.device)
            clean = self.estimate(x, level, codes, past, time)[0]
            if self.config.guidance != 1:
                clean = self.guided(clean, self.estimate(x, level, torch.full_like(codes, self.null), past, time)[0])
            return STRAIGHT.velocity(clean, x, level[..., None, None])

        noise = torch.randn(shape, generator=generator).to(codes.device)
        x = euler(velocity, noise, time_grid(self.passes(refinements)))
        tokens = self.nearest(x)
        kept = self.estimate(self.codebook[tokens], torch.ones(codes.shape, device=codes.device), codes, past, time)[1]
        return tokens[:, 0], kept

    @torch.no_grad()
    def surprise(self, tokens: Tensor, codes: Tensor) -> Tensor:
        """Squared distance of each frame's codes from those expected, which is what noise alone is cleaned to.

        [b, t], NaN at the first frame. There is no likelihood to be had in one pass.
        """
        places = self.codebook[tokens]
        past = self.remember(tokens, codes)
        noise = torch.randn(places[:1, :1].shape, generator=torch.Generator().manual_seed(0)).expand_as(places[:, :1])
        costs = [places.new_full((len(tokens),), torch.nan)]
        for time in range(1, tokens.shape[1]):
            first = max(0, time - self.config.frames + 1)
            seen = [(key[..., first:time, :], value[..., first:time, :]) for key, value in past]
            level = torch.zeros(len(tokens), 1, device=tokens.device)
            expected = self.estimate(noise, level, codes[:, time : time + 1], seen, time)[0][:, 0]
            costs.append((expected - places[:, time]).square().sum((1, 2)))
        return torch.stack(costs, dim=1)


def noise_levels(batch: int, frames: int, clean: float) -> Tensor:
    """Levels [b, t] in (0, 1], one a frame; a part ``clean`` of the frames is given, at level 1, the last never."""
    level = logit_normal((batch, frames), TIME_MEAN, TIME_STD)
    given = torch.rand(batch, frames) < clean
    given[:, -1] = False
    return torch.where(given, 1.0, level)

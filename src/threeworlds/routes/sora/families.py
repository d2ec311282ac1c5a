"""The classical families of generative models as heads over the same latents: VAE, normalizing flow, diffusion, GAN.

Every head learns the same distribution: the next ``frames`` latents of a film, as their change from the last of the
``GIVEN`` latents before them. All are made of the same transformer and have as many layers in all.

Legend: b batch, t frames, c latent channels, y x latent grid, n cells (y x), f features of a cell (frames c).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.flow.path import STRAIGHT, logit_normal
from threeworlds.flow.solver import euler, time_grid
from threeworlds.nn.adversary import frozen, steepness
from threeworlds.nn.attention import grid_positions, rope_table
from threeworlds.nn.spacetime import JointBlock
from threeworlds.routes.sora.generator import time_features
from threeworlds.types import Batch, Optim

GIVEN = 2  # latents that say where things are and how they move


@dataclass(frozen=True, kw_only=True)
class FamilyConfig:
    """What the heads have in common, and the one choice of each."""

    width: int = 48
    heads: int = 4
    layers: int = 6  # in all networks of a head together
    frames: int = 4  # latents to make
    learning_rate: float = 2e-3
    code: int = 8  # VAE: features of a cell's code
    dequantise: float = 0.05  # normalizing flow: noise on the data, without which a still cell has infinite density
    steps: int = 8  # flow matching: solver steps
    penalty: float = 0.05  # GAN: weight of the gradient penalties
    noise: int = 8  # GAN: features of a cell's noise


class Network(nn.Module):
    """Features of each cell, [b, n, ...] each, and a time [b] -> features of each cell, [b, n, outputs]."""

    rope_cos: Tensor
    rope_sin: Tensor

    def __init__(self, config: FamilyConfig, grid: tuple[int, int], inputs: int, outputs: int, *, parts: int) -> None:
        super().__init__()
        width = config.width
        self.read_in = nn.Linear(inputs, width)
        self.place = nn.Parameter(0.02 * torch.randn(grid[0] * grid[1], width))
        self.time = nn.Linear(64, width)
        self.blocks = nn.ModuleList(JointBlock(width, config.heads) for _ in range(config.layers // parts))
        self.read_out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))
        rope = rope_table(grid_positions(1, *grid), width // config.heads)
        self.register_buffer("rope_cos", rope[0], persistent=False)
        self.register_buffer("rope_sin", rope[1], persistent=False)

    def forward(self, *features: Tensor, time: Tensor | None = None) -> Tensor:
        z = (self.read_in(torch.cat(features, dim=-1)) + self.place).unsqueeze(1)
        condition = F.silu(self.time(time_features(z.new_zeros(len(z)) if time is None else time))).unsqueeze(1)
        for block in self.blocks:
            z, _ = block(z, condition, (self.rope_cos, self.rope_sin))
        out: Tensor = self.read_out(z.squeeze(1))
        return out


class Head(nn.Module):
    """What the families share. A family says its ``loss`` and how to ``sample``; x and condition are cells."""

    betas: tuple[float, float] = (0.9, 0.95)

    def __init__(self, config: FamilyConfig, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.config, self.grid, self.channels = config, grid, channels
        self.features, self.seen = config.frames * channels, GIVEN * channels
        self.optim = Optim(learning_rate=config.learning_rate, betas=self.betas)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents [b, GIVEN + frames, c, y, x] in ``batch.cached``."""
        latent = batch.cached["latent"]
        change = latent[:, GIVEN:] - latent[:, GIVEN - 1 : GIVEN]
        return self.loss(cells(change), cells(latent[:, :GIVEN]))

    @torch.no_grad()
    def predict(self, given: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of what follows latents [b, GIVEN, c, y, x]: [b, frames, c, y, x]."""
        change = self.sample(cells(given), generator)
        change = change.transpose(1, 2).unflatten(2, self.grid).unflatten(1, (self.config.frames, self.channels))
        return given[:, -1:] + change

    def loss(self, x: Tensor, condition: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Data x [b, n, f] after condition [b, n, GIVEN c]."""
        raise NotImplementedError

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of x [b, n, f]."""
        raise NotImplementedError

    def network(self, inputs: int, outputs: int, *, parts: int) -> Network:
        """One of ``parts`` networks of this head: reads ``inputs`` features and the condition."""
        return Network(self.config, self.grid, inputs + self.seen, outputs, parts=parts)


class VAE(Head):
    """A variational autoencoder with a learnt prior (CVAE, Sohn et al., 2015) and one learnt variance of what it shows
    (sigma-VAE, arXiv 2006.13202). A draw is the decoder's mean, as is usual: the variance is of what it cannot say.
    """

    def __init__(self, config: FamilyConfig, channels: int, grid: tuple[int, int]) -> None:
        super().__init__(config, channels, grid)
        self.prior = self.network(0, 2 * config.code, parts=3)
        self.posterior = self.network(self.features, 2 * config.code, parts=3)
        self.decoder = self.network(config.code, self.features, parts=3)
        self.log_std = nn.Parameter(torch.zeros(()))

    def loss(self, x: Tensor, condition: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative evidence lower bound, nats a dimension (arXiv 1312.6114, Eq. 3)."""
        prior, posterior = gaussian(self.prior(condition)), gaussian(self.posterior(x, condition))
        code = posterior.rsample()
        shown = torch.distributions.Normal(self.decoder(code, condition), self.log_std.exp())
        kl = torch.distributions.kl_divergence(posterior, prior).sum((1, 2)).mean() / x[0].numel()
        error = -shown.log_prob(x).mean()
        return error + kl, {"kl": kl.detach(), "error": error.detach()}

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        prior = gaussian(self.prior(condition))
        noise = torch.randn(prior.mean.shape, generator=generator)
        shown: Tensor = self.decoder(prior.mean + prior.stddev * noise, condition)
        return shown


class NormalizingFlow(Head):
    """Affine couplings (RealNVP, arXiv 1605.08803): cells in a checkerboard, and halves of their features, in turn.

    Data are noised a little for training and draws denoised by the flow's own score
    (TarFlow, arXiv 2412.06329): latents of a still picture lie on a set that is too thin to have a density.
    """

    kept: Tensor

    def __init__(self, config: FamilyConfig, channels: int, grid: tuple[int, int]) -> None:
        super().__init__(config, channels, grid)
        self.register_buffer("kept", coupling_masks(grid, self.features, config.layers), persistent=False)
        networks = [self.network(self.features, 2 * self.features, parts=config.layers) for _ in range(config.layers)]
        for weights in (w for network in networks for w in network.read_out[-1].parameters()):
            nn.init.zeros_(weights)  # the flow starts as the identity
        self.couplings = nn.ModuleList(networks)

    def loss(self, x: Tensor, condition: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The exact negative log-likelihood, nats a dimension."""
        nll = -self.log_likelihood(x + self.config.dequantise * torch.randn_like(x), condition).mean() / x[0].numel()
        return nll, {"nll": nll.detach()}

    def log_likelihood(self, x: Tensor, condition: Tensor) -> Tensor:
        """log p(x | condition) [b], by the change of variables."""
        z, log_det = self.transform(x, condition)
        return log_det - 0.5 * (z.square() + log(2 * pi)).sum((1, 2))

    def transform(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """x -> z of the same shape, and log |dz / dx| [b]."""
        log_det = x.new_zeros(len(x))
        for kept, network in zip(self.kept, self.couplings, strict=True):
            shift, log_scale = self._affine(network, kept, x, condition)
            x = x * log_scale.exp() + shift
            log_det = log_det + log_scale.sum((1, 2))
        return x, log_det

    def inverse(self, z: Tensor, condition: Tensor) -> Tensor:
        """z -> x."""
        for kept, network in zip(reversed(self.kept), reversed(self.couplings), strict=True):
            shift, log_scale = self._affine(network, kept, z, condition)
            z = (z - shift) * (-log_scale).exp()
        return z

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        shape = (*condition.shape[:2], self.features)
        noisy = self.inverse(torch.randn(shape, generator=generator), condition)
        with torch.enable_grad():
            noisy = noisy.detach().requires_grad_()
            (score,) = torch.autograd.grad(self.log_likelihood(noisy, condition).sum(), noisy)
        return (noisy + self.config.dequantise**2 * score).detach()

    @staticmethod
    def _affine(network: nn.Module, kept: Tensor, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Shift and log-scale, zero for what is kept; a scale stays within e^2 of 1."""
        shift, raw = network(x * kept, condition).chunk(2, dim=-1)
        return shift * ~kept, 2 * torch.tanh(raw / 2) * ~kept


class FlowMatching(Head):
    """Diffusion as the route's generator has it: data from noise on the straight path (``objective.py``)."""

    def __init__(self, config: FamilyConfig, channels: int, grid: tuple[int, int]) -> None:
        super().__init__(config, channels, grid)
        self.denoiser = self.network(self.features, self.features, parts=1)

    def loss(self, x: Tensor, condition: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Error of the velocity."""
        time = logit_normal((len(x),), -0.8, 1.0).to(x.device)
        at = time[:, None, None]
        x_t = STRAIGHT.point(torch.randn_like(x), x, at)
        loss = STRAIGHT.weighted(self.denoiser(x_t, condition, time=time) - x, at).square().mean()
        return loss, {"velocity": loss.detach()}

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        def velocity(x: Tensor, t: float) -> Tensor:
            estimate = self.denoiser(x, condition, time=x.new_full((len(x),), t))
            return STRAIGHT.velocity(estimate, x, torch.tensor(t))

        noise = torch.randn((*condition.shape[:2], self.features), generator=generator)
        return euler(velocity, noise, time_grid(self.config.steps))


class GAN(Head):
    """A generator against a critic that compares true with made, kept from being steep at either (R3GAN,
    arXiv 2501.05441: the relativistic pairing loss with R1 and R2).
    """

    betas = (0.0, 0.99)

    def __init__(self, config: FamilyConfig, channels: int, grid: tuple[int, int]) -> None:
        super().__init__(config, channels, grid)
        self.generator = self.network(config.noise, self.features, parts=2)
        self.critic = Score(self.network(self.features, 1, parts=2))

    def loss(self, x: Tensor, condition: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of both sides' losses: each moves its own weights alone."""
        made = self.generator(torch.randn(*x.shape[:2], self.config.noise, device=x.device), condition)
        fixed, critic = made.detach(), self.critic
        of_true, of_made = critic(x, condition), critic(fixed, condition)
        pleases = F.softplus(of_true.detach() - frozen(critic)(made, condition)).mean()
        tells = F.softplus(of_made - of_true).mean()
        steep = steepness(critic, of_true, x, condition) + steepness(critic, of_made, fixed, condition)
        metrics = {"generator": pleases.detach(), "critic": tells.detach(), "steep": steep.detach()}
        return pleases + tells + self.config.penalty * steep, metrics

    def sample(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn((*condition.shape[:2], self.config.noise), generator=generator)
        made: Tensor = self.generator(noise, condition)
        return made


class Score(nn.Module):
    """One number [b] for all cells."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.network(x, condition).mean((1, 2))


FAMILIES: Mapping[str, type[Head]] = {
    "VAE": VAE,
    "normalizing flow": NormalizingFlow,
    "flow matching": FlowMatching,
    "GAN": GAN,
}


# ------------------------------------------------------------------------------------------- parts


def cells(latent: Tensor) -> Tensor:
    """[b, t, c, y, x] -> [b, n, t c]."""
    return latent.flatten(3).flatten(1, 2).transpose(1, 2)


def gaussian(features: Tensor) -> torch.distributions.Normal:
    """Mean and log standard deviation, side by side, as a distribution."""
    mean, log_std = features.chunk(2, dim=-1)
    return torch.distributions.Normal(mean, log_std.clamp(-6, 2).exp())


def coupling_masks(grid: tuple[int, int], features: int, count: int) -> Tensor:
    """What each coupling leaves as it is, bool [count, n, f]: either colour of a checkerboard, either half of f."""
    white = (grid_positions(*grid).sum(1) % 2 == 0)[:, None].expand(-1, features)
    first = (torch.arange(features) < features // 2).expand(len(white), -1)
    turns = (white, ~white, first, ~first)
    return torch.stack([turns[number % 4] for number in range(count)])

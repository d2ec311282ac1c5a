"""The latent action model: what happened between two frames, learnt from video alone. Two kinds.

continuous: a Gaussian code under a KL price keeps only what the next frame needs beyond the last two (AdaWorld, arXiv
2503.18938, section 3.1); k-means over the codes gives the buttons.
vq: as Genie published it (arXiv 2402.15391, section 2.1): spacetime transformers over pixels, a codebook of few codes.

In both, copying is made to fail: the decoder predicts a change, changed pixels weigh more, and the decoder sees the
frames before, so that passive motion is free and only control is left to pay for.

Legend: b batch, t frames, z latent action, c channels, k codes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.conv import FACTOR
from threeworlds.nn.losses import changed_weight
from threeworlds.nn.quantize import VQ, relative_entropy
from threeworlds.routes.genie.collapse import CollapseWatch, signs
from threeworlds.routes.genie.recipes import LatentActionConfig
from threeworlds.routes.genie.transformer import SpaceTimeNet, from_patches, patch_grid, to_patches
from threeworlds.types import Batch

DECAY = 0.95  # of the codebook's running means: a dead code waits 60 steps for its reset
RARE = 0.02  # of the steps: a button used less than that is not what the world does by itself
PROBED = 4  # clips of a batch on which another step's code is tried
PARTS = 2  # of a picture that kernels move, each in its own way
ADVICE = (
    "actions.decoder=kernels follows what is small and slow, and views that move; with actions.seen=1 sooner, where "
    "nothing has a speed of its own (both of actions.kind=continuous)"
)
SHARP = 5.0  # factor on what says where a part is: kernels learn nothing before there is one to move (docs/log.md)
STAYS = 3.0  # score of a kernel's middle before anything is learnt: most of a picture stays where it is


class LatentAction(nn.Module):
    """What both kinds share: frames -> buttons (codes) between them; the loss; the watch for collapse; the labels."""

    labelled_video: Tensor
    labelled_action: Tensor
    rest: Tensor

    def __init__(self, config: LatentActionConfig, height: int, width: int, actions: int) -> None:
        """``actions``: how many true ones there are, where some steps are labelled."""
        super().__init__()
        self.config = config
        self.pool = max(1, min(height, width) // config.pixels)
        self.height, self.width = height // self.pool, width // self.pool
        taken = config.kind == "continuous" and config.decoder == "kernels"
        self.watch = CollapseWatch(advice="" if taken else ADVICE)
        self.register_buffer("rest", torch.zeros((), dtype=torch.long))
        if config.labels and actions < 2:
            raise ValueError(f"labels {config.labels}: these clips have no discrete actions to learn names from")
        self.head = nn.Linear(config.latent, actions) if config.labels else None
        if config.labels:
            clips = -(-config.labels // (config.frames - 1))
            size = (clips, config.frames, 3, self.height, self.width)
            self.register_buffer("labelled_video", torch.zeros(size, dtype=torch.uint8))
            self.register_buffer("labelled_action", torch.zeros(clips, config.frames - 1, dtype=torch.long))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        video = self._look(batch.video)
        latent, price, use = self._draw(video)
        error = self._error(video, latent)
        now, after = video[:, 1:-1], video[:, 2:]
        loss = (changed_weight(now, after, self.config.changed) * error).mean() + price
        copied = (now - after).square()
        metrics = {**self._signs(video, latent, error, copied), **use}
        if self.training:
            self.watch.look(metrics)
        if self.head is not None:
            loss = loss + self._named(metrics)
        return loss, metrics

    def infer_codes(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> the button of each step, int64 [b, t - 1]."""
        raise NotImplementedError

    def latent(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> latent actions [b, t - 1, z], before they are made buttons."""
        raise NotImplementedError

    @torch.no_grad()
    def take_labels(self, batch: Batch) -> None:
        """Keep the first labelled clips of a batch, once, before training."""
        assert batch.video is not None and batch.action is not None and self.head is not None
        clips = len(self.labelled_video)
        if len(batch.video) < clips:
            raise ValueError(f"labels {self.config.labels}: at most {len(batch.video) * (self.config.frames - 1)}")
        self.labelled_video.copy_(((self._look(batch.video[:clips]) + 1) * 127.5).round())
        self.labelled_action.copy_(batch.action[:clips])

    @torch.no_grad()
    def make_buttons(self, batch: Batch) -> None:
        """After training: settle what the buttons are, and which of them is nobody's doing: least changes under it."""
        assert batch.video is not None
        self._settle(batch.video)
        code = self.infer_codes(batch.video).flatten()
        change = (batch.video[:, 1:] - batch.video[:, :-1]).square().mean((2, 3, 4)).flatten()
        used = code.bincount(minlength=self.config.codes)
        total = change.new_zeros(self.config.codes).index_add(0, code, change)
        self.rest.copy_(torch.where(used >= RARE * len(code), total / used, torch.inf).argmin())

    def _settle(self, video: Tensor) -> None:
        """Where buttons are not there yet, make them."""

    def _draw(self, video: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Latent actions [b, t - 2, z] of all steps but the first, what they cost, and metrics of their use."""
        raise NotImplementedError

    def _decode(self, video: Tensor, latent: Tensor) -> Tensor:
        """Frames up to the last but one, latents [b, t - 2, z] -> the change to frames 1 .. t - 2."""
        raise NotImplementedError

    def _error(self, video: Tensor, latent: Tensor) -> Tensor:
        return (video[:, 1:-1] + self._decode(video, latent) - video[:, 2:]).square()

    @torch.no_grad()
    def _signs(self, video: Tensor, latent: Tensor, error: Tensor, copied: Tensor) -> dict[str, Tensor]:
        other = self._error(video[:PROBED], latent.roll(1, 0)[:PROBED])
        own, wrong, copy = (x[:PROBED].mean((2, 3, 4)).flatten() for x in (error, other, copied))
        return signs(own, wrong, copy)

    def _named(self, metrics: dict[str, Tensor]) -> Tensor:
        """Cross-entropy of the true actions on a few of the labelled clips."""
        assert self.head is not None
        chosen = torch.randint(len(self.labelled_video), (self.config.batch_size,))
        video = self.labelled_video[chosen].float() / 127.5 - 1
        logits, action = self.head(self._latent(video)), self.labelled_action[chosen]
        metrics["labels_right"] = (logits.argmax(-1) == action).float().mean()
        return F.cross_entropy(logits.flatten(0, 1), action.flatten())

    def _latent(self, video: Tensor) -> Tensor:
        raise NotImplementedError

    def _look(self, video: Tensor) -> Tensor:
        return F.avg_pool3d(video, (1, self.pool, self.pool)) if self.pool > 1 else video


class ContinuousAction(LatentAction):
    """A small Gaussian code from pairs of frames, by convolutions; buttons by k-means."""

    centres: Tensor

    def __init__(self, config: LatentActionConfig, height: int, width: int, actions: int = 0) -> None:
        super().__init__(config, height, width, actions)
        first, second, third = config.channels
        self.encoder = nn.Sequential(
            nn.Conv2d(9, first, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(first, second, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(second, third, 4, 2, 1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(third * (self.height // FACTOR) * (self.width // FACTOR), 2 * config.latent),
        )
        self.decoder = build_decoder(config)
        self.register_buffer("centres", torch.zeros(config.codes, config.latent))

    def latent(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> means of the latent actions [b, t - 1, z]."""
        return self._latent(self._look(video))

    def infer_codes(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> the nearest button of each step, int64 [b, t - 1]."""
        return torch.cdist(self.latent(video), self.centres.expand(len(video), -1, -1)).argmin(-1)

    def _settle(self, video: Tensor) -> None:
        """k-means over latent actions. Deterministic."""
        from scipy.cluster.vq import kmeans2

        points = self.latent(video).flatten(0, 1).double().cpu().numpy()
        runs = [kmeans2(points, self.config.codes, iter=50, minit="++", seed=seed, missing="warn") for seed in range(8)]
        spreads = [float(((points - centres[label]) ** 2).sum()) for centres, label in runs]
        best = runs[spreads.index(min(spreads))][0]
        self.centres.copy_(torch.from_numpy(best).to(self.centres))

    def _draw(self, video: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        mean, log_variance = self._posterior(video[:, 1:])
        latent = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
        # In units of what copying loses: else a small or faint body, whose way is worth little, is never paid for.
        now, after = video[:, 1:-1], video[:, 2:]
        copying = (changed_weight(now, after, self.config.changed) * (now - after).square()).mean()
        return latent, self.config.kl * copying * kl, {"kl": kl.detach()}

    def _decode(self, video: Tensor, latent: Tensor) -> Tensor:
        steps = latent.shape[1]
        seen = torch.cat([video[:, i : i + steps] for i in range(2 - self.config.seen, 2)], dim=2).flatten(0, 1)
        change: Tensor = self.decoder(seen, latent.flatten(0, 1))
        return change.unflatten(0, latent.shape[:2])

    def _latent(self, video: Tensor) -> Tensor:
        return self._posterior(video)[0]

    def _posterior(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """Every pair of neighbours: [b, t, c, h, w] -> mean and log variance [b, t - 1, z]."""
        before, after = video[:, :-1], video[:, 1:]
        pairs = torch.cat([before, after, after - before], dim=2).flatten(0, 1)
        code = self.encoder(pairs.contiguous(memory_format=torch.channels_last))
        mean, log_variance = code.unflatten(0, before.shape[:2]).chunk(2, dim=-1)
        return mean, log_variance.clamp(-10, 4)


class VectorQuantizedAction(LatentAction):
    """A codebook of a few codes between two spacetime transformers over pixels.

    The encoder sees the frames up to the one that the action led to, the decoder those before it and the code. Against
    collapse: latents are spread about zero (an untrained encoder gives all steps nearly the same vector, so that all
    fall on one code), dead codes are reset (in :class:`VQ`), and an even use of the codes in a batch has a reward.
    """

    def __init__(self, config: LatentActionConfig, height: int, width: int, actions: int = 0) -> None:
        super().__init__(config, height, width, actions)
        self.side = config.transformer.patch
        self.grid = patch_grid(self.height, self.width, self.side)
        pixels = 3 * self.side**2
        self.encoder = SpaceTimeNet(config.transformer, 2 * pixels, config.latent, self.grid)
        self.spread = nn.BatchNorm1d(config.latent, affine=False)
        self.quantizer = VQ(config.codes, config.latent, decay=DECAY)
        self.button = nn.Linear(config.latent, config.transformer.width)
        self.decoder = SpaceTimeNet(config.transformer, 2 * pixels, pixels, self.grid)
        nn.init.zeros_(self.decoder.read_out.weight)

    def latent(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> unit vectors [b, t - 1, z], before the codebook."""
        return F.normalize(self._latent(self._look(video)), dim=-1)

    def infer_codes(self, video: Tensor) -> Tensor:
        """video [b, t, c, h, w] -> the code of each step, int64 [b, t - 1]."""
        return self.quantizer.index(self.latent(video))

    def _draw(self, video: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        latent = self._latent(video)[:, 1:]
        code, index, commitment = self.quantizer(latent)
        entropy = relative_entropy(self.quantizer.soft_use(latent))
        use = relative_entropy(F.one_hot(index, self.quantizer.size).float().flatten(0, -2).mean(0))
        price = self.config.commitment * commitment - self.config.entropy * entropy
        return code, price, {"usage": use.detach(), "commitment": commitment.detach()}

    def _decode(self, video: Tensor, latent: Tensor) -> Tensor:
        seen = self._with_change(video[:, :-1])
        return from_patches(self.decoder(seen, self.button(latent)), self.side, self.grid)

    def _latent(self, video: Tensor) -> Tensor:
        latent = self.encoder(self._with_change(video)).mean(2)
        return self.spread(latent.flatten(0, 1)).view_as(latent)

    def _with_change(self, video: Tensor) -> Tensor:
        """Patches of each frame but the first, beside how it differs from the one before: [b, t - 1, n, 2 c p p]."""
        frames = torch.cat([video[:, 1:], video[:, 1:] - video[:, :-1]], dim=2)
        return to_patches(frames, self.side)


def build_latent_action(config: LatentActionConfig, height: int, width: int, actions: int) -> LatentAction:
    """The kind that the config names."""
    kinds = {"continuous": ContinuousAction, "vq": VectorQuantizedAction}
    return kinds[config.kind](config, height, width, actions)


def build_decoder(config: LatentActionConfig) -> nn.Module:
    """(frames seen [b, seen c, h, w], latent action [b, z]) -> the change to the last of them, [b, c, h, w]."""
    if config.decoder == "kernels":
        return MovingKernels(config.seen, config.latent, config.reach)
    return FilmUNet(config.seen, config.channels, config.latent)


class FilmUNet(nn.Module):
    """The action scales and shifts feature maps (FiLM, arXiv 1709.07871)."""

    def __init__(self, seen: int, channels: tuple[int, int, int], latent: int) -> None:
        super().__init__()
        first, second, third = channels
        self.down = nn.ModuleList(
            [nn.Conv2d(3 * seen, first, 4, 2, 1), nn.Conv2d(first, second, 4, 2, 1), nn.Conv2d(second, third, 4, 2, 1)]
        )
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(third, second, 4, 2, 1),
                nn.ConvTranspose2d(2 * second, first, 4, 2, 1),
                nn.ConvTranspose2d(2 * first, 3, 4, 2, 1),
            ]
        )
        self.film = nn.ModuleList(nn.Linear(latent, 2 * width) for width in (third, second, first))
        for parameter in self.up[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, frames: Tensor, latent: Tensor) -> Tensor:
        low = F.silu(self.down[0](frames.contiguous(memory_format=torch.channels_last)))
        mid = F.silu(self.down[1](low))
        x = F.silu(self._modulate(self.down[2](mid), latent, 0))
        x = F.silu(self._modulate(self.up[0](x), latent, 1))
        x = F.silu(self._modulate(self.up[1](torch.cat([x, mid], dim=1)), latent, 2))
        return self.up[2](torch.cat([x, low], dim=1))

    def _modulate(self, x: Tensor, latent: Tensor, level: int) -> Tensor:
        scale, shift = self.film[level](latent)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class MovingKernels(nn.Module):
    """The action makes a kernel for each part of the picture, which moves it (CDNA, arXiv 1605.07157).

    A way of a fraction of a pixel is a kernel's weights; painted anew, it is another pattern of pixels for each place
    it starts from, and codes come to name those patterns.
    """

    def __init__(self, seen: int, latent: int, reach: int, width: int = 16) -> None:
        super().__init__()
        if reach < 1:
            raise ValueError(f"actions.reach {reach}: pixels that a body moves in a step, at least 1")
        self.reach, self.side = reach, 2 * reach + 1
        self.parts = nn.Sequential(
            nn.Conv2d(3 * seen, width, 5, padding=2),
            nn.SiLU(),
            nn.Conv2d(width, width, 5, padding=2),
            nn.SiLU(),
            nn.Conv2d(width, PARTS, 1),
        )
        self.kernels = nn.Linear(latent, PARTS * self.side**2)
        with torch.no_grad():
            self.kernels.bias.zero_().view(PARTS, self.side, self.side)[:, reach, reach] = STAYS

    def forward(self, frames: Tensor, latent: Tensor) -> Tensor:
        now, kernels = frames[:, -3:], self.kernels(latent).unflatten(1, (PARTS, 1, -1)).softmax(-1)
        whose = (SHARP * self.parts(frames)).sigmoid()[:, :, None]  # [b, parts, 1, h, w]
        return (whose * (self._moved(now, kernels) - now[:, None])).sum(1)

    def _moved(self, now: Tensor, kernels: Tensor) -> Tensor:
        """now [b, c, h, w] by each part's kernel [b, parts, 1, side * side]: [b, parts, c, h, w]."""
        b, c, h, w = now.shape
        around = F.pad(now, (self.reach,) * 4, mode="replicate").repeat(1, PARTS, 1, 1)
        weights = kernels.expand(-1, -1, c, -1).reshape(-1, 1, self.side, self.side)
        moved: Tensor = F.conv2d(around.flatten(0, 1)[None], weights, groups=len(weights))
        return moved.view(b, PARTS, c, h, w)

"""The dynamics: the frames so far and a button -> the next frame's tokens. The contract, and Genie's own kind.

masked: a spacetime transformer that fills in hidden tokens, a few passes a frame (Genie, arXiv 2402.15391; MaskGIT,
arXiv 2202.04200). A frame is its tokens, with the action that led to it in front and added to each of them. Attention
is full within a frame and causal over time, so finished frames are computed once and kept. The other kinds are in
`causal.py` and `forcing.py`.

Legend: b batch, t frames, n tokens a frame, d width, v token values, c channels of a code.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.attention import KeyValue, Rope, grid_positions, rope_table
from threeworlds.nn.spacetime import SpaceTimeBlock
from threeworlds.routes.genie.recipes import DynamicsConfig
from threeworlds.types import Batch

Cache = list[KeyValue]  # one a layer, over the finished frames
IN_PLAY = 2  # passes a frame in play: as near to the truth as four, and nearly twice as fast (docs/log.md)


class Dynamics(nn.Module):
    """Tokens and codes of the past -> tokens of the next frame. What every kind offers.

    Codes: 0 .. codes - 1 are buttons, ``null`` = codes is "no action given". ``codes[:, t]`` led to frame t; the first
    frame's is null. Training: ``batch.cached`` has tokens [b, t, n] and code [b, t].
    """

    span = 1  # entries of the cache a frame
    codebook: Tensor

    def __init__(
        self, config: DynamicsConfig, codebook: Tensor, codes: int, grid: tuple[int, int], learnt: bool = False
    ) -> None:
        """``codebook`` [v, c]: where each token lies, in [-1, 1], so that near tokens are near from the start.

        A ``learnt`` one is not known yet: :meth:`take_codebook` brings it, before the dynamics learn.
        """
        super().__init__()
        checked_passes(config.refinements)
        self.config, self.values, self.null, self.grid = config, len(codebook), codes, grid
        self.register_buffer("codebook", codebook, persistent=learnt)

    def take_codebook(self, codebook: Tensor) -> None:
        """The tokenizer's codebook, now that it is final."""
        self.codebook.copy_(codebook)

    def remember(self, tokens: Tensor, codes: Tensor) -> Cache:
        """Take in finished frames: tokens [b, t, n], codes [b, t]."""
        raise NotImplementedError

    def next_frame(
        self, past: Cache, code: Tensor, time: int, generator: torch.Generator, refinements: int | None = None
    ) -> tuple[Tensor, Cache]:
        """The frame at ``time`` that code [b] leads to -> tokens [b, n] and the longer cache.

        ``refinements``: see :meth:`passes`.
        """
        raise NotImplementedError

    def passes(self, refinements: int | None = None) -> int:
        """Passes that a frame takes: as many ``refinements`` as asked for, None: the recipe's."""
        return self.config.refinements if refinements is None else checked_passes(refinements)

    @property
    def in_play(self) -> int | None:
        """``refinements`` in play, unless asked otherwise; None: it has no choice."""
        return IN_PLAY

    def surprise(self, tokens: Tensor, codes: Tensor) -> Tensor:
        """How little each frame was to be expected from those before it and its code: [b, t], NaN at the first."""
        raise NotImplementedError

    def forget(self, past: Cache) -> Cache:
        """Keep what was seen in training: the window less the frame to come."""
        keep = self.span * (self.config.frames - 1)
        return [(key[..., -keep:, :], value[..., -keep:, :]) for key, value in past]

    def hide_actions(self, codes: Tensor) -> Tensor:
        """No action leads to the first frame; some clips train without any."""
        codes = codes.clone()
        codes[:, 0] = self.null
        codes[torch.rand(len(codes)).to(codes.device) < self.config.action_dropout] = self.null
        return codes

    def corrupt(self, tokens: Tensor) -> Tensor:
        """Some tokens replaced by random ones: in play, not all of the past will be right."""
        random = torch.randint_like(tokens, self.values)
        return torch.where(torch.rand(tokens.shape).to(tokens.device) < self.config.corruption, random, tokens)

    def guided(self, given: Tensor, free: Tensor) -> Tensor:
        """Away from what would come without the action (classifier-free guidance, arXiv 2207.12598)."""
        return free + self.config.guidance * (given - free)


class MaskedDynamics(Dynamics):
    """Masked tokens, filled in by confidence."""

    def __init__(
        self, config: DynamicsConfig, codebook: Tensor, codes: int, grid: tuple[int, int], learnt: bool = False
    ) -> None:
        super().__init__(config, codebook, codes, grid, learnt)
        self.tokens = TokenEmbedding(len(codebook), codebook.shape[1], config.width)
        self.actions = nn.Embedding(codes + 1, 2 * config.width)
        self.head_width = config.head_width or config.width // config.heads
        self.blocks = nn.ModuleList(
            SpaceTimeBlock(config.width, config.heads, config.head_width, config.mlp) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.read_out = TokenScores(len(codebook), codebook.shape[1], config.width)
        nn.init.normal_(self.actions.weight, std=0.5)

    @property
    def count(self) -> int:
        """Tokens a frame."""
        return self.grid[0] * self.grid[1]

    @property
    def mask(self) -> int:
        """The token that stands for "not known yet"."""
        return self.values

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        tokens, codes = batch.cached["tokens"].long(), self.hide_actions(batch.cached["code"].long())
        past, aims = self.corrupt(self._rehearse(tokens, codes))[:, :-1], tokens[:, 1:]
        hidden = hidden_tokens(aims.shape).to(aims.device)
        drafts = torch.where(hidden, self.mask, self.corrupt(aims))
        logits = self.read_out(self._drafted(past, drafts, codes)[hidden], self.codebook)
        loss = F.cross_entropy(logits, aims[hidden])
        right = (logits.argmax(-1) == aims[hidden]).float().mean()
        return loss, {"accuracy": right.detach()}

    @torch.no_grad()
    def _rehearse(self, tokens: Tensor, codes: Tensor) -> Tensor:
        """Some clips as the model itself would have them: frames after the first, guessed in a pass (arXiv 1506.03099).

        What follows is learnt from them as it is: from a body half lost, the whole one.
        """
        count = int(self.config.rehearsed * len(tokens) + float(torch.rand(())))  # right on average in small batches
        if not count:
            return tokens
        some, aims = tokens[:count], tokens[:count, 1:]
        hidden = hidden_tokens(aims.shape).to(aims.device)
        z = self._drafted(some[:, :-1], torch.where(hidden, self.mask, aims), codes[:count])
        guessed = torch.distributions.Categorical(logits=self.read_out(z, self.codebook)).sample()
        rehearsed = torch.cat([some[:, :1], torch.where(hidden, guessed, aims)], dim=1)
        return torch.cat([rehearsed, tokens[count:]])

    def _drafted(self, past: Tensor, drafts: Tensor, codes: Tensor) -> Tensor:
        """What the logits of ``drafts`` [b, t, n] of frames 1 .. t are read from, [b, t, n, d]; codes [b, t + 1].

        ``past`` [b, t, n] are frames 0 .. t - 1, finished. A draft sees the finished frames before it and itself, as in
        play; all drafts of a clip are made in one pass beside the finished frames (Block Diffusion, arXiv 2503.09573).
        """
        frames = drafts.shape[1]
        z = self._embed(torch.cat([past, drafts], dim=1), torch.cat([codes[:, :-1], codes[:, 1:]], dim=1))
        space, time_past = self.ropes(0, frames)
        cos, sin = (torch.cat(halves) for halves in zip(time_past, self.ropes(1, frames)[1], strict=True))
        mask = sees_finished(frames).to(z.device)
        for block in self.blocks:
            z = block(z, space, (cos, sin), mask=mask)[0]
        drafted: Tensor = self.norm(z[:, frames:, 1:])
        return drafted

    def logits(self, tokens: Tensor, codes: Tensor, past: Cache | None = None, first: int = 0) -> tuple[Tensor, Cache]:
        """tokens [b, t, n], codes [b, t] -> logits [b, t, n, v] and the cache that includes these frames.

        ``first`` is the time of the first frame given; with ``past``, frames come one at a time.
        """
        z, kept = self._states(tokens, codes, past, first)
        return self.read_out(z, self.codebook), kept

    def _states(self, tokens: Tensor, codes: Tensor, past: Cache | None, first: int) -> tuple[Tensor, Cache]:
        """What each token's logits are read from, [b, t, n, d]."""
        z, kept = self._embed(tokens, codes), []
        space, time = self.ropes(first, tokens.shape[1])
        for layer, block in enumerate(self.blocks):
            z, key_value = block(z, space, time, past[layer] if past else None)
            kept.append(key_value)
        return self.norm(z[:, :, 1:]), kept

    def remember(self, tokens: Tensor, codes: Tensor) -> Cache:
        return self.logits(tokens, codes)[1]

    @torch.no_grad()
    def next_frame(
        self, past: Cache, code: Tensor, time: int, generator: torch.Generator, refinements: int | None = None
    ) -> tuple[Tensor, Cache]:
        """Fill one frame by MaskGIT's confidence schedule."""
        tokens = fill(
            lambda tokens: self._guided(tokens, code[:, None], past, time),
            (len(code), 1, self.count),
            self.passes(refinements),
            self.mask,
            self.config.temperature,
            generator,
            code.device,
        )
        return tokens[:, 0], self._states(tokens, code[:, None], past, time)[1]

    @torch.no_grad()
    def surprise(self, tokens: Tensor, codes: Tensor) -> Tensor:
        """Negative log-likelihood of each frame's tokens given the frames before it, in nats: [b, t], NaN at the first.

        All tokens of a frame are hidden at once, so it is the sum over tokens of what each costs alone.
        """
        past, hidden = self.logits(tokens, codes)[1], torch.full_like(tokens[:, :1], self.mask)
        costs = [tokens.new_full((len(tokens),), torch.nan, dtype=torch.float32)]
        for time in range(1, tokens.shape[1]):
            first = max(0, time - self.config.frames + 1)
            seen = [(key[..., first:time, :], value[..., first:time, :]) for key, value in past]
            logits = self.logits(hidden, codes[:, time : time + 1], seen, time)[0]
            cost = F.cross_entropy(logits.flatten(0, 2), tokens[:, time].flatten(), reduction="none")
            costs.append(cost.unflatten(0, (len(tokens), -1)).sum(1))
        return torch.stack(costs, dim=1)

    def _guided(self, tokens: Tensor, code: Tensor, past: Cache, time: int) -> Tensor:
        logits = self.logits(tokens, code, past, time)[0]
        if self.config.guidance == 1:
            return logits
        return self.guided(logits, self.logits(tokens, torch.full_like(code, self.null), past, time)[0])

    def _embed(self, tokens: Tensor, codes: Tensor) -> Tensor:
        """[b, t, 1 + n, d]: the action in front, and added to each token."""
        prepended, added = self.actions(codes)[:, :, None].chunk(2, dim=-1)
        return torch.cat([prepended, self.tokens(tokens, self.codebook) + added], dim=2)

    def ropes(self, first: int, frames: int) -> tuple[Rope, Rope]:
        """Where the places of a frame stand, and the frames from ``first`` on."""
        head, device = self.head_width, self.actions.weight.device
        cells = grid_positions(*self.grid) + 1  # the action stands at the origin
        space = torch.cat([torch.zeros(1, 2), cells]).to(device)
        time = grid_positions(first + frames)[first:].to(device)
        return rope_table(space, head), rope_table(time, head)


def checked_passes(refinements: int) -> int:
    """``refinements``, if a frame can be made in so many passes."""
    if not isinstance(refinements, Integral) or refinements < 1:
        raise ValueError(f"refinements {refinements!r}: passes a frame, a whole number of at least 1")
    return refinements


class TokenEmbedding(nn.Module):
    """A token's place in the code grid, mapped linearly, plus a vector of its own; row v is the mask."""

    def __init__(self, values: int, channels: int, width: int) -> None:
        super().__init__()
        self.place = nn.Linear(channels, width, bias=False)
        self.own = nn.Embedding(values + 1, width)
        nn.init.normal_(self.own.weight, std=0.1)

    def forward(self, tokens: Tensor, codebook: Tensor) -> Tensor:
        return self.table(codebook)[tokens]

    def table(self, codebook: Tensor) -> Tensor:
        """Every token, and the mask: [v + 1, d]."""
        return F.pad(self.place(codebook), (0, 0, 0, 1)) + self.own.weight


class TokenScores(nn.Module):
    """Logits that are a quadratic of a token's place, so a discretised Gaussian, plus a score of its own.

    Which of a thousand neighbouring tokens comes next is mostly a matter of place: a free table would have to learn
    that from examples of each.
    """

    def __init__(self, values: int, channels: int, width: int) -> None:
        super().__init__()
        self.place = nn.Linear(width, 2 * channels)
        self.own = nn.Linear(width, values)
        nn.init.zeros_(self.own.weight)

    def forward(self, z: Tensor, codebook: Tensor) -> Tensor:
        scores: Tensor = self.place(z) @ self._features(codebook).T + self.own(z)
        return scores

    def as_one_map(self, codebook: Tensor) -> tuple[Tensor, Tensor]:
        """Both scores in one: a matrix [d, v] and what is added [v]."""
        features = self._features(codebook).T
        return self.place.weight.T @ features + self.own.weight.T, self.place.bias @ features + self.own.bias

    def _features(self, codebook: Tensor) -> Tensor:
        return torch.cat([codebook, codebook.square()], dim=1)


def hidden_tokens(shape: torch.Size) -> Tensor:
    """Which tokens to hide, bool [b, t, n]: a part of each frame, MaskGIT's cosine of a uniform draw."""
    rate = torch.cos(pi / 2 * torch.rand(shape[:2]))
    return torch.rand(shape) < rate[..., None]


def sees_finished(frames: int) -> Tensor:
    """Which frames look at which, bool [2 t, 2 t]: t finished ones, then t drafts, each of the frame after one of them.

    A finished frame looks at those up to it, its draft at the same and at itself.
    """
    up_to = torch.ones(frames, frames, dtype=torch.bool).tril()
    itself = torch.eye(frames, dtype=torch.bool)
    return torch.cat([torch.cat([up_to, torch.zeros_like(itself)], 1), torch.cat([up_to, itself], 1)])


def fill(
    logits_of: Callable[[Tensor], Tensor],
    shape: tuple[int, int, int],
    passes: int,
    mask: int,
    temperature: float,
    generator: torch.Generator,
    device: torch.device | None = None,
) -> Tensor:
    """Tokens [b, 1, n] from none known: each pass keeps those it is surest of (MaskGIT, arXiv 2202.04200, 3.2)."""
    tokens, count = torch.full(shape, mask, device=device), shape[-1]
    for step in range(passes):
        sampled, confidence = draw(logits_of(tokens), temperature, generator)
        known = tokens != mask
        sampled = torch.where(known, tokens, sampled)
        confidence = torch.where(known, torch.inf, confidence)
        keep = count - int(count * cos(pi / 2 * (step + 1) / passes))
        lowest = confidence.topk(max(keep, 1), dim=-1).values[..., -1:]
        tokens = torch.where(confidence >= lowest, sampled, mask)
    return tokens


def draw(logits: Tensor, temperature: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sample tokens and their log-probabilities (confidence). Temperature 0 takes the likeliest."""
    log_p = logits.log_softmax(-1)
    noisy = log_p
    if temperature > 0:
        uniform = torch.rand(logits.shape, generator=generator).to(logits.device).clamp_min(1e-9)
        noisy = log_p - temperature * (-uniform.log()).log()
    sampled = noisy.argmax(-1)
    return sampled, log_p.gather(-1, sampled[..., None])[..., 0]

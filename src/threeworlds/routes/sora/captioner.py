"""The captioner: video to words, to caption clips that have none (recaptioning: DALL-E 3 report; Sora's report, 2024).

Frames go through convolutions and a transformer over space and time; a causal transformer reads the result and writes
words. The words are those of the training captions: they are kept in the model, so it needs no vocabulary file.

Legend: b batch, t frames, n tokens of a clip, s words, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from threeworlds.nn.attention import Attention, FeedForward, Rope, grid_positions, rope_table
from threeworlds.nn.conv import Encoder, check_size
from threeworlds.nn.text import WORD
from threeworlds.types import Batch, ClipSpec, Optim, Route, Stage

LETTERS = 24  # of a word, at most; longer ones are cut
HINT = 0.1  # weight of the guess which words a caption has


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig:
    """Sizes of the captioner and its training."""

    channels: tuple[int, int, int] = (16, 32, 64)
    width: int = 128
    layers: int = 2  # of the reader, and of the writer
    heads: int = 4
    frames: int = 8  # it looks at, every ``stride``-th
    stride: int = 2
    vocabulary: int = 256  # words at most, the end among them
    limit: int = 40  # words of a caption at most
    batch_size: int = 6
    learning_rate: float = 1e-3


class Layer(nn.Module):
    """Self-attention, cross-attention if there is something to read, MLP; pre-norm."""

    def __init__(self, width: int, heads: int, *, reads: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if reads else 2))
        self.attention = Attention(width, heads)
        self.cross = Attention(width, heads) if reads else None
        self.mlp = FeedForward(width)

    def forward(self, x: Tensor, rope: Rope, source: Tensor | None = None) -> Tensor:
        """x [b, n, d]; a layer that reads (``source`` [b, m, d]) is causal."""
        x = x + self.attention(self.norms[0](x), rope=rope, causal=self.cross is not None)
        if self.cross is not None and source is not None:
            x = x + self.cross.attend(self.norms[2](x), self.cross.project(source))
        return x + self.mlp(self.norms[1](x))


class Captioner(nn.Module):
    """``loss, metrics = captioner(batch)``; ``caption`` writes. Word 0 is the start and the end."""

    words: Tensor

    def __init__(self, config: CaptionerConfig, spec: ClipSpec) -> None:
        super().__init__()
        check_size(spec.height, spec.width)
        if not spec.captioned:
            raise ValueError("a captioner learns from captions, and these clips have none")
        self.config, width = config, config.width
        self.register_buffer("words", torch.zeros(config.vocabulary, LETTERS, dtype=torch.uint8))
        self.see = Encoder(config.channels, width, inputs=6)
        self.reader = nn.ModuleList(Layer(width, config.heads, reads=False) for _ in range(config.layers))
        self.embedding = nn.Embedding(config.vocabulary, width)
        self.writer = nn.ModuleList(Layer(width, config.heads, reads=True) for _ in range(config.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.out = nn.Linear(width, config.vocabulary)
        self.hint = nn.Linear(2 * width, config.vocabulary)

    @torch.no_grad()
    def learn_words(self, batch: Batch) -> None:
        """Keep the words of the captions, the commonest first where there are too many."""
        count: dict[str, int] = {}
        for word in (word for text in batch.caption or () for word in WORD.findall(text.lower())):
            count[word] = count.get(word, 0) + 1
        kept = sorted(count, key=lambda word: (-count[word], word))[: self.config.vocabulary - 1]
        self.words.zero_()
        for row, word in enumerate(kept, start=1):
            letters = word.encode()[:LETTERS]
            self.words[row, : len(letters)] = torch.tensor(list(letters), dtype=torch.uint8)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None and batch.caption is not None
        target, mask = self._target(batch.caption)
        before = F.pad(target[:, :-1], (1, 0))  # the start, then all but the last
        source = self._read(batch.video)
        logits = self._write(before, source)
        loss, hinted = F.cross_entropy(logits[mask], target[mask]), self._hint(source, target, mask)
        accuracy = (logits[mask].argmax(-1) == target[mask]).float().mean()
        return loss + hinted, {"accuracy": accuracy, "written": loss.detach(), "hinted": hinted.detach()}

    @torch.no_grad()
    def caption(self, video: Tensor) -> tuple[str, ...]:
        """video [b, t, 3, h, w] in [-1, 1], t = ``span`` frames -> b captions, the likeliest word each time."""
        source = self._read(video[:, :: self.config.stride])
        said = torch.zeros(len(video), 1, dtype=torch.long, device=video.device)
        for _ in range(self.config.limit):
            said = torch.cat([said, self._write(said, source)[:, -1:].argmax(-1)], dim=1)
            if (said[:, 1:] == 0).any(1).all():
                break
        vocabulary = self.vocabulary
        return tuple(" ".join(vocabulary[i] for i in _until_end(row)) for row in said[:, 1:].tolist())

    @property
    def span(self) -> int:
        """Frames of video that one caption speaks of."""
        return (self.config.frames - 1) * self.config.stride + 1

    @property
    def vocabulary(self) -> list[str]:
        """The words by number; "" where there is none."""
        return [bytes(row).rstrip(b"\0").decode() for row in self.words.tolist()]

    def _read(self, video_btchw: Tensor) -> Tensor:
        """The clip as tokens [b, n, d]. Beside each frame goes its change: there one sees which way bodies move."""
        change = F.pad(video_btchw[:, 1:] - video_btchw[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
        frames = torch.cat([video_btchw, change], dim=2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        cells = self.see(frames).unflatten(0, video_btchw.shape[:2])
        rope = self._rope(cells.shape[1], *cells.shape[-2:])
        x = cells.flatten(3).transpose(2, 3).flatten(1, 2)
        for layer in self.reader:
            x = layer(x, rope)
        return self.norms[0](x)

    def _write(self, said: Tensor, source: Tensor) -> Tensor:
        """Logits [b, s, v] of the word after each of ``said`` [b, s]."""
        x, rope = self.embedding(said), self._rope(said.shape[1])
        for layer in self.writer:
            x = layer(x, rope, source)
        return self.out(self.norms[1](x))

    def _hint(self, source: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """How well the clip alone tells which words its caption has, whatever their order.

        Without it the writer first learns the grammar, and for thousands of steps nothing makes it look at the clip.
        """
        has = torch.zeros(len(target), self.config.vocabulary, device=target.device).scatter_(1, target, 1.0)
        seen = self.hint(torch.cat([source.mean(1), source.amax(1)], dim=-1))
        each = F.binary_cross_entropy_with_logits(seen, has, reduction="none").sum(-1)
        return HINT * each[mask[:, 0]].mean()

    def _rope(self, *sizes: int) -> Rope:
        return rope_table(grid_positions(*sizes).to(self.out.weight.device), self.config.width // self.config.heads)

    def _target(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Word numbers [b, s], the end after the last one, and which of them count. Unknown words are left out."""
        number = {word: i for i, word in enumerate(self.vocabulary) if word}
        rows = [[number[w] for w in WORD.findall(c.lower()) if w in number][: self.config.limit] for c in captions]
        target = torch.zeros(len(rows), max(map(len, rows)) + 1, dtype=torch.long)
        mask = torch.zeros(target.shape, dtype=torch.bool)
        for i, row in enumerate(rows):
            target[i, : len(row)] = torch.tensor(row, dtype=torch.long)
            mask[i, : len(row) + 1] = captions[i] != ""  # a window without a caption teaches nothing
        return target.to(self.out.weight.device), mask.to(self.out.weight.device)


def _until_end(numbers: Sequence[int]) -> Sequence[int]:
    return numbers[: numbers.index(0)] if 0 in numbers else numbers


def stages(model: nn.Module) -> list[Stage]:
    """One."""
    assert isinstance(model, Captioner)
    config = model.config
    return [
        Stage(
            name="captioner",
            module=model,
            share=1.0,
            frames=config.frames,
            stride=config.stride,
            batch_size=config.batch_size,
            columns=("video", "caption"),
            at_captions=1.0,
            prepare=model.learn_words,
            optim=Optim(learning_rate=config.learning_rate),
        )
    ]


def debug() -> CaptionerConfig:
    """Seconds: for tests of the plumbing."""
    return CaptionerConfig(channels=(8, 8, 16), width=32, layers=1, heads=2, batch_size=4)


RECIPES: Mapping[str, Callable[[], CaptionerConfig]] = {"debug": debug, "small": CaptionerConfig}
ROUTE = Route(name="captioner", recipes=RECIPES, build=Captioner, stages=stages, learns_from="video, captions")

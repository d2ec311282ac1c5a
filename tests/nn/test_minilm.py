"""Captions through the frozen MiniLM: what its tokens tell apart, and what learns."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch

from threeworlds.nn import minilm
from threeworlds.nn.minilm import MiniLMText, read
from threeworlds.routes.sora.model import Sora, stages
from threeworlds.routes.sora.recipes import debug
from threeworlds.types import Batch, ClipSpec, Prompt

SPEC = ClipSpec(height=16, width=16, fps=10, captioned=True)
CONFIG = replace(debug(), generator=replace(debug().generator, text="minilm"))
needs_it = pytest.mark.skipif(
    any(find_spec(name) is None for name in minilm.PACKAGES), reason="needs threeworlds[minilm]"
)


def test_a_missing_package_is_named_with_what_to_type(monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGES", ("no_such_package", "torch"))
    with pytest.raises(ValueError, match=r"needs no_such_package: pip install 'threeworlds\[minilm\]'"):
        Sora(CONFIG, SPEC)


@needs_it
def test_tokens_are_those_of_a_trusted_implementation():
    """Golden: what BertModel of transformers 5.23 makes of the same files; all tokens agreed within 3e-6."""
    token = read("a red disc moves left")[5, :4]
    torch.testing.assert_close(token, torch.tensor([0.133571, -0.110893, 0.011436, 0.751832]), atol=1e-5, rtol=0)
    left, right, crimson = (
        torch.nn.functional.normalize(read(text).mean(0), dim=0)
        for text in ("red ball moves left", "red ball moves right", "crimson sphere goes to the left")
    )
    assert (left @ right).item() == pytest.approx(0.931, abs=1e-3)  # so much alike on the whole: hence tokens
    assert (left @ crimson).item() == pytest.approx(0.505, abs=1e-3)


@needs_it
def test_left_and_right_differ_at_the_token():
    left, right = read("a red disc moves left"), read("a red disc moves right")
    apart = torch.nn.functional.cosine_similarity(left, right, dim=1)
    assert left.shape == right.shape == (7, 384)  # [CLS], five words, [SEP]
    assert apart.argmin() == 5  # the word itself differs most
    assert apart[5] < 0.8 < apart[:5].min()


@needs_it
def test_an_empty_caption_is_the_learnt_null_and_padding_says_nothing():
    torch.manual_seed(0)
    encoder = MiniLMText(16)
    torch.nn.init.normal_(encoder.null)
    embedding, mask = encoder(("", "a red disc moves left", "a disc"))
    assert mask.sum(1).tolist() == [1, 7, 4]
    assert torch.equal(embedding[0, 0], encoder.null)
    torch.testing.assert_close(encoder(("a disc",))[0][0], embedding[2, :4])
    assert {name for name, _ in encoder.named_parameters()} == {"map.weight", "map.bias", "null"}
    assert set(encoder.state_dict()) == {"map.weight", "map.bias", "null"}


@needs_it
def test_a_model_with_it_trains_a_step_and_samples():
    torch.manual_seed(0)
    model = Sora(CONFIG, SPEC)
    (stage,) = [stage for stage in stages(model) if stage.name == "generator"]
    assert stage.pretrained == ("pretrained MiniLM",)
    latent = torch.randn(2, 8, model.autoencoder.channels, *model.autoencoder.grid)
    torch.nn.init.normal_(model.generator.read_out.weight, std=0.3)
    torch.nn.init.normal_(model.generator.modulation.weight, std=0.3)
    loss, _ = stage.module(Batch(caption=("a red disc moves left", "a blue square rests"), cached={"latent": latent}))
    loss.backward()
    assert model.generator.text.map.weight.grad.norm() > 0
    films = [
        model.eval().generate(Prompt(caption=(f"a disc moves {way}",), frames=2), seed=0) for way in ("up", "down")
    ]
    assert not torch.equal(films[0].video, films[1].video)

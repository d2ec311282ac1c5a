"""The generator against a trusted implementation: the same weights in ours and in diffusers' Wan transformer.

What differs by design is set alike here: ours normalises queries and keys by head, Wan across heads (so one head);
ours has a map for the last modulation where Wan adds the time's embedding (so the map holds its value); and ours is
told places in the frame and the gist of the caption besides (so these are zero).
"""

import warnings

import pytest
import torch

from threeworlds.routes.sora.generator import Generator
from threeworlds.routes.sora.recipes import GeneratorConfig

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers")
    from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed, WanTransformer3DModel

WIDTH, LAYERS, CHANNELS, PATCH, TEXT, FEATURES = 24, 2, 4, 2, 10, 64
EPS = 1e-5  # of the layer norms, torch's own


def wan():
    """Random weights, none of them zero, but for the biases of attention, which ours has not."""
    model = WanTransformer3DModel(
        patch_size=(1, PATCH, PATCH),
        num_attention_heads=1,
        attention_head_dim=WIDTH,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=TEXT,
        freq_dim=FEATURES,
        ffn_dim=4 * WIDTH,
        num_layers=LAYERS,
        eps=EPS,
    )
    model.rope = WanRotaryPosEmbed(WIDTH, (1, PATCH, PATCH), 64, theta=100.0)
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.2)
        if "attn" in name and name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
        if "norm" in name and name.endswith("weight"):
            torch.nn.init.normal_(parameter, mean=1.0, std=0.2)
    return model.eval()


def halves(weight):
    """Rows of interleaved pairs (0, 1), (2, 3), ... as pairs of two halves, which is how ours are rotated."""
    return torch.cat([weight[0::2], weight[1::2]])


def ours(theirs, time):
    """The generator with the weights of ``theirs``; the last modulation as theirs is at ``time``."""
    config = GeneratorConfig(width=WIDTH, layers=LAYERS, heads=1, patch=PATCH, text_width=WIDTH)
    model = Generator(config, CHANNELS, (4, 6))
    given = dict(theirs.named_parameters())
    with torch.no_grad():
        for layer in (model.place, model.gist):
            layer.weight.zero_()
            layer.bias.zero_()
        model.read_in.weight.zero_()
        model.read_in.weight[:, : CHANNELS * PATCH**2] = given["patch_embedding.weight"].flatten(1)
        model.read_in.bias.copy_(given["patch_embedding.bias"])
        embedder = theirs.condition_embedder
        model.time[0].weight.zero_()
        model.time[0].weight[:, :FEATURES] = embedder.time_embedder.linear_1.weight
        model.time[0].bias.copy_(embedder.time_embedder.linear_1.bias)
        model.time[2].load_state_dict(embedder.time_embedder.linear_2.state_dict())
        for mine, block in zip(model.blocks, theirs.blocks, strict=True):
            copy_block(mine, block, embedder.time_proj)
        embedding, _, _, _ = embedder(torch.tensor([1000 * time]), torch.zeros(1, 1, TEXT))
        model.modulation.weight.zero_()
        model.modulation.bias.copy_((theirs.scale_shift_table[0] + embedding).flatten())
        rows = torch.arange(CHANNELS * PATCH**2).view(PATCH, PATCH, CHANNELS).permute(2, 0, 1).flatten()
        model.read_out.weight.copy_(theirs.proj_out.weight[rows])
        model.read_out.bias.copy_(theirs.proj_out.bias[rows])
    return model.eval()


def copy_block(mine, block, time_proj):
    copy_attention(mine.attention, block.attn1, halves)
    copy_attention(mine.text, block.attn2, lambda weight: weight)
    mine.text_norm.load_state_dict(block.norm2.state_dict())
    mine.mlp[0].load_state_dict(block.ffn.net[0].proj.state_dict())
    mine.mlp[2].load_state_dict(block.ffn.net[2].state_dict())
    mine.modulation.weight.copy_(time_proj.weight)
    mine.modulation.bias.copy_(time_proj.bias + block.scale_shift_table.flatten())


def copy_attention(mine, theirs, order):
    mine.query.weight.copy_(order(theirs.to_q.weight))
    mine.key_value.weight.copy_(torch.cat([order(theirs.to_k.weight), theirs.to_v.weight]))
    mine.query_norm.weight.copy_(order(theirs.norm_q.weight))
    mine.key_norm.weight.copy_(order(theirs.norm_k.weight))
    mine.out.weight.copy_(theirs.to_out[0].weight)


@pytest.mark.parametrize("time", [0.0, 0.37, 0.9])
def test_the_same_weights_give_the_same_estimate_as_wan(time):
    torch.manual_seed(0)
    theirs = wan()
    model = ours(theirs, time)
    x, text = torch.randn(2, 5, CHANNELS, 4, 6), torch.randn(2, 7, TEXT)
    with torch.no_grad():
        expected = theirs(x.transpose(1, 2), torch.full((2,), 1000 * time), text).sample.transpose(1, 2)
        words = theirs.condition_embedder.text_embedder(text), torch.ones(2, 7, dtype=torch.bool)
        estimate = model(x, torch.full((2, 5), time), words)
    assert expected.std() > 0.1
    torch.testing.assert_close(estimate, expected, atol=1e-4, rtol=1e-4)

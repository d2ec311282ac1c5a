"""Training on several sizes and lengths: what a bucket holds, and that a run is the same run after a stop."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from threeworlds.data import ClipStore
from threeworlds.routes import get_route
from threeworlds.routes.sora.buckets import Shape, buckets, cropped, encoded, grids, scaled, shapes_of
from threeworlds.routes.sora.model import Sora, stages
from threeworlds.routes.sora.recipes import base, debug
from threeworlds.train import Budget, train_route
from threeworlds.train.checkpoint import FINISHED, checkpoint_paths
from threeworlds.types import Batch, ClipSpec

SPEC = ClipSpec(height=64, width=64, fps=10, captioned=True)
TURNS = ("8@32x32", "4@16x16", "10@32x16")


def config_of(*texts, recipe=debug):
    made = recipe()
    return replace(made, generator=replace(made.generator, buckets=texts))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("8x32x32", "expected FRAMES@WIDTHxHEIGHT"),
        ("8@36x32", "multiples of 16"),
        ("1@32x32", "two frames or more"),
        ("8@0x32", "multiples of 16"),
        ("8@128x64", "larger than the clips, 64x64"),
    ],
)
def test_shapes_that_cannot_be_are_named(text, told):
    with pytest.raises(ValueError, match=f"generator.buckets='{text}'.*{told}"):
        stages(Sora(config_of(text), SPEC))


def test_shapes_given_twice_or_shorter_than_their_pictures_are_named():
    with pytest.raises(ValueError, match="one is given twice"):
        shapes_of(config_of("8@32x32", "8@32x32").generator, SPEC, 16)
    with pytest.raises(ValueError, match=r"fewer frames than generator\.stills=3"):
        shapes_of(replace(config_of("2@32x32", recipe=base).generator, stills=3), SPEC, 8)


def test_batches_of_all_shapes_have_about_the_tokens_of_the_recipes_own():
    config = replace(config_of("8@64x64", "8@32x32", "4@32x32", "16@32x64").generator, batch_size=16)
    made = buckets(config, SPEC, shapes_of(config, SPEC, 16))
    assert [bucket.batch_size for bucket in made] == [16, 64, 128, 16]
    assert [bucket.frames for bucket in made] == [8, 8, 4, 16]
    few = buckets(replace(config, batch_size=1), replace(SPEC, height=32), shapes_of(config, SPEC, 16))
    assert few[0].batch_size == 1  # never none
    pictures = replace(config, stills=4)  # which weigh more in short clips
    assert [b.batch_size for b in buckets(pictures, SPEC, shapes_of(pictures, SPEC, 16))[1:3]] == [64, 96]


def test_a_clip_is_scaled_until_it_covers_the_size_and_encoded_once():
    shapes = shapes_of(config_of("8@32x48", "4@48x32", "8@48x48", "8@64x64").generator, SPEC, 16)
    seen = []

    def encode(video):
        seen.append(tuple(video.shape[-2:]))
        return video.mean(2, keepdim=True)[..., ::8, ::8]

    latents = encoded(encode, SPEC, shapes)(torch.zeros(1, 5, 3, 64, 64))
    assert sorted(seen) == [(48, 48), (64, 64)]
    assert {name: value.shape[-2:] for name, value in latents.items()} == {
        "latent_32x48": (6, 6),
        "latent_48x32": (6, 6),
        "latent_48x48": (6, 6),
        "latent": (8, 8),
    }
    assert grids(SPEC, shapes, 8)["latent_32x48"] == (6, 4)


def test_scaling_down_keeps_what_is_seen():
    video = torch.rand(1, 2, 3, 64, 64)
    assert scaled(video, (64, 64)) is video
    small = scaled(video, (16, 16))
    torch.testing.assert_close(small.mean((3, 4)), video.mean((3, 4)), atol=0.02, rtol=0)
    assert small.std() < 0.3 * video.std()  # noise is averaged out, where taking every fourth pixel would keep it


def test_crops_are_whole_cells_from_everywhere():
    latent = torch.arange(4.0)[:, None] * 10 + torch.arange(6.0)
    torch.manual_seed(0)
    found = [cropped(latent.expand(2, 3, 1, 4, 6), (4, 2)) for _ in range(60)]
    assert {tuple(part.shape) for part in found} == {(2, 3, 1, 4, 2)}
    assert {part[0, 0, 0, 0].tolist()[0] for part in found} == {0, 1, 2, 3, 4}
    assert all(torch.equal(part[..., 1], part[..., 0] + 1) for part in found)
    before = torch.get_rng_state()
    assert torch.equal(cropped(latent[None, None, None], (4, 6))[0, 0, 0], latent)
    assert torch.equal(torch.get_rng_state(), before)  # nothing is drawn where nothing is cropped


def test_shapes_know_what_covers_them():
    wide = ClipSpec(height=32, width=64, fps=10)
    assert Shape(frames=8, height=16, width=16).covering(wide) == (16, 32)
    assert Shape(frames=8, height=32, width=16).covering(wide) == (32, 64)
    assert Shape(frames=8, height=24, width=56).covering(ClipSpec(height=48, width=64, fps=10)) == (40, 56)


def train(store: ClipStore, out, resume=False, texts=TURNS):
    return train_route(
        get_route("sora"),
        recipe="debug",
        config=config_of(*texts),
        store=store,
        budget=Budget.parse("20steps"),
        out=out,
        resume=resume,
        progress=False,
        checkpoint_every=Budget.parse("4steps"),
        keep=9,
    )


def written(out):
    return (out / "model.safetensors").read_bytes(), (out / "01-generator" / "metrics.jsonl").read_bytes()


def test_a_run_on_several_shapes_is_stopped_and_resumed_to_the_same_bits(arena_store, tmp_path):
    whole = train(arena_store, tmp_path / "whole")
    assert whole.ledger["generator"].steps == 17
    counts = [json.loads(line)["clips"] for line in written(tmp_path / "whole")[1].splitlines() if b"loss" in line]
    assert sorted({after - before for before, after in zip([0, *counts], counts, strict=False)}) == [4, 6, 32]
    stopped = shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    stage = stopped / "01-generator"
    shutil.rmtree(stage / FINISHED)
    for late in checkpoint_paths(stage)[-3:]:
        shutil.rmtree(late)
    assert len(checkpoint_paths(stage)) > 0
    (stopped / "model.safetensors").unlink()
    resumed = train(arena_store, stopped, resume=True)
    assert written(stopped) == written(tmp_path / "whole")
    assert resumed.ledger["generator"].flops == whole.ledger["generator"].flops
    assert resumed.ledger["generator"].clips == counts[-1]


def test_one_shape_that_is_the_recipes_own_is_plain_training(arena_store, tmp_path):
    plain, same = (train(arena_store, tmp_path / name, texts=texts) for name, texts in (("a", ()), ("b", ("8@32x32",))))
    assert written(plain.path) == written(same.path)
    assert plain.total.flops == same.total.flops


def test_pictures_and_pixels_go_with_it():
    config = config_of("8@16x32", "4@32x32")
    config = replace(
        config,
        autoencoder=replace(config.autoencoder, kind="pixels"),
        generator=replace(config.generator, stills=2),
    )
    (stage,) = stages(Sora(config, SPEC))
    assert stage.cache is not None
    latents = stage.cache(torch.rand(1, 8, 3, 64, 64))
    assert latents["latent_16x32"].shape == (1, 8, 192, 4, 4)
    for bucket in stage.buckets:
        window = latents[bucket.columns[0]][:, : bucket.frames]
        loss, _ = stage.module(Batch(caption=("",), cached={bucket.columns[0]: window}))
        assert loss.isfinite()

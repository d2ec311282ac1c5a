"""Named sizes of the sora route. Each is a function, so that a recipe can be read, printed and changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """The compression network: frames <-> latents of a grid eight, or four, times smaller."""

    # "conv": Gaussian latents; "fsq": the same network, each latent channel rounded to ``levels`` values;
    # "pixels": 8 x 8 pixel patches, no network (the control); "causal": Gaussian latents of films, each frame's with
    # those before it in view.
    kind: Literal["conv", "fsq", "pixels", "causal"] = "conv"
    factor: Literal[4, 8] = 8  # pixels of a latent cell, each way; 4 keeps small shapes, at four times the cells
    levels: int = 9  # of a latent channel, where kind is "fsq"
    channels: tuple[int, int, int] = (16, 32, 64)
    latent: int = 4  # channels of a latent cell
    kl: float = 3e-3  # weight of the KL term: smooth latents are easier to predict than faithful ones
    moving: float = 4.0  # extra weight of pixels that differ from the clip's mean picture
    equivariance: float = 0.0  # part of the batches whose latents are moved before decoding: a picture moved as far
    recolour: float = 0.0  # part of the clips whose colours are mixed: no shape goes with a colour
    zoom: float = 0.0  # part of the batches seen from nearer or farther: sizes of things that no clip shows
    time_stride: int = 1  # frames a latent, where kind is "causal"; the generator needs 1
    adversarial: float = 0.0  # weight of what a critic of patches says of decoded frames; 0: there is none
    share: float = 0.15  # of the route's budget
    decoder_share: float = 0.0  # of it, at the end, for the decoder alone: latents stay, pictures get sharper
    frames: int = 4
    batch_size: int = 6
    learning_rate: float = 1.5e-3


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The spacetime flow transformer."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    patch: int = 2  # latent cells per token, each way
    frames: int = 8  # frames it sees at once
    text_width: int = 96
    # "words": a small encoder that learns with the generator; "minilm": tokens of the pretrained, frozen MiniLM.
    text: Literal["words", "minilm"] = "words"
    caption_dropout: float = 0.1
    # "flow": flow matching, predicting data; "ddpm": diffusion, predicting v, no data left at the start.
    objective: Literal["flow", "ddpm"] = "flow"
    # Parts of training: words alone; the first frame, a prefix, a suffix, both, any frames given; a noise level of its
    # own per frame. With the first frame alone, words must tell where things go: nothing else does.
    tasks: tuple[float, float, float, float, float, float, float] = (0.35, 0.0, 0.35, 0.05, 0.05, 0.05, 0.15)
    causal: bool = False  # given frames look only at given ones before them, so that a stream can keep what they say
    given_noise: float = 0.0  # on given frames in training: the model's own frames are not perfect, and it streams them
    stills: int = 0  # frames of each clip trained as pictures too; words then make the first frame, and that the clip
    # Weight of the pictures' loss beside the clips'. Where things are is in no caption, so most of it cannot be learnt,
    # and at 1 its gradient drowns that of the clips (docs/log.md).
    stills_weight: float = 1.0
    # What training begins with, FRAMES:SHARE of the generator's budget each, such as 1:0.2 for pictures alone. Steps
    # take as many frames as later; what pictures teach is then kept up by ``stills``.
    curriculum: tuple[str, ...] = ()
    at_captions: float = 0.0  # part of the windows that start where a caption does
    time_mean: float = -1.2  # logit-normal training times, biased to noise
    time_std: float = 1.0
    from_noise: float = 0.0  # part of the clips that train at time 0, where films begin and words alone tell what moves
    batch_size: int = 16
    # Shapes that training takes in turns, FRAMES@WIDTHxHEIGHT each: few large clips a step or many small. (): one.
    buckets: tuple[str, ...] = ()
    learning_rate: float = 1.5e-3
    solver: Literal["euler", "heun", "multistep"] = "euler"
    steps: int = 8  # solver steps in sampling
    picture_steps: int = 0  # of a first frame that is made alone, which costs little; 0: as many as the rest takes
    noise: float = 0.4  # scale of the first noise after given frames, without words: less keeps to the likely future
    guidance: float = 2.0  # classifier-free guidance on words


@dataclass(frozen=True, kw_only=True)
class SoraConfig:
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)


def debug() -> SoraConfig:
    """Seconds: for tests of the plumbing."""
    return SoraConfig(
        autoencoder=AutoencoderConfig(channels=(8, 8, 16), latent=4, frames=2, batch_size=4),
        generator=GeneratorConfig(width=32, layers=1, heads=2, frames=8, text_width=16, batch_size=4, steps=2),
    )


def small() -> SoraConfig:
    """Minutes on two cores, 32 pixels."""
    return SoraConfig()


def base() -> SoraConfig:
    """An hour on two cores, 32 or 64 pixels, for clips with captions: words make a picture, and that the clip.

    The fine grid is what keeps shapes, and what words are learnt on: see ``docs/log.md``.
    """
    return SoraConfig(
        autoencoder=AutoencoderConfig(
            factor=4,
            channels=(24, 48, 48),
            latent=8,
            kl=1e-3,
            moving=20.0,
            equivariance=0.4,
            recolour=0.3,
            share=0.15,
            decoder_share=0.08,
            batch_size=2,
        ),
        generator=GeneratorConfig(
            layers=5,
            caption_dropout=0.15,
            tasks=(0.03, 0.64, 0.18, 0.03, 0.04, 0.03, 0.05),
            causal=True,
            given_noise=0.1,
            curriculum=("1:0.2",),
            stills=2,
            stills_weight=0.3,
            at_captions=0.9,
            from_noise=0.2,
            batch_size=4,
            learning_rate=1e-3,
            picture_steps=16,
            noise=0.5,
            guidance=4.0,
        ),
    )


def large() -> SoraConfig:
    """Two hours on two cores, 32 or 64 pixels, for clips whose first frames tell what follows, such as ``motion``.

    The window holds a whole film, so a speed is read off true frames and never off made ones; the coarse grid makes
    room for it. Half of the clips train from noise alone, since what is told has one future. Its compression is not
    that of ``base``: small steps lost sharpness here (docs/log.md).
    """
    made = base()
    autoencoder = replace(
        made.autoencoder, factor=8, moving=4.0, equivariance=0.5, recolour=0.0, zoom=0.5, share=0.12, batch_size=6
    )
    generator = replace(
        made.generator,
        frames=32,
        tasks=(0.02, 0.03, 0.85, 0.02, 0.02, 0.02, 0.04),
        given_noise=0.0,
        curriculum=(),
        stills=0,
        from_noise=0.5,
        at_captions=0.0,
        steps=4,
        noise=0.0,
    )
    return SoraConfig(autoencoder=autoencoder, generator=generator)


RECIPES: Mapping[str, Callable[[], SoraConfig]] = {"debug": debug, "small": small, "base": base, "large": large}

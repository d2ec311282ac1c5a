"""What the choices of the sora recipe buy, on the arena: one choice changed at a time, at equal seconds of one thread.

    python experiments/sora_choices.py compression    kinds of compression network, each trained alone
    python experiments/sora_choices.py objectives     flow matching and DDPM, on the kept model's compression
    python experiments/sora_choices.py solvers        the kept model's films, at equal evaluations of its network
    python experiments/sora_choices.py buckets        clips of 64 pixels trained at one size and at three in turns

Seconds are those of the processor, so that a busy machine is no disadvantage; encoding clips for a generator is not in
them. Items are held-out episodes from a seed that no training uses. What is asked of films is judged by exact parsing.
A row that is in the file already is not made again, so an interrupted trial goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from threeworlds.data import ClipStore, Turns, Windows
from threeworlds.routes.sora.autoencoder import Autoencoder, PixelPatches
from threeworlds.routes.sora.model import Sora, stages
from threeworlds.routes.sora.recipes import AutoencoderConfig, base
from threeworlds.routes.sora.tasks import Sampling, extend, text_to_video
from threeworlds.score.clips import generate
from threeworlds.score.exam import EXAM_SEEDS
from threeworlds.score.machine import describe_machine
from threeworlds.score.prediction import places, position_error, psnr, squared_error
from threeworlds.score.stats import mean_interval
from threeworlds.score.text import JUDGES, look
from threeworlds.train import load_model, use_machine
from threeworlds.train.optim import Average, build_optimizer, copy_into, learning_rate, trainable
from threeworlds.types import Bucket, Stage
from threeworlds.worlds import WORLDS, collect

ARENA = WORLDS["arena"]
EPISODES = 150  # to train on
FRAMES = 17  # of a true clip: 1 + 2 k, for a stride of 2 in time; captions speak of the first 16
FILM = 8  # frames of a made one: the window of training
PATCH = 2  # latent cells a token, each way, as generators have it
STEPS = (4, 8, 32)  # of the solver, after each objective
EVALUATIONS = (3, 7, 15)  # of the network a film, guidance not counted twice; Heun's are odd
REFERENCE = ("heun", 24)  # the film that a solver is to come near to: 47 evaluations
SIDES = (32, 48, 64)  # pixels
SECONDS = {"compression": 60.0, "objectives": 240.0, "solvers": 0.0, "buckets": 240.0}

KINDS: Mapping[str, Mapping[str, Any]] = {
    "pixel patches": {"kind": "pixels"},
    "conv, factor 8": {},
    "conv, factor 4": {"factor": 4},
    "fsq, factor 8": {"kind": "fsq"},
    "causal, factor 8": {"kind": "causal"},
    "conv, factor 4, critic": {"factor": 4, "adversarial": 0.02},
    "conv, factor 4, latents that move": {"factor": 4, "equivariance": 0.5},
    "fsq, factor 4": {"kind": "fsq", "factor": 4},
    "causal, factor 8, every second frame": {"kind": "causal", "time_stride": 2, "frames": 5},
}
TURNS: Mapping[str, tuple[str, ...]] = {
    "32 pixels alone": ("8@32x32",),
    "32, 48 and 64 in turns": ("8@32x32", "8@48x48", "8@64x64"),
    "64 pixels alone": ("8@64x64",),
}

Row = dict[str, Any]
Job = tuple[str, Callable[[], list[Row]]]


@dataclass(frozen=True)
class Trial:
    """What a trial is made with."""

    checkpoint: Path
    seconds: float
    items: int
    seed: int
    work: Path

    @cached_property
    def kept(self) -> Sora:
        """A trained model of the arena, whose compression generators are trained on."""
        model, card = load_model(self.checkpoint)
        if not isinstance(model, Sora) or card.spec.world != "arena":
            raise SystemExit(f"{self.checkpoint}: expected a sora model of arena, got {card.route}")
        return model

    def store(self, size: int) -> ClipStore:
        """Clips to train on, made once."""
        path = self.work / f"clips-{size}"
        if path.exists():
            return ClipStore.open(path)
        return generate("arena", path, episodes=EPISODES, seed=self.seed, size=size, workers=1)

    def drawn(self, **options: Any) -> tuple[Tensor, tuple[str, ...]]:
        """Held-out clips [n, FRAMES, 3, 32, 32] and their first captions."""
        seed = EXAM_SEEDS + self.seed
        clips = list(collect("arena", episodes=self.items, seed=seed, size=32, workers=1, **options))
        frames = torch.from_numpy(np.stack([clip.video[:FRAMES] for clip in clips]))
        return frames.movedim(-1, 2).float() * (2 / 255) - 1, tuple(clip.captions[0].text for clip in clips)

    def interval(self, values: np.ndarray) -> dict[str, float]:
        """The mean over items, with its 95 % interval."""
        found = mean_interval(values, seed=self.seed)
        return {"value": round(found.value, 5), "low": round(found.low, 5), "high": round(found.high, 5)}

    def judged(self, video: Tensor, captions: Sequence[str], names: Sequence[str] = tuple(JUDGES)) -> Row:
        """What films show of what captions say."""
        assert ARENA.parse_caption is not None
        said, seen = [ARENA.parse_caption(caption)["shapes"] for caption in captions], look(ARENA, video)
        return {name: self.interval(JUDGES[name](seen, said)) for name in names}


def train(stage: Stage, store: ClipStore, cached: Mapping[str, np.ndarray], seconds: float, seed: int) -> Row:
    """Train a stage for so many seconds of the processor; its averaged weights are in place afterwards."""
    whole = Bucket(name="step", frames=stage.frames, batch_size=stage.batch_size, columns=stage.columns)
    windows = Turns(
        [_windows(stage, b, store, cached, seed + n) for n, b in enumerate(stage.buckets or (whole,))], seed
    )
    parameters = trainable(stage.module)
    optimizer, average = build_optimizer(parameters, stage.optim), Average(parameters, stage.optim.ema)
    start, step, clips = process_time(), 0, 0
    stage.module.train()
    while (progress := (process_time() - start) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage.optim, progress)
        loss, _ = stage.module(windows.batch(step))
        loss.backward()
        nn.utils.clip_grad_norm_(parameters.values(), stage.optim.clip)
        optimizer.step()
        optimizer.zero_grad()
        step, clips = step + 1, clips + windows.clips(step)
        average.update(step)
    copy_into(parameters, average.weights)
    stage.module.eval()
    return {"steps": step, "clips": clips}


def _windows(stage: Stage, bucket: Bucket, store: ClipStore, cached: Mapping[str, np.ndarray], seed: int) -> Windows:
    return Windows(
        store,
        frames=bucket.frames,
        batch_size=bucket.batch_size,
        seed=seed,
        columns=bucket.columns,
        cached={name: cached[name] for name in bucket.columns if name in cached},
        at_captions=stage.at_captions,
    )


@torch.no_grad()
def encoded(stage: Stage, store: ClipStore) -> dict[str, np.ndarray]:
    """What the stage's cache makes of all clips."""
    assert stage.cache is not None
    parts: dict[str, list[np.ndarray]] = {}
    for episode in range(len(store.lengths)):
        video = torch.from_numpy(np.array(store.video(episode))).movedim(-1, 1)[None].float() * (2 / 255) - 1
        for name, latent in stage.cache(video).items():
            parts.setdefault(name, []).append(latent[0].numpy())
    return {name: np.concatenate(each) for name, each in parts.items()}


# ------------------------------------------------------------------------------------------- compression


def compression(trial: Trial) -> Iterator[Job]:
    """A job for each kind, and the true clips."""
    clips, captions = trial.drawn(combinations="heldout")
    for name, changes in KINDS.items():
        yield name, partial(compressed, trial, name, changes, clips, captions)
    yield "true clips", lambda: [{"variant": "true clips", **shown(trial, clips, captions)}]


def compressed(
    trial: Trial, name: str, changes: Mapping[str, Any], clips: Tensor, captions: Sequence[str]
) -> list[Row]:
    """Train a compression network and ask what is left of true clips after it."""
    config = replace(AutoencoderConfig(), **changes)
    torch.manual_seed(trial.seed)
    row: Row = {"variant": name}
    network: Autoencoder | PixelPatches = PixelPatches(32, 32)
    if config.kind != "pixels":
        network = Autoencoder(config, 32, 32)
        row |= fit(network, trial.store(32), trial)
    with torch.no_grad():
        made = torch.cat([network.decode(network.encode(part)) for part in clips.split(10)])
        row |= weighed(network, clips[:1])
    row["psnr"] = trial.interval(psnr(squared_error(made, clips)).mean(1))
    assert ARENA.weights is not None
    apart = position_error(places(ARENA.weights, made), places(ARENA.weights, clips))
    return [row | {"position_error": trial.interval(np.nanmean(apart, axis=1))} | shown(trial, made, captions)]


def fit(network: Autoencoder, store: ClipStore, trial: Trial) -> Row:
    """Train a compression network as the route does, and measure its latents."""
    config, rate = network.config, network.config.learning_rate
    stage = Stage(name="autoencoder", module=network, share=1.0, frames=config.frames, batch_size=config.batch_size)
    stage = replace(stage, optim=replace(stage.optim, learning_rate=rate))
    told = train(stage, store, {}, trial.seconds, trial.seed)
    network.normalise(Windows(store, frames=config.frames, batch_size=config.batch_size).fixed(192, trial.seed))
    return told


def shown(trial: Trial, video: Tensor, captions: Sequence[str]) -> Row:
    """Shapes and colours that are there to be seen in what captions speak of."""
    return trial.judged(video[:, : FRAMES - 1], captions, ("shape", "colour"))


def weighed(network: Autoencoder | PixelPatches, clip: Tensor, repeats: int = 9) -> Row:
    """Tokens and numbers a frame is given, and milliseconds of the processor to encode and decode it."""
    times = []
    for _ in range(repeats):
        start = process_time()
        latent = network.encode(clip)
        network.decode(latent)
        times.append(process_time() - start)
    frames, cells = clip.shape[1], latent.shape[1] * latent.shape[-1] * latent.shape[-2]
    return {
        "tokens_a_frame": round(cells / PATCH**2 / frames, 2),
        "numbers_a_frame": round(cells * latent.shape[2] / frames),
        "ms_a_frame": round(1000 * median(times) / frames, 3),
    }


# ------------------------------------------------------------------------------------- objectives and solvers


def objectives(trial: Trial) -> Iterator[Job]:
    """A job for each objective, and the true clips."""
    clips, captions = trial.drawn(combinations="heldout")
    for name in ("flow", "ddpm"):
        yield f"{name}, {STEPS[0]} steps", partial(trained_on, trial, name, clips, captions)
    yield "true clips", lambda: [{"variant": "true clips", **trial.judged(clips[:, :FILM], captions)}]


def trained_on(trial: Trial, objective: Any, clips: Tensor, captions: Sequence[str]) -> list[Row]:
    """Train a generator and ask for films from words, and from words and the true first frame."""
    model, told = generator(trial, 32, {"objective": objective})
    rows = []
    for steps in STEPS:
        how = Sampling(seed=trial.seed, steps=steps)
        film = text_to_video(model, captions, frames=FILM, sampling=how).video
        goes_on = extend(model, clips[:, :1], captions, frames=FILM - 1, sampling=how).video
        (direction,) = trial.judged(goes_on, captions, ("direction",)).values()
        row = {"variant": f"{objective}, {steps} steps", **told, **trial.judged(film, captions)}
        rows.append(row | {"direction_from_a_frame": direction})
    return rows


def generator(trial: Trial, size: int, changes: Mapping[str, Any]) -> tuple[Sora, Row]:
    """A `base` generator with these changes and on clips alone, trained on the kept model's compression."""
    store, config = trial.store(size), base()
    config = replace(config, autoencoder=trial.kept.config.autoencoder)
    torch.manual_seed(trial.seed)
    model = Sora(replace(config, generator=replace(config.generator, curriculum=(), **changes)), store.spec)
    model.autoencoder.load_state_dict(trial.kept.autoencoder.state_dict())
    stage = next(stage for stage in stages(model) if stage.name == "generator")
    model.autoencoder.eval()
    told = train(stage, store, encoded(stage, store), trial.seconds, trial.seed)
    return model.eval(), told


def solvers(trial: Trial) -> Iterator[Job]:
    """A job for each solver and number of evaluations."""
    _, captions = trial.drawn(combinations="heldout")
    solver, steps = REFERENCE
    reference = filmed(trial, captions, solver, steps)
    yield "reference", lambda: [{"variant": "reference", **trial.judged(reference, captions)}]
    for evaluations in EVALUATIONS:
        for solver in ("euler", "heun", "multistep"):
            name = f"{solver}, {evaluations} evaluations"
            yield name, partial(solved, trial, name, solver, evaluations, captions, reference)


def solved(
    trial: Trial, name: str, solver: str, evaluations: int, captions: Sequence[str], reference: Tensor
) -> list[Row]:
    """Films of one solver: how far from the reference, which starts from the same noise, and what they show."""
    film = filmed(trial, captions, solver, (evaluations + 1) // 2 if solver == "heun" else evaluations)
    off = trial.interval(squared_error(film, reference).mean(1))
    return [{"variant": name, "off_reference": off, **trial.judged(film, captions)}]


def filmed(trial: Trial, captions: Sequence[str], solver: str, steps: int) -> Tensor:
    """Films of the kept model, a frame at first and the window from it."""
    how = Sampling(seed=trial.seed, solver=solver, steps=steps)
    return text_to_video(trial.kept, captions, frames=FILM, sampling=how).video


# ------------------------------------------------------------------------------------------------ buckets


def buckets(trial: Trial) -> Iterator[Job]:
    """A job for each way to train, on the same clips of 64 pixels: about as many tokens a step."""
    _, captions = trial.drawn(shapes=(1,))
    for name, shapes in TURNS.items():
        yield name, partial(sized, trial, name, shapes, captions)


def sized(trial: Trial, name: str, shapes: tuple[str, ...], captions: Sequence[str]) -> list[Row]:
    """Train a generator on these shapes and ask for films of every size."""
    model, told = generator(trial, SIDES[-1], {"buckets": shapes, "batch_size": 1})
    row: Row = {"variant": name, **told}
    for side in SIDES:
        film = text_to_video(model, captions, frames=FILM, size=(side, side), sampling=Sampling(seed=trial.seed)).video
        found = trial.judged(film, captions, ("colour", "direction"))
        row |= {f"{judge}_{side}": each for judge, each in found.items()}
    return [row]


# ---------------------------------------------------------------------------------------------------- run

TRIALS: Mapping[str, Callable[[Trial], Iterator[Job]]] = {
    function.__name__: function for function in (compression, objectives, solvers, buckets)
}


def main(arguments: Sequence[str] | None = None) -> Row:
    """Make the rows that are missing, write them after each job, and return all."""
    given = parse(arguments)
    use_machine(1)
    seconds = given.seconds or SECONDS[given.trial]
    out = given.out or Path(f"results/sora-{given.trial}.json")
    trial = Trial(given.checkpoint, seconds, given.items, given.seed, given.work)
    rows = json.loads(out.read_text())["rows"] if out.exists() else []
    command = f"python experiments/sora_choices.py {given.trial} --items {given.items} --seed {given.seed}"
    content: Row = {"command": command, "machine": describe_machine(), "items": given.items}
    content |= {"seconds": seconds} if seconds else {}
    for name, job in TRIALS[given.trial](trial):
        if any(row["variant"] == name for row in rows):
            continue
        rows += job()
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({**content, "rows": rows}, indent=1) + "\n")
    return {**content, "rows": rows}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("--checkpoint", type=Path, default=Path("zoo/arena-sora-base"))
    parser.add_argument("--out", type=Path, help="JSON file to write, or to go on with")
    parser.add_argument("--work", type=Path, default=Path("runs/sora-choices"), help="clips")
    parser.add_argument("--seconds", type=float, help="of each training")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

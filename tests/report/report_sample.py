"""A rich, invented result: three routes, every status, strips made of squares. No number here was measured."""

from pathlib import Path

import numpy as np
from PIL import Image

from threeworlds.score.result import write_result
from threeworlds.score.stats import Interval, separable
from threeworlds.types import Difference, Film, Result, Row, Verdict

FRAMES, GIVEN, SIZE = 16, 4, 32
PSNR = {  # horizon -> floor, and value by route
    1: (22.3, {"sora": 27.1, "genie": 26.0, "jepa": 23.4}),
    4: (19.0, {"sora": 24.2, "genie": 22.7, "jepa": 21.1}),
    8: (17.2, {"sora": 21.0, "genie": 19.9, "jepa": 19.2}),
    16: (16.1, {"sora": 18.4, "genie": 16.3, "jepa": 17.6}),
}
STORY = ("use", "technique", "video_latent", "action_latent", "predicts")
STORIES = {
    "sora": ("make a clip from words", "latent flow matching", "continuous, 8×8×8 a frame", "none", "the whole clip"),
    "genie": ("be played", "tokens, masked dynamics", "discrete, FSQ", "discrete, 8 codes", "next tokens"),
    "jepa": (
        "understand, plan, act",
        "joint embedding",
        "continuous, 128 numbers",
        "the data's",
        "the next latent state",
    ),
}
SUPERVISION = {"sora": "video, captions", "genie": "video", "jepa": "video, actions"}


def row(route, question, metric, unit="", direction="higher", value=None, half=None, **more):
    bounds = {} if half is None else {"low": value - half, "high": value + half, "n": 200}
    return Row(
        route=route, question=question, metric=metric, unit=unit, direction=direction, value=value, world="arena",
        **(bounds | more),
    )  # fmt: skip


def missing(route, question, metric, reason, status="not_applicable"):
    return row(route, question, metric, status=status, reason=reason)


def prediction_rows():
    for horizon, (floor, values) in PSNR.items():
        for route, value in values.items():
            yield row(
                route, "prediction", f"psnr_h{horizon}", "dB", value=value, half=0.5, floor=floor,
                floor_name="copy the last frame", ceiling=31.0, ceiling_name="tokenizer of the truth",
                protocol="Four frames given, the next ones predicted once, mean over held-out episodes.",
            )  # fmt: skip


def other_rows():
    control = {"floor": 0.2, "floor_name": "shuffled labels", "ceiling": 1.0, "ceiling_name": "simulator"}
    yield missing("sora", "control", "action_following", "it takes no actions")
    yield row("genie", "control", "action_following", value=0.71, half=0.05, **control)
    yield row("jepa", "control", "action_following", value=0.22, half=0.06, **control)
    yield row("genie", "control", "nmi", value=0.43, half=0.04, floor=0.01, floor_name="shuffled labels")
    for route, value in {"sora": 0.81, "genie": 0.77, "jepa": 0.95}.items():
        yield row(
            route, "understanding", "position_r", value=value, half=0.02, floor=0.62, floor_name="random encoder",
            protocol="Ridge probe on frozen states, fitted on training episodes.",
        )  # fmt: skip
    yield row("sora", "text", "full_match", value=0.48, half=0.07, floor=0.05, floor_name="shuffled captions")
    for route in ("genie", "jepa"):
        yield missing(route, "text", "full_match", "it takes no words")
    yield row("jepa", "planning", "success_25_50", value=0.86, half=0.05, floor=0.12, floor_name="random policy")
    yield missing("genie", "planning", "success_25_50", "the planner ran out of memory", status="failed")
    yield missing("sora", "planning", "success_25_50", "it takes no actions")
    for route, parameters, speed in (("sora", 2.4e6, 1.9), ("genie", 1.9e6, 0.7), ("jepa", 9.1e5, 0.004)):
        yield row(route, "cost", "parameters", "", "lower", parameters)
        yield row(route, "cost", "train_flops", "FLOPs", "lower", 2.0e13 + parameters)
        yield row(route, "cost", "seconds_per_second", "s", "lower", speed)
    yield row("genie", "novel_question", "some_metric", value=0.5, half=0.1)


def difference(question, metric, first, second, value, half, direction="higher"):
    interval = Interval(value=value, low=value - half, high=value + half, n=200)
    return Difference(
        question=question, metric=metric, first=first, second=second, value=value, low=interval.low,
        high=interval.high, n=200, verdict=separable(interval, direction),
    )  # fmt: skip


DIFFERENCES = (
    difference("prediction", "psnr_h1", "sora", "genie", 1.1, 0.4),
    difference("prediction", "psnr_h1", "sora", "jepa", 3.7, 0.5),
    difference("prediction", "psnr_h1", "jepa", "copy the last frame", 1.1, 0.3),
    difference("prediction", "psnr_h16", "genie", "copy the last frame", 0.2, 0.4),
    difference("understanding", "position_r", "jepa", "sora", 0.14, 0.02),
    difference("understanding", "position_r", "sora", "genie", 0.04, 0.05),
)


def strip(path: Path, seed: int, blur: float) -> None:
    """Sixteen frames of a disc on its way, drawn the worse the greater ``blur``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    frames = []
    for t in range(FRAMES):
        drift = blur * max(0, t - GIVEN + 1)
        distance = np.hypot(x - 5 - 1.4 * t - drift * 0.4, y - 9 - 0.8 * t + drift * 0.2)
        disc = np.clip(5.5 - distance, 0, 1)[..., None]
        frame = (1 - disc) * np.array([38, 42, 58]) + disc * np.array([226, 92 + 20 * seed % 90, 60])
        frames.append(frame + rng.normal(0, 1 + 6 * drift, frame.shape))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(np.concatenate(frames, axis=1), 0, 255).astype(np.uint8)).save(path)


def films(folder: Path):
    for number, item in enumerate(("episode 3", "episode 12")):
        for i, route in enumerate(("truth", "sora", "genie", "jepa")):
            path = f"films/{number}-{route}.png"
            strip(folder / path, number, 0.12 * i)
            yield Film(item=item, route=route, kind="prediction", path=path, frames=FRAMES, given=GIVEN)
    strip(folder / "films/text-sora.png", 5, 0.1)
    caption = "a large red disc falls while the avatar goes left"
    yield Film(item=caption, route="sora", kind="text", path="films/text-sora.png", frames=FRAMES)
    yield Film(item=caption, route="genie", kind="text", path="films/nowhere.png", frames=FRAMES)


def curves():
    clips = list(range(0, 6400, 64))
    shapes = {
        "sora/autoencoder": 0.9,
        "sora/flow": 0.5,
        "genie/tokenizer": 0.8,
        "genie/dynamics": 5.0,
        "jepa/predictor": 1.4,
    }
    return {
        name: {"clips": clips, "loss": [start / (1 + c / 300) + 0.05 for c in clips]} for name, start in shapes.items()
    }


def ledger(flops, seconds, parameters, supervision):
    return {
        "clips": 6400, "unique_clips": 512, "steps": 400, "flops": flops, "seconds": seconds,
        "peak_memory_mb": 812.5, "parameters": parameters, "supervision": supervision,
    }  # fmt: skip


def sample_result(folder: Path) -> Result:
    """Write strips under ``folder`` and return the result that names them."""
    return Result(
        schema="threeworlds.result/1",
        command="threeworlds compare --world arena --routes sora,genie,jepa --budget 4m --seed 0 --out results/arena",
        version="0.1.0",
        machine={"cpu": "AMD EPYC", "cores": 2, "memory_gb": 8.0, "torch": "2.13.0"},
        data={
            "source": "arena, 640 episodes made on the spot",
            "episodes": {"train": 512, "validation": 64, "test": 64},
            "split_hash": "9f2c41d07ab3",
            "near_duplicates": 0,
            "quarantine": [
                {"file": "notes.mp4", "cause": "not a video: plain text"},
                {"file": "cut<short>.mp4", "cause": "truncated after 12 frames"},
            ],
        },
        ledger={
            "sora": {
                "autoencoder": ledger(8e12, 80.0, 7e5, ["video"]),
                "flow": ledger(1.2e13, 160.0, 1.7e6, ["video", "caption"]),
                "total": ledger(2e13, 240.0, 2.4e6, ["video", "caption"]),
            },
            "genie": {"total": ledger(2e13, 240.0, 1.9e6, ["video"])},
            "jepa": {"total": ledger(2e13, 240.0, 9.1e5, ["video", "action"])},
        },
        routes={
            route: {
                "story": dict(zip(STORY, story, strict=True)),
                "learns_from": SUPERVISION[route],
                "recipe": "small",
                "budget": "4m",
            }
            for route, story in STORIES.items()
        },
        rows=(*prediction_rows(), *other_rows()),
        differences=DIFFERENCES,
        verdicts=(
            Verdict(
                claim="C3",
                text="Sora-like models make the best pictures",
                verdict="supported",
                rule="Paired difference of next-frame PSNR to every other route above zero.",
                evidence=("sora − genie +1.10 [0.70, 1.50] dB", "sora − jepa +3.70 [3.20, 4.20] dB"),
            ),
            Verdict(claim="C5", text="Genie grows with scale", verdict="not tested", rule="Needs two budgets."),
        ),
        films=tuple(films(folder)),
        curves=curves(),
    )  # fmt: skip


def write_sample(folder: Path) -> Path:
    write_result(sample_result(folder), folder / "result.json")
    return folder

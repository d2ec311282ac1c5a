"""The report's vocabulary: names of questions and metrics, their order, and how numbers are written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import floor, isfinite, log10

from threeworlds.score.result import natural
from threeworlds.score.seeds import SHOWN
from threeworlds.types import Row

# Question -> title and what it asks, in the order of the page. Unknown questions come last.
QUESTIONS: dict[str, tuple[str, str]] = {
    "prediction": ("Prediction", "Given the first frames of a clip nobody trained on: what comes next?"),
    "physics": ("Physics", "Do things move as the law says, inside and outside the range seen in training?"),
    "physics_iq": ("Physics-IQ", "Does it move where, when and how much the true film moves, up to chance?"),
    "hallucination": ("Hallucination", "Do objects vanish, appear or teleport?"),
    "simulator": ("Simulator", "Does the covered come back, does a change last, is a told game played?"),
    "control": ("Control", "Does the model do what its action input says?"),
    "imitation": ("Imitation", "What is a policy worth that was learnt with only a few labelled actions?"),
    "text": ("Text", "Does the clip show what the caption says?"),
    "understanding": ("Understanding", "Can the true state of the world be read from the model's state?"),
    "surprise": ("Surprise", "Does the model notice when the impossible happens?"),
    "planning": ("Planning", "Does the model reach a goal it is shown as a picture?"),
    "passive": ("Without action", "Told that nothing is done: does the world run on as the true one does?"),
    "play": ("Play", "Is it fast enough to be played?"),
    "budget": ("Budget", "What does more training buy? Each score against the budget of a route."),
    "seeds": ("Seeds", "Would another seed have told the same? Interquartile means, and who is better how often."),
    "cost": ("Cost", "What does it take to train it and to run it?"),
}

# Story -> what was measured of it (question, metric); "ceiling" in place of the value shows what the latents keep.
EVIDENCE: dict[str, tuple[tuple[str, str, str], ...]] = {
    "use": (
        ("text", "colour", "value"),
        ("control", "action_following", "value"),
        ("planning", "success_25_50_each", "value"),
    ),
    "technique": (("cost", "parameters", "value"), ("cost", "train_flops", "value")),
    "video_latent": (("prediction", "psnr_h1", "ceiling"), ("understanding", "position_r", "value")),
    "action_latent": (
        ("control", "nmi", "value"),
        ("control", "code_r2", "value"),
        ("control", "delta4_psnr", "value"),
    ),
    "predicts": (("prediction", "alone_mse_h1", "value"), ("prediction", "psnr_h8", "value")),
}

# The metric that speaks for a question in the summary: the first of these that was measured.
HEADLINES: dict[str, tuple[str, ...]] = {
    "prediction": ("alone_mse_h1", "mse_h1", "psnr_h1"),  # alone: genie's codes are inferred from the true future
    "physics_iq": ("score",),
    "physics": ("uniform_in", "collision_in", "parabola_in", "passive_error_h8"),
    "hallucination": ("clean_fraction",),
    "simulator": ("returns", "lasts", "obeys"),
    "control": ("action_following", "right_code_wins", "delta4_psnr", "nmi", "code_r2"),
    "imitation": ("return_ratio_50",),
    "text": ("colour", "full_match"),
    "understanding": ("position_r", "velocity_r2"),
    "surprise": ("auroc_teleport",),
    "planning": ("success_25_50_each", "success_25_50"),
    "passive": ("psnr_h8", "shape_error_h8"),
    "play": ("fps",),
    "cost": ("seconds_per_second", "train_seconds"),
}

METRICS: tuple[tuple[str, str], ...] = (
    (r"psnr_h1", "next-frame PSNR"),
    (r"psnr_h(\d+)", r"PSNR, \1 frames ahead"),
    (r"psnr", "PSNR by frames ahead"),
    (r"ssim_h1", "next-frame structural similarity"),
    (r"ssim_h(\d+)", r"structural similarity, \1 frames ahead"),
    (r"ssim", "structural similarity by frames ahead"),
    (r"frechet_h(\d+)", r"Frechet distance, \1 frames ahead"),
    (r"frechet", "Frechet distance by frames ahead"),
    (r"lpips_h(\d+)", r"LPIPS, \1 frames ahead"),
    (r"lpips", "LPIPS by frames ahead"),
    (r"mse_h1", "next-frame squared error"),
    (r"mse_h(\d+)", r"squared error, \1 frames ahead"),
    (r"mse", "squared error by frames ahead"),
    (r"position_error_h1", "next-frame position error"),
    (r"position_error_h(\d+)", r"position error, \1 frames ahead"),
    (r"position_error", "position error by frames ahead"),
    (r"(uniform|collision|parabola)_in", r"velocity error, \1 motion, in range"),
    (r"(uniform|collision|parabola)_out", r"velocity error, \1 motion, out of range"),
    (r"(uniform|collision|parabola)_in_code", r"drift of velocity, \1 motion, in range"),
    (r"(uniform|collision|parabola)_out_code", r"drift of velocity, \1 motion, out of range"),
    (r"passive_error_h(\d+)", r"position error with no action, \1 frames ahead"),
    (r"passive_error", "position error with no action by frames ahead"),
    (r"clean_fraction", "films without an impossible event"),
    (r"clean_frames", "frames before the first impossible event"),
    (r"kept", "films that keep the number and the colours of their bodies"),
    (r"vanish", "films in which a body vanishes"),
    (r"appear", "films in which a body appears"),
    (r"colour_change", "films in which a body changes colour"),
    (r"teleport", "films in which a body jumps"),
    (r"size_change", "films in which a body changes size"),
    (r"shape_error_h(\d+)", r"position error of the shapes, \1 frames ahead"),
    (r"avatar_rests", "films in which the avatar stays put"),
    (r"nmi", "mutual information of codes and controls"),
    (r"code_r2", "continuous controls that the codes tell"),
    (r"purity", "purity of codes"),
    (r"purity_effective", "purity of codes, pushes against walls left out"),
    (r"right_code_wins", "wins of the right action"),
    (r"delta4_psnr", "PSNR lost with random actions"),
    (r"action_following", "action following"),
    (r"return_ratio_(\d+)", r"return against the expert, \1 labels"),
    (r"return_ratio", "return against the expert by labels"),
    (r"full_match", "whole caption matched"),
    (r"(colour|shape|direction)", r"\1 matched"),
    (r"position_r_mlp", "small network's reading of position, correlation"),
    (r"velocity_r2_mlp", "small network's reading of velocity, R²"),
    (r"attributes_mlp", "small network's reading of attributes"),
    (r"position_r_attentive", "attentive probe of position, correlation"),
    (r"velocity_r2_attentive", "attentive probe of velocity, R²"),
    (r"attributes_attentive", "attentive probe of attributes"),
    (r"position_r_h(\d+)", r"probe of position, \1 frames ahead"),
    (r"position_r_labels_(\d+)", r"probe of position, \1 labelled episodes"),
    (r"position_r_labels", "probe of position by labelled episodes"),
    (r"velocity_r2_h(\d+)", r"probe of velocity, \1 frames ahead"),
    (r"attributes_h(\d+)", r"probe of attributes, \1 frames ahead"),
    (r"rollout_error_h(\d+)", r"error of states foreseen, \1 frames ahead"),
    (r"action_shuffle_h(\d+)", r"worth of the right actions, \1 frames ahead"),
    (r"position_r", "probe of position, correlation"),
    (r"velocity_r2", "probe of velocity, R²"),
    (r"attributes", "probe of attributes"),
    (r"auroc_(\w+)", r"AUROC, \1"),
    (r"relative_(\w+)", r"pairs whose impossible clip surprises more, \1"),
    (r"success_(\d+)_(\d+)_each", r"success, goal \1 steps away, \2 allowed, every route in its own way"),
    (r"success_(\d+)_(\d+)_actor", r"success, goal \1 steps away, \2 allowed, by the actor alone"),
    (r"success_(\d+)_(\d+)_ever", r"success at any time, goal \1 steps away, \2 allowed"),
    (r"success_(\d+)_(\d+)", r"success, goal \1 steps away, \2 allowed"),
    (r"success_random_walls_actor", "success, walls never seen, by the actor alone"),
    (r"success_random_walls_ever", "success at any time, walls never seen"),
    (r"success_random_walls", "success, walls never seen"),
    (r"ms_search", "time per decision, search"),
    (r"ms_actor", "time per decision, actor"),
    (r"fps", "frames per second"),
    (r"latency_p95_ms", "latency, 95th percentile"),
    (r"parameters", "parameters"),
    (r"train_flops", "training compute"),
    (r"train_seconds", "training time"),
    (r"peak_memory_mb", "peak memory"),
    (r"seconds_per_second", "seconds per generated second"),
)

ALONE = "alone_"  # begins the metrics of a protocol in which every route is given the same frames and nothing else
DERIVED = ("budget", "seeds")  # questions that ask nothing new: they show scores of others
SHOWN_METRICS = {name: metric for (_, metric), name in SHOWN.items()}
ROUTES = ("truth", "sora", "genie", "jepa")  # these have their own colour and come first
SPARE_COLOURS = 4  # for routes that come later
PREFIXES = (" k", " M", " G", " T", " P", " E")


def question_title(question: str) -> str:
    return QUESTIONS[question][0] if question in QUESTIONS else _readable(question).capitalize()


def question_asks(question: str) -> str:
    return QUESTIONS[question][1] if question in QUESTIONS else ""


def metric_label(metric: str, question: str = "") -> str:
    """What a metric is called. Those of "budget" and "seeds" are called after what they show of other questions."""
    if question in DERIVED:
        return _derived_label(metric)
    if question == "passive" and not metric.startswith("avatar"):
        return f"{metric_label(metric)}, with no action"
    if metric.startswith(ALONE):
        return f"{metric_label(metric.removeprefix(ALONE))}, from frames alone"
    for pattern, label in METRICS:
        if match := re.fullmatch(pattern, metric):
            return _readable(match.expand(label))
    return _readable(metric)


def _derived_label(metric: str) -> str:
    """``colour_matched_500`` -> "colour matched at budget 500"; ``colour_matched_iqm`` and so on."""
    name = next((name for name in SHOWN_METRICS if metric.startswith(name)), metric)
    label, rest = metric_label(SHOWN_METRICS.get(name, name)), metric.removeprefix(name)
    if rest.removeprefix("_").isdecimal():
        return f"{label} at budget {tick(float(rest[1:]))}"
    words = {"": "against budget", "_iqm": "interquartile mean"}
    return f"{label}, {words.get(rest) or _readable(rest).strip()}"


def metric_order(metric: str) -> tuple[bool, object]:
    """Sort key: natural order, each route with its own controls before all from frames alone."""
    return metric.startswith(ALONE), natural(metric)


def in_order(names: Iterable[str], first: Iterable[str]) -> list[str]:
    """Distinct ``names``: those in ``first`` in its order, then the others in natural order."""
    names, first = set(names), list(first)
    return [name for name in first if name in names] + sorted(names - set(first), key=natural)


def colours(routes: Iterable[str]) -> dict[str, str]:
    """Route -> name of its colour in the style sheet: "c0" is the truth, "c1" sora and so on."""
    later = [route for route in in_order(routes, ROUTES) if route not in ROUTES]
    spare = {route: f"c{len(ROUTES) + i % SPARE_COLOURS}" for i, route in enumerate(later)}
    return {route: f"c{i}" for i, route in enumerate(ROUTES)} | spare


# ------------------------------------------------------------------------------------------- numbers


def number(value: float | None, like: float | None = None, sign: bool = False) -> str:
    """Three significant digits, two below 0.1; k, M, G... from 10 000 on. ``like`` sets them for a whole row."""
    if value is None or not isfinite(value):
        return "–"
    scale = _magnitude(value if like is None or not isfinite(like) else like)
    if scale < -9:  # the rounding error of a zero is a zero
        return number(0.0)
    group = min(scale // 3, len(PREFIXES)) if scale >= 4 else 0
    decimals = max(2 - scale + 3 * group, 0) if scale >= -1 else 1 - scale
    text = f"{value / 1000**group:{'+' if sign else ''}.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−") + (PREFIXES[group - 1] if group else "")


def tick(value: float) -> str:
    """A number on an axis: no zeros at the end."""
    digits, space, prefix = number(value).partition(" ")
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + space + prefix


def with_interval(value: float | None, low: float | None, high: float | None, sign: bool = False) -> str:
    """``27.1 [26.5, 27.6]``; the value alone where no interval is known."""
    like = max((abs(v) for v in (value, low, high) if v is not None and isfinite(v)), default=None)
    text = number(value, like, sign)
    if low is None or high is None or not (isfinite(low) and isfinite(high)):
        return text
    return f"{text} [{number(low, like, sign)}, {number(high, like, sign)}]"


def with_unit(text: str, unit: str, label: str = "") -> str:
    """The unit behind the number, unless the label says it ("squared error 0.01") or it is a range ("0 to 1")."""
    return f"{text} {unit}" if untold(unit, label) and not unit[0].isdecimal() else text


def untold(unit: str, label: str) -> str:
    """The unit, or nothing where the label says it."""
    return "" if re.search(rf"(?<!\w){re.escape(unit)}(?!\w)", label) else unit


def row_value(row: Row) -> str:
    """What stands in the value column: the number, or why there is none."""
    if row.status == "not_applicable":
        return f"n/a: {row.reason}"
    if row.status == "failed":
        return f"failed: {row.reason}"
    return with_interval(row.value, row.low, row.high)


def bound(value: float | None, name: str, like: float | None) -> str:
    """A floor or a ceiling with its name; empty where there is none."""
    if value is None:
        return ""
    return f"{number(value, like)} ({name})" if name else number(value, like)


def _magnitude(value: float) -> int:
    return floor(log10(abs(value))) if value else 0


def _readable(name: str) -> str:
    return name.replace("_", " ")

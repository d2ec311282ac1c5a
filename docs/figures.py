"""Fill the figures in README.md and docs/ from results/. A number in the text is never typed by hand.

A block stands between ``<!-- figures: name argument -->`` and ``<!-- /figures -->``; ``name`` is a function here.

    python docs/figures.py           judge results/ by the rules of today; rewrite blocks, pictures and reports
    python docs/figures.py --check   exit 1 if a block is not what results/ says, a verdict not what the rules say, or
                                     a picture or a report is of other results

A picture keeps the SHA-256 of its results in the PNG, a report in its text, so that a check needs no browser.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from threeworlds.report import digest, write_report
from threeworlds.report.fairness import fairness as fairness_of
from threeworlds.report.findings import evidence, pros_and_cons
from threeworlds.report.words import ROUTES, in_order, metric_label, number, row_value, with_unit
from threeworlds.score.claims import CLAIMS, decide, judge_claims, judged_anew
from threeworlds.score.guide import NEEDS, PRODUCTS, guide
from threeworlds.score.result import natural, read_result, write_result
from threeworlds.score.stats import wilson
from threeworlds.types import Reference, Result, Row, Verdict

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(<!-- figures: ([^\n]*?) -->\n)(.*?)(<!-- /figures -->)", re.DOTALL)
PICTURES = ROOT / "docs" / "pictures"
REPORTED = ("zoo-arena", "compare-arena")  # results whose reports stand beside them
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SUMMARY = (  # question, metric
    ("prediction", "alone_mse_h1"),
    ("prediction", "alone_psnr_h1"),
    ("prediction", "psnr_h1"),
    ("prediction", "psnr_h8"),
    ("prediction", "position_error_h4"),
    ("hallucination", "clean_fraction"),
    ("control", "action_following"),
    ("control", "purity"),
    ("text", "colour"),
    ("text", "direction"),
    ("text", "full_match"),
    ("understanding", "position_r"),
    ("understanding", "velocity_r2"),
    ("planning", "success_25_50_each"),
    ("play", "fps"),
    ("cost", "seconds_per_second"),
    ("cost", "parameters"),
    ("cost", "train_flops"),
    ("cost", "train_seconds"),
)


def summary(folder: str) -> str:
    """One row a metric, one column a route; the floor in the last column."""
    return beside(folder, *("/".join(pair) for pair in SUMMARY))


def beside(folder: str, *metrics: str) -> str:
    """As ``summary``, for metrics named "question/metric"."""
    result = _result(folder)
    routes = in_order(result.routes, ("sora", "genie", "jepa"))
    lines = []
    for question, metric in (name.split("/") for name in metrics):
        rows = {row.route: row for row in _rows(result, question, (metric,))}
        if any(row.status == "ok" for row in rows.values()):
            lines.append([metric_label(metric), *(_cell(rows.get(route)) for route in routes), _floors(rows)])
    return _table(["", *routes, "floor"], lines) + _source(result, folder)


def rows(folder: str, route: str, *questions: str) -> str:
    """Every row of a route for these questions."""
    result = _result(folder)
    found = [row for question in questions for row in _rows(result, question) if row.route == route]
    lines = [
        [f"`{row.question}/{row.metric}`", _cell(row), _floor(row), _ceiling(row), str(row.n or "-")]
        for row in found
        if not row.metric.startswith("alone_")
    ]
    return _table(["metric", "value [95 %]", "floor", "ceiling", "n"], lines) + _source(result, folder)


def verdicts(*folders: str) -> str:
    """What each of these results says of every claim that one of them can speak to, side by side."""
    results = {folder: _result(folder) for folder in folders}
    found = {folder: {v.claim: v.verdict for v in judge_claims(result)} for folder, result in results.items()}
    lines = [
        [claim, text, *(f"**{each[claim]}**" for each in found.values())]
        for claim, text, *_ in CLAIMS
        if any(each[claim] != "not tested" for each in found.values())
    ]
    told = "".join(_source(result, folder) for folder, result in results.items())
    return _table(["claim", "", *(f"`{folder}`" for folder in folders)], lines) + told


def budgets(folder: str) -> str:
    """What each route scored after each budget, over its floor there: some floors are the model's own."""
    result = _result(folder)
    found = _by_budget(result)
    amounts = sorted({amount for each in found.values() for amount in each}, key=float)
    lines = [
        [
            metric_label(metric, "budget"),
            route,
            *(f"{_cell(each[amount])}<br>floor {_floor(each[amount])}" for amount in amounts),
        ]
        for (metric, route), each in sorted(found.items())
    ]
    head = ["", "route", *(f"{float(amount):.3g}" for amount in amounts)]
    return _table(head, lines) + _source(result, folder)


def _by_budget(result: Result) -> dict[tuple[str, str], dict[str, Row]]:
    """Metric and route -> budget -> row."""
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in _rows(result, "budget"):
        metric, _, amount = row.metric.rpartition("_")
        found.setdefault((metric, row.route), {})[amount] = row
    return found


def decided(*folders: str) -> str:
    """Each claim once: the verdict of the result that decides, and of those that say something else."""
    results, lines = {folder: _result(folder) for folder in folders}, []
    for claim, text, *_ in CLAIMS:
        found = decide(results, claim)
        others = "; ".join(f"`{folder}`: {word}" for folder, word in found.others.items())
        by = f"`{found.result}`" if found.result else "-"
        lines.append([claim, text, f"**{found.word}**", by, others or "-"])
    return _table(["claim", "", "verdict", "decided by", "others, where they differ"], lines)


def claims(*folders: str) -> str:
    """Every claim, judged anew from the rows of each result that can speak to it."""
    results = {folder: _result(folder) for folder in folders}
    found = {folder: {v.claim: v for v in judge_claims(result)} for folder, result in results.items()}
    parts = []
    for claim, text, rule, _ in CLAIMS:
        spoken = {folder: each[claim] for folder, each in found.items() if each[claim].evidence}
        tested = {folder: verdict for folder, verdict in spoken.items() if verdict.verdict != "not tested"}
        told = [_tested(folder, verdict, results[folder].command) for folder, verdict in (tested or spoken).items()]
        parts += [f"### {claim}. {text}", "", f"Rule: {rule}.", "", *(told or ["**Not tested.**"])]
        if tested and (shut := ", ".join(f"`{folder}`" for folder in spoken if folder not in tested)):
            parts.append(f"- Not tested in {shut}: what the rule asks for was not learnt.")
        parts.append("")
    return "\n".join(parts)


def _tested(folder: str, verdict: Verdict, command: str) -> str:
    told = "".join(f"\n    - {text}" for text in verdict.evidence)
    return f"- **{verdict.verdict.capitalize()}** in `results/{folder}/result.json`, from `{command}`:{told}"


def products(*folders: str) -> str:
    """Which route to take for the three products that most people come for."""
    lines = [
        [_capital(a.need), f"**{a.take}**", a.learns_from or "-", "<br>".join(a.why), "<br>".join(a.but) or "-"]
        for a in guide([_result(folder) for folder in folders], PRODUCTS)
    ]
    return _table(["you want", "take", "it learns from", "why", "what it does not do"], lines) + _measured_in(folders)


def advice(*folders: str) -> str:
    """Which route to take, by what there is and what is needed."""
    found = guide([_result(folder) for folder in folders], NEEDS)
    lines = [[a.have, a.need, f"**{a.take}**", "<br>".join(a.why)] for a in found]
    return _table(["you have", "you need", "take", "why"], lines) + _measured_in(folders)


def _measured_in(folders: Iterable[str]) -> str:
    told = ", ".join(f"`results/{folder}/result.json`" for folder in folders)
    return f"\nFrom {told}; the first that measured it.\n"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


STORY = {
    "use": "use",
    "technique": "technique",
    "video latent": "video_latent",
    "action latent": "action_latent",
    "prediction": "predicts",
}


def routes(*folders: str) -> str:
    """The routes side by side: what each is, and what was measured of it; for and against from the first result."""
    results = [_result(folder) for folder in folders]
    names = in_order(results[0].routes, ROUTES)
    lines = [
        [part, *(_cells(_story(results[0], name, key), *evidence(results, name, key)) for name in names)]
        for part, key in STORY.items()
    ]
    lines.append(["learns from", *(str(results[0].routes[name]["learns_from"]) for name in names)])
    sides = {name: pros_and_cons(results[0], name) for name in names}
    lines += [[side, *(_cells(*sides[name][i]) for name in names)] for i, side in enumerate(("for", "against"))]
    return _table(["", *names], lines) + _measured_in(folders)


def _story(result: Result, route: str, key: str) -> str:
    return f"*{result.routes[route]['story'][key]}*"


def _cells(*texts: str) -> str:
    return "<br>".join(texts) or "-"


def fairness(folder: str) -> str:
    """In what the training of the routes was equal and in what not."""
    found = fairness_of(_result(folder))
    return f"{found.sentence}\n\n{_table(found.head, found.lines)}\n`results/{folder}/result.json`\n"


def ledger(folder: str, route: str) -> str:
    """What each stage of a route cost."""
    result = _result(folder)
    lines = [
        [stage, f"{e['clips']:,}", f"{e['flops']:.2g}", f"{e['seconds']:.0f}", f"{e['parameters']:,}"]
        for stage, e in result.ledger[route].items()
    ]
    return _table(["stage", "windows seen", "FLOPs", "seconds", "parameters"], lines) + _source(result, folder)


def worlds(file: str) -> str:
    """Frames a second of each world on one core."""
    content = _json(file)
    speeds = [[name, f"{value:,}"] for name, value in content["frames_per_second"].items()]
    return _table(["world, pixels, task", "frames/s"], speeds) + f"\n`results/{file}`\n"


def floors(file: str) -> str:
    """Velocity error of the measurement itself, in world units a second."""
    lines = [[name, f"{e['paper']:.4f}", f"{e['code']:.4f}"] for name, e in _json(file)["motion_floor"].items()]
    return _table(["task, range, pixels", "paper's formula", "released code's"], lines) + f"\n`results/{file}`\n"


def storage(file: str) -> str:
    """Clips a second of each store, and how many times faster memory-mapped clips are."""
    lines = []
    for size, states in _json(file)["sizes"].items():
        for state, stores in states.items():
            told = (f"{name} {e['clips_per_s']:,} ({e['ours_is_faster_by']:.1f}x)" for name, e in stores.items())
            lines.append([f"{size} px, {state}", "; ".join(told)])
    return _table(["", "clips/s (ours is faster by)"], lines) + f"\n`results/{file}`\n"


def training(file: str) -> str:
    """What each measure of speed gains, and FLOP/s against a matrix product."""
    lines = []
    for row in _json(file)["rows"]:
        gain = f"{row['ratio']:.2f}x [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]" if "ratio" in row else "-"
        speed = f"{row['gflops']:.0f} GFLOP/s, {row['of_sgemm']:.0%} of sgemm" if "gflops" in row else "-"
        lines.append([row["network"], row["measure"].replace("_", " "), gain, speed, f"{row['page_faults']:,.0f}"])
    head = ["network", "measure", "gain [least, most]", "speed", "page faults a step"]
    return _table(head, lines) + f"\n`results/{file}`\n"


def sora_speed(file: str) -> str:
    """The sora route's speed beside a peer's, and its stream."""
    content = _json(file)
    lines = []
    for row in content["rows"]:
        low, high = row["ratio_quartiles"]
        times = f"{row['our_ms']:.0f} / {row['peer_ms']:.0f} ms"
        lines.append(
            [f"{row['task']}, {row['mode']}", row["peer"], f"{row['ratio']:.2f}x [{low:.2f}, {high:.2f}]", times]
        )
    stream = content["streaming"]
    rates = ", ".join(f"{name} {value:.0f}" for name, value in stream["frames_per_second"].items())
    told = f"\nStream of {stream['pixels']} pixels, frames a second of one processor: {rates}.\n\n`results/{file}`\n"
    return _table(["", "peer", "ours is faster by [quartiles]", "ours / peer's"], lines) + told


def sora_tasks(file: str) -> str:
    """What a trained sora does at sizes and lengths of its own and others, and in edits."""
    found = _json(file)
    sized = [(f"{side} pixels", each) for side, each in found["words_by_side"].items()]
    long = [(f"{frames} frames", each) for frames, each in found["words_by_frames"].items()]
    lines = [
        [name, *(_part(each[key], found["items"]) for key in ("colour", "direction"))] for name, each in sized + long
    ]
    edits = [
        [strength, _part(each["recoloured"], found["items"]), f"{each['off_the_path']:.2f}"]
        for strength, each in found["edit_by_strength"].items()
    ]
    closure, jump = found["closure_median"], found["largest_jump_median"]
    told = (
        f"\nIn usual steps, medians: a loop closes within {closure['loop']:.2f} (open ends {closure['open']:.2f}), "
        f"a joint jumps by {jump['connect']:.2f} at most (a cut {jump['cut']:.2f}). "
        f"{found['items']} clips. `results/{file}`\n"
    )
    words = _table(["words, at", "colours right", "directions right"], lines)
    return f"{words}\n{_table(['edit, strength', 'recoloured', 'off the path, box'], edits)}{told}"


def sora_rollout(file: str) -> str:
    """How far a trained sora stays ahead of the floors, in how few solver steps, and how fast it streams."""
    found = _json(file)
    ahead = list(found["horizons"]["sora"]["psnr"])
    far = [
        [f"{label}, {name}", *(_interval(errors[metric][h]) for h in ahead)]
        for metric, label in (("psnr", "PSNR"), ("position_error", "position error"))
        for name, errors in found["horizons"].items()
        if metric in errors
    ]
    measures = ("psnr", "psnr_more", "position_error", "position_error_more")
    few = [[steps, *(_interval(each[name]) for name in measures)] for steps, each in found["few_steps"].items()]
    streams = found["streaming"].items()
    rates = [
        [side, *(f"{rate:.0f}" for rate in each["frames_per_second"].values()), f"{each['ratio']:.1f}x"]
        for side, each in streams
    ]
    each = next(iter(found["streaming"].values()))
    told = (
        f"\n{found['items']} held-out clips, four frames given, no words; trained on {found['window']} frames. "
        f"Streams: chunks of {each['chunk']}, {each['steps']} steps, one processor; load average "
        f"{found['load_average']:.1f}. `results/{file}`\n"
    )
    steps = ["solver steps", "PSNR, 8 frames", "more than with 32", "position error, 8 frames", "more than with 32"]
    tables = (
        _table(["frames ahead", *ahead], far),
        _table(steps, few),
        _table(["stream, pixels", "frames a second, kept", "computed again", "ratio"], rates),
    )
    return "\n".join(tables) + told


def _part(value: float, items: int) -> str:
    """A part of the items with Wilson's interval; of means of parts it is wider than it need be."""
    found = wilson(round(value * items), items)
    return f"{value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def captioner(file: str) -> str:
    """What a captioner says right, and what the captions of other clips have right."""
    found = _json(file)
    right = found["said_right"]
    names = [name for name in right if f"{name} (other clips)" in right]
    lines = [[name, *(_part(right[key], found["items"]) for key in (name, f"{name} (other clips)"))] for name in names]
    told = f"\n{found['items']} held-out episodes; from `{found['trained']}`. `results/{file}`\n"
    return _table(["", "said right", "captions of other clips"], lines) + told


def prices(file: str) -> str:
    """What published sizes would cost, from `threeworlds info --price`."""
    from threeworlds.train.price import COLUMNS, Price, lines  # here: the others need no torch

    bills = {name.partition(" ")[2]: Price(**bill) for name, bill in _json(file).items()}
    return _table(COLUMNS, ((cell or "-" for cell in line) for line in lines(bills))) + f"\n`results/{file}`\n"


def protocol(folder: str, route: str, name: str) -> str:
    """What was measured for a row, in the words of the result."""
    (row,) = (r for r in _result(folder).rows if (r.route, f"{r.question}/{r.metric}") == (route, name))
    return f"`{name}`: {row.protocol}.\n"


def kept(name: str) -> str:
    """The command that trained a model of the zoo, as its card has it."""
    command = json.loads((ROOT / "zoo" / name / "card.json").read_text())["command"]
    return (
        f"    {command}\n\nmade `zoo/{name}`, by its card; [zoo/README.md](../zoo/README.md) says from which clips.\n"
    )


def genie_speed(file: str) -> str:
    """Training steps of the genie route's parts beside public ones."""
    lines = []
    for row in _json(file)["rows"]:
        ratio = f"{row['ratio']:.2f}x [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
        lines.append([row["part"], row["peer"], ratio, f"{row['of_sgemm']:.0%}" if row["gflops"] else "-"])
    head = ["part", "peer", "ours is faster by [least, most]", "FLOP/s, of sgemm"]
    played = [
        [
            r["recipe"],
            str(r["pixels"]),
            str(r["threads"]),
            f"{r['fps']:.0f}",
            f"{r['median_ms']:.1f}",
            f"{r['p95_ms']:.1f}",
        ]
        for r in _json(file)["play"]
    ]
    play = _table(["play: recipe", "pixels", "threads", "frames/s", "ms, median", "ms, 95 %"], played)
    return f"{_table(head, lines)}\n{play}\n`results/{file}`\n"


def jepa_speed(file: str) -> str:
    """Training steps of the jepa route beside LeWM's, a frame at a time."""
    found, lines = _json(file), []
    for row in found["rows"]:
        ratio = f"{row['ratio']:.2f}x [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
        work = f"{row['peer_flops_a_frame'] / row['flops_a_frame']:.2f}x"
        lines.append([row["part"], ratio, work, f"{row['of_sgemm']:.0%}" if row["of_sgemm"] > 0.01 else "-"])
    head = ["training step", "ours is faster by [least, most]", "its FLOPs a frame, by ours", "FLOP/s, of sgemm"]
    load = f"peer: {found['peer']}; load average {found['load_average']:.0f} on {found['machine']['cores']} cores"
    return _table(head, lines) + f"\n{load}. `results/{file}`\n"


def jepa_films(file: str) -> str:
    """Two ways to one goal, how far the imagined ones are off, and how well two costs rank places."""
    found = _json(file)
    lines = [[mode, str(way["steps"]), *(f"{off:.2f}" for off in way["off"])] for mode, way in found["ways"].items()]
    ranks = {name: _interval(each) for name, each in found["rank"].items()}
    told = (
        f"\nRank correlation with the shortest way, in the mean over {found['goals']} goals: "
        f"the critic {ranks['critic']}, plain distance of states {ranks['plain']}. `results/{file}`\n"
    )
    return _table(["", "steps", "imagined way off, half-way", "at its end, box"], lines) + told


def second_order(states: str, *runs: str) -> str:
    """Velocity errors inside and outside the range of training; ``runs`` are ROUTE=folder, of films."""
    content = _json(states)
    columns = ("predicted_in", "predicted_out", "ratio", "seen_in", "seen_out")
    read = [
        [row["variant"], str(row["steps"]), *(number(row[column]) for column in columns)] for row in content["rows"]
    ]
    straight = ("network_predicted_in", "network_predicted_out", "network_ratio", "network_seen_in", "network_seen_out")
    rows = [row for row in content["rows"] if "network_ratio" in row]  # results before there was one have none
    network = [[row["variant"], *(number(row[column]) for column in straight)] for row in rows]
    films, folders = [], dict.fromkeys(run.split("=")[1] for run in runs)
    for route, folder in (run.split("=") for run in runs):
        found = {row.metric: row for row in _rows(_result(folder), "physics") if row.route == route}
        for formula, name in (("", "paper's"), ("_code", "code's")):
            sides = [found[f"uniform_{side}{formula}"] for side in ("in", "out")]
            films.append([f"{route}, `{folder}`", name, *map(_cell, sides), number(_ratio(sides))])
    head = ["in range, units/s", "out of range", "ratio"]
    told = f"\n{content['flops']:.2g} FLOPs a variant, one seed. `results/{states}`\n\n"
    sources = "".join(_source(_result(folder), folder) for folder in folders)
    seen = ["from seen states, in", "out"]
    first = _table(["places read by a line, from predicted states", "steps", *head, *seen], read)
    first += "\n" + _table(["velocity read by a small network", *head, *seen], network) if network else ""
    return first + told + _table(["uniform, in films", "formula", *head], films) + sources


def laws(route: str, *folders: str) -> str:
    """Velocity errors of models of one law each, by both formulas, beside every floor and ceiling."""
    beside = ("freeze", "constant velocity", "clamp to the range of training")
    seen = ("its own reconstruction", "the true pictures, measured")
    lines = []
    for result in map(_result, folders):
        law = result.data["exam"]["world_options"]["task"]
        for row in _rows(result, "physics"):
            if row.route == route and row.metric.startswith(law):
                told = row.references
                lines += [[f"`{row.metric}`", _cell(row), *(_of(told.get(name)) for name in (*beside, *seen))]]
    sources = "".join(_source(_result(folder), folder) for folder in folders)
    return _table(["error of velocity", f"{route} [95 %]", *beside, "encoded and decoded", seen[1]], lines) + sources


def _of(reference: Reference | None) -> str:
    return number(reference.value) if reference and reference.value is not None else "-"


def _ratio(sides: Sequence[Row]) -> float:
    low, high = (row.value or 0.0 for row in sides)
    return high / low


def planning_speed(file: str) -> str:
    """Success and time of a decision, ours and a peer's solver on the same model."""
    content = _json(file)
    lines = []
    for name, row in content["rows"].items():
        success = f"{row['success']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        lines.append([name, success, f"{row['ms_median']:.1f}", f"{row['times_slower']:.1f}x"])
    told = f"\n{content['task']}; peer: {content['peer']}. `results/{file}`\n"
    return _table(["search", "success", "ms a decision", "slower by"], lines) + told


def searches(file: str) -> str:
    """Success of every way to search, where the walls are and where they may be anywhere."""
    content = _json(file)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in content["rows"]:
        way = row["search"], row["actor"], row["executed"], row["warm"]
        found.setdefault(way, {})[row["setting"]] = row
    lines = []
    for (search, actor, executed, warm), rows in found.items():
        begun = " and ".join(["the actor's proposal"] * actor + ["the rest of the last plan"] * warm) or "nothing"
        success = [_told(rows[setting]["success"]) for setting in ("25_50", "random_walls")]
        lines.append([search, begun, str(executed), *success])
    effort = ", ".join(f"{content['planner'][name]} {name}" for name in ("candidates", "rounds"))
    told = f"\nHorizon {content['planner']['horizon']}, {effort}; {content['items']} goals 25 steps ahead, 50 allowed, "
    told += f"of validation. `results/{file}`\n"
    head = ["search", "begins from", "steps executed", "one wall", "walls anywhere"]
    return _table(head, lines) + told


def families(file: str) -> str:
    """Families of generative models over the same latents: mean and spread over seeds."""
    content = _json(file)
    kinds = dict.fromkeys(row["family"] for row in content["rows"])
    columns = ("error", "best_of", "energy", "frechet", "spread")
    lines = []
    for kind in kinds:
        found = [row for row in content["rows"] if row["family"] == kind]
        steps = f"{sum(row['steps'] for row in found) / len(found):,.0f}"
        cells = (_over_seeds([row[column] for row in found]) for column in columns)
        diverged = f"{sum(row['diverged'] for row in found)} of {len(found)}"
        lines.append([kind, *cells, number(content["ms"][kind]), diverged, steps])
    floors = content["floors"]
    copy = [number(floors["copy_" + name]) for name in ("error", "error", "energy", "frechet")]
    lines.append(["copy the last frame", *copy, "-", "-", "-", "-"])
    head = ["", "error", f"best of {content['draws']}", "energy score", "Frechet", "spread", "ms a draw", "diverged"]
    told = f"\nFrechet distance of two halves of the truth: {number(floors['halves_frechet'])}. "
    told += f"{content['flops']:.2g} FLOPs a head and seed, {content['windows']} held-out windows. `results/{file}`\n"
    return _table([*head, "steps"], lines) + told


def sampling(file: str) -> str:
    """What guidance, solver and steps do to films from words."""
    content, judges = _json(file), ("colour", "shape", "direction", "full_match")
    lines = []
    for row in content["rows"]:
        told = (_interval(row[judge]) for judge in judges)
        lines.append([f"{row['guidance']:g}", row["solver"], str(row["steps"]), *told, f"{row['seconds_a_film']:.2f}"])
    true = ["true clips", "", "", *(_interval(content["true_clips"][judge]) for judge in judges), ""]
    told = f"\n{content['items']} captions with held-out combinations; from `{content['command']}`. `results/{file}`\n"
    return _table(["guidance", "solver", "steps", *judges, "s a film"], [*lines, true]) + told


def _interval(each: Sequence[float]) -> str:
    return f"{number(each[0])} [{number(each[1])}, {number(each[2])}]"


def variants(file: str, *columns: str) -> str:
    """An experiment: one row a variant, the columns that are named; with intervals where there are any."""
    content = _json(file)
    lines = [[row["variant"], *(_told(row.get(column)) for column in columns)] for row in content["rows"]]
    told = f"\n{_spent(content)} `results/{file}`\n"
    return _table(["", *(column.replace("_", " ") for column in columns)], lines) + told


def _spent(content: dict[str, Any]) -> str:
    if "flops" in content:
        return f"{content['flops']:.2g} FLOPs a variant, one seed."
    trained = f"{content['seconds']:g} s of one thread a variant, one seed. " if "seconds" in content else ""
    return f"{trained}{content['items']} held-out clips; from `{content['command']}`."


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return _interval([value["value"], value["low"], value["high"]])
    return "-" if value is None else number(value)


def _over_seeds(values: Sequence[float]) -> str:
    mean = sum(values) / len(values)
    if len(values) == 1:
        return number(mean)
    spread = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return f"{number(mean)} ± {number(spread)}"


# ------------------------------------------------------------------------------------------ parts


def _result(folder: str) -> Result:
    return read_result(ROOT / "results" / folder / "result.json")


def _rows(result: Result, question: str, metrics: Sequence[str] = ()) -> list[Row]:
    return [row for row in result.rows if row.question == question and (not metrics or row.metric in metrics)]


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    return with_unit(row_value(row), row.unit) if row.status == "ok" else "n/a"


def _floors(rows: dict[str, Row]) -> str:
    """One floor for all, or each route's own."""
    floors = {route: _floor(row) for route, row in rows.items() if row.floor is not None}
    if len(set(floors.values())) == 1:
        return next(iter(floors.values()))
    return "; ".join(f"{route} {floor}" for route, floor in floors.items()) or "-"


def _floor(row: Row) -> str:
    if row.floor is None:
        return "-"
    return f"{number(row.floor)} ({row.floor_name})"


def _ceiling(row: Row) -> str:
    return f"{number(row.ceiling)} ({row.ceiling_name})" if row.ceiling is not None else "-"


def _source(result: Result, folder: str) -> str:
    return f"\n`results/{folder}/result.json`, from `{result.command}`\n"


def _table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    head = list(head)
    body = [head, ["---"] * len(head), *map(list, lines)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in body)


def _json(file: str) -> Any:
    return json.loads((ROOT / "results" / file).read_text())


def contact_sheet(folder: str, target: Path, kind: str = "prediction", items: Sequence[str] = ()) -> None:
    """Clips of a kind, three if not named: the truth and each route's film under each other, named, as one picture."""
    from PIL import Image, ImageDraw

    result = _result(folder)
    films = [film for film in result.films if film.kind == kind]
    items = items or list(dict.fromkeys(film.item for film in films))[:3]
    label, gap, left, top, scale = 60, 10, 0, 0, 2
    films.sort(key=lambda film: ("truth", "sora", "genie", "jepa", "jepa-free").index(film.route))
    strips = [[Image.open(ROOT / "results" / folder / f.path) for f in films if f.item == item] for item in items]
    width, height = strips[0][0].size
    size = (label + width * scale, sum((height * scale + 2) * len(group) + gap for group in strips))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for item, group in zip(items, strips, strict=True):
        for film, strip in zip([f for f in films if f.item == item], group, strict=True):
            pen.text((left + 4, top + height * scale // 2 - 6), film.route, fill="black")
            sheet.paste(strip.resize((width * scale, height * scale), Image.Resampling.NEAREST), (label, top))
            top += height * scale + 2
        top += gap
    save(sheet, target, folder)


def scorecard(folder: str, target: Path, width: int = 1100) -> None:
    """The head of a report as a browser shows it: which route to take, and what was found, in short."""
    from PIL import Image, ImageChops

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"{target.name} is a picture of a page: it needs one of {', '.join(BROWSERS)}")
    shown = "header, nav, footer, section:not(#guide, #summary), .scroll { display: none !important; }"
    with tempfile.TemporaryDirectory() as made:
        page, shot = Path(made) / "page.html", Path(made) / "page.png"
        text = (ROOT / "results" / folder / "report.html").read_text(encoding="utf-8")
        page.write_text(text.replace("</style>", shown + "</style>", 1), encoding="utf-8")
        look = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
        light = "--blink-settings=preferredColorScheme=1"
        size = (f"--user-data-dir={made}/profile", f"--window-size={width},2400", f"--screenshot={shot}")
        subprocess.run([browser, *look, light, *size, page.as_uri()], check=True, capture_output=True, timeout=300)
        picture = Image.open(shot).convert("RGB")
    empty = Image.new("RGB", picture.size, picture.getpixel((0, picture.height - 1)))
    box = ImageChops.difference(picture, empty).getbbox() or (0, 0, width, 1)
    save(picture.crop((0, 0, width, box[3] + 30)), target, folder)


def guidance_curve(file: str, target: Path) -> None:
    """How often words come out right against guidance, with intervals, as a picture."""
    import matplotlib
    from PIL import Image

    matplotlib.use("agg")
    from matplotlib import pyplot

    content = _json(file)
    rows = [row for row in content["rows"] if row["curve"] == "guidance"]
    figure, axes = pyplot.subplots(figsize=(6, 3), layout="constrained")
    for place, judge in enumerate(("colour", "shape", "direction", "full_match")):
        value, low, high = zip(*(row[judge] for row in rows), strict=True)
        apart = [row["guidance"] + 0.06 * (place - 1.5) for row in rows]  # or intervals hide each other
        (line,) = axes.plot(apart, value, marker="o", markersize=4, label=judge.replace("_", " "))
        axes.vlines(apart, low, high, color=line.get_color(), linewidth=1)
    axes.set(xlabel="guidance", ylabel="of captions", ylim=(0, 1.02))
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120)
    pyplot.close(figure)
    save(Image.open(drawn), target, file)


def budget_curves(folder: str, target: Path) -> None:
    """Scores against budget, a frame a metric: routes with their intervals, and dashed the floor of each."""
    import matplotlib
    from PIL import Image

    matplotlib.use("agg")
    from matplotlib import pyplot

    found = _by_budget(_result(folder))
    metrics = sorted({metric for metric, _ in found})
    figure, frames = pyplot.subplots(2, (len(metrics) + 1) // 2, figsize=(10, 5.4), layout="constrained", sharex=True)
    for metric, axes in zip(metrics, frames.flat, strict=False):
        for place, route in enumerate(("sora", "genie", "jepa")):
            _budget_curve(axes, found.get((metric, route), {}), route, f"C{place}", 1.06 ** (place - 1))
        direction = next(iter(next(each for (name, _), each in found.items() if name == metric).values())).direction
        axes.set_title(
            f"{metric_label(metric, 'budget').removesuffix(', against budget')}\n({direction} is better)", fontsize=9
        )
        axes.set(xscale="log", xlabel="training, FLOPs")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in frames.flat[len(metrics) :]:
        axes.set_visible(False)
    lines = {line.get_label(): line for axes in frames.flat for line in axes.get_lines()}
    shown = [route for route in ("sora", "genie", "jepa") if route in lines]
    figure.legend([lines[route] for route in shown], shown, loc="outside upper center", ncols=3, frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110)
    pyplot.close(figure)
    save(Image.open(drawn), target, folder)


def _budget_curve(axes: Any, rows: dict[str, Row], route: str, colour: str, shift: float) -> None:
    """One route's scores, a little aside of the others' or their intervals hide each other."""
    amounts = sorted(rows, key=float)
    at, told = [float(amount) * shift for amount in amounts], [rows[amount] for amount in amounts]
    axes.plot(at, [row.value for row in told], "o-", color=colour, markersize=4, label=route)
    axes.vlines(at, [row.low for row in told], [row.high for row in told], color=colour)
    axes.plot(at, [row.floor for row in told], "--", color=colour, linewidth=0.8)


def simulated(folder: str, target: Path) -> None:
    """One scene of each kind that the question `simulator` makes."""
    contact_sheet(folder, target, "simulator", [f"{name}, scene 1" for name in ("covered", "beside", "struck")])


def flown(folder: str, target: Path) -> None:
    """Balls at speeds within the range of training, and at ones beyond it."""
    law = _result(folder).data["exam"]["world_options"]["task"]
    contact_sheet(folder, target, "physics", [f"{law}, {side} of range, 1" for side in ("in", "out")])


def save(picture: Any, target: Path, made_from: str) -> None:
    """A PNG that knows which results it shows."""
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text("results", _digest(made_from))
    target.parent.mkdir(exist_ok=True)
    picture.save(target, optimize=True, pnginfo=note)


def _digest(made_from: str) -> str:
    path = ROOT / "results" / made_from
    return digest(path) if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()


DRAWN: dict[str, tuple[str, Callable[[str, Path], None]]] = {  # picture -> result, and who draws it
    "arena.png": ("compare-arena", contact_sheet),
    "scorecard.png": ("zoo-arena", scorecard),
    "budgets.png": ("seeds-base", budget_curves),
    "sora-guidance.png": ("sora-sampling.json", guidance_curve),
    "sora-simulator.png": ("simulator-arena", simulated),
    "motion.png": ("compare-motion", flown),
    "sora-motion.png": ("sora-motion", flown),
    "sora-motion-collision.png": ("sora-motion-collision", flown),
    "sora-motion-parabola.png": ("sora-motion-parabola", flown),
}


def stale() -> list[str]:
    """Pictures and reports that are not of the results that lie here."""
    from PIL import Image

    found = []
    for name, (made_from, _) in DRAWN.items():
        path = PICTURES / name
        noted = Image.open(path).info.get("results") if path.exists() else None
        found += [name] if noted != _digest(made_from) else []
    for folder in REPORTED:
        for name in ("report.html", "report.md"):
            page = ROOT / "results" / folder / name
            current = page.exists() and digest(page.parent) in page.read_text(encoding="utf-8")
            found += [] if current else [f"{folder}/{name}"]
    return found


BLOCKS: dict[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        summary,
        beside,
        rows,
        verdicts,
        budgets,
        decided,
        claims,
        products,
        advice,
        routes,
        fairness,
        ledger,
        floors,
        families,
        variants,
        sampling,
        prices,
        captioner,
        sora_tasks,
        sora_rollout,
        jepa_films,
        second_order,
        laws,
        searches,
        protocol,
        kept,
    )
}
BENCHMARKS: dict[str, Callable[[str], str]] = {
    "worlds": worlds,
    "storage": storage,
    "training": training,
    "sora": sora_speed,
    "genie": genie_speed,
    "planning": planning_speed,
    "jepa": jepa_speed,
}
BLOCKS |= {function.__name__: function for function in BENCHMARKS.values()}


def judged_otherwise() -> list[Path]:
    """Results that hold verdicts of older rules."""
    paths = sorted((ROOT / "results").glob("*/result.json"))
    return [path for path in paths if (held := read_result(path)).verdicts != judged_in_order(held)]


def judged_in_order(result: Result) -> tuple[Verdict, ...]:
    return tuple(sorted(judge_claims(result), key=lambda verdict: natural(verdict.claim)))


def filled(text: str) -> str:
    """The text with every block as results/ say."""

    def fill(match: re.Match[str]) -> str:
        name, *arguments = match[2].split()
        return f"{match[1]}{BLOCKS[name](*arguments)}{match[4]}"

    return BLOCK.sub(fill, text)


def main() -> int:
    """Rewrite or check; what differs is printed. With --benchmarks, their tables are, no more."""
    if "--benchmarks" in sys.argv:
        tables = (f"## {name}\n\n{table(f'benchmark-{name}.json')}\n" for name, table in BENCHMARKS.items())
        sys.stdout.writelines(tables)
        return 0
    differing = [path.parent.name for path in judged_otherwise()]
    if "--check" in sys.argv:
        differing += stale()
    else:
        for path in judged_otherwise():
            write_result(judged_anew(read_result(path)), path)
        for folder in REPORTED:
            write_report(ROOT / "results" / folder)
        for name, (made_from, draw) in DRAWN.items():
            draw(made_from, PICTURES / name)
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = path.read_text()
        new = filled(text)
        if new != text:
            differing.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(new)
    sys.stdout.write(f"pages and verdicts that differed from results/: {', '.join(differing) or 'none'}\n")
    return 1 if differing and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())

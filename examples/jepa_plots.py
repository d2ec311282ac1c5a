"""What results/ say of the jepa route, as plots for docs/jepa.md.

    python examples/jepa_plots.py

Probes by horizon, guards against collapse, the three architectures, a second-order state beside a free one, and what
the actor for a reward earns. Bars of an interval are drawn where the result has one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from threeworlds.score.result import read_result
from threeworlds.types import Result, Row

WIDTH, DPI = 8.0, 100  # inches, and pixels of an inch
INK, MUTED, RULE = "#1d1c1a", "#6a665f", "#e2ded5"  # as in the report
SORA, GENIE, FREE, JEPA = "#b4430f", "#5b3fb0", "#8a6100", "#0b7065"
STYLE: Any = {"font.size": 9, "text.color": INK, "axes.edgecolor": MUTED, "axes.labelcolor": INK, "grid.color": RULE}
STYLE |= {"xtick.color": MUTED, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False}
HORIZONS = {"position_r": "position r", "velocity_r2": "velocity R2", "rollout_error": "error, of no change"}
VARIANTS = {"position_r": "position r", "velocity_r2": "velocity R2", "position_r_h8": "position r, 8 ahead"}
LAWS = ("uniform", "collision", "parabola")


def main(results: Path = Path("results"), pictures: Path = Path("docs/pictures")) -> None:
    """Draw the plots.

    Args:
        results: folder of the results.
        pictures: folder for the plots.
    """
    pictures.mkdir(parents=True, exist_ok=True)
    draw_horizons(read_result(results / "zoo-arena" / "result.json"), pictures / "jepa-horizons.png")
    for name in ("anticollapse", "architectures"):
        found = json.loads((results / f"jepa-{name}.json").read_text())
        draw_variants(found["rows"], pictures / f"jepa-{name}.png")
    read = json.loads((results / "jepa-motion.json").read_text())["rows"]
    draw_motion(read, read_result(results / "compare-motion" / "result.json"), pictures / "jepa-motion.png")
    draw_reward(read_result(results / "jepa-reward" / "result.json"), pictures / "jepa-reward.png")


def draw_horizons(result: Result, path: Path) -> None:
    """What probes read from states foreseen 1 to 16 frames ahead; at 0, from states that were seen."""
    rows = {row.metric: row for row in result.rows if (row.route, row.question) == ("jepa", "understanding")}
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.6), dpi=DPI, layout="constrained")
        for axes, (stem, title) in zip(figure.subplots(1, len(HORIZONS)), HORIZONS.items(), strict=True):
            seen = {0: rows[stem]} if stem in rows else {}
            points = seen | {h: rows[f"{stem}_h{h}"] for h in (1, 4, 8, 16)}
            draw_points(axes, list(points), list(points.values()), JEPA, "jepa")
            if seen and rows[stem].floor is not None:
                axes.axhline(rows[stem].floor, color=MUTED, ls="--", lw=1, label="untrained encoder, on states seen")
            axes.set(title=title, xticks=[0, 1, 4, 8, 16], ylim=(0, 1.03), xlabel="frames ahead")
            axes.grid(axis="y")
        add_legend(figure, figure.axes[0])
        figure.savefig(path)


def draw_variants(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A bar a variant and measure; dashed: the same encoder untrained."""
    names = [row["variant"] for row in rows]
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.0 + 0.22 * len(rows)), dpi=DPI, layout="constrained")
        for axes, (metric, title) in zip(figure.subplots(1, len(VARIANTS), sharey=True), VARIANTS.items(), strict=True):
            bars = axes.barh(names, [row[metric] for row in rows], color=JEPA, height=0.65)
            axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
            if f"{metric}_untrained" in rows[0]:
                untrained = rows[0][f"{metric}_untrained"]
                axes.axvline(untrained, color=SORA, ls="--", lw=1.2, label="the encoder untrained")
            axes.set(title=title, xlim=(0, 1.15), xticks=[0, 0.5, 1])
            axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        add_legend(figure, figure.axes[0])
        figure.savefig(path)


def draw_motion(read: Sequence[Mapping[str, Any]], films: Result, path: Path) -> None:
    """Velocity errors in and out of the range of training: probed from predicted states, and measured in films."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.3), dpi=DPI, layout="constrained")
        axes = figure.subplots(1, 1 + len(LAWS), sharey=True)
        for each, law in zip(axes, LAWS, strict=False):
            for name, colour in (("free", FREE), ("second-order", JEPA)):
                (row,) = (row for row in read if row["variant"] == f"{law}, {name}")
                each.plot([0, 1], [row["predicted_in"], row["predicted_out"]], "o-", color=colour, label=name, ms=4)
            each.set_title(f"{law},\nread from states")
        laws = {"jepa-free": ("free", FREE), "jepa": ("second-order", JEPA)}  # the routes as they are, but for jepa
        for route, (name, colour) in (laws | {"sora": ("sora", SORA), "genie": ("genie", GENIE)}).items():
            rows = [row_of(films, route, f"uniform_{side}") for side in ("in", "out")]
            draw_points(axes[-1], [0, 1], rows, colour, name)
        axes[-1].axhline(at_rest(films), color=MUTED, ls="--", lw=1, label="a ball at rest, in range")
        axes[-1].set_title("uniform,\nin films")
        for each in axes:
            each.set(xticks=[0, 1], xticklabels=["in", "out"], xlim=(-0.3, 1.3), ylim=(0, None))
            each.grid(axis="y")
        axes[0].set_ylabel("velocity error, units/s")
        add_legend(figure, axes[-1])
        figure.savefig(path)


def at_rest(result: Result) -> float:
    """The velocity error of a ball at rest, in range: what a route has, less what it has more than that."""
    (more,) = (
        d.value for d in result.differences if (d.metric, d.first, d.second) == ("uniform_in", "jepa-free", "freeze")
    )
    return (row_of(result, "jepa-free", "uniform_in").value or 0.0) - more


def draw_reward(result: Result, path: Path) -> None:
    """The actor's return beside staying and the expert."""
    row = row_of(result, "jepa", "return")
    told = {row.floor_name: row.floor, "jepa's actor": row.value, row.ceiling_name: row.ceiling}
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.4), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        axes.barh(list(told), [value or 0.0 for value in told.values()], color=[MUTED, JEPA, MUTED], height=0.6)
        axes.plot([row.low, row.high], [1, 1], color=INK, lw=2)
        axes.set(xlim=(0, 1), xlabel=f"{row.unit}, {row.n} episodes")
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        figure.savefig(path)


def draw_points(axes: Axes, x: Sequence[int], rows: Sequence[Row], colour: str, label: str) -> None:
    """Values joined by a line, and their intervals."""
    axes.plot(x, [row.value for row in rows], "o-", color=colour, label=label, ms=4)
    for at, row in zip(x, rows, strict=True):
        axes.plot([at, at], [row.low, row.high], color=colour, lw=2, alpha=0.5)


def add_legend(figure: Figure, axes: Axes) -> None:
    """What the lines of ``axes`` are, under all of the plots."""
    lines, labels = axes.get_legend_handles_labels()
    chosen = [(line, label) for line, label in zip(lines, labels, strict=True) if label != "jepa"]
    figure.legend(*zip(*chosen, strict=True), loc="outside lower center", ncols=4, frameon=False)


def row_of(result: Result, route: str, metric: str) -> Row:
    """The one row of a route for a metric."""
    (found,) = (row for row in result.rows if (row.route, row.metric) == (route, metric))
    return found


if __name__ == "__main__":
    tyro.cli(main)

"""Pictures of numbers as SVG text to stand inside the page: the same rows, the same bytes.

Colours are written as CSS variables, so one picture serves light and dark; texts stay texts.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from threeworlds.report.words import ROUTES, colours, in_order, metric_label, metric_order, tick, untold, with_interval
from threeworlds.score.result import natural
from threeworlds.types import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 4.4  # inches of 72 points: a phone's width, so that texts keep their size there

# Stand-ins that matplotlib understands; _to_css turns them into variables of the style sheet.
INK, MUTED, RULE, PAPER = "#010101", "#020202", "#030303", "#040404"
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper"}
NO_LINES: Any = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}  # behind words that stand in a grid
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LOG_RATIO = 20.0  # from this ratio of largest to smallest on, a logarithmic axis

STYLE: Any = {  # matplotlib's own type of a style lists every key it knows
    "svg.fonttype": "none",
    "svg.hashsalt": "threeworlds",
    "text.parse_math": False,  # a dollar sign in a file's text is a dollar sign
    "font.size": 10.0,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One picture and the words around it."""

    title: str
    unit: str
    better: str  # "higher is better"
    svg: str
    note: str  # what the dashed and the dotted line are


def question_plots(rows: Sequence[Row], labels: Mapping[Row, str], budget: str = "") -> list[Plot]:
    """The pictures of one question and world: a line where a metric has horizons, else a dot a route.

    ``budget``: the unit of the budgets that scores of the question "budget" are drawn against.
    """
    plots = []
    for stem, family in _families(rows).items():
        measured = [row for row in family if row.value is not None]
        if not measured:
            continue
        many = len({row.metric for row in family}) > 1
        first = measured[0]
        name, paint = f"{first.question}-{first.world}-{stem}", (_lines, _dots)[not many]
        plots.append(
            Plot(
                title=(title := metric_label(stem, first.question)),
                unit=untold(first.unit, title),
                better=f"{first.direction} is better",
                svg=_draw(paint, name, family, labels, *((budget,) if many else ())),
                note=_note(measured),
            )
        )
    return plots


def curve_plot(name: str, curve: Mapping[str, Sequence[float]]) -> Plot:
    """A training curve: ``curve["loss"]`` over ``curve["clips"]``. ``name`` is "route/stage"."""
    svg = _draw(_curve, f"curve-{name}", name, curve)
    return Plot(title=name, unit="loss", better="lower is better", svg=svg, note="")


def split_horizon(metric: str) -> tuple[str, int | None]:
    """``psnr_h16`` -> ("psnr", 16); ``purity`` -> ("purity", None)."""
    match = re.fullmatch(r"(.+?)_h?(\d+)", metric)
    return (match[1], int(match[2])) if match else (metric, None)


def _families(rows: Iterable[Row]) -> dict[str, list[Row]]:
    families: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: metric_order(row.metric)):
        families.setdefault(split_horizon(row.metric)[0], []).append(row)
    lone = {stem: len({row.metric for row in family}) == 1 for stem, family in families.items()}
    return {(family[0].metric if lone[stem] else stem): family for stem, family in families.items()}


def _note(rows: Sequence[Row]) -> str:
    floors = in_order((row.floor_name or "floor" for row in rows if row.floor is not None), ())
    ceilings = in_order((row.ceiling_name or "ceiling" for row in rows if row.ceiling is not None), ())
    lines = (("dashed", floors), ("dotted", ceilings))
    return "; ".join(f"{line}: {', '.join(names)}" for line, names in lines if names)


# ------------------------------------------------------------------------------------------ drawing


def _draw(paint: Any, name: str, *arguments: Any) -> str:
    """Run ``paint(axes, *arguments) -> (height in inches, description)`` and return SVG for inline use."""
    # Imported late: the command line must start fast.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.0), layout="constrained")
        height, description = paint(figure.add_subplot(), *arguments)
        figure.set_size_inches(WIDTH, height)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _inline(buffer.getvalue(), name, description)


def _inline(svg: str, name: str, description: str) -> str:
    """Strip the prologue, make ids unique in the page, fit the width, name it for a reader who cannot see it."""
    svg = _coarse(svg[svg.index("<svg") :].strip())
    prefix = re.sub(r"[^a-z0-9]+", "-", name.lower())
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    label = html.escape(description, quote=True)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg role="img" viewBox="\1" aria-label="@">', svg, count=1)
    return _to_css(svg).replace('aria-label="@"', f'aria-label="{label}"', 1)


def _coarse(svg: str) -> str:
    """Places to a thousandth of a point: their sixth decimal is not the same on every processor."""

    def rounded(tag: re.Match[str]) -> str:
        return re.sub(r"-?\d+\.\d{4,}", lambda number: f"{float(number[0]):.3f}".rstrip("0").rstrip("."), tag[0])

    return re.sub(r"<[^>]*>", rounded, svg)  # not the texts between tags


def _to_css(svg: str) -> str:
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, f"var({variable})")
    return re.sub(r"#0b0b([0-9a-f]{2})", lambda match: f"var(--c{int(match[1], 16)})", svg)


def _route_colours(routes: Iterable[str]) -> dict[str, str]:
    return {route: f"#0b0b{int(name[1:]):02x}" for route, name in colours(routes).items()}


def _dots(axes: Axes, rows: Sequence[Row], labels: Mapping[Row, str]) -> tuple[float, str]:
    """One line a route: the value as a point, its interval as a bar."""
    colour = _route_colours(row.route for row in rows)
    rows = sorted(rows, key=lambda row: (_position(row.route), natural(labels[row])))
    for y, row in enumerate(rows):
        if row.value is None:
            axes.text(
                0.02, y, _absence(row), transform=axes.get_yaxis_transform(), va="center", color=MUTED, bbox=NO_LINES
            )
            continue
        _bar(axes, y, row, row.value, colour[row.route])
    axes.set_yticks(range(len(rows)), [labels[row] for row in rows])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.margins(x=0.08)
    axes.locator_params(axis="x", nbins=5)
    if rows[0].question == "cost":
        _scale_from_zero(axes, [row.value for row in rows if row.value is not None])
    axes.xaxis.set_major_formatter(lambda value, _: tick(value))
    return 0.5 + 0.28 * len(rows), "; ".join(_describe(row, labels) for row in rows)


def _bar(axes: Axes, y: float, row: Row, value: float, colour: str) -> None:
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [y, y], color=colour, lw=2.2, solid_capstyle="round", alpha=0.55)
    axes.plot([value], [y], _marker(row.route), color=colour, ms=7, mec=PAPER, mew=0.8)
    for bound, line in ((row.floor, (0, (3, 2))), (row.ceiling, (0, (1, 1.5)))):
        if bound is not None:
            axes.plot([bound, bound], [y - 0.38, y + 0.38], color=MUTED, lw=1.2, ls=line)


def _lines(axes: Axes, rows: Sequence[Row], labels: Mapping[Row, str], budget: str) -> tuple[float, str]:
    """Value against horizon, a line a route, intervals as bars; floors dashed, ceilings dotted."""
    colour = _route_colours(row.route for row in rows)
    steps = sorted({split_horizon(row.metric)[1] or 0 for row in rows})
    series = _by_label(rows, labels)
    for i, (label, own) in enumerate(series.items()):
        shift = 0.07 * (i - (len(series) - 1) / 2)  # so that bars of two routes do not hide each other
        x = [steps.index(split_horizon(row.metric)[1] or 0) + shift for row in own]
        _line(axes, x, own, colour[own[0].route], label)
    for name, line in (("floor", (0, (4, 3))), ("ceiling", (0, (1, 1.5)))):
        _references(axes, steps, rows, name, line)
    axes.set_xticks(range(len(steps)), [tick(step) for step in steps])
    axes.yaxis.set_major_formatter(lambda value, _: tick(value))
    axes.set_xlabel(_against(rows, budget))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    if axes.figure is not None:
        axes.figure.legend(loc="outside upper left", ncols=4, frameon=False, labelcolor="linecolor", handlelength=1.4)
    return 3.0, "; ".join(_describe(row, labels) for row in rows)


def _against(rows: Sequence[Row], budget: str) -> str:
    """What stands on the horizontal axis."""
    if rows[0].question == "budget":
        return f"budget of a route, {budget}" if budget else "budget of a route"
    named = {r"_h\d+$": "frames ahead", r"_labels_\d+$": "labelled episodes", r"^return_ratio_\d+$": "labelled steps"}
    return next((words for pattern, words in named.items() if any(re.search(pattern, r.metric) for r in rows)), "")


def _line(axes: Axes, x: Sequence[float], rows: Sequence[Row], colour: str, label: str) -> None:
    values = [row.value for row in rows if row.value is not None]
    axes.plot(x, values, color=colour, lw=1.4, marker=_marker(rows[0].route), ms=6, mec=PAPER, mew=0.6, label=label)
    for at, row in zip(x, rows, strict=True):
        if row.low is not None and row.high is not None:
            axes.plot([at, at], [row.low, row.high], color=colour, lw=2.0, solid_capstyle="round", alpha=0.45)


def _references(axes: Axes, steps: Sequence[int], rows: Sequence[Row], name: str, line: Any) -> None:
    """One line for each distinct floor or ceiling: grey where routes share it, else in the colour of its route."""
    lines: dict[tuple[tuple[int, float], ...], set[str]] = {}
    named = {(row.route, getattr(row, f"{name}_name")) for row in rows}
    for route, kind in sorted(named):
        own = [row for row in rows if (row.route, getattr(row, f"{name}_name")) == (route, kind)]
        found = {(steps.index(split_horizon(row.metric)[1] or 0), getattr(row, name)) for row in own}
        lines.setdefault(tuple(sorted(point for point in found if point[1] is not None)), set()).add(route)
    colour = _route_colours(row.route for row in rows)
    for points, routes in lines.items():
        if points:
            shade = colour[next(iter(routes))] if len(routes) == 1 and len(colour) > 1 else MUTED
            axes.plot(*zip(*points, strict=True), color=shade, lw=1.1, ls=line)


def _curve(axes: Axes, name: str, curve: Mapping[str, Sequence[float]]) -> tuple[float, str]:
    route = name.split("/")[0]
    points = [(x, y) for x, y in zip(curve["clips"], curve["loss"], strict=False) if y is not None]
    x, y = zip(*points, strict=True) if points else ((), ())
    axes.plot(x, y, color=_route_colours([route])[route], lw=1.4)
    if y and min(y) > 0 and max(y) / min(y) > LOG_RATIO:
        axes.set_yscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: tick(value))
    axes.yaxis.set_major_formatter(lambda value, _: tick(value))
    axes.set_xlabel("clips seen")
    axes.grid(axis="y")
    ends = f"from {y[0]:.3g} to {y[-1]:.3g} over {x[-1]:.0f} clips" if points else "no points"
    return 2.0, f"Training loss of {name}: {ends}"


# ------------------------------------------------------------------------------------------- helpers


def _by_label(rows: Iterable[Row], labels: Mapping[Row, str]) -> dict[str, list[Row]]:
    series: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (_position(row.route), natural(labels[row]), natural(row.metric))):
        if row.value is not None:
            series.setdefault(labels[row], []).append(row)
    return series


def _scale_from_zero(axes: Axes, values: Sequence[float]) -> None:
    """Costs are compared by their ratio: from zero, or by powers of ten where they lie far apart."""
    if min(values, default=0.0) > 0 and max(values) / min(values) > LOG_RATIO:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter("")
    else:
        axes.set_xlim(0, 1.08 * (max(values, default=1.0) or 1.0))  # a toy may cost nothing


def _position(route: str) -> int:
    return ROUTES.index(route) if route in ROUTES else len(ROUTES)


def _marker(route: str) -> str:
    return MARKERS[_position(route) % len(MARKERS)]


def _absence(row: Row) -> str:
    return {"not_applicable": "n/a", "failed": "failed"}.get(row.status, "no value")


def _describe(row: Row, labels: Mapping[Row, str]) -> str:
    value = _absence(row) if row.value is None else with_interval(row.value, row.low, row.high)
    return f"{labels[row]}, {metric_label(row.metric, row.question)}: {value}"

"""Pictures: well-formed, named for those who cannot see them, with nothing of the outside in them."""

import re
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from report_sample import missing, prediction_rows, row

from threeworlds.report.plots import _coarse, _references, curve_plot, question_plots, split_horizon
from threeworlds.report.view import labels_of
from threeworlds.types import Row


def plots_of(*rows):
    return question_plots(rows, labels_of(rows))


def texts(svg):
    return ["".join(node.itertext()) for node in parsed(svg).iter() if node.tag.endswith("text")]


def parsed(svg):
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="x" xmlns="http://www.w3.org/2000/svg" ', 1))


@pytest.mark.parametrize(("metric", "split"), [("psnr_h16", ("psnr", 16)), ("purity", ("purity", None))])
def test_split_horizon(metric, split):
    assert split_horizon(metric) == split


def test_a_metric_with_horizons_is_one_picture():
    (plot,) = plots_of(*prediction_rows())
    assert plot.title == "PSNR by frames ahead"
    assert plot.note == "dashed: copy the last frame; dotted: tokenizer of the truth"
    assert {"sora", "genie", "jepa", "1", "4", "8", "16"} <= set(texts(plot.svg))


def test_places_that_two_processors_put_a_millionth_apart_are_the_same_and_numbers_in_words_stay():
    svg = '<svg viewBox="0 0 1 1"><path d="M {} 79.97976"/><text x="-1.20004">0.00025</text></svg>'
    assert _coarse(svg.format("34.270552")) == _coarse(svg.format("34.270553"))
    (plot,) = plots_of(*prediction_rows())
    assert not re.search(r"\d\.\d{4}", "".join(re.findall(r"<[^>]*>", plot.svg)))
    assert _coarse(svg.format(1)) == '<svg viewBox="0 0 1 1"><path d="M 1 79.98"/><text x="-1.2">0.00025</text></svg>'


def test_budgets_on_an_axis_are_short_and_have_their_unit():
    """Written out, 500000000000 and its neighbours ran into each other."""
    rows = [row("sora", "budget", f"position_error_{b}", value=0.4) for b in (500_000_000_000, 1_000_000_000_000)]
    (plot,) = question_plots(rows, labels_of(rows), "FLOPs")
    assert plot.title == "position error, 4 frames ahead, against budget"
    assert {"500 G", "1 T", "budget of a route, FLOPs"} <= set(texts(plot.svg))


def test_the_axis_says_what_it_counts_also_where_the_first_has_no_horizon():
    (plot,) = plots_of(*(row("jepa", "understanding", m, value=0.9) for m in ("position_r", "position_r_h4")))
    assert "frames ahead" in texts(plot.svg)


def test_a_metric_that_only_ends_in_a_number_stands_alone():
    plots = plots_of(*(row("jepa", "planning", m, value=0.5) for m in ("success_25_50", "success_100_150")))
    assert len(plots) == 2


def test_a_route_without_a_number_keeps_its_line():
    (plot,) = plots_of(row("genie", "control", "nmi", value=0.4), missing("sora", "control", "nmi", "no actions"))
    assert {"sora", "n/a"} <= set(texts(plot.svg))
    assert plots_of(missing("sora", "control", "nmi", "no actions")) == []


def test_a_picture_describes_itself_and_has_ids_of_its_own():
    first, second = plots_of(row("genie", "cost", "a", value=0.4, half=0.1), row("genie", "cost", "b", value=0.4))
    assert parsed(first.svg).get("aria-label") == "genie, a: 0.400 [0.300, 0.500]"
    ids = [set(re.findall(r'\bid="([^"]+)"', plot.svg)) for plot in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', first.svg)) <= ids[0]


def test_colours_are_the_style_sheets():
    svg = plots_of(*prediction_rows())[0].svg
    assert "var(--c1)" in svg
    assert "var(--muted)" in svg
    assert not re.search(r"#0[1-4b]0[1-4b][0-9a-f]{2}\b", svg)


def test_hostile_names_stay_text():
    name = '<b onclick="x">$\\alpha$</b>'
    (plot,) = plots_of(row(name, "control", "nmi", value=0.4))
    assert name in texts(plot.svg)
    assert "<b " not in plot.svg


@pytest.mark.parametrize("loss", [[], [1.0, None, 0.5], [100.0, 1.0, 0.01]])
def test_curves_of_any_length(loss):
    plot = curve_plot("sora/flow", {"clips": [1, 2, 3][: len(loss)], "loss": loss})
    assert "sora/flow" in parsed(plot.svg).get("aria-label")


def test_each_route_has_its_own_ceiling_line_and_shared_floors_are_one():
    """Ceilings of three routes at two horizons are three lines, never one that zigzags between them."""
    rows = [
        Row(
            route=route, question="prediction", metric=f"psnr_h{h}", unit="dB", direction="higher", value=20.0,
            floor=15.0, floor_name="copy", ceiling=25.0 + i, ceiling_name="its own reconstruction",
        )
        for i, route in enumerate(("sora", "genie", "jepa"))
        for h in (1, 4)
    ]  # fmt: skip
    axes = Figure().subplots()
    _references(axes, [1, 4], rows, "ceiling", "-")
    assert sorted(tuple(line.get_ydata()) for line in axes.lines) == [(25, 25), (26, 26), (27, 27)]
    axes = Figure().subplots()
    _references(axes, [1, 4], rows, "floor", "-")
    assert [tuple(line.get_ydata()) for line in axes.lines] == [(15, 15)]

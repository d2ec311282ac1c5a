"""The plots of jepa's results are drawn, and show what the results say."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from threeworlds.score.result import read_result

ROOT = Path(__file__).parents[2]
PLOTS = ("horizons", "anticollapse", "architectures", "motion", "reward")


@pytest.fixture
def script(load_script):
    return load_script("examples/jepa_plots.py")


def test_every_plot_is_drawn(tmp_path, script):
    script.main(ROOT / "results", tmp_path)
    assert {file.stem for file in tmp_path.glob("*.png")} == {f"jepa-{name}" for name in PLOTS}


def test_points_stand_where_the_rows_are(script):
    result = read_result(ROOT / "results" / "zoo-arena" / "result.json")
    row, axes = script.row_of(result, "jepa", "position_r_h8"), Figure().subplots()
    script.draw_points(axes, [8], [row], "black", "jepa")
    line, interval = axes.get_lines()
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([8], [row.value])
    assert list(interval.get_ydata()) == [row.low, row.high]


def test_a_ball_at_rest_is_what_a_route_has_less_its_difference(script):
    result = read_result(ROOT / "results" / "compare-motion" / "result.json")
    assert script.at_rest(result) == pytest.approx(2.66, abs=0.01)

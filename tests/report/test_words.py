from math import inf, nan

import pytest
from report_sample import row

from threeworlds.report.words import (
    colours,
    in_order,
    metric_label,
    metric_order,
    number,
    question_asks,
    question_title,
    row_value,
    tick,
    with_interval,
    with_unit,
)
from threeworlds.score.guide import WORDS
from threeworlds.score.scorecard import QUESTIONS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (27.123, "27.1"),
        (0.5, "0.500"),
        (0.04, "0.040"),
        (0.000012, "0.000012"),
        (345.6, "346"),
        (9999.0, "9999"),
        (12345.0, "12.3 k"),
        (2.4e6, "2.40 M"),
        (2.0e13, "20.0 T"),
        (1.5e21, "1500 E"),
        (-1.25, "−1.25"),
        (-0.0, "0.00"),
        (7.2e-17, "0.00"),
        (-7.2e-17, "0.00"),
        (0.0, "0.00"),
        (None, "–"),
        (nan, "–"),
        (inf, "–"),
    ],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.2, "0.2"), (20.0, "20"), (500e3, "500 k"), (1.5e6, "1.5 M"), (0, "0")])
def test_tick_has_no_zeros_at_the_end(value, text):
    assert tick(value) == text


def test_an_interval_is_written_with_one_precision():
    assert with_interval(0.04, -0.01, 12.0) == "0.0 [0.0, 12.0]"
    assert with_interval(1.1, 0.7, 1.5, sign=True) == "+1.10 [+0.70, +1.50]"
    assert with_interval(1.1, None, 1.5) == "1.10"


def test_a_missing_number_says_why():
    assert row_value(row("sora", "q", "m", status="not_applicable", reason="no actions")) == "n/a: no actions"
    assert row_value(row("sora", "q", "m", status="failed", reason="no memory")) == "failed: no memory"


def test_labels_of_the_known_and_the_unknown():
    assert metric_label("psnr_h1") == "next-frame PSNR"
    assert metric_label("psnr_h16") == "PSNR, 16 frames ahead"
    assert metric_label("code_r2") == "continuous controls that the codes tell"
    assert metric_label("ssim_h1") == "next-frame structural similarity"
    assert metric_label("frechet_h16") == "Frechet distance, 16 frames ahead"
    assert metric_label("position_r_labels_20") == "probe of position, 20 labelled episodes"
    assert metric_label("attributes_h8") == "probe of attributes, 8 frames ahead"
    assert metric_label("auroc_pass_through") == "AUROC, pass through"
    assert metric_label("new_thing") == "new thing"
    assert question_title("new_question") == "New question"


def test_the_guide_calls_every_metric_as_the_report_does():
    assert {metric: metric_label(metric) for metric in WORDS} == WORDS


def test_scores_of_other_questions_are_called_after_them():
    assert metric_label("position_error_500000000000", "budget") == "position error, 4 frames ahead at budget 500 G"
    assert metric_label("position_error", "budget") == "position error, 4 frames ahead, against budget"
    assert metric_label("next_frame_error_iqm", "seeds") == "next-frame squared error, interquartile mean"
    assert metric_label("colour_matched_better_than_genie", "seeds") == "colour matched, better than genie"
    assert metric_label("psnr_h8", "passive") == "PSNR, 8 frames ahead, with no action"


def test_every_question_of_the_scorecard_has_a_title_and_says_what_it_asks():
    assert all(question_title(question) and question_asks(question) for question in QUESTIONS)


@pytest.mark.parametrize(
    ("unit", "label", "text"),
    [("dB", "PSNR", "2 dB"), ("AUROC", "AUROC, teleport", "2"), ("0 to 1", "similarity", "2"), ("", "x", "2")],
)
def test_a_unit_is_said_once(unit, label, text):
    assert with_unit("2", unit, label) == text


def test_order_and_colours():
    assert in_order(["b10", "x", "b2", "x"], ["x", "absent"]) == ["x", "b2", "b10"]
    assert [colours(["other", "jepa"])[route] for route in ("truth", "jepa", "other")] == ["c0", "c3", "c4"]


def test_a_protocol_is_part_of_the_name_and_comes_last():
    assert metric_label("alone_psnr_h1") == "next-frame PSNR, from frames alone"
    assert metric_label("alone_mse") == "squared error by frames ahead, from frames alone"
    names = ["alone_mse_h1", "alone_psnr_h16", "alone_psnr_h8", "mse_h1", "psnr_h1"]
    assert sorted(names, key=metric_order) == ["mse_h1", "psnr_h1", "alone_mse_h1", "alone_psnr_h8", "alone_psnr_h16"]

"""``threeworlds report``: the report again, and with results beside."""

from dataclasses import replace

from threeworlds.cli import main
from threeworlds.score.result import write_result
from threeworlds.types import Result

EMPTY = Result(
    schema="threeworlds.result/1", command="threeworlds score m --out out", version="", machine={}, data={}, ledger={},
    routes={},
)  # fmt: skip


def test_results_beside_are_named_once_and_remembered(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    write_result(EMPTY, here / "result.json")
    write_result(replace(EMPTY, version="2"), there / "result.json")
    assert main(["report", str(here), "--beside", str(there)]) == 0
    first = (here / "report.html").read_bytes()
    assert b"../there/result.json" in first
    assert main(["report", str(here)]) == 0
    assert (here / "report.html").read_bytes() == first


def test_results_beside_that_are_not_there_are_an_error_and_not_remembered(tmp_path, capsys):
    write_result(EMPTY, tmp_path / "result.json")
    assert main(["report", str(tmp_path), "--beside", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "beside.json").exists()

"""result.json: the same result comes back, the same bytes go out, and what is wrong is named."""

import json
from dataclasses import replace
from math import isnan, nan

import numpy as np
import pytest

from threeworlds.score import result as result_module
from threeworlds.score.result import ResultError, read_result, write_result
from threeworlds.types import Difference, Film, Reference, Result, Row, Verdict


def make_row(**changes):
    given = {"route": "sora", "question": "prediction", "metric": "psnr_h1", "unit": "dB", "direction": "higher"}
    return Row(**(given | changes))


@pytest.fixture
def result():
    return Result(
        schema="threeworlds.result/1",
        command="threeworlds compare",
        version="0.1.0",
        machine={"cores": 2, "cpu": "EPYC"},
        data={"episodes": 100, "quarantine": [{"file": "a.mp4", "cause": "empty"}]},
        ledger={"sora": {"total": {"flops": 1e13, "supervision": ["video"]}}},
        routes={"sora": {"story": {"use": "make a clip"}}},
        rows=(make_row(value=0.1 + 0.2, low=0.1, high=1.0, n=3), make_row(metric="psnr_h4", status="failed")),
        differences=(
            Difference(
                question="prediction",
                metric="psnr_h1",
                first="genie",
                second="sora",
                value=1.0,
                low=-1.0,
                high=3.0,
                n=9,
                verdict="not separable",
            ),
        ),
        verdicts=(Verdict(claim="C3", text="best picture", verdict="supported", rule="psnr", evidence=("27 dB",)),),
        films=(Film(item="episode 1", route="truth", kind="prediction", path="films/a.png", frames=8, given=2),),
        curves={"sora/latents": {"clips": [1, 2], "loss": [0.5, 0.25]}},
    )


@pytest.fixture
def written(result, tmp_path):
    path = tmp_path / "result.json"
    write_result(result, path)
    return path


def corrupt(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_round_trip(result, written):
    assert read_result(written) == result


def test_writing_what_was_read_gives_the_same_bytes(written, tmp_path):
    write_result(read_result(written), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == written.read_bytes()


def test_bytes_do_not_depend_on_the_order_of_rows_or_keys(result, written, tmp_path):
    shuffled = replace(result, rows=result.rows[::-1], machine=dict(reversed(result.machine.items())))
    write_result(shuffled, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == written.read_bytes()


def test_rows_stand_in_natural_order(result, tmp_path):
    rows = tuple(make_row(metric=f"psnr_h{h}") for h in (16, 8, 1, 4))
    write_result(replace(result, rows=rows), tmp_path / "r.json")
    assert [row.metric for row in read_result(tmp_path / "r.json").rows] == [f"psnr_h{h}" for h in (1, 4, 8, 16)]


def test_nan_is_null_and_comes_back_as_missing(result, tmp_path):
    difference = replace(result.differences[0], low=nan)
    changed = replace(result, rows=(make_row(value=nan, low=float("inf")),), differences=(difference,))
    write_result(changed, tmp_path / "r.json")
    assert "NaN" not in (tmp_path / "r.json").read_text()
    again = read_result(tmp_path / "r.json")
    assert again.rows[0].value is None
    assert again.rows[0].low is None
    assert isnan(again.differences[0].low)


def test_references_come_back_and_old_files_have_none(result, tmp_path):
    floor = Reference(kind="floor", value=0.25, low=0.0, high=0.5)
    write_result(replace(result, rows=(make_row(references={"chance": floor}),)), tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["rows"][0]["references"] == {"chance": {"kind": "floor", "value": 0.25, "low": 0.0, "high": 0.5}}
    assert read_result(tmp_path / "r.json").rows[0].references == {"chance": floor}
    corrupt(tmp_path / "r.json", lambda c: c["rows"][0].pop("references"))
    assert read_result(tmp_path / "r.json").rows[0].references == {}
    corrupt(tmp_path / "r.json", lambda c: c["rows"][0].update(references={"chance": {"kind": "wall"}}))
    with pytest.raises(ResultError, match=r"rows\[0\].references.chance.kind: must be one of 'floor', 'ceiling'"):
        read_result(tmp_path / "r.json")


def test_numpy_values_are_written_as_numbers(result, tmp_path):
    changed = replace(result, rows=(make_row(value=np.float32(0.5), n=np.int64(3)),), data={"counts": np.arange(3)})
    write_result(changed, tmp_path / "r.json")
    again = read_result(tmp_path / "r.json")
    assert (again.rows[0].value, again.rows[0].n, again.data["counts"]) == (0.5, 3, [0, 1, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema="threeworlds.result/9"), "reads 'threeworlds.result/1', got 'threeworlds.result/9'"),
        (lambda c: c.update(mood="fine"), "unknown field 'mood'"),
        (lambda c: c["rows"][0].update(colour="red"), r"rows\[0\]: unknown field 'colour'"),
        (lambda c: c["rows"][0].pop("metric"), r"rows\[0\]: missing field 'metric'"),
        (lambda c: c["rows"][0].update(value="high"), r"rows\[0\].value: must be a number, got 'high'"),
        (lambda c: c["rows"][0].update(n=1.5), r"rows\[0\].n: must be a whole number"),
        (lambda c: c["rows"][0].update(n=True), r"rows\[0\].n: must be a whole number"),
        (lambda c: c["rows"][0].update(status="fine"), "one of 'ok', 'not_applicable', 'failed'"),
        (lambda c: c.update(rows={}), "rows: must be a list"),
        (lambda c: c.update(ledger={"sora": 3}), "ledger.sora: must be an object, got 3"),
        (lambda c: c["verdicts"][0].update(evidence=[7]), r"evidence\[0\]: must be a text, got 7"),
    ],
)
def test_what_is_wrong_is_named(written, change, message):
    corrupt(written, change)
    with pytest.raises(ResultError, match=message) as error:
        read_result(written)
    assert str(written) in str(error.value)


def test_only_strict_json_is_read(written):
    written.write_text(written.read_text().replace('"cores": 2', '"cores": NaN'))
    with pytest.raises(ResultError, match="NaN is not strict JSON"):
        read_result(written)


@pytest.mark.parametrize("text", ["", "{", "[]", "\udcff"])
def test_a_file_that_is_no_result_is_named(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ResultError, match=str(path)):
        read_result(path)


def test_a_bad_result_is_refused_and_the_old_file_stays(result, written):
    before = written.read_bytes()
    with pytest.raises(ResultError, match="n: must be a whole number"):
        write_result(replace(result, rows=(make_row(n="many"),)), written)
    with pytest.raises(ResultError, match="got a object"):
        write_result(replace(result, machine={"cpu": object()}), written)
    assert written.read_bytes() == before


def test_a_torn_write_leaves_the_old_file_and_no_litter(result, written, monkeypatch):
    before = written.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(result_module.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_result(replace(result, version="0.2.0"), written)
    assert written.read_bytes() == before
    assert [p.name for p in written.parent.iterdir()] == ["result.json"]

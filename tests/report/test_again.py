"""The command of a section asks its question again, and is one that the command line takes."""

from dataclasses import replace

import pytest
from report_sample import sample_result

from threeworlds.report.again import ANEW, ITSELF, WHOLE, again


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return sample_result(tmp_path_factory.mktemp("films"))


def told(result, command, question="text", **data):
    found = again(replace(result, command=command, data=data), question)
    return found.note, found.command


SCORE = "threeworlds score zoo/a zoo/b --world motion --seed 3 --items 9 --option task=uniform"
COMPARE = "threeworlds compare --world arena --routes sora,genie --budget 3m --recipe small --seed 2 --items 7"


def test_a_score_is_asked_again_of_the_same_models():
    expected = (ITSELF, f"{SCORE} --questions text --out runs/z-text")
    assert told_of_score("--out runs/z") == expected
    assert told_of_score("--questions physics,text --out runs/z") == expected


def told_of_score(rest):
    return told(sample_result_of(), f"{SCORE} {rest}")


def sample_result_of():
    from threeworlds.types import Result

    empty = {"version": "", "machine": {}, "data": {}, "ledger": {}, "routes": {}}
    return Result(schema="threeworlds.result/1", command="", **empty)


def test_a_comparison_is_asked_again_of_the_models_it_left(result):
    models = "threeworlds score runs/c/models/sora runs/c/models/genie --world arena --seed 2 --items 7"
    assert told(result, f"{COMPARE} --option a=b --out runs/c") == (
        ANEW,
        f"{models} --option a=b --questions text --out runs/c-text",
    )


def test_of_several_budgets_the_largest_was_asked(result):
    _, command = told(result, f"{COMPARE} --out runs/c", budgets=["1m", "3m"])
    assert "runs/c/budget-3m/models/sora" in command


@pytest.mark.parametrize(
    ("command", "question"),
    [
        (f"{COMPARE} --out runs/c", "budget"),
        (f"{COMPARE} --out runs/c", "seeds"),
        ("threeworlds compare --video films --routes sora --out runs/c", "text"),
        ("threeworlds compare --world arena --routes outside --out runs/c", "text"),
        ("python examples/outside_model.py", "text"),
        ("threeworlds compare --video 'unclosed", "text"),
        ("", "text"),
    ],
)
def test_what_score_cannot_ask_comes_out_of_the_whole_command(result, command, question):
    assert told(result, command, question) == (WHOLE, command)


def test_the_commands_are_ones_that_the_command_line_takes(result):
    import shlex

    import tyro

    from threeworlds.cli.score import Score

    _, command = told(result, f"{COMPARE} --out runs/c")
    options = tyro.cli(Score, args=shlex.split(command)[2:])
    assert (options.questions, options.seed, options.items) == ("text", 2, 7)
    assert [path.name for path in options.checkpoints] == ["sora", "genie"]

"""The zoo, the contract checker, and routes from outside."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from planted import CodePlayer, Constant, CopyLast
from torch import nn

from threeworlds.cli import main
from threeworlds.routes import get_route, route_names
from threeworlds.score import check, compare, scorecard, zoo
from threeworlds.score.clips import generate
from threeworlds.score.compare import run_compare
from threeworlds.train import Budget, train_route
from threeworlds.types import Imagined, Plan, Route, Stage
from threeworlds.worlds import WORLDS

ITEMS = 4


@pytest.fixture(scope="module", autouse=True)
def _small_and_in_one_process():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.cpu_count", lambda: 1)
        patch.setattr(compare, "EPISODES", 40)
        patch.setattr(compare, "QUESTIONS", ("prediction", "control", "planning", "cost"))
        patch.setattr(scorecard, "QUESTIONS", ("prediction", "cost"))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    store = generate("arena", folder / "clips", episodes=24, seed=0, workers=1)
    route = get_route("jepa")
    config, budget = route.recipes["debug"](), Budget.parse("3steps")
    train_route(route, recipe="debug", config=config, store=store, budget=budget, out=folder / "jepa", progress=False)
    return folder / "jepa"


# ------------------------------------------------------------------------------------------------ zoo


def test_a_run_is_kept_scored_and_found_again(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["zoo", "add", str(run)]) == 0
    kept = tmp_path / "zoo" / "arena-jepa-debug"
    assert {file.name for file in kept.iterdir()} == {"model.safetensors", "config.json", "card.json"}
    assert (kept / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    given = {
        "video": None,
        "size": None,
        "world": "arena",
        "routes": "sora,jepa",
        "recipe": "small",
        "seed": 3,
        "seeds": "",
        "trials": 0,
        "variant": (),
    }
    options = SimpleNamespace(zoo=True, out=tmp_path / "scored", items=ITEMS, world_options={}, **given)
    result = run_compare(options)
    assert {row.checkpoint for row in result.rows} == {"arena-jepa-debug"}  # no sora in this zoo
    assert "score zoo/arena-jepa-debug" in result.command
    again = zoo.add_to_zoo(kept, zoo.ZOO, result=tmp_path / "scored" / "result.json")
    card = json.loads((again / "card.json").read_text())
    psnr = next(row.value for row in result.rows if row.metric == "psnr_h1")
    assert card["scores"]["prediction/psnr_h1"] == psnr


def fake_zoo(folder, *names):
    """Models of these names; each was trained for longer than the one before."""
    for flops, name in enumerate(names, 1):
        world, route, recipe = name.split("-")
        (folder / name).mkdir(parents=True)
        document = {"route": route, "recipe": recipe, "spec": {"world": world}}
        (folder / name / "config.json").write_text(json.dumps(document))
        (folder / name / "card.json").write_text(json.dumps({"ledger": {"total": {"flops": flops}}}))


def test_one_model_a_route_is_chosen_the_recipe_asked_for_first(tmp_path):
    fake_zoo(tmp_path, "arena-sora-base", "arena-sora-small", "arena-genie-base", "rooms-jepa-base", "arena-jepa-tiny")
    recipes = dict.fromkeys(("sora", "genie", "jepa"), "small")
    chosen = [path.name for path in zoo.chosen_models(tmp_path, "arena", recipes)]
    assert chosen == ["arena-sora-small", "arena-genie-base", "arena-jepa-tiny"]
    chosen = [path.name for path in zoo.chosen_models(tmp_path, "arena", recipes | {"sora": "base"})]
    assert chosen == ["arena-sora-base", "arena-genie-base", "arena-jepa-tiny"]
    chosen = [path.name for path in zoo.chosen_models(tmp_path, "arena", recipes | {"sora": "debug"})]
    assert chosen == ["arena-sora-small", "arena-genie-base", "arena-jepa-tiny"]  # it was trained most
    assert [path.name for path in zoo.chosen_models(tmp_path, "rooms", recipes)] == ["rooms-jepa-base"]
    with pytest.raises(ValueError, match="no model of sora for world 'motion'; it holds arena-genie-base, "):
        zoo.chosen_models(tmp_path, "motion", {"sora": "base"})


def test_another_model_takes_a_place_only_where_it_is_told_to(run, tmp_path):
    from threeworlds.train import load_model
    from threeworlds.train.model_files import save_model

    kept = zoo.add_to_zoo(run, tmp_path / "zoo")
    assert zoo.add_to_zoo(run, tmp_path / "zoo") == kept  # itself, again
    model, card = load_model(run)
    next(model.parameters()).data.add_(1)
    save_model(tmp_path / "other", model, card)
    before = (kept / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="arena-jepa-debug holds another model; --replace"):
        zoo.add_to_zoo(tmp_path / "other", tmp_path / "zoo")
    assert (kept / "model.safetensors").read_bytes() == before
    zoo.add_to_zoo(tmp_path / "other", tmp_path / "zoo", replace_other=True)
    assert (kept / "model.safetensors").read_bytes() == (tmp_path / "other" / "model.safetensors").read_bytes()


def test_scores_of_another_model_are_refused(run, tmp_path):
    from threeworlds.score.result import write_result
    from threeworlds.types import Result

    empty = {"command": "", "version": "", "machine": {}, "data": {}, "ledger": {}, "routes": {}}
    write_result(Result(schema="threeworlds.result/1", **empty), tmp_path / "result.json")
    with pytest.raises(ValueError, match="holds no score of jepa"):
        zoo.add_to_zoo(run, tmp_path / "zoo", result=tmp_path / "result.json")
    assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize("other", [{"video": Path("films")}, {"trials": 2}])
def test_what_only_a_training_takes_is_refused(other):
    given = {"video": None, "size": None, "seeds": "", "variant": (), "trials": 0} | other
    with pytest.raises(ValueError, match=r"leave out --video.*--trials"):
        run_compare(SimpleNamespace(zoo=True, **given))


# -------------------------------------------------------------------------------------------- contract


def broken(findings):
    return {finding.rule for finding in findings if finding.problem}


def test_a_trained_route_keeps_the_contract(run, capsys):
    assert main(["check", str(run)]) == 0
    assert "prediction follows its seed" in capsys.readouterr().out


SPEC = WORLDS["arena"].spec()


class Short(CopyLast):
    def predict(self, context, frames, *, action=None, seed=0):
        return Imagined(video=context[:, -1:].expand(-1, frames - 1, -1, -1, -1))


class Restless(CopyLast):
    def predict(self, context, frames, *, action=None, seed=0):
        return Imagined(video=torch.rand(len(context), frames, *context.shape[2:]))


class Scribbler(CopyLast):
    def predict(self, context, frames, *, action=None, seed=0):
        context[:, 0] = 0
        return super().predict(context, frames)


class Prophet(CopyLast):
    """Its first frame knows the last action."""

    control = "action"

    def predict(self, context, frames, *, action=None, seed=0):
        last = torch.zeros(len(context)) if action is None else action[:, -1].float() / 10
        return Imagined(video=super().predict(context, frames).video * 0 + last[:, None, None, None, None])


class Seer(Constant):
    def represent(self, video):
        state = super().represent(video)
        state.z[:] += video.mean((1, 2, 3, 4))[:, None, None]
        return state


class Overflow(CopyLast):
    control = "code"
    n_codes = 4

    def infer_codes(self, video):
        return torch.full((len(video), video.shape[1] - 1), 4)


@pytest.mark.parametrize(
    ("model", "rules"),
    [
        (CopyLast(), set()),
        (Constant(), set()),
        (Short(), {"prediction has the right shape", "prediction runs on without actions"}),
        (Restless(), {"prediction follows its seed", "prediction leaves its input alone"}),
        (Scribbler(), {"prediction leaves its input alone"}),
        (Prophet(), {"an action is no cause of earlier frames"}),
        (Seer(), {"states do not see the future"}),
        (Overflow(), {"codes are one a step"}),
        (object(), {"can do something"}),
    ],
)
def test_each_broken_rule_is_named(model, rules):
    assert broken(check.check_model(model, SPEC)) == rules


class Keeper:
    """Plans, and counts its plans in a memory; one that ``prejudges`` plans otherwise for having a memory at all."""

    def __init__(self, prejudges=False):
        self.prejudges = prejudges

    def new_memory(self, taken):
        return []

    def plan(self, context, goal, *, seed=0, memory=None):
        told = len(memory) if memory is not None else 0
        if memory is not None:
            memory.append(seed)
        biased = 0.5 * (self.prejudges and memory is not None)
        action = torch.full((len(context), 3, 2), 0.1 * told + biased)
        return Plan(action=action, cost=torch.zeros(len(context)))


@pytest.mark.parametrize(("prejudges", "rules"), [(False, set()), (True, {"plans take the memory they made"})])
def test_a_new_memory_changes_no_plan(prejudges, rules):
    assert broken(check.check_model(Keeper(prejudges), WORLDS["rooms"].spec())) == rules


def test_an_error_inside_a_model_is_a_finding():
    findings = check.check_model(CodePlayer.__new__(CodePlayer), SPEC)  # it was never set up
    assert any("AttributeError" in finding.problem for finding in findings)


# -------------------------------------------------------------------------------------- a fourth route


@dataclass(frozen=True, kw_only=True)
class StillConfig:
    strength: float = 1.0


class Still(nn.Module):
    """Predicts that nothing moves, times a number that it learns."""

    control = "none"

    def __init__(self, config, spec):
        super().__init__()
        self.config, self.spec = config, spec
        self.scale = nn.Parameter(torch.tensor(config.strength))

    def forward(self, batch):
        loss = (self.scale * batch.video[:, :-1] - batch.video[:, 1:]).square().mean()
        return loss, {"scale": self.scale.detach()}

    @torch.no_grad()
    def predict(self, context, frames, *, action=None, seed=0):
        return Imagined(video=(self.scale * context[:, -1:]).expand(-1, frames, -1, -1, -1).clamp(-1, 1))


def stages(model):
    return [Stage(name="scale", module=model, share=1.0, frames=4, batch_size=8)]


STILL = Route(name="still", recipes={"debug": StillConfig}, build=Still, stages=stages, learns_from="video")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package on the path with an entry point, as pip leaves it."""
    meta = tmp_path / "still_route-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: still-route\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[threeworlds.routes]\nstill = test_zoo:STILL\nliar = test_zoo:STILL\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_without_a_package_there_are_three():
    assert route_names() == ("sora", "genie", "jepa")
    with pytest.raises(ValueError, match="no route 'still'; routes: sora, genie, jepa"):
        get_route("still")


def test_a_route_from_outside_is_found_and_keeps_the_contract(installed):
    assert route_names() == ("sora", "genie", "jepa", "liar", "still")
    assert get_route("still").name == "still"
    with pytest.raises(ValueError, match="holds a route called 'still'"):
        get_route("liar")
    assert broken(check.check_route("still")) == set()


def test_a_route_from_outside_is_compared(installed, tmp_path):
    words = "compare --routes still --recipe debug --budget 3steps --items 4 --out"
    assert main([*words.split(), str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert {row["status"] for row in result["rows"]} == {"ok", "not_applicable"}
    assert "still" in (tmp_path / "out" / "report.html").read_text()


def test_several_budgets_become_scores_against_budget(installed, tmp_path):
    words = "compare --routes still --recipe debug --budget 4steps,2steps --items 4 --out"
    assert main([*words.split(), str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    rows = {row["metric"]: row["value"] for row in result["rows"] if row["question"] == "budget"}
    assert {"next_frame_error_2", "next_frame_error_4", "position_error_2", "position_error_4"} <= rows.keys()
    for steps in (2, 4):
        own = json.loads((tmp_path / "out" / f"budget-{steps}steps" / "result.json").read_text())["rows"]
        assert rows[f"next_frame_error_{steps}"] == next(r["value"] for r in own if r["metric"] == "mse_h1")
    assert result["data"]["budgets"] == ["2steps", "4steps"]
    assert all((tmp_path / "out" / film["path"]).is_file() for film in result["films"])
    assert "against budget" in (tmp_path / "out" / "report.html").read_text()


def test_of_several_budgets_a_stopped_run_asks_only_those_that_were_not_asked(installed, tmp_path, monkeypatch):
    out, words = tmp_path / "out", "compare --routes still --recipe debug --budget 2steps,4steps --items 4 --out"
    assert main([*words.split(), str(out)]) == 0
    first = (out / "result.json").read_bytes()
    asked = []
    exam = compare.build_exam
    monkeypatch.setattr("threeworlds.score.compare.build_exam", lambda *a, **k: asked.append(1) or exam(*a, **k))
    (out / "result.json").unlink()
    (out / "budget-4steps" / "result.json").unlink()
    assert main([*words.split(), str(out)]) == 0
    assert len(asked) == 1
    again, before = (json.loads(text)["rows"] for text in ((out / "result.json").read_bytes(), first))
    assert [row["metric"] for row in again] == [row["metric"] for row in before]
    assert main([*words.split(), str(out)]) == 0  # it had finished: a repetition asks all anew
    assert len(asked) == 3
    found = [json.loads((out / f"budget-{steps}steps" / "result.json").read_text())["rows"] for steps in (2, 4)]
    few, many = ({row["question"] for row in rows} for rows in found)
    assert few == {"prediction", "control"} == set(compare.against_budget())
    assert many - few == {"planning", "cost"}
    (out / "result.json").unlink()
    assert main(f"compare --routes still --recipe debug --budget 1steps,2steps --items 4 --out {out}".split()) == 0
    assert len(asked) == 5  # the two steps, now the most, were asked less than that takes
    part = json.loads((out / "budget-2steps" / "result.json").read_text())
    assert "--budget 2steps " in part["command"] and part["command"].endswith("budget-2steps")


def test_budgets_of_two_kinds_are_refused(tmp_path):
    assert main(["compare", "--budget", "1m,300steps", "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()

"""The loop: what it spends, in which order it does things, and what it says when it cannot go on."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toy_route import TOY, Autoencoder, Head, ToyConfig, toy_stages, train_toy

from threeworlds.data import ClipStore, Windows
from threeworlds.train import Budget, ResumeError, TrainedRun, TrainingError
from threeworlds.train.ledger import FlopMeter
from threeworlds.train.log import Lines, Reporter, read_curve
from threeworlds.train.loop import separably_worse
from threeworlds.train.optim import learning_rate
from threeworlds.train.run import stage_budgets
from threeworlds.types import Batch, Optim, Route, Stage


class Brightness(nn.Module):
    """Predicts every frame's mean colour from a single weight matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 3)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.video is not None
        colour = batch.video.mean((-1, -2))
        return (self.net(colour[:, :-1]) - colour[:, 1:]).square().mean(), {}


def one_stage(**options: object) -> Route:
    """A route of one stage; ``options`` go to the stage, its callbacks get the module."""

    def stages(model: nn.Module) -> list[Stage]:
        given = {"name": "only", "module": model, "share": 1.0, "frames": 4, "batch_size": 8, **options}
        return [Stage(**given)]

    return replace(TOY, build=lambda config, spec: Brightness(), stages=stages)


def metrics(run: TrainedRun, stage: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run.path / stage / "metrics.jsonl").read_text().splitlines()]


def test_equals_a_loop_written_by_hand(store: ClipStore, out: Path) -> None:
    """The oracle: torch's AdamW and no averaging, step by step."""
    optim = Optim(ema=0.0, clip=0.01, learning_rate=0.03)
    run = train_toy(store, out, route=one_stage(optim=optim), budget="20steps")
    torch.manual_seed(0)
    net = Brightness()
    groups = [
        {"params": [net.net.weight], "weight_decay": optim.weight_decay},
        {"params": [net.net.bias], "weight_decay": 0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=optim.betas)
    windows = Windows(store, split="train", frames=4, batch_size=8, seed=0)
    losses = []
    for step in range(20):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(optim, step / 20)
        loss, _ = net(windows.batch(step))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.01)
        optimizer.step()
        losses.append(loss.item())
    assert [line["loss"] for line in metrics(run, "00-only")] == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(run.model.net.weight, net.net.weight, rtol=1e-5, atol=1e-6)


def test_ledger(run: TrainedRun, store: ClipStore) -> None:
    own, dynamics, head = run.ledger["autoencoder"], run.ledger["dynamics"], run.ledger["head"]
    assert (own.steps, dynamics.steps, head.steps) == (20, 30, 8)  # 0.4, 0.6 and a helper's 0.15 of 50 steps
    assert (own.clips, own.unique_clips) == (160, len(store.split("train")))
    assert (own.supervision, dynamics.supervision) == (("video",), ("video",))
    assert (run.total.steps, run.total.clips) == (50, 400)  # no helper
    assert run.total.parameters == sum(p.numel() for p in run.model.parameters())
    assert run.total.flops == own.flops + dynamics.flops
    assert own.peak_memory_mb > 0
    assert not run.model.training


def test_unique_clips_of_a_short_run(store: ClipStore, out: Path) -> None:
    run = train_toy(store, out, route=one_stage(), budget="1steps")
    episodes, _ = Windows(store, split="train", frames=4, batch_size=8, seed=0).index(0)
    assert run.total.unique_clips == len(set(episodes.tolist())) < len(store.split("train"))


@pytest.mark.parametrize("text", ["100clips", "30000flops"])
def test_stops_within_a_step_of_its_budget(store: ClipStore, out: Path, text: str) -> None:
    run, budget = train_toy(store, out, route=one_stage(), budget=text), Budget.parse(text)
    step = replace(run.total, clips=8, flops=run.total.flops / run.total.steps)
    assert 1 <= budget.progress(run.total) < 1 + budget.progress(step)


def test_seconds_are_counted_with_those_before_a_resume(
    store: ClipStore, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that ticks once a look: no real time in the test."""
    ticks = iter(range(10**9))
    monkeypatch.setattr("threeworlds.train.loop.time.monotonic", lambda: float(next(ticks)))
    run = train_toy(store, out, route=one_stage(), budget="100s", every="1000s")
    assert 100 <= run.total.seconds <= 110
    assert run.total.steps > 10


def test_flops_in_closed_form() -> None:
    net, x = nn.Linear(5, 7), torch.randn(3, 5, requires_grad=True)
    meter = FlopMeter()
    for _ in range(2):
        meter.run("both ways", lambda: net(x).sum().backward())
    assert meter.total == 2 * 3 * (2 * 3 * 5 * 7)


def test_flops_of_attention() -> None:
    """Two products of 2 n n d each forward; backward five, since the weights are made again."""
    b, heads, n, d = 2, 3, 16, 8
    q, k, v = (torch.randn(b, heads, n, d, requires_grad=True) for _ in range(3))
    meter = FlopMeter()
    meter.run("attention", lambda: nn.functional.scaled_dot_product_attention(q, k, v).sum().backward())
    assert meter.total == (2 + 5) * b * heads * 2 * n * n * d


def test_rolled_out_error_chooses_the_weights(store: ClipStore, out: Path) -> None:
    """The second of five looks is better than those after it: its weights are the model's, not the last ones."""
    errors, seen = iter([3.0, 1.0, 2.0, 2.0, 2.0]), []
    model: list[Brightness] = []

    def stages(module: nn.Module) -> list[Stage]:
        model.append(module)
        return one_stage(rollout_error=look).stages(module)

    def look(batch: Batch) -> float:
        assert batch.video is not None
        assert not torch.is_grad_enabled()
        assert not model[0].training
        seen.append(model[0].net.weight.clone())
        return next(errors)

    run = train_toy(store, out, route=replace(one_stage(), stages=stages), budget="16steps")
    assert torch.equal(run.model.net.weight, seen[1])
    assert not torch.equal(seen[1], seen[-1])
    looks = [line["step"] for line in metrics(run, "00-only") if "rollout_error" in line]
    assert looks == [8, 10, 12, 14, 16]


@pytest.mark.parametrize("price", [0.2, 0.6], ids=["of one point and more", "of all that is left"])
def test_looks_that_cost_much_leave_the_last_weights_looked_at(store: ClipStore, out: Path, price: float) -> None:
    """A roll-out may pass the next points, which are then not looked at; the weights of the last step always are."""
    budget = 2e6
    side = round((price * budget / 2) ** (1 / 3))

    def look(batch: Batch) -> float:
        return float((torch.ones(side, side) @ torch.ones(side, side)).mean())

    run = train_toy(store, out, route=one_stage(rollout_error=look), budget=f"{budget:.0f}flops")
    lines = metrics(run, "00-only")
    steps = [line["step"] for line in lines if "loss" in line]
    looks = [line["step"] for line in lines if "rollout_error" in line]
    assert looks[-1] == steps[-1]
    assert len(set(looks)) == len(looks) < 5


def test_later_weights_stay_unless_their_roll_outs_are_separably_worse() -> None:
    """Closed form: of four paired differences with mean 1 and standard deviation s, 2 s / 2 decides."""
    before = torch.tensor([1.0, 2.0, 3.0, 4.0])
    spread = torch.tensor([-1.0, -1.0, 1.0, 1.0]) * (3 / 4) ** 0.5  # standard deviation 1
    assert separably_worse(before + 1 + 0.99 * spread, before)
    assert not separably_worse(before + 1 + 1.01 * spread, before)
    assert not separably_worse(before - 1, before)
    assert not separably_worse(before, before)
    assert separably_worse(before * torch.nan, before)
    assert separably_worse(torch.tensor([2.0]), torch.tensor([1.0]))


def test_looks_are_at_the_averaged_weights(store: ClipStore, out: Path) -> None:
    """The average is made again here from the weights that each step starts with."""
    live, seen = [], []

    class Watched(Brightness):
        def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            live.append(self.net.weight.detach().clone())
            return super().forward(batch)

    def stages(model: nn.Module) -> list[Stage]:
        look = lambda batch: seen.append(model.net.weight.clone()) or 0.0  # noqa: E731
        return one_stage(rollout_error=look, optim=Optim(learning_rate=0.1)).stages(model)

    route = replace(TOY, build=lambda config, spec: Watched(), stages=stages)
    train_toy(store, out, route=route, budget="16steps")
    average = live[0]
    for step in range(1, 9):
        average = torch.lerp(average, live[step], 1 - (1 + step) / (10 + step))
    torch.testing.assert_close(seen[0], average)
    assert not torch.allclose(seen[0], live[8])


def test_looking_changes_no_draw(store: ClipStore, out: Path, tmp_path: Path) -> None:
    def stages(module: nn.Module, look: bool) -> list[Stage]:
        first = toy_stages(module)[0]
        noisy = Noisy(first.module)
        error = (lambda batch: torch.rand(3).sum().item()) if look else None
        return [replace(first, module=noisy, share=1.0, rollout_error=error)]

    class Noisy(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            loss, values = self.inner(batch)
            return loss * torch.rand(()), values

    runs = [
        train_toy(store, tmp_path / str(look), route=replace(TOY, stages=lambda m, look=look: stages(m, look)))
        for look in (False, True)
    ]
    without, with_looks = ([line["loss"] for line in metrics(run, "00-autoencoder") if "loss" in line] for run in runs)
    assert without == with_looks


def test_order_of_a_stage(store: ClipStore, out: Path) -> None:
    events = []

    def note(name: str):
        def call(given: Batch | Tensor) -> dict[str, Tensor]:
            if events[-1:] != [name]:
                events.append(name)
            return {"mean": given.mean((-1, -2, -3))} if isinstance(given, Tensor) else {}

        return call

    route = one_stage(
        columns=("video", "mean"),
        prepare=note("prepare"),
        cache=note("cache"),
        rollout_error=lambda batch: events.append("look") or float(batch.cached["mean"].mean()),
        finish=note("finish"),
    )
    train_toy(store, out, route=route, budget="2steps")
    assert events == ["prepare", "cache", "look", "look", "finish"]
    assert not (out / "00-only" / "cache").exists()  # nobody needs it any more


def test_cached_arrays_are_those_of_their_frames(store: ClipStore, out: Path) -> None:
    def error(batch: Batch) -> float:
        assert batch.video is not None
        torch.testing.assert_close(batch.cached["mean"], batch.video.mean((-1, -2, -3)))
        return 0.0

    cache = lambda video: {"mean": video.mean((-1, -2, -3))}  # noqa: E731
    train_toy(store, out, route=one_stage(columns=("video", "mean"), cache=cache, rollout_error=error), budget="2steps")


def test_frozen_parts_keep_their_statistics(store: ClipStore, out: Path) -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen = Autoencoder(8).requires_grad_(False)
            self.net = nn.Linear(8, 1)

        def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            assert batch.video is not None
            x = self.frozen.norm(self.frozen.encoder(batch.video.flatten(0, 1))).mean((-1, -2))
            return self.net(x).square().mean(), {}

    route = replace(one_stage(), build=lambda config, spec: Reader())
    run = train_toy(store, out, route=route, budget="3steps")
    assert torch.equal(run.model.frozen.norm.running_mean, torch.zeros(8))
    assert run.total.parameters == 9


def test_loss_that_is_not_a_number(store: ClipStore, out: Path) -> None:
    class Broken(Brightness):
        def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            loss, values = super().forward(batch)
            self.calls = getattr(self, "calls", 0) + 1
            return (loss * float("nan") if self.calls == 3 else loss), values

    route = replace(one_stage(), build=lambda config, spec: Broken())
    with pytest.raises(TrainingError, match=r"stage only, step 3: loss nan.*number 2 of seed 0: episodes \[\d+"):
        train_toy(store, out, route=route)


def test_a_decomposition_of_what_is_no_number_is_told_alike(store: ClipStore, out: Path) -> None:
    class Broken(Brightness):
        def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            loss, _ = super().forward(batch)
            return loss, {"rank": torch.linalg.svdvals(self.net.weight * float("nan"))[0]}

    with pytest.raises(TrainingError, match="stage only, step 1: loss nan"):
        train_toy(store, out, route=replace(one_stage(), build=lambda config, spec: Broken()))


def test_what_was_spent_until_then_is_told(store: ClipStore, out: Path) -> None:
    """By the failing stage and those before it."""

    def stages(model: nn.Module) -> list[Stage]:
        first, second, head = toy_stages(model)
        return [first, replace(second, optim=Optim(learning_rate=float("inf"))), head]

    with pytest.raises(TrainingError, match="stage dynamics, step 2") as caught:
        train_toy(store, out, route=replace(TOY, stages=stages))
    whole = train_toy(store, out.with_name("whole"))
    first, second = whole.ledger["autoencoder"], whole.ledger["dynamics"]
    assert caught.value.spent.steps == first.steps + 1
    assert first.flops < caught.value.spent.flops < first.flops + second.flops
    assert caught.value.spent.seconds > 0


def test_a_factor_on_all_learning_rates(run: TrainedRun, store: ClipStore, out: Path) -> None:
    half = train_toy(store, out, rate=0.5)
    for stage in ("00-autoencoder", "01-dynamics", "02-head"):
        plain, halved = (rates(path / stage / "metrics.jsonl") for path in (run.path, half.path))
        assert halved == pytest.approx([rate / 2 for rate in plain])
    assert json.loads((out / "run.json").read_text())["rate"] == 0.5
    assert json.loads((out / "card.json").read_text())["command"].endswith(" --seed 0 --rate 0.5")
    with pytest.raises(ResumeError, match=r"rate was 0\.5, now None"):
        train_toy(store, out, resume=True)


def rates(metrics: Path) -> list[float]:
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    return [line["learning_rate"] for line in lines if "learning_rate" in line]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_factor_is_a_number_above_0(store: ClipStore, out: Path, rate: float) -> None:
    with pytest.raises(ValueError, match="number above 0"):
        train_toy(store, out, rate=rate)
    assert not out.exists()


def test_stage_budgets() -> None:
    stages = toy_stages(TOY.build(ToyConfig(), None))
    budgets = stage_budgets(stages, Budget.parse("1000steps"), 0.2)
    assert {name: budget.amount for name, budget in budgets.items()} == {
        "autoencoder": 400,
        "dynamics": 600,
        "head": 200,
    }
    with pytest.raises(ValueError, match=r"shares of the budget add up to 0\.4, expected 1"):
        stage_budgets(stages[:1], Budget.parse("1000steps"), 0.2)
    odd = [replace(stages[0], share=1.5), replace(stages[1], share=-0.5)]
    with pytest.raises(ValueError, match=r"autoencoder 1\.5, dynamics -0\.5; each must be above 0"):
        stage_budgets(odd, Budget.parse("1000steps"), 0.2)
    with pytest.raises(ValueError, match=r"stage names \['../x'\]"):
        stage_budgets([replace(stages[0], name="../x", share=1.0)], Budget.parse("1s"), 0.2)


def test_name_of_a_cached_array_cannot_leave_its_folder(store: ClipStore, out: Path) -> None:
    cache = lambda video: {"../../x": video.mean((-1, -2, -3))}  # noqa: E731
    with pytest.raises(ValueError, match=r"cached array '\.\./\.\./x'"):
        train_toy(store, out, route=one_stage(cache=cache))
    assert not (out / "x.npy").exists()


def test_command_tells_what_was_set(store: ClipStore, out: Path) -> None:
    config = ToyConfig(width=4, kernels=(5, 6), head=Head(width=2))
    run = train_toy(store, out, route=one_stage(), budget="1steps", config=config)
    command = json.loads((run.path / "card.json").read_text())["command"]
    assert command.endswith(
        "--recipe debug --budget 1steps --seed 0 --set head.width=2 --set kernels=5,6 --set width=4"
    )


def test_curve_is_thinned_to_means(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "metrics.jsonl")
    for step in range(1, 401):
        lines.write({"step": step, "clips": 8 * step, "loss": float(step)})
    lines.write({"step": 400, "clips": 3200, "rollout_error": 1.0})
    lines.close()
    curve = read_curve(tmp_path / "metrics.jsonl")
    assert curve["clips"][:2] == [16, 32]
    assert curve["loss"][:2] == [1.5, 3.5]
    assert len(curve["clips"]) == len(curve["loss"]) == 200


def test_quiet_where_there_is_no_terminal(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 16.0, 16.0, 17.0])
    monkeypatch.setattr("threeworlds.train.log.time.monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO):
        reporter = Reporter("stage", show=True)
        for part in (0.1, 0.5, 0.6):
            reporter.update(part, f"loss {part}")
    assert caplog.messages == ["stage: 50 %, loss 0.5"]


def test_tensorboard(store: ClipStore, out: Path) -> None:
    pytest.importorskip("tensorboard")
    train_toy(store, out, route=one_stage(), budget="3steps", tensorboard=True)
    assert list((out / "00-only" / "tensorboard").glob("events*"))


def test_no_budget_left_is_said(store: ClipStore, out: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = lambda video: {"mean": video.flatten(2) @ torch.ones(768, 1)}  # noqa: E731
    run = train_toy(store, out, route=one_stage(cache=cache), budget="10flops")
    assert run.total.steps == 0
    assert run.total.flops >= 10
    assert "used up its whole budget of 10flops" in caplog.text

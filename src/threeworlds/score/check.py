"""The contract of a model, checked from outside, as Gymnasium's ``check_env`` checks a world.

Only what a model says it can do (the Protocols of threeworlds.types) is checked. Every rule is one function, which
raises AssertionError with what is wrong; any other error that the model raises breaks the rule as well.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from threeworlds.score.clips import generate
from threeworlds.types import ClipSpec, Generates, Plans, Plays, Predicts, Prompt, Reconstructs, Remembers, Represents

ITEMS, GIVEN, AHEAD = 2, 4, 5
EPISODES, STEPS = 24, "3steps"  # of a route's debug recipe


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule, and what breaks it; "" where it is kept."""

    rule: str
    problem: str = ""


def check_route(name: str, *, world: str = "arena") -> list[Finding]:
    """Train a route's debug recipe for a moment, write it, read it, and check the model."""
    from threeworlds.routes import get_route
    from threeworlds.train import Budget, load_model, train_route

    route = get_route(name)
    if "debug" not in route.recipes:
        raise ValueError(f"{name} has no recipe 'debug', which every route has; recipes: {', '.join(route.recipes)}")
    with tempfile.TemporaryDirectory() as folder:
        store = generate(world, Path(folder) / "clips", episodes=EPISODES, seed=0, workers=1)
        train_route(
            route,
            recipe="debug",
            config=route.recipes["debug"](),
            store=store,
            budget=Budget.parse(STEPS),
            out=Path(folder) / "run",
            progress=False,
        )
        model, card = load_model(Path(folder) / "run")
    return [Finding(rule="trains, is written and read back"), *check_model(model, card.spec)]


def check_folder(path: Path) -> list[Finding]:
    """Check a trained model."""
    from threeworlds.train import load_model

    model, card = load_model(path)
    return check_model(model, card.spec)


def check_model(model: Any, spec: ClipSpec) -> list[Finding]:
    """Every rule that the model's abilities bring with them."""
    video = torch.rand(ITEMS, GIVEN + AHEAD, 3, spec.height, spec.width, generator=torch.Generator().manual_seed(0))
    video = video * 2 - 1
    able = [rule for protocol, rules in RULES for rule in rules if isinstance(model, protocol)]
    if not able:
        return [Finding(rule="can do something", problem="it keeps none of the Protocols of threeworlds.types")]
    return [Finding(rule=_name(rule), problem=_broken(rule, model, spec, video)) for rule in able]


Rule = Callable[[Any, ClipSpec, Tensor], None]


def _name(rule: Rule) -> str:
    return str(rule.__name__).replace("_", " ")


def _broken(rule: Rule, model: Any, spec: ClipSpec, video: Tensor) -> str:
    try:
        rule(model, spec, video.clone())
    except AssertionError as error:
        return str(error)
    except Exception as error:  # whatever a model from outside raises
        return f"{type(error).__name__}: {error}"
    return ""


# -------------------------------------------------------------------------------------------- rules


def prediction_has_the_right_shape(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """As many frames as asked, of the clips' size."""
    made = _predict(model, spec, video).video
    _is_video(made, video[:, GIVEN:].shape)


def prediction_follows_its_seed(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """The same seed, the same film, whatever else was drawn."""
    first = _predict(model, spec, video).video
    torch.rand(7)
    assert torch.equal(first, _predict(model, spec, video).video), "the same seed gave two films"


def prediction_leaves_its_input_alone(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """Nothing is written into the context; nothing is drawn from the global generator."""
    before, state = video.clone(), torch.get_rng_state()
    _predict(model, spec, video)
    assert torch.equal(before, video), "predict wrote into the frames it was given"
    assert torch.equal(state, torch.get_rng_state()), "predict drew from torch's global generator"


def prediction_runs_on_without_actions(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """action=None lets the world run."""
    _is_video(model.predict(video[:, :GIVEN], AHEAD, seed=0).video, video[:, GIVEN:].shape)


def an_action_is_no_cause_of_earlier_frames(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """action[t] is between frame t and t + 1: a change of the last one leaves all frames but the last."""
    action = _actions(model, spec)
    if action is None:
        return
    other = action.clone()
    other[:, -1] = (action[:, -1] + 1) % _kinds(model, spec) if not action.is_floating_point() else -action[:, -1]
    first, second = (model.predict(video[:, :GIVEN], AHEAD, action=a, seed=0).video for a in (action, other))
    assert torch.allclose(first[:, :-1], second[:, :-1], atol=1e-5), "the last action changed an earlier frame"


def states_are_one_a_frame(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """[b, t, d], finite, without gradient."""
    z = model.represent(video).z
    assert z.ndim == 3, f"a state is [b, t, d], got {list(z.shape)}"
    assert z.shape[:2] == video.shape[:2], f"{list(video.shape[:2])} frames gave {list(z.shape[:2])} states"
    assert torch.isfinite(z).all() and not z.requires_grad, "states are finite, and carry no gradient"


def states_do_not_see_the_future(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """A change of the last frame leaves the states before it."""
    changed = video.clone()
    changed[:, -1] = -changed[:, -1]
    first, second = (model.represent(v).z[:, :-1] for v in (video, changed))
    assert torch.allclose(first, second, atol=1e-4), "the last frame changed an earlier state"


def reconstruction_has_the_right_shape(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """The same frames."""
    _is_video(model.reconstruct(video), video.shape)


def codes_are_one_a_step(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """int64 [b, t - 1] in [0, n_codes)."""
    codes = model.infer_codes(video)
    assert codes.dtype == torch.int64, f"codes are int64, got {codes.dtype}"
    assert codes.shape == (len(video), video.shape[1] - 1), f"{list(video.shape[:2])} frames gave {list(codes.shape)}"
    assert codes.min() >= 0 and codes.max() < model.n_codes, (
        f"codes lie in [0, {model.n_codes}), got {int(codes.max())}"
    )


def films_from_words_have_the_right_shape(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """As many films as captions, as many frames as asked."""
    captions = ("a large red disc moves left and the avatar stays",) * ITEMS
    made = model.generate(Prompt(caption=captions, frames=GIVEN + AHEAD), seed=0).video
    _is_video(made, video.shape)


def plans_are_actions(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """[b, horizon, a] in [-1, 1], where actions are continuous."""
    if spec.action.kind != "continuous":
        return
    plan = model.plan(video[:, :GIVEN], video[:, -1], seed=0)
    assert plan.action.shape[::2] == (len(video), spec.action.size), f"a plan is [b, horizon, a]: {plan.action.shape}"
    assert plan.action.abs().max() <= 1, "actions lie in [-1, 1]"
    assert plan.cost.shape == (len(video),), f"one cost an item, got {list(plan.cost.shape)}"


def plans_take_the_memory_they_made(model: Any, spec: ClipSpec, video: Tensor) -> None:
    """A new memory changes no plan, and a memory of one plan is taken by the next."""
    memory = model.new_memory(1)
    if memory is None or spec.action.kind != "continuous":
        return
    context, goal = video[:, :GIVEN], video[:, -1]
    first = model.plan(context, goal, seed=0, memory=memory)
    assert torch.equal(first.action, model.plan(context, goal, seed=0).action), "a new memory changes no plan"
    again = model.plan(context, goal, seed=0, memory=memory)
    assert again.action.shape == first.action.shape, f"with a memory a plan is {list(again.action.shape)}"


RULES: tuple[tuple[Any, tuple[Rule, ...]], ...] = (
    (
        Predicts,
        (
            prediction_has_the_right_shape,
            prediction_follows_its_seed,
            prediction_leaves_its_input_alone,
            prediction_runs_on_without_actions,
            an_action_is_no_cause_of_earlier_frames,
        ),
    ),
    (Represents, (states_are_one_a_frame, states_do_not_see_the_future)),
    (Reconstructs, (reconstruction_has_the_right_shape,)),
    (Plays, (codes_are_one_a_step,)),
    (Generates, (films_from_words_have_the_right_shape,)),
    (Plans, (plans_are_actions,)),
    (Remembers, (plans_take_the_memory_they_made,)),
)


def _predict(model: Any, spec: ClipSpec, video: Tensor) -> Any:
    assert model.control in ("none", "action", "code"), f"control is none, action or code, got {model.control!r}"
    return model.predict(video[:, :GIVEN], AHEAD, action=_actions(model, spec), seed=3)


def _actions(model: Any, spec: ClipSpec) -> Tensor | None:
    shape = (ITEMS, GIVEN - 1 + AHEAD)
    if model.control == "none" or (model.control == "action" and spec.action.kind == "none"):
        return None
    if model.control == "action" and spec.action.kind == "continuous":
        return torch.full((*shape, spec.action.size), 0.5)
    return torch.zeros(shape, dtype=torch.int64)


def _kinds(model: Any, spec: ClipSpec) -> int:
    return int(model.n_codes) if model.control == "code" else spec.action.size


def _is_video(video: Tensor, shape: Any) -> None:
    assert video.shape == shape, f"expected {list(shape)}, got {list(video.shape)}"
    assert video.dtype == torch.float32, f"video is float32, got {video.dtype}"
    assert torch.isfinite(video).all(), "the film holds NaN or infinity"
    assert not video.requires_grad, "public methods run under no_grad"
    assert video.abs().max() <= 1.5, f"pixels lie in [-1, 1], got up to {float(video.abs().max()):.3g}"

"""Control: do actions do what they should? And are the latent ones the real ones?

Legend: n items, t frames or steps, k codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threeworlds.score.code_names import LABELLED, commands, count
from threeworlds.score.exam import GIVEN, Answers, Entrant, Exam, Measured
from threeworlds.score.films import film_of, to_uint8
from threeworlds.score.hallucination import simulated
from threeworlds.score.prediction import bodies, controls_of, predict, psnr, squared_error
from threeworlds.score.stats import Interval, wilson
from threeworlds.types import Plays, Predicts, Refines, Tokenizes

VERSION = "1"
DESCRIBED = "it describes a codebook, and nobody answers without one"
HELD, ROOM, MOVED = 3, 0.28, 0.1  # a command is held 3 steps, needs this much free box, must move the avatar this far
STEP = MOVED / HELD  # of the box: so far each step of a command must move it
STARTS = 8  # of k-means over true actions
PUSHED = 0.4  # of a step's usual length: a move that takes the avatar less far is a push against a wall
HEADINGS = {"left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1)}
NO_ACTIONS = "takes no actions, by design: words or first frames are its only control"
NOT_LATENT = "learns no latent actions, by design"
NO_TOKENS = "makes no tokens, by design"

Rates = dict[str, dict[str, np.ndarray]]  # route -> metric -> [n]


def ask(exam: Exam, entrants: Sequence[Entrant]) -> Answers:
    """Codes against true actions; codes and tokens in use; right against wrong actions; commands obeyed."""
    steered = [e for e in entrants if isinstance(e.model, Predicts) and e.model.control != "none"]
    absent = {e.route: _why_not(e, exam) for e in entrants if e not in steered}
    measured = [*codes_against_actions(exam, entrants), *_in_use(exam, entrants)]
    measured += _right_against_wrong(exam, steered, absent)
    obeyed, films = _commands(exam, steered, absent)
    return Answers(measured=(*measured, *obeyed), films=tuple(films))


def _why_not(entrant: Entrant, exam: Exam) -> str:
    if entrant.registered == "jepa" and exam.spec.action.kind == "none":
        return "these clips have no actions for it to learn from"
    return NO_ACTIONS


def _passes(entrants: Sequence[Entrant]) -> str:
    """How the frames were made, for the protocol: play may take fewer passes, and be worse."""
    return "".join(
        f"; {e.route} makes a frame in {e.model.passes} passes (in play {e.model.passes_in_play})"
        for e in entrants
        if isinstance(e.model, Refines)
    )


# ----------------------------------------------------------------------------- codes and true actions


def purity(codes: np.ndarray, actions: np.ndarray, kept: np.ndarray | None = None) -> float:
    """Part of the steps (of the ``kept`` ones) whose action is the commonest one of their code."""
    if kept is not None:
        codes, actions = codes[kept], actions[kept]
    return float(contingency(codes, actions).max(1).sum() / codes.size)


def normalised_mutual_information(codes: np.ndarray, actions: np.ndarray) -> float:
    """I(code; action) / sqrt(H(code) H(action)) (Strehl & Ghosh 2002, Eq. 2); 0 where one of them is constant."""
    table = contingency(codes, actions)
    joint, p, q = table / codes.size, table.sum(1) / codes.size, table.sum(0) / codes.size
    independent = np.outer(p, q)
    seen = joint > 0
    shared = (joint[seen] * np.log(joint[seen] / independent[seen])).sum()
    entropy = [-(r[r > 0] * np.log(r[r > 0])).sum() for r in (p, q)]
    return float(shared / np.sqrt(entropy[0] * entropy[1])) if min(entropy) > 0 else 0.0


def contingency(codes: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Counts [codes, actions]."""
    table = np.zeros((int(codes.max()) + 1, int(actions.max()) + 1))
    np.add.at(table, (codes.ravel(), actions.ravel()), 1)
    return table


def code_map(entrant: Entrant, exam: Exam) -> np.ndarray:
    """The code that commands each action, from LABELLED steps of the training split: int64 [actions]."""
    assert exam.train.video is not None and exam.train.action is not None
    windows = -(-LABELLED // exam.train.action.shape[1])
    codes = entrant.model.infer_codes(exam.train.video[:windows]).flatten()[:LABELLED].numpy()
    actions = exam.train.action[:windows].flatten()[:LABELLED].numpy()
    return commands(count(codes, actions, entrant.model.n_codes, exam.spec.action.size))


def codes_against_actions(exam: Exam, entrants: Sequence[Entrant]) -> list[Measured]:
    """Agreement over all held-out steps and, where the avatar's place is known, over those that had an effect.

    Discrete actions have a commonest one for each code; of continuous ones a code tells the mean.
    """
    playable = [e for e in entrants if isinstance(e.model, Plays)]
    absent = {e.route: NOT_LATENT if e.registered == "jepa" else NO_ACTIONS for e in entrants if e not in playable}
    kind = exam.spec.action.kind if exam.test.action is not None else "none"
    if kind != "discrete":
        absent |= {e.route: "these clips have no discrete actions to compare with" for e in playable}
    assert exam.test.video is not None
    codes = {e.route: e.model.infer_codes(exam.test.video).numpy() for e in playable} if kind != "none" else {}
    if kind == "continuous":
        return [*_agreement(exam, {}, absent), *_told(exam, codes, absent, [e.model.n_codes for e in playable])]
    return _agreement(exam, codes, absent)


def _agreement(exam: Exam, codes: dict[str, np.ndarray], absent: dict[str, str]) -> list[Measured]:
    """Codes against discrete actions; without codes, why there are none."""
    actions = exam.test.action.numpy() if codes and exam.test.action is not None else np.zeros((1, 1), int)
    shuffled = np.random.default_rng(exam.seed).permutation(actions.ravel()).reshape(actions.shape)
    candidates = {"one code for all": np.zeros_like(actions), "shuffled labels": shuffled} if codes else {}
    effective = effective_steps(exam) if codes else None
    ceilings = {} if effective is None else {"seeing the avatar move": np.where(effective, actions, _stay(exam))}
    told = "part whose action is the commonest of their code"
    metrics: list[tuple[str, str, str, Any, np.ndarray | None]] = [
        ("purity", "of steps", told, purity, None),
        ("nmi", "0 to 1", "normalised mutual information", normalised_mutual_information, None),
    ]
    if effective is not None:
        metrics.append(("purity_effective", "of steps", f"{told}; pushes against a wall left out", purity, effective))
    return [
        Measured(
            question="control",
            metric=metric,
            unit=unit,
            direction="higher",
            protocol=f"latent action of each held-out step against the true action; {text}",
            values={route: _kept(found, actions, kept) for route, found in codes.items()},
            floors={name: _kept(found, actions, kept) for name, found in candidates.items()},
            ceilings={name: _kept(found, actions, kept) for name, found in ceilings.items()} if codes else {},
            absent=absent,
            statistic=statistic,
        )
        for metric, unit, text, statistic, kept in metrics
    ]


def _told(exam: Exam, codes: dict[str, np.ndarray], absent: dict[str, str], sizes: Sequence[int]) -> list[Measured]:
    """Codes against continuous actions: what knowing the code tells of them."""
    assert exam.test.action is not None
    actions = exam.test.action.double().numpy()
    best = clusters(actions, max(sizes, default=2))
    shuffled = np.random.default_rng(exam.seed).permutation(best.ravel()).reshape(best.shape)
    floors = {"one code for all": np.zeros_like(best), "shuffled labels": shuffled}
    return [
        Measured(
            question="control",
            metric="code_r2",
            unit="R2",
            direction="higher",
            protocol="latent action of each held-out step against the true action, which is continuous: part of its "
            "variance that the mean action of each code explains (correlation ratio)",
            values={route: (found, actions) for route, found in codes.items()},
            floors={name: (found, actions) for name, found in floors.items()} if codes else {},
            ceilings={"as many clusters of the true actions": (best, actions)} if codes else {},
            absent={route: why for route, why in absent.items() if route not in codes},
            statistic=correlation_ratio,
        )
    ]


def clusters(actions: np.ndarray, count: int) -> np.ndarray:
    """k-means labels of continuous actions [n, s, a] -> int64 [n, s]: what so many codes could tell of them.

    The best of a few starts, since one may end far from the best.
    """
    from scipy.cluster.vq import kmeans2

    points = actions.reshape(-1, actions.shape[-1])
    distinct, labels = np.unique(points, axis=0, return_inverse=True)
    found = (
        [labels]
        if len(distinct) <= count
        else [kmeans2(points, count, iter=50, minit="++", seed=seed, missing="warn")[1] for seed in range(STARTS)]
    )
    best = max(found, key=lambda labels: correlation_ratio(labels, points))
    return best.astype(int).reshape(actions.shape[:2])


def correlation_ratio(codes: np.ndarray, actions: np.ndarray) -> float:
    """Variance between codes over all variance, of codes [...] and actions [..., a] (Pearson 1905).

    All action axes count together, in their own units; 0 where the actions, or the codes, do not vary.
    """
    flat, which = actions.reshape(codes.size, -1), np.unique(codes, return_inverse=True)[1].ravel()
    about = flat - flat.mean(0)
    sums = np.zeros((which.max() + 1, flat.shape[1]))
    np.add.at(sums, which, about)
    between, total = (sums**2 / np.bincount(which)[:, None]).sum(), (about**2).sum()
    return float(between / total) if total > 0 and len(sums) > 1 else 0.0


def effective_steps(exam: Exam) -> np.ndarray | None:
    """bool [n, t - 1]: the action was to stay, or it moved the avatar; None where the avatar's place is not known.

    A push against a wall changes nothing, so no picture tells it from staying.
    """
    names, variables = exam.spec.action.names, exam.spec.state_names
    if exam.test.state is None or exam.test.action is None or not {"avatar_x", "avatar_y"} <= set(variables):
        return None
    if "stay" not in names:
        return None
    place = exam.test.state[..., [variables.index("avatar_x"), variables.index("avatar_y")]].numpy()
    moved = np.linalg.norm(np.diff(place, axis=1), axis=-1)
    stays: np.ndarray = exam.test.action.numpy() == _stay(exam)
    result: np.ndarray = stays | (moved > PUSHED * np.median(moved[~stays]))
    return result


def _stay(exam: Exam) -> int:
    return exam.spec.action.names.index("stay")


def _kept(codes: np.ndarray, actions: np.ndarray, kept: np.ndarray | None) -> tuple[np.ndarray, ...]:
    return (codes, actions) if kept is None else (codes, actions, kept)


# ------------------------------------------------------------------------------------------- use


def part_used(counts: np.ndarray) -> float:
    """Part of the codes that occur at all, in counts [n, k]."""
    return float((counts.sum(0) > 0).mean())


def perplexity(counts: np.ndarray) -> float:
    """exp of the entropy of counts [n, k] over all items: k where all codes are used alike, 1 where one is."""
    p = counts.sum(0) / counts.sum()
    return float(np.exp(-(p[p > 0] * np.log(p[p > 0])).sum()))


def _in_use(exam: Exam, entrants: Sequence[Entrant]) -> list[Measured]:
    """How much of their codebooks the held-out clips use: latent actions, and tokens of the frames."""
    assert exam.test.video is not None
    video = exam.test.video
    plays = [e for e in entrants if isinstance(e.model, Plays)]
    tokenizes = [e for e in entrants if isinstance(e.model, Tokenizes)]
    codes = {e.route: _counts(e.model.infer_codes(video), e.model.n_codes) for e in plays}
    tokens = {e.route: _counts(e.model.tokenize(video), e.model.n_tokens) for e in tokenizes}
    no_codes = {e.route: NOT_LATENT if e.registered == "jepa" else NO_ACTIONS for e in entrants if e not in plays}
    no_tokens = {e.route: NO_TOKENS for e in entrants if e not in tokenizes}
    single = {"one code for all": (np.ones((len(video), 1)),)} if codes else {}
    return [
        *_use_rows("code", "latent actions of the held-out steps", codes, single, no_codes),
        *_use_rows("token", "tokens of the held-out frames", tokens, {}, no_tokens),
    ]


def _counts(codes: Tensor, size: int) -> tuple[np.ndarray]:
    """How often each clip has each code: codes [n, ...] -> [n, size]."""
    return (np.stack([np.bincount(clip, minlength=size) for clip in codes.flatten(1).cpu().numpy()]),)


def _use_rows(
    name: str, what: str, counts: dict[str, Any], floors: dict[str, Any], absent: dict[str, str]
) -> list[Measured]:
    alike = {route: (f"every {name} alike", (np.ones_like(found),)) for route, (found,) in counts.items()}
    clips = {route: len(found) for route, (found,) in counts.items()}
    return [
        Measured(
            question="control",
            metric=f"{name}s_used",
            unit=f"of the {name}s",
            direction="higher",
            protocol=f"{what}: part of the {name}s that occur; no interval: a count grows with the clips looked at",
            floorless=DESCRIBED,
            values=counts,
            absent=absent,
            intervals={r: Interval(value=part_used(*counts[r]), low=nan, high=nan, n=n) for r, n in clips.items()},
            statistic=part_used,
        ),
        Measured(
            question="control",
            metric=f"{name}_perplexity",
            unit=f"{name}s",
            direction="higher",
            protocol=f"{what}: exp of the entropy of their use",
            floorless="" if floors else DESCRIBED,
            values=counts,
            floors=floors,
            own_ceilings=alike,
            absent=absent,
            statistic=perplexity,
        ),
    ]


# -------------------------------------------------------------------------------- right and wrong


def _right_against_wrong(exam: Exam, steered: Sequence[Entrant], absent: dict[str, str]) -> list[Measured]:
    """Frames made under the right actions against frames made under random ones."""
    wins: dict[str, np.ndarray] = {}
    gains: dict[str, np.ndarray] = {}
    step = min(4, exam.future.shape[1])
    for entrant in steered:
        right = controls_of(entrant, exam)
        assert right is not None
        wrong = _wrong(entrant, exam, right)
        made = [predict(entrant, exam, told, step) for told in (right, wrong)]
        errors = [squared_error(video, exam.future[:, :step]) for video in made]
        # A tie is half a win: whoever ignores its controls is at chance, not below it.
        wins[entrant.route] = (np.sign(errors[1][:, 0] - errors[0][:, 0]) + 1) / 2
        gains[entrant.route] = psnr(errors[0][:, step - 1]) - psnr(errors[1][:, step - 1])
    told = "latent actions read from the true clip (genie) or true actions (jepa), against other ones drawn at random"
    passes = _passes(steered)
    return [
        Measured(
            question="control",
            metric="right_code_wins",
            unit="of items",
            direction="higher",
            protocol=f"{told}: the right one gives the smaller error in the next frame; a tie is half a win{passes}",
            values=wins,
            floors={"chance": np.full(len(exam.future), 0.5)} if wins else {},
            intervals={route: _interval(won) for route, won in wins.items()},
            absent=absent,
        ),
        Measured(
            question="control",
            metric="delta4_psnr",
            unit="dB",
            direction="higher",
            protocol=f"{told}: gain in PSNR of frame {step} (Genie, arXiv 2402.15391, section 3){passes}",
            values=gains,
            floors={"actions ignored": np.zeros(len(exam.future))} if gains else {},
            absent=absent,
        ),
    ]


def _wrong(entrant: Entrant, exam: Exam, right: Tensor) -> Tensor:
    """Controls whose future steps are others than the right ones, drawn by seed."""
    generator = torch.Generator().manual_seed(exam.seed)
    wrong = right.clone()
    if right.is_floating_point():
        wrong[:, GIVEN - 1 :] = torch.rand(wrong[:, GIVEN - 1 :].shape, generator=generator) * 2 - 1
        return wrong
    kinds = entrant.model.n_codes if entrant.model.control == "code" else exam.spec.action.size
    if kinds < 2:
        return wrong  # there is no other: right and wrong are alike, and nothing is won
    shift = torch.randint(1, kinds, right[:, GIVEN - 1 :].shape, generator=generator)
    wrong[:, GIVEN - 1 :] = (right[:, GIVEN - 1 :] + shift) % kinds
    return wrong


# --------------------------------------------------------------------------------------- commands


def _commands(exam: Exam, steered: Sequence[Entrant], absent: dict[str, str]) -> tuple[list[Measured], list[Any]]:
    """Hold one of the four directions and see whether the avatar goes there: in all, and step by step."""
    if exam.world is None or not set(HEADINGS) <= set(exam.spec.action.names) or exam.test.state is None:
        why = "no avatar with four directions in these clips"
        return _obedience({}, {}, {}, {**{e.route: why for e in steered}, **absent}, ""), []
    commands = _draw_commands(exam)
    obeyed, ignored, films = {}, {}, []
    for entrant in steered:
        told = _commanded(entrant, exam, commands)
        obeyed[entrant.route] = _rates(exam, predict(entrant, exam, told, HELD), commands)
        ignored[entrant.route] = _rates(exam, predict(entrant, exam, None, HELD), commands)
        films += _play_films(exam, entrant, commands)
    assert exam.test.state is not None
    held = [exam.spec.action.names.index(command or "stay") for command in commands]
    true = simulated(exam, exam.test.state[:, GIVEN - 1].numpy(), HELD, held)
    best = {"the simulator": _rates(exam, true, commands)}
    return _obedience(obeyed, ignored, best, absent, _passes(steered)), films


def _obedience(obeyed: Rates, ignored: Rates, best: Rates, absent: dict[str, str], passes: str) -> list[Measured]:
    """Both rates, under the commands, under none, and in the world itself."""
    held = f"a direction with room for it is commanded for {HELD} steps ({LABELLED} labelled steps name the latent "
    each = f"part of the steps in which the avatar goes that way, by more than {STEP:.3f} of the box"
    told = {
        "action_following": ("of commands", f"the avatar must go that way, by more than {MOVED} of the box"),
        "action_following_steps": ("of steps", f"{each}; an item is a command, as its steps depend on one another"),
    }
    return [
        Measured(
            question="control",
            metric=metric,
            unit=unit,
            direction="higher",
            protocol=f"{held}actions); {text}{passes}",
            values={route: rates[metric] for route, rates in obeyed.items()},
            own_floors={route: ("no command", rates[metric]) for route, rates in ignored.items()},
            ceilings={name: rates[metric] for name, rates in best.items()},
            intervals={route: _interval(rates[metric]) for route, rates in obeyed.items()},
            absent=absent,
        )
        for metric, (unit, text) in told.items()
    ]


def _rates(exam: Exam, video: Tensor, commands: Sequence[str | None]) -> dict[str, np.ndarray]:
    return {
        "action_following": _goes_there(exam, video, commands),
        "action_following_steps": _steps_there(exam, video, commands),
    }


def _interval(parts: np.ndarray) -> Interval:
    """The mean of parts in [0, 1], NaN left out, with Wilson's interval: no part varies more than a yes or no does.

    A bootstrap would be sure of a rate of 1.
    """
    known = parts[~np.isnan(parts)]
    return replace(wilson(int(known.sum()), len(known)), value=float(known.mean()) if len(known) else nan)


def _draw_commands(exam: Exam) -> list[str | None]:
    """One direction an item with room for it; None where the avatar is not seen."""
    rng, names = np.random.default_rng(exam.seed), list(HEADINGS)
    chosen: list[str | None] = []
    for x, y in _avatar(exam, exam.given)[:, -1]:
        room = {"left": x, "right": 1 - x, "up": 1 - y, "down": y}
        free = [name for name in names if room[name] > ROOM]
        chosen.append(str(rng.choice(free)) if free else None)
    return chosen


def _commanded(entrant: Entrant, exam: Exam, commands: Sequence[str | None]) -> Tensor:
    right = controls_of(entrant, exam)
    assert right is not None
    told, names = right.clone(), exam.spec.action.names
    meaning = code_map(entrant, exam) if entrant.model.control == "code" else np.arange(len(names))
    for item, command in enumerate(commands):
        told[item, GIVEN - 1 :] = int(meaning[names.index(command or "stay")])
    return told


def _goes_there(exam: Exam, video: Tensor, commands: Sequence[str | None]) -> np.ndarray:
    """1 where the avatar obeys, 0 where not (or is gone), NaN where nothing could be commanded: [n]."""
    places = _places(exam, video)
    return _obeyed(places[:, -1] - places[:, 0], commands, MOVED)


def _steps_there(exam: Exam, video: Tensor, commands: Sequence[str | None]) -> np.ndarray:
    """The part of a command's steps in which the avatar obeys, NaN where nothing could be commanded: [n]."""
    moves = np.diff(_places(exam, video), axis=1)
    part: np.ndarray = np.mean([_obeyed(moves[:, step], commands, STEP) for step in range(HELD)], axis=0)
    return part


def _places(exam: Exam, video: Tensor) -> np.ndarray:
    """Where the avatar is in the last given frame and under the command: [n, 1 + HELD, 2]."""
    return np.concatenate([_avatar(exam, exam.given)[:, -1:], _avatar(exam, video)[:, :HELD]], axis=1)


def _obeyed(moved: np.ndarray, commands: Sequence[str | None], least: float) -> np.ndarray:
    """Whether each move [n, 2] leads where it should, by more than ``least`` and mainly; NaN without a command: [n]."""
    result = np.full(len(commands), np.nan)
    for item, command in enumerate(commands):
        if command is not None:
            along = float(moved[item] @ np.array(HEADINGS[command]))
            across = float(np.abs(moved[item]).sum() - abs(along))
            result[item] = float(along > least and along > across)
    return result


def _avatar(exam: Exam, video: Tensor) -> np.ndarray:
    assert exam.world is not None and exam.world.locate is not None
    return bodies(exam.world.locate, video)["avatar"]


def _play_films(exam: Exam, entrant: Entrant, commands: Sequence[str | None]) -> list[Any]:
    """One start, each direction held in turn: what a player would see."""
    item = next((i for i, command in enumerate(commands) if command), 0)
    films = []
    for heading in HEADINGS:
        told = _commanded(entrant, exam, [heading] * len(commands))[item : item + 1]
        made = entrant.model.predict(exam.given[item : item + 1], exam.future.shape[1], action=told, seed=exam.seed)
        frames = to_uint8(torch.cat([exam.given[item], made.video[0]]))
        films.append(film_of(f"hold {heading}", entrant.route, "play", frames, given=GIVEN, fps=exam.spec.fps))
    return films

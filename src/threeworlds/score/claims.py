"""Claims of the field that one comparison can speak to, judged by stated rules. Never typed by hand.

A rule looks at rows and paired differences of one result. Where what it needs is not there, the claim is not tested.
Some need a route twice, once changed: a comparison holds it under the name that the rule gives (``--variant``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Literal

from threeworlds.types import Difference, Result, Row, Verdict

Word = Literal["supported", "refuted", "not separable", "not tested"]
Finding = tuple[Word, tuple[str, ...]]


def judge_claims(result: Result) -> tuple[Verdict, ...]:
    """A verdict for every claim that has a rule here."""
    return tuple(_verdict(result, *claim) for claim in CLAIMS)


def _verdict(result: Result, name: str, text: str, rule: str, judge: Callable[[Result], Finding]) -> Verdict:
    word, evidence = judge(result)
    return Verdict(claim=name, text=text, verdict=word, rule=rule, evidence=evidence)


# ------------------------------------------------------------------------------------------- rules


def sora_pictures_best(result: Result) -> Finding:
    floor = _difference(result, "prediction", "alone_mse_h1", "sora", "copy the last frame")
    if floor is None or _all_better([floor], "sora", expected=1)[0] != "supported":
        return "not tested", (_tell(floor),) if floor else ()  # pictures worse than none at all are no test of quality
    rivals = [_difference(result, "prediction", "alone_psnr_h1", "sora", other) for other in ("genie", "jepa")]
    return _all_better([rival for rival in rivals if rival], "sora", expected=2)


def latent_actions_are_controls(result: Result) -> Finding:
    found = [_difference(result, "control", "nmi", "genie", floor) for floor in ("shuffled labels", "one code for all")]
    word, evidence = _all_better([difference for difference in found if difference], "genie", expected=2)
    row = _row(result, "genie", "control", "nmi")
    return word, (_say(row), *evidence) if row else evidence


def commands_obeyed(result: Result) -> Finding:
    found = [_difference(result, "control", "action_following", "genie", "no command")]
    word, evidence = _all_better([difference for difference in found if difference], "genie", expected=1)
    row = _row(result, "genie", "control", "action_following")
    return word, (_say(row), *evidence) if row else evidence


def state_holds_more(result: Result) -> Finding:
    others = ("sora", "genie", "untrained encoder")
    rivals = [_difference(result, "understanding", "velocity_r2", "jepa", other) for other in others]
    return _all_better([rival for rival in rivals if rival], "jepa", expected=3)


def plans_in_latent_space(result: Result) -> Finding:
    floors = [
        _difference(result, "planning", "success_25_50", "jepa", floor) for floor in ("random policy", "stay policy")
    ]
    word, evidence = _all_better([floor for floor in floors if floor], "jepa", expected=2)
    row = _row(result, "jepa", "planning", "success_25_50")
    return word, (_say(row), *evidence) if row else evidence


def state_makes_video(result: Result) -> Finding:
    found = [_difference(result, "prediction", "mse_h8", "jepa", "copy the last frame")]
    return _all_better([difference for difference in found if difference], "jepa", expected=1)


def generative_films_break(result: Result) -> Finding:
    rows = [_row(result, route, "hallucination", "clean_fraction") for route in ("sora", "genie")]
    known = [row for row in rows if row is not None and row.high is not None and row.ceiling is not None]
    if len(known) < 2:
        return "not tested", ()
    broken = [row.high is not None and row.ceiling is not None and row.high < row.ceiling for row in known]
    word: Word = "supported" if all(broken) else "not separable" if any(broken) else "refuted"
    return word, tuple(_say(row) for row in known)


def state_films_stay_clean(result: Result) -> Finding:
    rivals = [_difference(result, "hallucination", "clean_fraction", "jepa", other) for other in ("sora", "genie")]
    return _all_better([rival for rival in rivals if rival], "jepa", expected=2)


def runs_on_without_action(result: Result) -> Finding:
    floor = "copy the last frame"
    asked = [d for d in result.differences if (d.question, d.metric) == ("physics", "passive_error_h8")]
    found = {d.first if d.second == floor else d.second: d for d in asked if floor in (d.first, d.second)}
    if not found:
        return "not tested", ()
    judged = [_all_better([difference], route, expected=1) for route, difference in found.items()]
    words, evidence = {word for word, _ in judged}, tuple(text for _, texts in judged for text in texts)
    return (words.pop() if len(words) == 1 else "not separable"), evidence


def latents_beat_pixels(result: Result) -> Finding:
    asked = [("prediction", "mse_h4"), ("prediction", "position_error_h4")]
    word, evidence = _beats(result, "sora", "sora-pixels", asked)
    learnt = [_learnt(result, *each, ("sora", "sora-pixels"), "copy the last frame") for each in asked]
    return (word if all(learnt) else "not tested"), evidence


def own_action_latent_pays(result: Result) -> Finding:
    asked = [("control", "action_following"), ("prediction", "mse_h4")]
    word, evidence = _beats(result, "genie", "genie-one-code", asked)
    return (word if _learnt(result, *asked[0], ("genie",), "no command") else "not tested"), evidence


def law_in_the_state(result: Result) -> Finding:
    law = result.data.get("exam", {}).get("world_options", {}).get("task", "uniform")
    pair, formulas = ("jepa-second-order", "jepa-free"), ("", "_code")
    word, evidence = _beats(result, *pair, [("physics", f"{law}_out{formula}") for formula in formulas])
    learnt = [_learnt(result, "physics", f"{law}_in{formula}", pair, "freeze") for formula in formulas]
    return (word if all(learnt) else "not tested"), evidence


def only_two_predict(result: Result) -> Finding:
    asked = [("understanding", "position_r_h8")]
    words, evidence = zip(
        *(_beats(result, one, "jepa-joint", asked) for one in ("jepa", "jepa-generative")), strict=True
    )
    for word in ("not tested", "refuted", "not separable"):
        if word in words:
            return word, (*evidence[0], *evidence[1])
    return "supported", (*evidence[0], *evidence[1])


CLAIMS: tuple[tuple[str, str, str, Callable[[Result], Finding]], ...] = (
    (
        "C1",
        "Work in a latent space: pixels cost too much",
        "at equal budget, four frames ahead, sora's films on latents are separably nearer the truth than on pixel "
        "patches (`sora-pixels`), in squared error and in where the bodies are; tested only where one of the two is "
        "separably nearer than the last frame in both",
        latents_beat_pixels,
    ),
    (
        "C2",
        "Video and action belong in separate latents",
        "at equal budget, genie's films obey commands separably more often, and are separably nearer the truth four "
        "frames ahead, than those of a genie with one code for all actions (`genie-one-code`); tested only where "
        "genie's commands are obeyed separably more often than when nothing is commanded",
        own_action_latent_pays,
    ),
    (
        "C3",
        "Sora-like: best picture quality, no interaction, needs captions",
        "given the first frames alone, sora's next frame is separably better in PSNR than genie's and jepa's; "
        "tested only where its squared error is separably below that of the last frame",
        sora_pictures_best,
    ),
    (
        "C4",
        "Generative models do not learn physical law, so they hallucinate",
        "left alone for 32 frames, the films of sora and of genie keep their bodies separably less often than the "
        "simulator's: the interval lies below the parser's ceiling",
        generative_films_break,
    ),
    (
        "C5",
        "Genie-like: interactive from unlabelled video",
        "the avatar obeys commanded latent actions separably more often than when nothing is commanded",
        commands_obeyed,
    ),
    (
        "C6",
        "LAM actions agree with the real controls",
        "mutual information of latent and true actions is separably above that of shuffled labels and of one code",
        latent_actions_are_controls,
    ),
    (
        "C7",
        "JEPA predicts in latent space; its state holds the physics",
        "a linear probe reads velocity separably better from jepa's states than from sora's and genie's latents, "
        "and than from jepa's own encoder before training",
        state_holds_more,
    ),
    (
        "C7b",
        "JEPA does not hallucinate",
        "left alone for 32 frames, films decoded from jepa's predicted states keep their bodies separably more often "
        "than sora's and than genie's",
        state_films_stay_clean,
    ),
    (
        "C8",
        "JEPA's action is an actor with a state: planning works in latent space",
        "planned success is separably above a random and a resting policy",
        plans_in_latent_space,
    ),
    (
        "C9",
        "A physical law can be put into the state",
        "beyond the range of training, films of a state whose velocity moves its place (`jepa-second-order`) err "
        "separably less in velocity than those of a state that is free (`jepa-free`), by either formula; tested only "
        "where one of the two, within the range, errs separably less than a world at rest",
        law_in_the_state,
    ),
    (
        "C10",
        "State -> video is possible after all",
        "eight frames ahead, films decoded from predicted states are separably nearer the truth than the last frame",
        state_makes_video,
    ),
    (
        "C11",
        "Of joint-embedding, generative and joint-embedding predictive, only the last two predict",
        "on one encoder, eight frames ahead, positions are read separably better from the states that the predictive "
        "(`jepa`) and the generative one (`jepa-generative`) foresee than from those of the joint one (`jepa-joint`)",
        only_two_predict,
    ),
    (
        "C12",
        "A world also runs on without action",
        "told that nothing is done, every route has the untouched bodies eight frames on separably nearer to where the "
        "simulator has them than they were when last seen; where routes disagree, not separable",
        runs_on_without_action,
    ),
)


# ----------------------------------------------------------------------------------------- reading


def _all_better(differences: Sequence[Difference], route: str, expected: int) -> Finding:
    """Supported: better in all; refuted: worse in one; else not separable."""
    if len(differences) < expected:
        return "not tested", ()
    wins = ["first better" if d.first == route else "second better" for d in differences]
    evidence = tuple(_tell(difference) for difference in differences)
    if all(d.verdict == win for d, win in zip(differences, wins, strict=True)):
        return "supported", evidence
    lost = any(d.verdict not in (win, "not separable") for d, win in zip(differences, wins, strict=True))
    return ("refuted" if lost else "not separable"), evidence


def _beats(result: Result, one: str, other: str, asked: Sequence[tuple[str, str]]) -> Finding:
    """Better in all that is asked."""
    found = [_difference(result, question, metric, one, other) for question, metric in asked]
    return _all_better([difference for difference in found if difference], one, expected=len(asked))


def _learnt(result: Result, question: str, metric: str, routes: Sequence[str], floor: str) -> bool:
    """Whether one of these is separably better than the floor: what has not learnt yet decides nothing."""
    found = {route: _difference(result, question, metric, route, floor) for route in routes}
    return any(d is not None and _all_better([d], route, expected=1)[0] == "supported" for route, d in found.items())


def _difference(result: Result, question: str, metric: str, first: str, second: str) -> Difference | None:
    for difference in result.differences:
        pair = {difference.first, difference.second}
        if (difference.question, difference.metric) == (question, metric) and pair == {first, second}:
            return difference
    return None


def _row(result: Result, route: str, question: str, metric: str) -> Row | None:
    for row in result.rows:
        if (row.route, row.question, row.metric, row.status) == (route, question, metric, "ok"):
            return row
    return None


def _tell(d: Difference) -> str:
    interval = f"[{d.low:.3g}, {d.high:.3g}]" if isfinite(d.low) else "no interval"
    return f"{d.question}/{d.metric}: {d.first} - {d.second} = {d.value:.3g} {interval}, n {d.n}"


def _say(row: Row) -> str:
    value, low, high = ("unknown" if x is None else f"{x:.3g}" for x in (row.value, row.low, row.high))
    return f"{row.question}/{row.metric}: {value} [{low}, {high}], n {row.n}"

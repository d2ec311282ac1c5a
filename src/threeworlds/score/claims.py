"""Claims of the field that one comparison can speak to, judged by stated rules. Never typed by hand.

A rule looks at rows and paired differences of one result. Where what it needs is not there, the claim is not tested.
Some need a route twice, once changed: a comparison holds it under the name that the rule gives (``--variant``).
A claim that says two things has a rule for each (C5 and C5b).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from threeworlds.score.evidence import (
    STILL,
    Finding,
    Gate,
    Word,
    agreed,
    all_better,
    beats,
    difference,
    foresees,
    judged,
    learnt,
    row,
    say,
    shows,
    tell,
)
from threeworlds.types import Result, Row, Verdict

ROUTES = ("sora", "genie", "jepa")  # that the claims speak of; under any other name a route is a variant
GENERATIVE = ("sora", "genie")
HORIZONS = (1, 4, 8, 16)
LAWS = ("uniform", "collision", "parabola")
LABELS = (10, 50, 200, 1000)

Part = tuple[Word, str, Gate]  # of a claim about several: what one of them says, told, and whether it has learnt


def judge_claims(result: Result) -> tuple[Verdict, ...]:
    """A verdict for every claim that has a rule here."""
    return tuple(_verdict(result, *claim) for claim in CLAIMS)


def judged_anew(result: Result) -> Result:
    """The same result, with the verdicts of the rules as they are now."""
    return replace(result, verdicts=judge_claims(result))


def _verdict(result: Result, name: str, text: str, rule: str, judge: Callable[[Result], Finding]) -> Verdict:
    word, evidence = judge(result)
    return Verdict(claim=name, text=text, verdict=word, rule=rule, evidence=evidence)


# ------------------------------------------------------------------------------ over several results


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What several results together say of a claim."""

    word: Word
    result: str = ""  # the name of the one that decides; "" where none tests the claim
    others: Mapping[str, Word]  # of those that say something else


def decide(results: Mapping[str, Result], claim: str) -> Decision:
    """The verdict of the result whose least trained model was trained most, of those that test the claim."""
    found = {name: v.verdict for name, result in results.items() for v in judge_claims(result) if v.claim == claim}
    tested = {name: word for name, word in found.items() if word != "not tested"}
    if not tested:
        return Decision(word="not tested", others={})
    best = max(tested, key=lambda name: least_trained(results[name]))
    others = {name: word for name, word in tested.items() if word != tested[best]}
    return Decision(word=tested[best], result=best, others=others)


def least_trained(result: Result) -> float:
    """FLOPs that its least trained model was trained for."""
    return min((float(stages.get("total", {}).get("flops", 0.0)) for stages in result.ledger.values()), default=0.0)


# ------------------------------------------------------------------------------------------- rules


def latents_beat_pixels(result: Result) -> Finding:
    asked = [("prediction", "mse_h4"), ("prediction", "position_error_h4")]
    gates = [learnt(result, ("sora", "sora-pixels"), *each, STILL) for each in asked]
    return judged(beats(result, "sora", ("sora-pixels",), asked), *gates)


def own_action_latent_pays(result: Result) -> Finding:
    asked = [("control", "action_following"), ("prediction", "mse_h4")]
    gate = learnt(result, ("genie",), *asked[0], "no command")
    return judged(beats(result, "genie", ("genie-one-code",), asked), gate)


def sora_pictures_best(result: Result) -> Finding:
    there = {d.metric for d in result.differences if d.question == "prediction"}
    asked = {h: ("prediction", f"alone_psnr_h{h}") for h in HORIZONS if f"alone_psnr_h{h}" in there}
    found = {h: beats(result, "sora", ("genie", "jepa"), [each])[0] for h, each in asked.items()}
    word, evidence = beats(result, "sora", ("genie", "jepa"), list(asked.values()))
    if word == "not tested":
        return word, evidence
    gate = learnt(result, ("sora",), "prediction", "alone_mse_h1", STILL)
    return judged((word, (_where(found), *evidence, *_by_design(result))), gate)


def _where(found: Mapping[int, Word]) -> str:
    """At which horizons it holds."""
    held = [str(h) for h, word in found.items() if word == "supported"]
    rest = [str(h) for h, word in found.items() if word != "supported"]
    return f"best at {', '.join(held) or 'none'} frames ahead" + (f", not at {', '.join(rest)}" if rest else "")


def _by_design(result: Result) -> list[str]:
    """Of sora: whether it can be commanded, and what it learnt from. Told, not judged."""
    commands = [
        r for r in result.rows if (r.route, r.metric, r.status) == ("sora", "action_following", "not_applicable")
    ]
    supervision = result.ledger.get("sora", {}).get("total", {}).get("supervision", ())
    told = [f"sora, {r.question}/{r.metric}: n/a, {r.reason}" for r in commands]
    return told + ([f"sora learnt from {', '.join(supervision)}"] if supervision else [])


def generative_films_break(result: Result) -> Finding:
    return _parts([part for route in GENERATIVE for part in (*_unclean(result, route), *_beyond(result, route))])


def _unclean(result: Result, route: str) -> list[Part]:
    found = row(result, route, "hallucination", "clean_fraction")
    if found is None or found.high is None or found.ceiling is None:
        return []
    return [("supported" if found.high < found.ceiling else "refuted", say(found), shows(result, route))]


def _beyond(result: Result, route: str) -> list[Part]:
    """Of each law, whether velocities are worse beyond the range of training than within it: intervals do not touch."""
    parts: list[Part] = []
    for law in LAWS:
        within, beyond = (row(result, route, "physics", f"{law}_{span}") for span in ("in", "out"))
        if within is None or beyond is None or None in (within.low, within.high, beyond.low, beyond.high):
            continue
        word: Word = "supported" if _above(beyond, within) else "refuted" if _above(within, beyond) else "not separable"
        gate = learnt(result, (route,), "physics", f"{law}_in", "freeze")
        parts.append((word, f"{say(beyond)}; within the range {say(within)}", gate))
    return parts


def _above(first: Row, second: Row) -> bool:
    return first.low is not None and second.high is not None and first.low > second.high


def _parts(parts: Sequence[Part]) -> Finding:
    """The verdict on which all that have learnt agree; the others are told, not judged."""
    word = agreed([word for word, _, (passed, _) in parts if passed])
    return word, tuple(text if passed else f"not judged: {text} ({why})" for _, text, (passed, why) in parts)


def commands_obeyed(result: Result) -> Finding:
    found = beats(result, "genie", ("no command",), [("control", "action_following")])
    return judged(_with_rows(result, "genie", found, ("control", "action_following")), foresees(result, "genie"))


def more_is_better(result: Result) -> Finding:
    quality = beats(result, "sora", ("genie",), [("prediction", "alone_psnr_h1")])
    name = "next_frame_error_"
    amounts = [r.metric.removeprefix(name) for r in result.rows if r.question == "budget" and r.metric.startswith(name)]
    budgets = [row(result, "genie", "budget", name + amount) for amount in sorted(set(amounts), key=float)]
    known = [r for r in budgets if r is not None and r.low is not None]
    if len(known) < 2 or quality[0] == "not tested":
        return "not tested", ()
    first, last = known[0], known[-1]
    grown: Word = "supported" if _above(first, last) else "refuted" if _above(last, first) else "not separable"
    evidence = (*quality[1], *map(say, known))
    word = "refuted" if "refuted" in (grown, quality[0]) else agreed([grown, quality[0]])
    return judged((word, evidence), foresees(result, "genie"))


def latent_actions_are_controls(result: Result) -> Finding:
    continuous = row(result, "genie", "control", "code_r2") is not None
    asked = ("control", "code_r2" if continuous else "nmi")
    found = beats(result, "genie", ("shuffled labels", "one code for all"), [asked])
    return _with_rows(result, "genie", found, asked)


def policy_from_video(result: Result) -> Finding:
    asked = [("imitation", f"return_ratio_{labels}") for labels in LABELS]
    return _with_rows(result, "genie", beats(result, "genie", ("random policy",), asked), *asked)


def state_holds_more(result: Result) -> Finding:
    return beats(result, "jepa", ("sora", "genie", "untrained encoder"), [("understanding", "velocity_r2")])


def state_films_stay_clean(result: Result) -> Finding:
    found = beats(result, "jepa", GENERATIVE, [("hallucination", "clean_fraction")])
    return judged(found, *(shows(result, route) for route in ROUTES))


def plans_in_latent_space(result: Result) -> Finding:
    asked = [("planning", "success_25_50"), ("planning", "success_25_50_actor")]
    return _with_rows(result, "jepa", beats(result, "jepa", ("random policy", "stay policy"), asked), *asked)


def law_in_the_state(result: Result) -> Finding:
    law = result.data.get("exam", {}).get("world_options", {}).get("task", "uniform")
    free, formulas = "jepa-free", ("", "_code")
    named = difference(result, "physics", f"{law}_out", "jepa-second-order", free)
    pair = ("jepa-second-order" if named else "jepa", free)
    found = beats(result, pair[0], pair[1:], [("physics", f"{law}_out{formula}") for formula in formulas])
    return judged(found, *(learnt(result, pair, "physics", f"{law}_in{formula}", "freeze") for formula in formulas))


def state_makes_video(result: Result) -> Finding:
    return judged(beats(result, "jepa", (STILL,), [("prediction", "mse_h8")]), shows(result, "jepa"))


def only_two_predict(result: Result) -> Finding:
    asked = [("understanding", "position_r_h8")]
    found = [beats(result, one, ("jepa-joint",), asked) for one in ("jepa", "jepa-generative")]
    words, evidence = [word for word, _ in found], tuple(text for _, texts in found for text in texts)
    for word in ("not tested", "refuted", "not separable"):
        if word in words:
            return word, evidence
    return "supported", evidence


def runs_on_without_action(result: Result) -> Finding:
    parts: list[Part] = []
    for route in ROUTES:
        d = difference(result, "physics", "passive_error_h8", route, STILL)
        if d is not None:
            parts.append((all_better([d], route, expected=1)[0], tell(d), shows(result, route)))
    return _parts(parts)


def _with_rows(result: Result, route: str, found: Finding, *asked: tuple[str, str]) -> Finding:
    """The route's own rows before the comparisons."""
    rows = [row(result, route, *each) for each in asked]
    word, evidence = found
    return word, (*(say(r) for r in rows if r is not None), *evidence) if evidence else ()


# ------------------------------------------------------------------------------------------ claims

SHOWS = (
    "its next frame, under controls of its own, is separably nearer the truth than the last one, and the true frames, "
    "encoded and decoded by it, have the bodies nearer (by value) than the best guess without learning"
)
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
        "given the first frames alone, sora's frames 1, 4, 8 and 16 ahead are separably better in PSNR than genie's "
        "and jepa's, at each of these; refuted where one is separably worse; tested only where the squared error of "
        "its next frame is separably below that of the last one. Whether it can be commanded, and what it learnt "
        "from, is told beside it",
        sora_pictures_best,
    ),
    (
        "C4",
        "Generative models do not learn physical law, so they hallucinate",
        "for sora and genie, whichever is there: left alone for 32 frames, its films keep their bodies less often than "
        "the simulator's (the interval lies below the parser's ceiling); and, in `motion`, for each law, velocities "
        "err more beyond the range of training than within it (the intervals do not touch). These are no pairs on the "
        f"same items, so there is no p to correct. Films are judged only where {SHOWS}; velocities only where, within "
        "the range, the route errs separably less than a world at rest. Where these disagree, not separable",
        generative_films_break,
    ),
    (
        "C5",
        "Genie-like: interactive from unlabelled video",
        "the avatar obeys commanded latent actions separably more often than when nothing is commanded; tested only "
        "where genie's next frame, under its own codes, is separably nearer the truth than the last one",
        commands_obeyed,
    ),
    (
        "C5b",
        "Genie-like: quality lower, improves with scale",
        "from the first frames alone, sora's next frame is separably better in PSNR than genie's; and genie's "
        "next-frame error after the largest budget is below that after the smallest (intervals do not touch: other "
        "models, no pairs, so no p). Tested only where one comparison holds several budgets, and where, after "
        "the largest, genie's next frame is separably nearer the truth than the last one",
        more_is_better,
    ),
    (
        "C6",
        "LAM actions agree with the real controls",
        "mutual information of latent and true actions (of continuous ones, the part of their variance that is told) "
        "is separably above that of shuffled labels and of one code",
        latent_actions_are_controls,
    ),
    (
        "C6b",
        "A policy can be had from video alone",
        "a policy cloned from unlabelled films by genie's codes, which 10, 50, 200 and 1000 labelled steps name, earns "
        "separably more than a random one, with each number of labels",
        policy_from_video,
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
        f"than sora's and than genie's; tested only where of each of the three {SHOWS}",
        state_films_stay_clean,
    ),
    (
        "C8",
        "JEPA's action is an actor with a state: planning works in latent space",
        "success by search, and success by the actor alone, are each separably above those of a random and of a "
        "resting policy",
        plans_in_latent_space,
    ),
    (
        "C9",
        "A physical law can be put into the state",
        "beyond the range of training, films of a state whose velocity moves its place (`jepa-second-order`, or "
        "`jepa`) err separably less in velocity than those of a state that is free (`jepa-free`), by either formula; "
        "tested only where one of the two, within the range, errs separably less than a world at rest",
        law_in_the_state,
    ),
    (
        "C10",
        "State -> video is possible after all",
        "eight frames ahead, films decoded from jepa's predicted states are separably nearer the truth than the last "
        f"frame; tested only where {SHOWS}",
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
        f"simulator has them than they were when last seen. A route is judged only where {SHOWS}; where routes "
        "disagree, not separable",
        runs_on_without_action,
    ),
)

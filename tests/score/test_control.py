"""Control: hand-worked tables, and players that obey, that are deaf, or whose codes have collapsed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import CodePlayer, CopyLast, Deaf, DeafOracle, OneCode, Player, seat
from scipy.cluster.vq import kmeans2
from scipy.stats import entropy
from scipy.stats.contingency import crosstab

from threeworlds.score import control
from threeworlds.score.exam import GIVEN, Measured, differences_of, rows_of
from threeworlds.types import ActionSpec, Batch

# Three codes, two actions: counts [[3, 1], [0, 2], [1, 1]], 8 steps.
CODES = np.array([[0, 0, 0, 0], [1, 1, 2, 2]])
ACTIONS = np.array([[0, 0, 0, 1], [1, 1, 0, 1]])

# --------------------------------------------------------------------------------------- closed forms


def test_contingency_counts():
    np.testing.assert_array_equal(control.contingency(CODES, ACTIONS), [[3, 1], [0, 2], [1, 1]])


def test_purity_by_hand():
    assert control.purity(CODES, ACTIONS) == pytest.approx((3 + 2 + 1) / 8)


def test_normalised_mutual_information_by_hand():
    # H(code) = 1.5 bits, H(action) = 1 bit; H(action | code) = 4/8 h(1/4) + 2/8 * 0 + 2/8 * 1
    conditional = 0.5 * -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75)) + 0.25
    assert control.normalised_mutual_information(CODES, ACTIONS) == pytest.approx((1 - conditional) / np.sqrt(1.5))


def test_mutual_information_is_that_of_scipy():
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 5, 500)
    codes = np.where(rng.random(500) < 0.6, actions * 2 % 7, rng.integers(0, 7, 500))
    joint = crosstab(codes, actions).count / 500
    p, q = joint.sum(1), joint.sum(0)
    expected = entropy(joint.ravel(), np.outer(p, q).ravel()) / np.sqrt(entropy(p) * entropy(q))
    assert control.normalised_mutual_information(codes, actions) == pytest.approx(expected)


@pytest.mark.parametrize("statistic", [control.purity, control.normalised_mutual_information])
def test_a_renaming_of_the_actions_agrees_wholly_and_names_do_not_matter(statistic):
    actions = np.random.default_rng(0).integers(0, 5, (10, 12))
    assert statistic(np.array([3, 0, 9, 1, 5])[actions], actions) == pytest.approx(1)
    assert statistic(CODES, ACTIONS) == pytest.approx(statistic(np.array([4, 2, 7])[CODES], 1 - ACTIONS))


def test_one_code_for_all_tells_nothing():
    assert control.normalised_mutual_information(np.zeros_like(ACTIONS), ACTIONS) == 0
    assert control.normalised_mutual_information(CODES, np.ones_like(CODES)) == 0
    assert control.purity(np.zeros_like(ACTIONS), ACTIONS) == 0.5  # the commonest action


def test_independent_codes_tell_nearly_nothing():
    rng = np.random.default_rng(0)
    codes, actions = rng.integers(0, 6, 20_000), rng.integers(0, 5, 20_000)
    assert control.normalised_mutual_information(codes, actions) < 0.002


# ------------------------------------------------------------------------------- continuous actions


def test_correlation_ratio_by_hand():
    actions = np.array([[0.0, 2, 10, 12]])[..., None]  # mean 6, squares 36 + 16 + 16 + 36
    assert control.correlation_ratio(np.array([[0, 0, 1, 1]]), actions) == pytest.approx(100 / 104)
    assert control.correlation_ratio(np.array([[0, 1, 0, 1]]), actions) == pytest.approx(4 / 104)
    untold = np.array([[0.0, 20, 0, 20]])[..., None]  # squares 400
    both = np.concatenate([actions, untold], axis=-1)
    assert control.correlation_ratio(np.array([[0, 0, 1, 1]]), both) == pytest.approx(100 / 504)


def test_correlation_ratio_is_the_r2_of_a_line_on_indicators():
    rng = np.random.default_rng(0)
    codes, actions = rng.integers(0, 5, (30, 7)), rng.normal(size=(30, 7, 2))
    actions[..., 0] += codes
    which = np.eye(5)[codes.ravel()]
    flat = actions.reshape(-1, 2)
    rest = flat - which @ np.linalg.lstsq(which, flat, rcond=None)[0]
    expected = 1 - (rest**2).sum() / ((flat - flat.mean(0)) ** 2).sum()
    assert control.correlation_ratio(codes, actions) == pytest.approx(expected)
    assert control.correlation_ratio(np.array([3, 0, 9, 1, 7])[codes], actions) == pytest.approx(expected)


def test_what_does_not_vary_or_is_not_told_has_no_correlation_ratio():
    assert control.correlation_ratio(CODES, np.ones((2, 4, 3))) == 0
    assert control.correlation_ratio(np.zeros_like(CODES), np.random.default_rng(0).normal(size=(2, 4, 1))) == 0


def test_clusters_are_those_there_are():
    actions = np.array([[0.0, 0, 5, 5, 9, 9]])[..., None]
    for count in (3, 8):
        assert control.correlation_ratio(control.clusters(actions, count), actions) == pytest.approx(1)
    spread = np.random.default_rng(0).normal(size=(40, 5, 2))
    told = [control.correlation_ratio(control.clusters(spread, count), spread) for count in (2, 4, 16)]
    assert 0.2 < told[0] < told[1] < told[2] < 1


def test_clusters_are_the_best_of_several_starts():
    rng = np.random.default_rng(0)
    actions = (10 * rng.normal(size=(9, 1, 2)) + rng.normal(size=(9, 20, 2))).reshape(6, 30, 2)
    starts = [kmeans2(actions.reshape(-1, 2), 9, iter=50, minit="++", seed=seed)[1] for seed in range(8)]
    found = [control.correlation_ratio(labels, actions) for labels in starts]
    assert max(found) > found[0] + 0.001
    assert control.correlation_ratio(control.clusters(actions, 9), actions) == pytest.approx(max(found))


class Named:
    """Tells every step's action by the cluster it falls in, under a name of its own."""

    n_codes = 10

    def __init__(self, exam):
        self.exam, self.clusters = exam, control.clusters(exam.test.action.double().numpy(), self.n_codes)

    def infer_codes(self, video):
        assert torch.equal(video, self.exam.test.video)
        return torch.from_numpy(9 - self.clusters)


def test_codes_of_continuous_actions_are_judged_by_what_they_tell(rooms):
    entrants = [seat("named", Named(rooms)), seat("collapsed", OneCode()), seat("copier", CopyLast())]
    measured = {m.metric: m for m in control.codes_against_actions(rooms, entrants)}
    assert set(measured) == {"purity", "nmi", "code_r2"}
    told = {row.route: row for row in rows_of(measured["code_r2"], rooms, entrants)}
    assert told["named"].value == pytest.approx(told["named"].ceiling)
    assert 0.6 < told["named"].value < 1
    assert told["named"].ceiling_name == "as many clusters of the true actions"
    assert told["collapsed"].value == 0 < told["collapsed"].floor < 0.1  # by chance a shuffled label tells a little
    assert (told["copier"].status, told["copier"].reason) == ("not_applicable", control.NO_ACTIONS)
    found = {(d.first, d.second): d.verdict for d in differences_of(measured["code_r2"], rooms)}
    assert found["named", "shuffled labels"] == found["named", "one code for all"] == "first better"
    for metric in ("purity", "nmi"):
        assert {row.status for row in rows_of(measured[metric], rooms, entrants)} == {"not_applicable"}


def test_clips_without_actions_have_nothing_to_compare_codes_with(rooms):
    silent = replace(rooms, test=replace(rooms.test, action=None))
    measured = control.codes_against_actions(silent, [seat("collapsed", OneCode())])
    assert {m.metric for m in measured} == {"purity", "nmi"}
    assert all("no discrete actions" in m.absent["collapsed"] for m in measured)


# ------------------------------------------------------------------------------------ wrong controls


@pytest.mark.parametrize(("kind", "kinds"), [(CodePlayer, 10), (Player, 5)])
def test_wrong_controls_are_all_wrong_and_only_from_the_future(kind, kinds, arena):
    entrant = seat("player", kind(arena))
    right = control.controls_of(entrant, arena)
    wrong = control._wrong(entrant, arena, right)
    assert torch.equal(wrong[:, : GIVEN - 1], right[:, : GIVEN - 1])
    assert (wrong[:, GIVEN - 1 :] != right[:, GIVEN - 1 :]).all()
    assert wrong.min() >= 0 and wrong.max() == kinds - 1
    assert torch.equal(wrong, control._wrong(entrant, arena, right))
    assert not torch.equal(wrong, control._wrong(entrant, replace(arena, seed=arena.seed + 1), right))


def test_wrong_continuous_controls_are_other_ones_in_range(rooms):
    entrant = seat("player", Player(rooms))
    wrong = control._wrong(entrant, rooms, rooms.test.action)
    assert torch.equal(wrong[:, : GIVEN - 1], rooms.test.action[:, : GIVEN - 1])
    assert (wrong[:, GIVEN - 1 :] != rooms.test.action[:, GIVEN - 1 :]).all()
    assert wrong.abs().max() <= 1


# --------------------------------------------------------------------------------- planted entrants


@pytest.fixture(scope="module")
def entrants(arena):
    models = {
        "player": Player(arena),
        "coder": CodePlayer(arena),
        "deaf": Deaf(),
        "seer": DeafOracle(arena),
        "collapsed": OneCode(),
        "copier": CopyLast(),
    }
    return [seat(name, model) for name, model in models.items()]


@pytest.fixture(scope="module")
def answers(arena, entrants):
    return control.ask(arena, entrants)


@pytest.fixture(scope="module")
def rows(arena, entrants, answers):
    return {(row.metric, row.route): row for measured in answers.measured for row in rows_of(measured, arena, entrants)}


def verdicts(answers, arena, metric) -> dict[tuple[str, str], str]:
    measured: Measured
    (measured,) = (measured for measured in answers.measured if measured.metric == metric)
    return {(d.first, d.second): d.verdict for d in differences_of(measured, arena)}


def test_codes_that_are_the_actions_agree_wholly(rows, answers, arena):
    for metric in ("purity", "nmi"):
        row = rows[metric, "coder"]
        assert row.value == pytest.approx(1 if metric == "purity" else np.sqrt(1 / row_entropy_ratio(arena)), abs=0.02)
        assert verdicts(answers, arena, metric)["coder", "shuffled labels"] == "first better"
        assert verdicts(answers, arena, metric)["coder", "one code for all"] == "first better"


def row_entropy_ratio(arena) -> float:
    """H(code) / H(action) where each action has two codes, equally often: one bit more."""
    h = entropy(np.bincount(arena.test.action.flatten()), base=2)
    return (h + 1) / h


def test_collapsed_codes_are_the_floor_and_no_better(rows, answers, arena):
    assert rows["nmi", "collapsed"].value == 0
    assert rows["purity", "collapsed"].value <= rows["purity", "collapsed"].floor  # shuffled labels look purer still
    assert verdicts(answers, arena, "purity")["collapsed", "one code for all"] == "not separable"
    assert verdicts(answers, arena, "nmi")["collapsed", "one code for all"] == "not separable"
    assert verdicts(answers, arena, "nmi")["coder", "collapsed"] == "first better"


@pytest.mark.parametrize("route", ["deaf", "seer", "collapsed"])
def test_who_ignores_actions_wins_half_and_gains_nothing(route, rows, answers, arena):
    wins, gain = rows["right_code_wins", route], rows["delta4_psnr", route]
    assert (wins.value, wins.floor, gain.value, gain.floor) == (0.5, 0.5, 0, 0)
    assert verdicts(answers, arena, "right_code_wins")[route, "chance"] == "not separable"
    assert verdicts(answers, arena, "delta4_psnr")[route, "actions ignored"] == "not separable"


@pytest.mark.parametrize("route", ["deaf", "seer", "collapsed"])
def test_who_ignores_actions_follows_no_better_than_with_no_command(route, rows, answers, arena):
    row = rows["action_following", route]
    assert row.value == row.floor < 0.5
    assert row.floor_name == "no command"
    assert verdicts(answers, arena, "action_following")[route, "no command"] == "not separable"


@pytest.mark.parametrize("route", ["player", "coder"])
def test_who_obeys_follows_as_the_simulator_does(route, rows, answers, arena):
    row = rows["action_following", route]
    assert row.value == row.ceiling > 0.9
    assert row.ceiling_name == "the simulator"
    assert row.low < row.value  # Wilson: sure of nothing
    assert verdicts(answers, arena, "action_following")[route, "no command"] == "first better"


@pytest.mark.parametrize("route", ["player", "coder"])
def test_who_obeys_is_better_off_with_the_right_actions(route, rows, answers, arena):
    assert rows["right_code_wins", route].value > 0.8
    assert rows["delta4_psnr", route].value > 5
    assert verdicts(answers, arena, "right_code_wins")[route, "chance"] == "first better"
    assert verdicts(answers, arena, "delta4_psnr")[route, "actions ignored"] == "first better"


def test_who_takes_no_actions_is_told_so(rows):
    for metric in ("purity", "nmi", "right_code_wins", "delta4_psnr", "action_following"):
        row = rows[metric, "copier"]
        assert (row.status, row.reason) == ("not_applicable", control.NO_ACTIONS)


def test_play_films_show_the_four_directions(answers):
    shown = {(film.item, film.route) for film, _ in answers.films}
    assert {("hold left", "player"), ("hold up", "coder")} <= shown
    frames = {film.item: frames for film, frames in answers.films if film.route == "player"}
    left, right = frames["hold left"], frames["hold right"]
    np.testing.assert_array_equal(left[:GIVEN], right[:GIVEN])
    assert not np.array_equal(left[GIVEN], right[GIVEN])


# --------------------------------------------------------------------------------------- commands


def test_the_code_map_names_a_code_that_means_the_action(arena):
    model = CodePlayer(arena)
    meaning = control.code_map(seat("coder", model), arena)
    assert model.actions[torch.from_numpy(meaning)].tolist() == [0, 1, 2, 3, 4]


def test_the_code_map_prefers_a_code_often_seen_to_one_seen_once(arena):
    codes = torch.full((40, 19), 1)
    codes[0, 0] = 2  # by chance, with the action that code 1 commands
    actions = torch.ones(40, 19, dtype=torch.long)
    actions[1, :5] = 0  # code 1 now and then comes with another one
    model = type("Fixed", (), {"n_codes": 3, "infer_codes": lambda self, video: codes[: len(video)]})()
    exam = replace(arena, train=Batch(video=arena.train.video, action=actions))
    assert control.code_map(seat("fixed", model), exam)[1] == 1


def test_commands_need_room_and_are_drawn_by_seed(arena):
    commands = control._draw_commands(arena)
    places = control._avatar(arena, arena.given)[:, -1]
    for command, (x, y) in zip(commands, places, strict=True):
        assert {"left": x, "right": 1 - x, "up": 1 - y, "down": y}[command] > control.ROOM
    assert commands == control._draw_commands(arena)
    assert commands != control._draw_commands(replace(arena, seed=1))
    assert set(commands) == set(control.HEADINGS)


def test_a_start_without_an_avatar_is_left_out(arena):
    video = arena.test.video.clone()
    video[3] = -0.9
    exam = replace(arena, test=replace(arena.test, video=video))
    commands = control._draw_commands(exam)
    assert commands[3] is None
    obeyed = control._goes_there(exam, exam.future, commands)
    assert np.isnan(obeyed[3]) and not np.isnan(obeyed[:3]).any()


@pytest.mark.parametrize(
    ("moved", "obeys"),
    [((0.2, 0.0), 1), ((0.09, 0.0), 0), ((-0.2, 0.0), 0), ((0.2, 0.19), 1), ((0.2, -0.21), 0), ((0.0, 0.0), 0)],
)
def test_to_obey_is_to_go_that_way_far_enough_and_mainly_that_way(moved, obeys, arena, monkeypatch):
    start = np.full((1, GIVEN, 2), 0.5)
    ahead = np.full((1, control.HELD, 2), 0.5) + np.array(moved)
    monkeypatch.setattr(control, "_avatar", lambda exam, video: start if video is exam_given else ahead)
    exam_given = "given"
    exam = type("ExamOfOne", (), {"given": exam_given})()
    assert control._goes_there(exam, "future", ["right"]).tolist() == [obeys]


def test_an_avatar_that_vanishes_does_not_obey(arena):
    nothing = torch.full_like(arena.future, -0.9)
    assert control._goes_there(arena, nothing, ["left"] * 40).tolist() == [0] * 40


# -------------------------------------------------------------------- where there is nothing to ask


def test_without_an_avatar_there_are_no_commands(rooms):
    entrant = seat("deaf", Deaf())
    (row,) = (m for m in control.ask(rooms, [entrant]).measured if m.metric == "action_following")
    assert "no avatar" in row.absent["deaf"]


def test_without_true_actions_codes_are_not_compared(arena):
    spec = replace(arena.spec, action=ActionSpec(), world="")
    exam = replace(
        arena, spec=spec, world=None, test=Batch(video=arena.test.video), train=Batch(video=arena.train.video)
    )
    entrant = seat("collapsed", OneCode())
    rows = {row.metric: row for m in control.ask(exam, [entrant]).measured for row in rows_of(m, exam, [entrant])}
    assert "no discrete actions" in rows["nmi"].reason
    assert "no avatar" in rows["action_following"].reason
    assert rows["right_code_wins"].value == 0.5  # latent actions need no true ones


# ------------------------------------------------------------------------------- steps with an effect


def test_purity_over_kept_steps_by_hand():
    kept = np.array([[1, 1, 1, 0], [1, 1, 0, 1]], bool)  # leaves [[3, 0], [0, 2], [0, 1]] of 6 steps
    assert control.purity(CODES, ACTIONS, kept) == 1


def test_effective_steps_are_those_where_staying_would_have_ended_elsewhere(arena):
    """The simulator says so: step on from each state under the action, and under none."""
    simulator, speed = arena.world.simulator(), 5 / 64
    effective = control.effective_steps(arena)
    actions = arena.test.action.numpy()
    assert effective.shape == actions.shape and not effective.all()
    for item, t in np.ndindex(8, actions.shape[1]):
        ends = []
        for action in (actions[item, t], 0):
            simulator.load(arena.test.state[item, t].numpy())
            ends.append(simulator.step(int(action))[:2])
        differs = np.linalg.norm(ends[0] - ends[1]) > control.PUSHED * speed
        assert effective[item, t] == (differs or actions[item, t] == 0)


def test_without_a_known_avatar_no_step_is_left_out(arena):
    assert control.effective_steps(replace(arena, test=Batch(action=arena.test.action))) is None


def test_a_push_against_a_wall_is_beyond_whoever_sees_only_the_avatar_move(rows, arena):
    purity, effective = rows["purity", "coder"], rows["purity_effective", "coder"]
    assert purity.ceiling_name == effective.ceiling_name == "seeing the avatar move"
    assert 0.8 < purity.ceiling < 0.98
    assert effective.ceiling == effective.value == 1
    assert purity.value == 1  # planted: it was told the actions


def test_where_there_is_one_code_right_and_wrong_are_alike(arena):
    model = type("Single", (OneCode,), {"n_codes": 1})()
    entrant = seat("single", model)
    right = control.controls_of(entrant, arena)
    assert torch.equal(control._wrong(entrant, arena, right), right)


# -------------------------------------------------------------------------------------- step by step


def along(*places):
    """Places of an avatar in one box, the start first: what `_avatar` gives for the given frames and for a film."""
    start, ahead = np.full((1, GIVEN, 2), places[0]), np.array(places[1:])[None]
    return lambda exam, video: start if video is exam.given else ahead


@pytest.mark.parametrize(
    ("places", "part"),
    [
        ([(0.2, 0.5), (0.28, 0.5), (0.36, 0.5), (0.44, 0.5)], 1),
        ([(0.2, 0.5), (0.2, 0.5), (0.36, 0.5), (0.44, 0.5)], 2 / 3),  # late: it gets there all the same
        ([(0.2, 0.5), (0.5, 0.5), (0.5, 0.5), (0.5, 0.5)], 1 / 3),  # one jump
        ([(0.2, 0.5), (0.22, 0.5), (0.24, 0.5), (0.26, 0.5)], 0),  # too slow
        ([(0.2, 0.5), (0.28, 0.6), (0.36, 0.7), (0.44, 0.8)], 0),  # mainly another way
        ([(0.2, 0.5), (0.28, 0.5), (np.nan, np.nan), (0.44, 0.5)], 1 / 3),  # gone, and back
    ],
)
def test_a_step_obeys_by_itself(places, part, monkeypatch):
    monkeypatch.setattr(control, "_avatar", along(*places))
    exam = type("ExamOfOne", (), {"given": "given"})()
    assert control._steps_there(exam, "future", ["right"]).tolist() == pytest.approx([part])
    assert np.isnan(control._steps_there(exam, "future", [None])).all()


def test_steps_have_a_floor_a_ceiling_and_an_interval(rows):
    for route in ("player", "coder"):
        row = rows["action_following_steps", route]
        assert row.value == row.ceiling > 0.95 and row.ceiling_name == "the simulator"
        assert row.floor < 0.5 and row.floor_name == "no command"
        assert row.low < row.value <= row.high and row.n == 40  # commands: their steps are not independent
    assert rows["action_following_steps", "deaf"].value == rows["action_following_steps", "deaf"].floor


class LateStarter(Player):
    """It stays for the first step of every command, and makes up for it in the second."""

    def simulate(self, item, actions):
        start = self.exam.test.video[item, GIVEN - 1 : GIVEN]
        return torch.cat([start, super().simulate(item, actions)[1:]])


def test_who_is_late_obeys_in_all_and_not_in_each_step(arena):
    entrant = seat("late", LateStarter(arena))
    measured = {m.metric: m for m in control.ask(arena, [entrant]).measured}
    whole, each = (
        rows_of(measured[name], arena, [entrant])[0] for name in ("action_following", "action_following_steps")
    )
    assert whole.value > 0.9
    assert each.value == pytest.approx(2 / 3, abs=0.05) and each.low < each.value < each.high


# --------------------------------------------------------------------------------------------- in use

COUNTS = np.array([[3, 1, 0, 0], [1, 3, 0, 0]])  # two of four codes, alike


def test_use_by_hand():
    assert control.part_used(COUNTS) == 0.5
    assert control.perplexity(COUNTS) == pytest.approx(2)
    assert control.perplexity(np.array([[9, 0], [1, 0]])) == 1
    assert control.perplexity(np.ones((3, 8))) == pytest.approx(8)
    (counts,) = control._counts(torch.tensor([[[0, 0], [0, 1]], [[1, 1], [1, 0]]]), 4)
    assert (counts == COUNTS).all()


def test_codes_in_use_are_told_and_a_collapse_is_the_floor(rows, answers, arena):
    coder, collapsed = rows["code_perplexity", "coder"], rows["code_perplexity", "collapsed"]
    assert coder.value > 8 and coder.low < coder.value <= coder.high < coder.ceiling == pytest.approx(10)
    assert coder.ceiling_name == "every code alike"
    assert collapsed.value == collapsed.floor == 1 and collapsed.floor_name == "one code for all"
    assert verdicts(answers, arena, "code_perplexity")["coder", "one code for all"] == "first better"
    used = rows["codes_used", "coder"]
    assert (used.value, used.low, used.floor) == (1, None, None) and "No floor, by design: " in used.protocol
    assert rows["codes_used", "collapsed"].value == pytest.approx(0.1)
    assert rows["codes_used", "deaf"].reason == control.NO_ACTIONS


class TokenMaker(OneCode):
    """Two tokens a frame, of four: the first two, in turn."""

    n_tokens = 4

    def tokenize(self, video):
        return (torch.arange(2 * video.shape[1]) % 2).view(-1, 2).expand(len(video), -1, -1)


def test_tokens_in_use_are_told_where_there_are_any(rows, arena):
    entrant = seat("genie", TokenMaker())
    found = {m.metric: rows_of(m, arena, [entrant])[0] for m in control.ask(arena, [entrant]).measured}
    assert found["tokens_used"].value == 0.5 and found["tokens_used"].unit == "of the tokens"
    row = found["token_perplexity"]
    assert row.value == pytest.approx(2) and row.ceiling == pytest.approx(4)
    assert row.floor is None and "No floor, by design: " in row.protocol
    assert rows["tokens_used", "coder"].reason == control.NO_TOKENS


def test_the_protocol_says_in_how_many_passes_frames_were_made(arena):
    class Refiner(CodePlayer):
        passes, passes_in_play = 6, 2

    entrants = [seat("genie", Refiner(arena)), seat("deaf", Deaf())]
    told = {m.metric: m.protocol for m in control.ask(arena, entrants).measured}
    for metric in ("right_code_wins", "delta4_psnr", "action_following", "action_following_steps"):
        assert told[metric].endswith("; genie makes a frame in 6 passes (in play 2)")
    assert "passes" not in told["purity"]

"""The exam: which items are drawn, and how items become rows and differences."""

from dataclasses import replace

import numpy as np
import pytest

from threeworlds.data import ClipStore, ClipWriter
from threeworlds.score.exam import GIVEN, Entrant, Exam, Measured, build_exam, corrected, differences_of, rows_of
from threeworlds.score.stats import mean_interval, paired_difference, wilson
from threeworlds.types import Batch, ClipSpec
from threeworlds.worlds import WORLDS, collect


def write(path, world, episodes, **options) -> ClipStore:
    with ClipWriter(path, WORLDS[world].spec()) as writer:
        for clip in collect(world, episodes=episodes, seed=0, **options):
            writer.add(clip)
    return ClipStore.open(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ClipStore:
    """60 episodes of arena: 6 of them for testing."""
    return write(tmp_path_factory.mktemp("clips") / "arena", "arena", 60)


@pytest.fixture(scope="module")
def exam(store) -> Exam:
    return build_exam(store, items=5, seed=0)


def episodes_of(batch: Batch, store: ClipStore) -> list[tuple[int, int]]:
    """(episode, first frame) of every window, found by its state."""
    places = {}
    for episode in range(len(store)):
        offset = store.offset(episode)
        for start in range(store.length(episode)):
            places[store.state[offset + start].tobytes()] = (episode, start)
    return [places[item[0].numpy().tobytes()] for item in batch.state]


# ----------------------------------------------------------------------------------------------- items


def test_items_are_held_out_episodes_each_once(exam, store):
    test = [episode for episode, _ in episodes_of(exam.test, store)]
    assert len(set(test)) == len(test) == 5
    assert set(test) <= set(store.split("test").tolist())


def test_probes_see_training_episodes_only(exam, store):
    train = [episode for episode, _ in episodes_of(exam.train, store)]
    assert len(set(train)) == len(train) == len(store.split("train"))
    assert set(train) <= set(store.split("train").tolist())


def test_the_same_seed_draws_the_same_items_and_another_seed_others(exam, store):
    again, other = build_exam(store, items=5, seed=0), build_exam(store, items=5, seed=1)
    np.testing.assert_array_equal(exam.test.video, again.test.video)
    np.testing.assert_array_equal(exam.train.state, again.train.state)
    assert exam.test.caption == again.test.caption
    assert episodes_of(exam.test, store) != episodes_of(other.test, store)


def test_fewer_items_are_the_first_of_more_and_no_more_than_there_are(exam, store):
    few, many = build_exam(store, items=2, seed=0), build_exam(store, items=1000, seed=0)
    np.testing.assert_array_equal(few.test.video, exam.test.video[:2])
    assert len(many.test.video) == len(store.split("test"))


def test_a_window_is_given_frames_then_the_future(exam):
    assert (exam.given.shape[1], exam.future.shape[1], exam.horizons) == (GIVEN, 16, (1, 4, 8, 16))
    assert exam.test.action.shape == (5, 19)
    assert exam.spec.world == exam.world.name == "arena"


def test_the_openings_begin_with_the_episode_and_its_first_caption(exam, store):
    episodes = [episode for episode, _ in episodes_of(exam.test, store)]
    for item, episode in enumerate(episodes):
        first = store.clip(episode)
        pixels = ((exam.opening.video[item].movedim(1, -1) + 1) * 127.5).round().byte().numpy()
        np.testing.assert_array_equal(pixels, first.video[:16])
        assert exam.opening.caption[item] == first.captions[0].text


def test_short_clips_shorten_the_horizon(tmp_path):
    exam = build_exam(write(tmp_path / "short", "rooms", 20, steps=9), items=2, seed=0)
    assert (exam.future.shape[1], exam.horizons, exam.opening) == (5, (1, 4), None)


def test_options_of_the_world_are_remembered(store):
    assert build_exam(store, items=1, seed=0, options={"shapes": (1,)}).options == {"shapes": (1,)}


# ------------------------------------------------------------------------------------------------ rows


@pytest.fixture
def desk() -> Exam:
    """An exam that only lends its seed and its name."""
    return Exam(spec=ClipSpec(height=8, width=8, fps=10), world=None, test=Batch(), train=Batch(), seed=3)


def measured_of(**changes) -> Measured:
    given = {
        "question": "prediction",
        "metric": "psnr_h1",
        "unit": "dB",
        "direction": "higher",
        "protocol": "said",
        "values": {"sora": np.array([1.0, 2, 3, 4])},
    }
    return Measured(**(given | changes))


def row_of(measured, exam, route="sora"):
    (row,) = rows_of(measured, exam, [Entrant(route=route, model=None, checkpoint="folder")])
    return row


def test_a_row_says_what_was_measured(desk):
    row = row_of(measured_of(), desk)
    assert (row.value, row.n, row.status) == (2.5, 4, "ok")
    assert 1 <= row.low < 2.5 < row.high <= 4
    assert (row.world, row.checkpoint, row.seed, row.protocol) == ("video", "folder", 3, "said")
    assert (row.floor, row.floor_name, row.ceiling, row.ceiling_name) == (None, "", None, "")


@pytest.mark.parametrize(("direction", "floor", "ceiling"), [("higher", "strong", "top"), ("lower", "weak", "low")])
def test_the_floor_and_the_ceiling_are_the_hardest_to_beat(direction, floor, ceiling, desk):
    measured = measured_of(
        direction=direction,
        floors={"weak": np.zeros(4), "strong": np.ones(4)},
        ceilings={"top": np.full(4, 9.0), "low": np.full(4, 8.0)},
    )
    row = row_of(measured, desk)
    assert (row.floor_name, row.floor) == (floor, {"weak": 0, "strong": 1}[floor])
    assert (row.ceiling_name, row.ceiling) == (ceiling, {"top": 9, "low": 8}[ceiling])


def test_a_route_has_its_own_floor_and_ceiling_and_no_other_route_has_it(desk):
    measured = measured_of(
        values={"sora": np.arange(4.0), "genie": np.arange(4.0)},
        floors={"shared": np.zeros(4)},
        own_floors={"sora": ("its twin", np.full(4, 0.5))},
        own_ceilings={"genie": ("its own reconstruction", np.full(4, 7.0))},
    )
    sora, genie = row_of(measured, desk), row_of(measured, desk, "genie")
    assert (sora.floor_name, sora.floor, sora.ceiling) == ("its twin", 0.5, None)
    assert (genie.floor_name, genie.ceiling_name, genie.ceiling) == ("shared", "its own reconstruction", 7)


def test_who_cannot_answer_has_a_reason_and_no_number(desk):
    measured = measured_of(absent={"jepa": "by design"}, floors={"copy": np.zeros(4)})
    row = row_of(measured, desk, "jepa")
    assert (row.status, row.reason, row.value, row.floor) == ("not_applicable", "by design", None, None)
    assert row_of(measured, desk, "genie").reason == "not asked"


def test_a_ready_made_interval_is_passed_through(desk):
    ready = wilson(3, 4)
    row = row_of(measured_of(intervals={"sora": ready}, values={"sora": np.array([1.0, 1, 1, 0])}), desk)
    assert (row.value, row.low, row.high, row.n) == (ready.value, ready.low, ready.high, 4)


def test_items_that_say_nothing_are_left_out_and_nothing_at_all_is_no_number(desk):
    row = row_of(measured_of(values={"sora": np.array([1.0, np.nan, 3])}, floors={"f": np.array([np.nan, 0, 2])}), desk)
    assert (row.value, row.n, row.floor) == (2, 2, 1)
    row = row_of(measured_of(values={"sora": np.full(3, np.nan)}), desk)
    assert (row.status, row.value, row.low, row.n) == ("ok", None, None, 0)


# ------------------------------------------------------------------------------------------ references


def test_a_row_holds_every_floor_and_ceiling_with_its_interval(desk):
    weak, top, twin = np.array([0.0, 1, 0, 2]), np.array([8.0, 9, 9, 7]), np.array([1.0, 2, 2, 2])
    measured = measured_of(
        values={"sora": np.arange(4.0), "genie": np.arange(4.0)},
        floors={"weak": weak, "none": np.zeros(4)},
        ceilings={"top": top},
        own_floors={"genie": ("its twin", twin)},
    )
    sora, genie = row_of(measured, desk), row_of(measured, desk, "genie")
    assert {name: found.kind for name, found in sora.references.items()} == {
        "weak": "floor", "none": "floor", "top": "ceiling",
    }  # fmt: skip
    assert genie.references.keys() - sora.references.keys() == {"its twin"}
    for name, items in (("weak", weak), ("top", top), ("its twin", twin)):
        expected, found = mean_interval(items, seed=3), genie.references[name]
        assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    assert genie.references[genie.floor_name].value == genie.floor
    assert genie.references[genie.ceiling_name].value == genie.ceiling
    assert row_of(replace(measured, absent={"jepa": "by design"}), desk, "jepa").references == {}


def test_successes_of_a_reference_are_counted_as_those_of_a_route_are(desk):
    won, lost = np.array([1.0, 1, 1, 0]), np.zeros(4)
    counted = measured_of(
        values={"sora": won}, intervals={"sora": wilson(3, 4)}, floors={"lost": lost, "chance": np.full(4, 0.5)}
    )
    found = row_of(counted, desk).references
    assert (found["lost"].value, found["lost"].low, found["lost"].high) == (0, 0, wilson(0, 4).high)
    assert (found["chance"].low, found["chance"].high) == (0.5, 0.5)  # known, not counted
    assert row_of(replace(counted, intervals={}), desk).references["lost"].high == 0  # a mean as any other


def test_references_of_a_statistic_and_of_films_are_drawn_as_their_routes_are(desk):
    rng = np.random.default_rng(0)
    items, other = (rng.normal(size=12), np.ones(12)), (rng.normal(size=12) - 1, np.ones(12))
    measured = measured_of(values={"sora": items}, floors={"f": other}, statistic=spread)
    told = row_of(replace(measured, values={"sora": other}), desk)
    found = row_of(measured, desk).references["f"]
    assert (found.value, found.low, found.high) == (told.value, told.low, told.high)
    filmed = row_of(measured, replace(desk, groups=tuple(f"film {i // 4}" for i in range(12)))).references["f"]
    assert (filmed.low, filmed.high) != (found.low, found.high)


def spread(a, b):
    return float(np.mean(a) - np.mean(b))


def test_a_statistic_is_called_with_all_its_arrays(desk):
    items, other = (np.array([4.0, 6, 8]), np.array([1.0, 1, 1])), (np.array([2.0, 2, 2]), np.array([1.0, 1, 1]))
    measured = measured_of(values={"sora": items}, floors={"f": other}, statistic=spread)
    row = row_of(measured, desk)
    assert (row.value, row.floor, row.n) == (5, 1, 3)
    (difference,) = differences_of(measured, desk)
    assert (difference.value, difference.n, difference.verdict) == (4, 3, "first better")


def gap(a, b):
    """Smallest where b holds what a holds: a draw that repeats items can only be farther away."""
    return float(np.abs(np.sort(a) - np.arange(len(a))).mean() + 0 * b.sum())


def test_the_interval_of_a_distance_holds_it_and_stops_at_zero(desk):
    items = (np.arange(30.0), np.ones(30))
    row = row_of(measured_of(values={"sora": items}, statistic=gap, distance=True, direction="lower"), desk)
    assert (row.value, row.low) == (0, 0)
    assert row.high > 0
    far = (np.arange(30.0) + 100, np.ones(30))
    row = row_of(measured_of(values={"sora": far}, statistic=gap, distance=True, direction="lower"), desk)
    assert row.value - row.low == pytest.approx(row.high - row.value)
    both = measured_of(values={"sora": items, "genie": far}, statistic=gap, distance=True, direction="lower")
    (difference,) = differences_of(both, desk)
    assert difference.low < difference.value == -100 < difference.high < 0  # a difference may be under zero


# ----------------------------------------------------------------------------------------- differences


def test_every_pair_of_routes_and_every_route_against_its_floors(desk):
    measured = measured_of(
        values={"sora": np.arange(4.0), "genie": np.arange(4.0), "jepa": np.arange(4.0)},
        floors={"copy": np.zeros(4)},
        own_floors={"jepa": ("its twin", np.zeros(4))},
    )
    assert [(d.first, d.second) for d in differences_of(measured, desk)] == [
        ("sora", "genie"),
        ("sora", "jepa"),
        ("genie", "jepa"),
        ("sora", "copy"),
        ("genie", "copy"),
        ("jepa", "copy"),
        ("jepa", "its twin"),
    ]


def test_differences_are_paired(desk):
    """Two routes a hair apart on items that differ widely: only a paired comparison can tell them apart."""
    rng = np.random.default_rng(0)
    hard = rng.normal(20, 5, 50)
    values = {"sora": hard + 0.1 + 0.01 * rng.normal(size=50), "genie": hard}
    measured = measured_of(values=values)
    (difference,) = differences_of(measured, desk)
    assert difference.verdict == "first better"
    expected = paired_difference(values["sora"], values["genie"], seed=3)
    assert (difference.value, difference.low, difference.high) == (expected.value, expected.low, expected.high)
    assert row_of(measured, desk).low < row_of(measured, desk, "genie").high  # the two intervals overlap
    (lower,) = differences_of(replace(measured, direction="lower"), desk)
    assert lower.verdict == "second better"


def test_differences_of_a_statistic_resample_the_same_items(desk):
    rng = np.random.default_rng(0)
    hard, ones = rng.normal(20, 5, 50), np.ones(50)
    measured = measured_of(values={"sora": (hard + 0.1, ones), "genie": (hard, ones)}, statistic=spread)
    (difference,) = differences_of(measured, desk)
    assert difference.verdict == "first better"
    assert difference.high - difference.low < 1e-6


def test_holm_is_applied_over_the_whole_table(desk):
    """A difference that stands alone falls when it is one of many looked at; a strong one stands."""
    rng = np.random.default_rng(0)
    weak, strong = rng.normal(0.4, 1, 40), rng.normal(3, 1, 40)
    columns = {"weak": weak, "strong": strong, **{f"none{i}": rng.normal(size=40) for i in range(30)}}
    table = []
    for metric, values in columns.items():
        measured = measured_of(values={"sora": values}, floors={"0": np.zeros(40)})
        table += differences_of(replace(measured, metric=metric), desk)
    alone, together = table[0], {d.metric: d for d in corrected(table)}
    assert alone.verdict == corrected([alone])[0].verdict == "first better"
    assert together["weak"].verdict == "not separable"
    assert together["strong"].verdict == "first better"
    assert together["strong"].p == pytest.approx(32 * table[1].p)
    assert (together["weak"].value, together["weak"].low) == (alone.value, alone.low)


def test_an_unknown_p_separates_nothing(desk):
    (alone,) = differences_of(measured_of(values={"sora": np.ones(1)}, floors={"0": np.zeros(1)}), desk)
    assert (corrected([alone])[0].p, corrected([alone])[0].verdict) == (None, "not separable")


def test_windows_of_one_film_are_one_item(desk):
    values = np.random.default_rng(0).normal(1, 1, 12)
    measured = measured_of(values={"sora": values}, floors={"0": np.zeros(12)}, intervals={"sora": wilson(6, 12)})
    filmed = replace(desk, groups=tuple(f"film {i // 4}" for i in range(12)))
    assert row_of(measured, filmed).n == 3
    assert differences_of(measured, filmed)[0].n == 3
    assert row_of(measured, replace(desk, groups=("film",) * 12)).n == 12  # they speak of this film alone
    own = replace(measured, windows=False)
    assert row_of(own, filmed).n == 12
    assert differences_of(own, filmed)[0].n == 12


def test_groups_come_from_the_clips(tmp_path):
    clips = list(collect("arena", episodes=60, seed=0))
    with ClipWriter(tmp_path / "clips", WORLDS["arena"].spec()) as writer:
        for i, clip in enumerate(clips):
            writer.add(replace(clip, group=f"film {i // 3}"))
    exam = build_exam(ClipStore.open(tmp_path / "clips"), items=8, seed=0)
    assert len(exam.groups) == len(exam.test.video) > len(set(exam.groups))
    assert all(group.startswith("film ") for group in exam.groups)

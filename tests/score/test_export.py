"""Folders for other benchmarks: by their names, and read back by worldproof itself."""

import json
import re
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from planted import CopyLast, Knower, Player, SameFilm, seat

from threeworlds.cli.films import write_film
from threeworlds.score.exam import GIVEN
from threeworlds.score.export import export_films
from threeworlds.score.films import to_uint8

ROOT = Path(__file__).parents[2]


def write(frames, path, fps):
    write_film(frames, path, fps=fps)


def frames_of(path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture(scope="module")
def few(arena):
    """Three items of the arena's exam: films take long to write."""

    first = {name: getattr(arena.test, name)[:3] for name in ("video", "action", "state", "caption")}
    opening = replace(arena.opening, video=arena.opening.video[:3], caption=("a disc", "a disc", "a square"))
    return replace(arena, test=replace(arena.test, **first), opening=opening)


def test_physics_iq_finds_each_film_by_its_number_and_its_truth_beside_it(few, tmp_path):
    assert export_films("physics-iq", few, seat("jepa", CopyLast()), tmp_path, write) == 3
    made = sorted((tmp_path / "jepa").iterdir())
    assert made[0].name == "0001_perspective-center_trimmed-arena-0001.mp4"
    assert frames_of(made[0]) == 16
    real = tmp_path / "physics-IQ-benchmark" / "split-videos" / "testing-videos" / "10FPS"
    for path in made:  # the benchmark's own way from one name to the other
        number, view, scene = path.name.split("_")
        assert (real / f"{number}_testing-videos_10FPS_{view}_take-1_{scene}").is_file()


def test_vbench_reads_the_prompt_and_its_index_from_the_name(few, tmp_path):
    assert export_films("vbench", few, seat("sora", SameFilm(few)), tmp_path, write) == 3
    names = sorted(path.name for path in (tmp_path / "sora").glob("*.mp4"))
    assert names == ["a disc-0.mp4", "a disc-1.mp4", "a square-0.mp4"]
    prompts = json.loads((tmp_path / "sora" / "prompts.json").read_text())
    assert prompts == {name: re.sub(r"-\d+\.mp4$", "", name) for name in names}
    assert frames_of(tmp_path / "sora" / "a square-0.mp4") == 16


def test_worldproof_reads_what_was_written_for_it_without_loss(few, tmp_path):
    adapters = pytest.importorskip("worldproof.adapters")
    model = Player(few)
    assert export_films("worldproof", few, seat("jepa", model), tmp_path, write) == 3
    found = list(adapters.iter_rollouts(tmp_path / "jepa"))
    assert len(found) == 3
    made = to_uint8(model.predict(few.given, 16, action=few.test.action).video)
    for item, rollout in enumerate(found):
        np.testing.assert_array_equal(rollout.context, to_uint8(few.given[item]))
        np.testing.assert_array_equal(rollout.predictions[0], made[item])
        np.testing.assert_array_equal(rollout.ground_truth, to_uint8(few.future[item]))
        np.testing.assert_array_equal(rollout.actions, few.test.action[item, GIVEN - 1 :])
        assert (rollout.metadata.model_id, rollout.metadata.fps) == ("jepa", 10.0)


@pytest.mark.parametrize(
    ("layout", "model", "cause"),
    [
        ("vbench", CopyLast, "films from words: jepa makes none"),
        ("physics-iq", Knower, "jepa makes no pictures"),
        ("film", CopyLast, "layout 'film'; allowed: physics-iq, vbench, worldproof"),
    ],
)
def test_what_cannot_be_exported_is_refused(layout, model, cause, few, tmp_path):
    made = model(few) if model is Knower else model()
    with pytest.raises(ValueError, match=cause):
        export_films(layout, few, seat("jepa", made), tmp_path, write)


def test_films_of_an_earlier_export_are_not_mixed_with_new_ones(few, tmp_path):
    (tmp_path / "jepa").mkdir()
    with pytest.raises(ValueError, match="jepa holds an earlier export"):
        export_films("worldproof", few, seat("jepa", CopyLast()), tmp_path, write)


def test_the_command_writes_a_folder_a_route(tmp_path, monkeypatch):
    from threeworlds.cli import main

    monkeypatch.setattr("os.cpu_count", lambda: 1)
    words = f"export {ROOT / 'zoo'}/arena-jepa-base --layout physics-iq --items 2 --out {tmp_path / 'films'}"
    assert main(words.split()) == 0
    assert len(list((tmp_path / "films" / "jepa").glob("*.mp4"))) == 2
    assert {path.name for path in (tmp_path / "films").iterdir()} == {"jepa", "physics-IQ-benchmark"}

"""Films come in at the right size, rate and time, with their words and actions; bad files cost only themselves."""

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_clips import film, scene
from PIL import Image

from threeworlds.data import ClipStore, DataError, IngestReport, films, ingest, scenes, sidecars


def run(folder: Path, **options: object) -> tuple[IngestReport, ClipStore]:
    out = folder.parent / "clips"
    report = ingest(folder, out, **{"size": (32, 32), "progress": iter} | options)
    return report, ClipStore.open(out)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    return tmp_path / "films"


def clock_face(t: int) -> np.ndarray:
    """64 x 64: the frame's number as a grey level, in steps of four, above a stripe that moves."""
    frame = np.full((64, 64, 3), 4 * t % 256, np.uint8)
    frame[56:, (t * 8) % 64 : (t * 8) % 64 + 8] = 255
    return frame


LOSSLESS = {"fps": 10, "codec": "ffv1", "pixels": "bgr0"}
FORMATS = {
    "a.mp4": {},
    "b.webm": {"codec": "libvpx-vp9"},
    "c.gif": {"codec": "gif", "pixels": "rgb8", "fps": 10, "frames": 20},
    "d.mkv": {},
    "e.avi": {"codec": "mpeg4"},
    "f.mov": {},
}


def test_every_format_is_read(folder: Path) -> None:
    for seed, (name, options) in enumerate(FORMATS.items()):
        film(folder / name, scene(seed), **options)
    report, store = run(folder)
    assert list(report.kept) == list(FORMATS)
    assert report.quarantined == {}
    assert {name: kept.frames for name, kept in report.kept.items()} == dict.fromkeys(FORMATS, 20)
    assert [clip.group for clip in store] == list(FORMATS)
    assert store.clip(0).source == "a.mp4#0"
    expected = scene(0)(0)[:, 16:112].reshape(32, 3, 32, 3, 3).mean(axis=(1, 3))  # centre crop, area average
    assert np.abs(store.video(0)[0] - expected).mean() < 6  # what the codec loses
    json.dumps(report.as_mapping())


@pytest.mark.parametrize(
    ("source", "fps", "shown"), [(30, 10, [0, 3, 6]), (25, 10, [0, 2, 5, 7, 10]), (5, 10, [0, 0, 1, 1])]
)
def test_the_rate_changes_by_time_stamps(folder: Path, source: int, fps: int, shown: list[int]) -> None:
    film(folder / "a.mkv", clock_face, 2 * source, fps=source, codec="ffv1", pixels="bgr0")
    _, store = run(folder, fps=fps, crop="none", size=(64, 64), scene_threshold=1.0)
    levels = np.concatenate([clip.video[:, 0, 0, 0] for clip in store])
    assert len(levels) == 2 * fps
    assert levels[: len(shown)].tolist() == [4 * t for t in shown]


def test_a_film_that_starts_late_starts_at_its_first_frame(folder: Path) -> None:
    film(folder / "a.mkv", clock_face, times=range(25, 45), **LOSSLESS)
    _, store = run(folder, crop="none", size=(64, 64), scene_threshold=1.0)
    assert (store.video(0)[:, 0, 0, 0] // 4).tolist() == list(range(25, 45))


def test_a_gap_in_time_is_a_cut(folder: Path) -> None:
    film(folder / "a.mkv", clock_face, times=[*range(25), *range(40, 60)], **LOSSLESS)
    report, store = run(folder, crop="none", size=(64, 64), scene_threshold=1.0)
    assert report.kept["a.mkv"].scenes == 2
    levels = [(clip.video[:, 0, 0, 0] // 4).tolist() for clip in store]
    assert levels == [list(range(25)), list(range(40, 60))]


def test_motion_that_never_rests_is_not_cut() -> None:
    change = np.array([0.3] * 20 + [0.8] + [0.3] * 20 + [0.05] * 20 + [0.4] + [0.05] * 20)
    assert scenes.cuts(change, threshold=0.12).tolist() == [62]
    assert scenes.cuts(change, threshold=0.5).tolist() == []


def test_crop_and_stretch(folder: Path) -> None:
    def halves(t: int) -> np.ndarray:
        frame = np.zeros((32, 96, 3), np.uint8)
        frame[:, :32, 0] = frame[:, 64:, 2] = 255  # red left, blue right, and between them something that moves
        frame[t % 32, 32:64, 1] = 255
        return frame

    film(folder / "a.mkv", halves, 30, **LOSSLESS)
    _, store = run(folder)
    assert store.video(0)[..., [0, 2]].max() == 0  # the middle square alone
    ingest(folder, folder.parent / "wide", size=(32, 32), crop="none", progress=iter)
    wide = ClipStore.open(folder.parent / "wide").video(0)
    assert wide[:, :, 0, 0].min() == wide[:, :, -1, 2].min() == 255


def test_scenes_are_cut_and_still_stretches_dropped(folder: Path) -> None:
    one, two, three = scene(1), scene(2), scene(3)

    def paint(t: int) -> np.ndarray:
        if t < 30:
            return one(t)
        return two(0) if t < 60 else two(t - 60) if t < 90 else three(t)

    film(folder / "a.mkv", paint, 125, **LOSSLESS)
    report, store = run(folder)
    kept = report.kept["a.mkv"]
    assert kept.scenes == 3
    assert kept.still_frames == 31  # and the first of those that move, which looks the same
    assert kept.frames == 125 - 31
    sources = [int(clip.source.split("#")[1]) for clip in store]
    assert {0, 61, 90} <= set(sources)
    assert all(len(clip.video) <= 64 for clip in store)


def test_a_scene_shorter_than_a_second_is_dropped(folder: Path) -> None:
    film(folder / "a.mkv", lambda t: scene(1 if t < 25 else 2)(t), 30, **LOSSLESS)
    report, _ = run(folder)
    assert (report.kept["a.mkv"].frames, report.kept["a.mkv"].short_frames) == (25, 5)


def test_one_film_still_gives_three_sides(folder: Path) -> None:
    film(folder / "a.mp4", scene(0), 600)
    _, store = run(folder)
    assert store.summary()["split_rule"] == "time"
    last = [store.split(name)[-1] for name in ("train", "val", "test")]
    assert last == sorted(last)
    assert store.split("val")[0] - store.split("train")[-1] == 2  # a gap between


def test_bad_files_are_named_and_cost_no_other(folder: Path, tmp_path: Path) -> None:
    film(folder / "good.mp4", scene(0))
    (folder / "sub").mkdir()
    film(folder / "sub" / "good too.mp4", scene(1))
    (folder / "text.mp4").write_text("this is no film\n" * 50)
    (folder / "script.mp4").write_text(f"ffconcat version 1.0\nfile {folder / 'good.mp4'}\n")
    picture = b"FRAME\n" + bytes(16 * 16 * 3 // 2)
    (folder / "raw.mp4").write_bytes(b"YUV4MPEG2 W16 H16 F10:1 C420\n" + 30 * picture)  # read, were all formats allowed
    (folder / "zero.webm").touch()
    os.mkfifo(folder / "pipe.mp4")
    film(tmp_path / "outside.mp4", scene(3))
    (folder / "outside.mp4").symlink_to(tmp_path / "outside.mp4")
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    with (folder / "huge.mp4").open("wb") as file:
        file.truncate(9 << 30)
    film(folder / "tall.avi", lambda t: np.zeros((2, 2, 3), np.uint8), 2, codec="mpeg4")  # shorter than a second
    whole = film(folder / "end gone.mp4", scene(4)).read_bytes()
    (folder / "end gone.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.md").touch()
    report, store = run(folder)
    assert list(report.kept) == ["good.mp4", "sub/good too.mp4"]
    assert report.ignored == 1
    causes = {
        "text.mp4": "not a readable film",
        "script.mp4": "not a readable film",
        "raw.mp4": "not a readable film",
        "zero.webm": "empty file",
        "pipe.mp4": "not a regular file",
        "outside.mp4": "a link that leads out of the folder",
        "gone.mp4": "a broken link",
        "huge.mp4": "9663676416 bytes; at most",
        "tall.avi": "at least 1 s are needed",
        "end gone.mp4": "not a readable film",
    }
    assert report.quarantined.keys() == causes.keys()
    for name, cause in causes.items():
        assert cause in report.quarantined[name]
    assert store.summary()["ingest"]["files_quarantined"] == len(causes)


def test_a_truncated_film_is_kept_from_a_second_on(folder: Path) -> None:
    for name, part in (("long.mkv", 0.6), ("short.mkv", 0.1)):
        content = film(folder / name, scene(0), 90).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * part)])
    report, _ = run(folder)
    assert list(report.kept) == list(report.truncated) == ["long.mkv"]
    assert "of the 3.0 s it declares" in report.truncated["long.mkv"]
    assert list(report.quarantined) == ["short.mkv"]


def test_too_large_frames_are_refused_before_they_are_decoded(folder: Path) -> None:
    film(folder / "good.mkv", scene(0))
    content = film(folder / "large.avi", scene(1), codec="rawvideo").read_bytes()
    size, larger = struct.pack("<2I", 128, 96), struct.pack("<2I", 8_000, 6_000)
    assert size in content
    (folder / "large.avi").write_bytes(content.replace(size, larger))
    report, _ = run(folder)
    assert list(report.kept) == ["good.mkv"]
    assert report.quarantined["large.avi"] == "frames of 8000 x 6000 pixels; at most 33554432 pixels are read"


def job(tmp_path: Path, path: Path, **changes: object) -> films.Job:
    (tmp_path / "out").mkdir(exist_ok=True)
    fields = {"height": 16, "width": 16, "fps": 10.0, "crop": "centre", "max_seconds": 60.0}
    return films.Job(path=str(path), out=str(tmp_path / "out"), **fields | changes)


def test_a_decoder_that_hangs_or_dies_is_a_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4", scene(0))
    assert "longer than 0.001 s" in films.decode(job(tmp_path, path), time_limit=0.001).error
    (tmp_path / "dies").write_text("#!/bin/sh\nkill -SEGV $$\n")
    (tmp_path / "dies").chmod(0o755)
    monkeypatch.setattr(films.sys, "executable", str(tmp_path / "dies"))
    assert films.decode(job(tmp_path, path), time_limit=60).error == "the decoder died (signal 11)"


def test_a_long_film_is_shortened(folder: Path) -> None:
    film(folder / "a.mp4", scene(0), 120)
    report, store = run(folder, max_seconds=2.5)
    assert report.shortened == ("a.mp4",)
    assert store.total_frames == 25
    assert report.truncated == {}


def test_folders_of_pictures_are_films_in_natural_order(folder: Path, tmp_path: Path) -> None:
    (folder / "walk").mkdir()
    for t in range(30):
        Image.fromarray(clock_face(t)).save(folder / "walk" / f"frame{t}.png")
    (folder / "walk.txt").write_text("a stripe\nwalks")
    (folder / "one").mkdir()
    Image.fromarray(clock_face(0)).save(folder / "one" / "only.png")
    Image.fromarray(clock_face(0)).save(tmp_path / "secret.png")
    (folder / "walk" / "frame30.png").symlink_to(tmp_path / "secret.png")
    report, store = run(folder, size=(64, 64))
    assert store.video(0)[:, 0, 0, 0].tolist() == [4 * t for t in range(30)]
    assert store.clip(0).captions[0].text == "a stripe walks"
    assert report.quarantined == {
        "one": "one picture is not a film; two or more are needed",
        "walk/frame30.png": "a link that leads out of the folder",
    }


def test_a_broken_picture_ends_the_film(folder: Path) -> None:
    for t in range(30):
        Image.fromarray(clock_face(t)).save(folder / f"{t}.png")
    (folder / "20.png").write_bytes((folder / "20.png").read_bytes()[:60])
    report, store = run(folder)
    assert store.total_frames == 20
    assert report.truncated["films"].startswith("reading stops after 2.0 s: 20.png is not a readable picture")


def test_captions_by_time(folder: Path) -> None:
    for name in "abcd":
        film(folder / f"{name}.mp4", scene(ord(name)), 90)
    (folder / "a.txt").write_text("all of  it\n")
    (folder / "b.json").write_text(
        '{"captions": [{"start": 0, "stop": 1, "text": "one"}, {"start": 1, "text": "rest"}]}'
    )
    (folder / "c.json").write_text('{"captions": [{"begin": 0}]}')
    (folder / "captions.csv").write_text('file,start,stop,text\nd.mp4,0.5,1.5,"half, then"\na.mp4,,,unused\n')
    report, store = run(folder)
    found = [[(c.start, c.stop, c.text) for c in clip.captions] for clip in store]
    assert found == [[(0, 30, "all of it")], [(0, 10, "one"), (10, 30, "rest")], [], [(5, 15, "half, then")]]
    assert "c.json: not captions" in report.kept["c.mp4"].notes[0]
    assert store.spec.captioned


def test_actions_follow_the_frames(folder: Path) -> None:
    for name in "abc":
        film(folder / f"{name}.mp4", scene(ord(name)), 90)
    ramp = np.linspace(-1, 1, 89)
    np.save(folder / "a.actions.npy", np.stack([ramp, -ramp], 1))
    (folder / "b.actions.csv").write_text("gas,wheel\n" + "\n".join(f"{x},{0.0}" for x in ramp) + "\nnan,0\n")
    (folder / "c.actions.csv").write_text("gas,wheel\n" + "0.5,nan\n" * 89)
    report, store = run(folder)
    assert store.spec.action.kind == "continuous"
    assert store.spec.action.size == 2
    first = store.clip(0).action
    assert len(first) == store.length(0) - 1
    np.testing.assert_allclose(first[:, 0], [ramp[3 * k : 3 * k + 3].mean() for k in range(len(first))], rtol=1e-5)
    np.testing.assert_allclose(store.clip(1).action[:, 0], first[:, 0], rtol=1e-5)  # its last row is not read
    assert store.clip(2).action is None
    assert report.kept["c.mp4"].notes == ("c.actions.csv: an action is not a number in [-1, 1]",)


def test_discrete_actions_keep_the_most_frequent(folder: Path) -> None:
    film(folder / "a.mp4", scene(0), 90)
    film(folder / "b.mp4", scene(1), 90)
    film(folder / "c.mp4", scene(2), 90)
    values = np.array([[2, 7, 7], [1, 4, 3]] * 15).ravel()
    np.save(folder / "a.actions.npy", values)
    np.save(folder / "b.actions.npy", values[:50])
    (folder / "c.actions.csv").write_text("key\n" + "\n".join(map(str, values)))
    report, store = run(folder)
    assert store.spec.action.kind == "discrete"
    assert store.spec.action.size == 8
    assert store.clip(0).action[:4].tolist() == store.clip(2).action[:4].tolist() == [7, 1, 7, 1]
    assert report.kept["b.mp4"].notes == (
        "b.actions.npy: 50 actions for 90 source frames; needed: one less, or as many",
    )


def test_a_minority_of_another_kind_of_action_is_left_out(folder: Path) -> None:
    for name in "abc":
        film(folder / f"{name}.mp4", scene(ord(name)), 60)
        np.save(folder / f"{name}.actions.npy", np.zeros((59, 2 if name == "a" else 3)))
    report, store = run(folder)
    assert store.spec.action.size == 3
    assert store.has_action.tolist() == [False, True, True]
    assert "another kind" in report.kept["a.mp4"].notes[0]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00garbage", np.array([{}], object).dumps()])
def test_a_sidecar_that_is_no_array_is_a_note(folder: Path, content: bytes) -> None:
    film(folder / "a.mp4", scene(0))
    (folder / "a.actions.npy").write_bytes(content)
    report, _ = run(folder)
    assert "a.actions.npy: not a NumPy array" in report.kept["a.mp4"].notes[0]


def test_sidecars_outside_the_folder_are_not_read(folder: Path, tmp_path: Path) -> None:
    film(folder / "a.mp4", scene(0))
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "a.txt").symlink_to(tmp_path / "secret.txt")
    report, store = run(folder)
    assert report.kept["a.mp4"].notes == ("a.txt: a link that leads out of the folder",)
    assert not store.spec.captioned


def test_same_folder_same_store(folder: Path) -> None:
    for seed in range(4):
        film(folder / f"{seed}.mp4", scene(seed), 45)
    _, first = run(folder)
    ingest(folder, folder.parent / "again", size=(32, 32), progress=iter)
    assert ClipStore.open(folder.parent / "again").hash == first.hash


def test_progress_sees_every_film(folder: Path) -> None:
    film(folder / "a.mp4", scene(0))
    film(folder / "b.mp4", scene(1))
    seen = []

    def watch(paths: list[Path]) -> object:
        for path in paths:
            seen.append(path.name)
            yield path

    run(folder, progress=watch)
    assert seen == ["a.mp4", "b.mp4"]


def test_a_folder_without_films_says_why(folder: Path) -> None:
    (folder / "text.mp4").write_text("no film")
    with pytest.raises(DataError, match=r"no film that can be used\n  text.mp4: not a readable film"):
        run(folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["films"]  # no remains


@pytest.mark.parametrize(
    "options", [{"size": (0, 4)}, {"fps": 0}, {"crop": "left"}, {"scene_threshold": 2}, {"max_seconds": 0}]
)
def test_senseless_requests_are_refused(folder: Path, options: dict[str, object]) -> None:
    with pytest.raises(DataError, match="given; allowed"):
        run(folder, **options)


def test_pieces_are_even_and_long_enough() -> None:
    for frames in range(1, 400):
        for longest in (24, 40, 64):
            lengths = [b - a for a, b in scenes.pieces(5, 5 + frames, longest)]
            assert sum(lengths) == frames
            assert max(lengths) - min(lengths) <= 1
            assert min(lengths) >= min(frames, 24)
            assert max(lengths) <= max(longest, 47)


def test_a_frame_shown_twice_repeats_its_action() -> None:
    actions = sidecars.Actions(values=np.array([3, 1, 2]))
    assert sidecars.actions_of(actions, np.array([0, 0, 1, 3])).tolist() == [3, 3, 1]
    continuous = replace(actions, values=np.array([[0.3], [0.1], [0.2]], np.float32))
    np.testing.assert_allclose(sidecars.actions_of(continuous, np.array([0, 0, 1, 3]))[:, 0], [0.3, 0.3, 0.15])

"""The command line as a person meets it: help, errors in one line, exit codes."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from threeworlds.cli import console, main
from threeworlds.cli.app import parse
from threeworlds.cli.overrides import override

ROOT = Path(__file__).parents[2]
COMMANDS = ("compare", "train", "score", "report", "imagine", "play", "plan", "actions", "worlds", "data", "info")
DATA_COMMANDS = ("generate", "ingest", "caption", "info", "verify")
ALL = [(name,) for name in COMMANDS] + [("data", name) for name in DATA_COMMANDS]


def run(*words: object) -> int:
    return main([str(word) for word in words])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def help_of(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "clips"
    assert run("data", "generate", "--episodes", 30, "--out", path) == 0
    return path


@pytest.fixture(scope="session")
def trained(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model of each route, trained for two steps a stage or so."""
    folder = tmp_path_factory.mktemp("trained")
    for route in ("sora", "genie", "jepa"):
        words = ("--recipe", "debug", "--data", clips, "--budget", "4steps", "--out", folder / route)
        assert run("train", route, *words) == 0
    return {route: folder / route for route in ("sora", "genie", "jepa")}


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of((), capsys)
    assert all(f"• {name}" in shown for name in COMMANDS)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_and_every_flag_has_help(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of(words, capsys)
    assert shown.split("\n\n")[1].strip()  # the sentence under the usage line
    lines = [line.strip("│| ") for line in shown.splitlines()]
    flags = [i for i, line in enumerate(lines) if re.match("--[a-z]", line)]
    assert flags or words in (("data",), ("report",), ("data", "info"), ("data", "verify"))
    for i in flags:  # help stands beside a flag or, when that is long, under it
        told = lines[i].partition("  ")[2].strip() or lines[i + 1]
        assert told, f"no help for {lines[i]}"
        assert not told.startswith(("--", "(")), f"no help for {lines[i]}"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("threeworlds ")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    """As `threeworlds train --help | head -1` does; the pipe is closed before a word is read."""
    reader, writer = os.pipe()
    os.close(reader)
    ours = "from threeworlds.cli import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", ours, "train", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_an_unknown_command_or_flag_is_refused() -> None:
    for words in (["comapre"], ["info", "--colour"], []):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 2


def test_flags_reach_the_command() -> None:
    command = parse(shlex.split("compare --video films --routes sora,jepa --budget 2m --seed 7 --items 50 --out o"))
    expected = {"video": Path("films"), "routes": "sora,jepa", "budget": "2m", "seed": 7, "items": 50}
    assert {name: getattr(command, name) for name in expected} == expected


ERRORS = {
    "unknown world": (("data", "generate", "--world", "arenna", "--out", "{tmp}/c"), "arena"),
    "no store": (("data", "info", "{tmp}/none"), "none"),
    "no card": (("info", "{tmp}/none"), "none"),
    "not a card": (("info", "{tmp}/torn"), "not JSON"),
    "no result": (("report", "{tmp}/none"), "none"),
    "no model": (("imagine", "--checkpoint", "{tmp}/none"), "none"),
    "unknown recipe": (("train", "sora", "--recipe", "huge", "--out", "{tmp}/r"), "debug, small, base"),
    "unknown route": (("train", "sorra", "--out", "{tmp}/r"), "routes: sora, genie, jepa"),
    "bad budget": (("train", "sora", "--budget", "4 parsecs", "--out", "{tmp}/r"), "4 parsecs"),
    "unknown route to price": (("info", "--price", "dreamer"), "sora, genie, jepa"),
    "no sizes to price": (("info", "--price", "captioner"), "these have some: sora, genie, jepa"),
    "out without prices": (("info", "--out", "{tmp}/p.json"), "goes with --price"),
    "bad assignment": (("train", "sora", "--set", "generator.width", "--print-config"), "KEY=VALUE"),
    "bad suffix": (("worlds", "--world", "arena", "--film", "{tmp}/film.xyz"), ".gif, .mp4, .png"),
    "nothing to score": (("score", "--out", "{tmp}/s"), "at least one"),
    "negative seed": (("train", "sora", "--seed", "-1", "--out", "{tmp}/r"), "seed -1 given; it must be from 0"),
    "seed too large": (("worlds", "--world", "arena", "--seed", "99999999999"), "it must be from 0 to 4294967295"),
    "no items": (("compare", "--items", "0", "--out", "{tmp}/c"), "items 0 given; it must be at least 1"),
    "share out of range": (
        ("train", "sora", "--recipe", "debug", "--set", "autoencoder.share=2", "--episodes", "10", "--out", "{tmp}/r"),
        "each must be above 0",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_one_red_line_and_exit_code_2(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THREEWORLDS_DEBUG", raising=False)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "card.json").write_text("{")
    words, told = ERRORS[name]
    assert run(*(word.format(tmp=tmp_path) for word in words)) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert told in shown
    assert "Traceback" not in shown
    assert len(shown.strip().splitlines()) == 1


LOADERS = {
    "imagine": ("imagine", "--checkpoint", "{none}"),
    "plan": ("plan", "{none}"),
    "play": ("play", "{none}"),
    "actions": ("actions", "--checkpoint", "{none}"),
    "score": ("score", "{none}", "--out", "{none}-scores"),
    "export": ("export", "{none}", "--layout", "vbench", "--out", "{none}-films"),
    "check": ("check", "{none}"),
    "zoo add": ("zoo", "add", "{none}"),
    "data caption": ("data", "caption", "{none}", "--checkpoint", "{none}"),
}


@pytest.mark.parametrize("name", LOADERS)
def test_where_no_model_is_the_zoo_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    none = tmp_path / "none"
    none.mkdir()
    assert run(*(word.format(none=none) for word in LOADERS[name])) == 2
    shown = capsys.readouterr().err
    assert f"{none}: no model there" in shown
    assert "`threeworlds zoo list`" in shown
    assert "Errno" not in shown
    assert parse(["zoo", "list"])  # it is named rightly


def test_debug_shows_the_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREEWORLDS_DEBUG", "1")
    with pytest.raises(FileNotFoundError):
        run("info", tmp_path / "none")


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        int("a")  # the interpreter's own ValueError, raised under this test's frame, not under ours

    monkeypatch.setattr("threeworlds.worlds.collect", broken)
    with pytest.raises(ValueError, match="invalid literal"):
        run("worlds", "--world", "arena")


def test_interrupting_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("threeworlds.worlds.collect", interrupt)
    assert run("worlds", "--world", "arena") == 130
    assert "interrupted" in capsys.readouterr().err


def test_worlds_lists_every_world(capsys: pytest.CaptureFixture[str]) -> None:
    from threeworlds.worlds import WORLDS

    assert run("worlds") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in WORLDS)


def test_generated_clips_depend_on_the_seed_alone(clips: Path, tmp_path: Path) -> None:
    from threeworlds.data import ClipStore

    for seed, out in ((0, "same"), (1, "other")):
        assert run("data", "generate", "--episodes", 30, "--seed", seed, "--out", tmp_path / out) == 0
    original = ClipStore.open(clips).hash
    assert ClipStore.open(tmp_path / "same").hash == original
    assert ClipStore.open(tmp_path / "other").hash != original


def test_data_info_and_verify(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "info", clips) == 0
    assert run("data", "verify", clips) == 0
    assert "30 episodes" in capsys.readouterr().out


def test_a_captioner_is_trained_scored_and_put_to_work(
    clips: Path, trained: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--recipe", "debug", "--data", clips, "--budget", "3steps", "--out", tmp_path / "captioner")
    assert run("train", "captioner", *words) == 0
    scored = ("--items", 3, "--result", tmp_path / "scores.json")
    assert run("data", "caption", clips, "--checkpoint", tmp_path / "captioner", *scored) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["said_right"].keys() >= {"colour", "all"}
    assert "colour (other clips)" in capsys.readouterr().out
    assert run("data", "caption", clips, "--checkpoint", trained["sora"]) == 2
    assert "no captioner" in capsys.readouterr().err


def test_verify_sees_a_changed_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "generate", "--episodes", 12, "--out", tmp_path / "c") == 0
    shard = max((tmp_path / "c").rglob("*.npy"), key=lambda file: file.stat().st_size)
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert run("data", "verify", tmp_path / "c") == 2
    assert shard.name in capsys.readouterr().err


def test_ingest_names_what_it_sets_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.output, "width", 200)  # whole names on one line
    films = tmp_path / "films"
    for seed in (1, 2):
        assert run("worlds", "--world", "arena", "--seed", seed, "--film", films / f"film{seed}.mp4") == 0
    (films / "words.mp4").write_text("this is no film")
    capsys.readouterr()
    assert run("data", "ingest", films, "--size", 32, "--out", tmp_path / "clips") == 0
    kept, aside = capsys.readouterr().out.split("set aside")
    assert "film1.mp4" in kept
    assert "film2.mp4" in kept
    assert "words.mp4" in aside
    assert "film1.mp4" not in aside


def test_print_config_is_json_with_the_change_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--set", "generator.width=48", "--set", "autoencoder.channels=4,4,8", "--print-config")
    assert run("train", "sora", "--recipe", "debug", *words) == 0
    config = json.loads(capsys.readouterr().out)
    assert config["generator"]["width"] == 48
    assert config["autoencoder"]["channels"] == [4, 4, 8]


def test_a_part_may_be_left_out_and_what_is_called_none_is_not_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--set", "critic=none", "--set", "planner.rounds=1", "--set", "actor=null", "--set", "world.guard=none")
    assert run("train", "jepa", "--recipe", "rooms", *words, "--print-config") == 0
    config = json.loads(capsys.readouterr().out)
    assert (config["critic"], config["actor"], config["reward"]) == (None, None, None)
    assert (config["world"]["guard"], config["planner"]["rounds"]) == ("none", 1)


def test_a_part_of_a_part_may_be_left_out() -> None:
    @dataclass(frozen=True)
    class Part:
        width: int = 3
        bound: int | None = 4

    @dataclass(frozen=True)
    class Whole:
        part: Part | None = Part()
        absent: Part | None = None

    assert override(Whole(), ["part.bound=none", "part.width=5"]) == Whole(part=Part(width=5, bound=None))
    assert override(Whole(), ["part=None", "absent.bound=none"]) == Whole(part=None)
    for assignment in ("part.width=none", "part.widht=none"):  # not without
        with pytest.raises(SystemExit):
            override(Whole(), [assignment])


@pytest.mark.parametrize(
    ("assignment", "told"),
    [("generator.widht=3", "generator.width"), ("generator.width=wide", "wide"), ("autoencoder.kind=x", "'conv'")],
)
def test_an_unknown_key_or_a_wrong_value_is_refused(
    assignment: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run("train", "sora", "--recipe", "debug", "--set", assignment, "--print-config")
    assert end.value.code == 2
    assert told in capsys.readouterr().err


def test_train_leaves_a_model_with_a_card(trained: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for route, path in trained.items():
        assert {"model.safetensors", "config.json", "card.json"} <= {file.name for file in path.iterdir()}
        assert run("info", path) == 0
        said = "".join(capsys.readouterr().out.replace("│", " ").split())  # a long command stands on several lines
        assert f"threeworldstrain{route}--dataCLIPS--recipedebug" in said


def test_train_makes_its_own_clips_and_takes_them_up_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("train", "jepa", "--recipe", "debug", "--episodes", 30, "--budget", "3steps")
    assert run(*words) == 0
    assert (tmp_path / "runs/jepa-debug/clips/store.json").exists()
    assert run(*words) == 2  # a run is there already
    assert "resume" in capsys.readouterr().err
    assert run(*words, "--resume") == 0


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short film of the arena."""
    path = tmp_path_factory.mktemp("films") / "clip.gif"
    assert run("worlds", "--world", "arena", "--film", path) == 0
    with Image.open(path) as film:
        frames = []
        for number in range(4):
            film.seek(number)
            frames.append(film.convert("RGB").resize((32, 32)))
    short = path.with_name("short.gif")
    frames[0].save(short, save_all=True, append_images=frames[1:], duration=100)
    return short


TASKS = {  # words -> frames of the film
    "words": (("a small blue square moves up", "--frames", 24, "--size", "64x48"), 24),
    "words to expand": (("blue square", "--expand", "--frames", 3), 3),
    "a still": (("a red disc rests", "--frames", 1), 1),
    "an image": (("--image", "{clip}", "--frames", 5), 6),
    "after": (("a red disc goes left", "--extend", "{clip}", "--frames", 6), 10),
    "before": (("--extend", "{clip}", "--backward", "--frames", 6, "--steps", 1), 10),
    "a loop": (("--loop", "{clip}", "--frames", 2), 6),
    "two films": (("a red disc", "--connect", "{clip}", "{clip}", "--frames", 3, "--guidance", 1.5), 11),
    "an edit": (("a green disc", "--edit", "{clip}", "--strength", 0.4, "--solver", "heun"), 4),
    "an edit without words": (("--edit", "{clip}"), 4),
}


@pytest.mark.parametrize("task", TASKS)
def test_imagine_does_every_task(task: str, trained: dict[str, Path], clip: Path, tmp_path: Path) -> None:
    words, frames = TASKS[task]
    film = tmp_path / "film.png"
    given = [str(word).format(clip=clip) for word in words]
    assert run("imagine", *given, "--checkpoint", trained["sora"], "--out", film) == 0
    h, w = pixels(film).shape[:2]
    assert w == frames * h * (64 / 48 if "64x48" in words else 1)


def test_imagine_goes_on_with_the_other_routes(trained: dict[str, Path], clip: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.png"
    for route in ("genie", "jepa"):
        assert run("imagine", "--checkpoint", trained[route], "--extend", clip, "--frames", 4, "--out", film) == 0
        h, w = pixels(film).shape[:2]
        assert w == 8 * h
        assert pixels(film).std() > 1


def test_how_to_draw_is_handed_on(trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from threeworlds.routes.sora import tasks

    asked, make = [], tasks.text_to_video

    def watched(*given: object, sampling: tasks.Sampling, **others: object) -> object:
        asked.append(sampling)
        return make(*given, sampling=sampling, **others)

    monkeypatch.setattr(tasks, "text_to_video", watched)
    words = ("a red disc", "--solver", "multistep", "--steps", 3, "--guidance", 0.5, "--seed", 7)
    assert run("imagine", *words, "--checkpoint", trained["sora"], "--out", tmp_path / "film.png") == 0
    assert asked == [tasks.Sampling(solver="multistep", steps=3, guidance=0.5, seed=7)]


@pytest.mark.parametrize(("words", "frames"), [(("--extend", "{clip}"), 4 + 10), (("--image", "{clip}"), 1 + 10)])
def test_imagine_streams_and_says_how_fast(
    words: tuple[str, ...], frames: int, clips: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, film = tmp_path / "streams", tmp_path / "film.png"
    made = ("--recipe", "debug", "--set", "generator.causal=True", "--data", clips, "--budget", "4steps")
    assert run("train", "sora", *made, "--out", model) == 0
    given = [word.format(clip=clip) for word in words]
    assert run("imagine", *given, "--stream", "--frames", 10, "--checkpoint", model, "--out", film) == 0
    assert re.search(rf"{frames} frames in \d+\.\d s, \d+\.\d frames/s -> ", capsys.readouterr().out)
    h, w = pixels(film).shape[:2]
    assert w == frames * h


def test_words_alone_make_a_film_with_the_model_in_the_zoo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from threeworlds.worlds import WORLDS

    monkeypatch.chdir(ROOT)
    film = tmp_path / "film.png"
    assert run("imagine", "a large green disc moves left while the avatar stays", "--frames", 8, "--out", film) == 0
    shown = pixels(film)
    frames = np.stack(np.split(shown[:: len(shown) // 32, :: len(shown) // 32], 8, axis=1))
    where = WORLDS["arena"].locate(frames)
    there = {name for name, places in where.items() if np.isfinite(places).all(-1).mean() > 0.5}
    assert there == {"avatar", "green"}
    monkeypatch.chdir(tmp_path)
    assert run("imagine", "a large green disc", "--out", film) == 2
    assert "no folder zoo/ here" in capsys.readouterr().err


def test_a_pretrained_reader_is_given_any_words(
    trained: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader of this model takes any word too, since it hashes them; only its config says that it is another."""
    from threeworlds import train

    load = train.load_model

    def with_another_reader(path: Path) -> object:
        model, card = load(path)
        model.config = replace(model.config, generator=replace(model.config.generator, text="minilm"))
        return model, card

    monkeypatch.setattr(train, "load_model", with_another_reader)
    words = ("a purple cat, dancing", "--frames", 2, "--checkpoint", trained["sora"], "--out", tmp_path / "film.png")
    assert run("imagine", *words) == 0
    assert run("imagine", *words, "--expand") == 2  # the rules would drop what they do not know
    assert "'purple'" in capsys.readouterr().err


REFUSALS = {
    "a folder": (("sora", "--out", "{tmp}/folder.mp4"), "folder.mp4 is a folder"),
    "under a file": (("sora", "--out", "{tmp}/words.mp4/film.mp4"), "no file can be made in"),
    "guidance that is no number": (("sora", "a red disc", "--guidance", "nan"), "guidance=nan"),
    "guidance without end": (("sora", "a red disc", "--guidance", "inf"), "guidance=inf"),
    "guidance away from words": (("sora", "a red disc", "--guidance", "-3"), "guidance=-3"),
    "guidance without words": (("sora", "--guidance", "2"), "there are none"),
    "a size too large": (("sora", "--size", "1024x1024"), "at most 8,192 are allowed: 512x512"),
    "no pixels": (("sora", "--size", "0x0"), "expected WIDTHxHEIGHT"),
    "one film to connect": (("sora", "--connect", "{clip}"), "--connect takes two films; got"),
    "a stream of words": (("sora", "a red disc", "--stream"), "--stream goes with --extend or --image"),
    "a stream backward": (("sora", "--extend", "{clip}", "--stream", "--backward"), "--stream goes forward"),
    "guidance in a stream": (("sora", "red", "--image", "{clip}", "--stream", "--guidance", "2"), "without guidance"),
    "no stream": (("sora", "--image", "{clip}", "--stream"), "not trained to stream"),
    "no steps": (("sora", "--steps", "0"), "steps=0: at least 1"),
    "two tasks": (("sora", "--image", "{clip}", "--loop", "{clip}"), "one task at a time; got --image, --loop"),
    "words outside": (("sora", "a purple sqare"), "'purple'; 'sqare' (near it: square"),
    "odd size": (("sora", "--size", "40x32"), "size 40x32: width and height must be multiples of 16"),
    "no size": (("sora", "--size", "large"), "expected WIDTHxHEIGHT"),
    "no film": (("sora", "--extend", "{tmp}/none.mp4"), "none.mp4"),
    "not a film": (("sora", "--extend", "{tmp}/words.mp4"), "words.mp4"),
    "strength": (("sora", "--edit", "{clip}", "--strength", "1.5"), "strength=1.5"),
    "a flag without its task": (("sora", "--backward"), "--backward goes with --extend"),
    "length of an edit": (("sora", "--edit", "{clip}", "--frames", "3"), "keeps its length"),
    "no frames": (("sora", "--frames", "0"), "--frames 0: at least 1"),
    "suffix": (("sora", "--out", "{tmp}/film.xyz"), ".gif, .mp4, .png"),
    "three shapes": (("sora", "red disc blue disc green disc", "--expand"), "3 shapes"),
    "words for genie": (("genie", "a red disc"), "takes no words"),
    "nothing for genie": (("genie",), "--image or --extend"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_imagine_says_what_cannot_be(
    name: str, trained: dict[str, Path], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.mp4").write_text("this is no film")
    (tmp_path / "folder.mp4").mkdir()
    (route, *words), told = REFUSALS[name]
    given = [word.format(clip=clip, tmp=tmp_path) for word in words]
    assert (
        run(
            "imagine",
            *given,
            "--checkpoint",
            trained[route],
            *(() if "--out" in words else ("--out", tmp_path / "f.png")),
        )
        == 2
    )
    shown = capsys.readouterr().err
    assert told in shown
    assert len(shown.strip().splitlines()) == 1


def test_info_names_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info") == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("threeworlds", "torch", "sgemm_gflops"))


def test_info_prices_published_sizes_as_the_docs_have_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.output, "width", 200)
    assert run("info", "--price", "sora", "--out", tmp_path / "price.json") == 0
    shown = capsys.readouterr().out
    assert all(f"sora {size}" in shown for size in ("dit-s", "dit-xl", "open-sora-2"))
    kept = json.loads((ROOT / "results" / "prices-sora.json").read_text())
    assert json.loads((tmp_path / "price.json").read_text()) == kept
    assert run("info", "--out", tmp_path / "price.json") == 2
    assert "goes with --price" in capsys.readouterr().err

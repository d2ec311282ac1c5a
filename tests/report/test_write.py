"""The written report: complete, the same bytes each time, no network, foreign text stays text."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from report_sample import difference, missing, row, sample_result

from threeworlds.report import digest, remember_beside, write_report
from threeworlds.report.view import labels_of
from threeworlds.report.write import markdown_code, markdown_text
from threeworlds.score.result import ResultError, write_result
from threeworlds.types import Film, Reference

VOID = {"meta", "link", "img", "input", "br", "hr"}
HOSTILE = '<script>alert("x")</script>|[a](b)'


class Page(HTMLParser):
    """Collects tags, texts and what is left open."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def report(result, folder):
    write_result(result, folder / "result.json")
    write_report(folder)
    return (folder / "report.html").read_text(), (folder / "report.md").read_text()


@pytest.fixture(scope="module")
def html(page):
    return (page / "report.html").read_text()


@pytest.fixture(scope="module")
def markdown(page):
    return (page / "report.md").read_text()


def test_the_same_result_gives_the_same_bytes_in_another_process(page, tmp_path):
    shutil.copytree(page, tmp_path / "copy")
    for name in ("report.html", "report.md"):
        (tmp_path / "copy" / name).unlink()
    code = f"from threeworlds.report import write_report; write_report({str(tmp_path / 'copy')!r})"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "12345"}, timeout=120)
    for name in ("report.html", "report.md"):
        assert (tmp_path / "copy" / name).read_bytes() == (page / name).read_bytes()


def test_the_page_is_well_formed_and_ids_are_unique(html):
    parsed = Page(html)
    assert parsed.open == []
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_asks_the_network_for_nothing(html):
    parsed = Page(html)
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "xlink:href", "srcset", "action", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, name)
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    assert not re.search(r"@import|url\((?!#)", style)
    policy = next(a["content"] for a in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_links_inside_the_page_lead_somewhere(html):
    parsed = Page(html)
    ids = {attributes.get("id") for _, attributes in parsed.tags}
    links = [attributes["href"].removeprefix("#") for attributes in parsed.all("a")]
    assert len(links) > 8
    assert set(links) <= ids


def test_tables_and_pictures_can_be_read_aloud(html):
    parsed = Page(html)
    assert all(attributes.get("scope") for attributes in parsed.all("th"))
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    assert all(attributes.get("alt") for attributes in parsed.all("img"))
    assert all(attributes.get("aria-label") for attributes in parsed.all("svg"))


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_everything_the_result_holds_is_told(form, request):
    text = request.getfixturevalue(form)
    for words in (
        "27.1 [26.6, 27.6]", "22.3 (copy the last frame)", "31.0 (tokenizer of the truth)", "Four frames given",
        "n/a: it takes no actions", "failed: the planner ran out of memory", "not separable", "sora better",
        "discrete, 8 codes", "video, captions", "Sora-like models make the best pictures", "supported", "9f2c41d07ab3",
        "not a video: plain text", "a large red disc falls", "nowhere.png cannot be read", "20.0 T", "AMD EPYC",
        "--budget 4m", "Novel question",
    ):  # fmt: skip
        assert words in text, words


def test_all_floors_and_ceilings_stand_under_their_metric(page, html, tmp_path):
    own = Reference(kind="floor", value=0.1, low=0.05, high=0.2)
    shared = {
        "random policy": Reference(kind="floor", value=0.035, low=0.017, high=0.071),
        "expert": Reference(kind="ceiling", value=1.0, low=0.98, high=1.0),
    }
    sora, jepa, genie = (
        row(route, "planning", "success_25_50", value=0.5, half=0.1, floor=0.035, references=references)
        for route, references in (("sora", shared), ("jepa", {**shared, "its twin": own}), ("genie", {}))
    )
    text, _ = report(replace(sample_result(tmp_path), rows=(sora, jepa, genie)), tmp_path)
    assert Page(text).open == []
    assert "<div>floors: random policy 0.035 [0.017, 0.071]; its twin 0.100 [0.050, 0.200] (jepa)</div>" in text
    assert "<div>ceilings: expert 1.00 [0.98, 1.00]</div>" in text
    assert text.count("<details") == 1


def test_a_result_from_before_there_were_references_gives_the_same_page(page, html, tmp_path):
    content = json.loads((page / "result.json").read_text())
    for line in content["rows"]:
        assert line.pop("references") == {}
    shutil.copytree(page, tmp_path / "old")
    (tmp_path / "old" / "result.json").write_text(json.dumps(content))
    write_report(tmp_path / "old")
    text = (tmp_path / "old" / "report.html").read_text()  # but for the SHA-256 of its own result, the same
    assert text.replace(digest(tmp_path / "old"), "") == html.replace(digest(page), "")
    assert "details" not in html


def test_of_films_that_were_kept_only_notes_are_told(tmp_path):
    kept = {"quiet.mp4": {"frames": 77, "notes": []}, "told.mp4": {"frames": 78, "notes": ["told.txt: not UTF-8 text"]}}
    data = {"budget": "4m", "exam": {"items": 1}, "ingest": {"files_kept": 2, "kept": kept, "quarantined": {}}}
    _, markdown = report(replace(sample_result(tmp_path), data=data), tmp_path)
    assert "- Budget: 4m a route" in markdown
    assert "- Scored on: 1 held-out clip, too few for an interval" in markdown
    assert "- ingest, files kept: 2" in markdown
    assert "- notes, told.mp4: told.txt: not UTF-8 text" in markdown
    assert "quiet.mp4" not in markdown


def test_sections_stand_in_order(html, markdown):
    order = [
        "Which route to take", "In short", "Prediction", "Control", "Text", "Understanding", "Planning", "Cost",
        "Novel question", "Claims", "Training", "Data", "Run it again",
    ]  # fmt: skip
    assert re.findall(r"<h2>(.*?)</h2>", html) == order
    assert re.findall(r"^## (.*)$", markdown, re.M) == order


def section(text, title):
    """What stands under a heading, in HTML or Markdown."""
    start = re.search(rf"(<h2>|## ){re.escape(title)}(</|$)", text, re.M)
    return re.split(r"<h2>|^## ", text[start.end() :], maxsplit=1, flags=re.M)[0]


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_the_guide_names_the_three_products_first(form, request):
    guide = section(request.getfixturevalue(form), "Which route to take")
    places = [guide.lower().index(words) for words in ("a text-to-film product", "a playable game", "a robot that")]
    assert places == sorted(places)
    assert "not tested" in guide  # the sample holds no paired differences of colours


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_films_stand_in_the_section_of_their_question(form, request):
    text = request.getfixturevalue(form)
    assert "episode 12" in section(text, "Prediction")
    assert "a large red disc falls" in section(text, "Text")


def test_films_of_no_section_and_films_that_are_lost_are_told_at_the_end(tmp_path):
    sample = sample_result(tmp_path)
    films = [Film(item="a", route="sora", kind="other", path="films/0-sora.png", frames=16)]
    films += [Film(item="b", route=r, kind="prediction", path="gone.png", frames=16) for r in ("truth", "sora")]
    for text in report(replace(sample, films=tuple(films)), tmp_path):
        assert "other" in section(text, "Films")
        assert "2 films are named in result.json and do not stand beside it." in section(text, "Films")
        assert "gone.png" not in text


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_each_section_ends_with_the_command_that_asks_it_again(form, request):
    told = section(request.getfixturevalue(form), "Text")
    assert "threeworlds score results/arena/models/sora results/arena/models/genie" in told
    assert "--questions text --out results/arena-text" in told


def test_code_in_a_rule_is_code_and_stays_text(tmp_path):
    sample = sample_result(tmp_path)
    rule = f"better than `sora-pixels`, not `{HOSTILE}`"
    html, markdown = report(replace(sample, verdicts=(replace(sample.verdicts[0], rule=rule),)), tmp_path)
    assert "<code>sora-pixels</code>" in html
    assert HOSTILE in Page(html).words
    assert len(Page(html).all("script")) == 1
    assert "better than `sora-pixels`, not `" in markdown


def test_one_core_is_one_core(tmp_path):
    sample = sample_result(tmp_path)
    for cores, words in ((1, "AMD EPYC, 1 core\n"), (2, "AMD EPYC, 2 cores\n")):
        assert words in report(replace(sample, machine={**sample.machine, "cores": cores}), tmp_path)[1]


def test_the_guide_draws_on_results_beside_and_remembers_them(tmp_path):
    sample, here, there = sample_result(tmp_path), tmp_path / "here", tmp_path / "there"
    reach = row("jepa", "planning", "success_25_50", "of episodes", value=0.9, floor=0.1, floor_name="random policy")
    won = difference("planning", "success_25_50", "jepa", "random policy", 0.8, 0.1)
    report(replace(sample, rows=(), differences=(), films=()), make(here))
    write_result(replace(sample, rows=(reach,), differences=(won,), films=()), make(there) / "result.json")
    alone = digest(here)
    assert "jepa" not in section((here / "report.md").read_text(), "Which route to take")
    remember_beside(here, [there])
    write_report(here)
    assert "| a robot that must reach a goal | **jepa** |" in (here / "report.md").read_text()
    assert "`../there/result.json`" in (here / "report.md").read_text()
    assert alone != digest(here)
    for name in ("report.md", "report.html"):
        assert digest(here) in (here / name).read_text()


@pytest.mark.parametrize("content", ['"there"', "[1]", "{}"])
def test_a_list_of_results_beside_is_checked(tmp_path, content):
    write_result(sample_result(tmp_path), tmp_path / "result.json")
    (tmp_path / "beside.json").write_text(content)
    with pytest.raises(ResultError, match="must be a list of folders"):
        write_report(tmp_path)


def make(folder):
    folder.mkdir()
    return folder


def test_markdown_tables_are_tables(markdown):
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    tables = sum(token.type == "table_open" for token in tokens)
    assert tables == len(re.findall(r"^\|---", markdown, re.M))
    loose = [token.content for token in tokens if token.type == "inline" and token.content.startswith("|")]
    assert loose == []


def test_foreign_text_stays_text(tmp_path):
    sample = sample_result(tmp_path)
    changed = replace(
        sample,
        command=f"threeworlds compare --video '{HOSTILE}'",
        rows=(row(HOSTILE, HOSTILE, HOSTILE, value=1.0, protocol=HOSTILE), missing("sora", "text", "colour", HOSTILE)),
        films=(Film(item=HOSTILE, route=HOSTILE, kind=HOSTILE, path="films/0-truth.png", frames=16),),
        data={"source": HOSTILE, "quarantine": [{"file": HOSTILE, "cause": HOSTILE}]},
    )
    html, markdown = report(changed, tmp_path)
    assert len(Page(html).all("script")) == 1
    assert HOSTILE in Page(html).words
    rendered = MarkdownIt("commonmark").enable("table").render(markdown)
    assert "<script" not in rendered
    assert 'href="b"' not in rendered


def test_markdown_code_keeps_what_stands_between_backticks():
    assert markdown_code("a_b `c_d|e` `f") == "a\\_b `c_d\\|e` \\`f"


def test_markdown_text_leaves_intervals_readable():
    assert markdown_text("27.1 [26.5, 27.6] dB") == "27.1 [26.5, 27.6] dB"
    assert markdown_text("a|b\n*c* [d](e)") == "a\\|b \\*c\\* [d\\](e)"


def test_a_result_with_nothing_in_it_still_makes_a_report(tmp_path):
    empty = replace(
        sample_result(tmp_path), rows=(), differences=(), verdicts=(), films=(), curves={}, ledger={}, routes={},
        data={}, machine={},
    )  # fmt: skip
    html, markdown = report(empty, tmp_path)
    assert "Nothing was trained." in html
    assert "Nothing was trained." in markdown


def test_rows_of_two_checkpoints_and_two_worlds_are_told_apart(tmp_path):
    two = [row("sora", "text", "colour", value=0.5, checkpoint=name) for name in ("old", "new")]
    assert set(labels_of(two).values()) == {"sora · old", "sora · new"}
    assert set(labels_of([replace(two[0], seed=3), two[0]]).values()) == {"sora · seed 3", "sora · seed 0"}
    worlds = [replace(two[0], world=world) for world in ("arena", "rooms")]
    html, _ = report(replace(sample_result(tmp_path), rows=tuple(worlds)), tmp_path)
    assert "higher is better, arena" in html
    assert "higher is better, rooms" in html


def test_a_folder_without_a_result_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ResultError, match="schema"):
        write_report(tmp_path)

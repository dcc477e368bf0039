"""The page: whole without a network, harmless whatever names are in it, read and sorted in a real browser."""

import html.parser
import json
import re
import threading
import time

import browser
import folders
import numpy as np
import pytest

from jaxmeta import checks, cli, report, runs
from jaxmeta.report import facts, figure, lead, making, matrices, pictures, verdicts, writing
from jaxmeta.runs import results

pytest.importorskip("jinja2")
matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib.figure")
NAME = folders.HOSTILE


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The report of a transfer whose every name is hostile, and of a run that is not done."""
    folder = tmp_path_factory.mktemp("report")
    means = {"raw inputs, nearest centroid": 0.4, "protonet": 0.7, "fine_tune": 0.6}
    made = folders.cells([NAME], [NAME, "fonts"], means=means)
    one = folders.transfer_folder(folder / "moved", (NAME,), (NAME, "fonts"), made=made)
    two = folders.run_folder(folder / "going", finished=False, domain="strokes")
    page = report.write([one, two], folder / "out", forms=("html", "markdown", "latex"))
    return page


class Page(html.parser.HTMLParser):
    """Its elements with their attributes, and all its text."""

    def __init__(self, path):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


def test_page_stands_alone(written):
    page = Page(written)
    assert written.name == "report.html"
    assert written.stat().st_size < 10_000_000
    assert all(each["src"].startswith("data:image/") for each in page.of("img"))
    assert not [
        each for name, each in page.found if name in ("link", "iframe", "object", "embed") and each.get("rel") != "icon"
    ]
    assert all(each["href"].startswith("#") for each in page.of("a"))
    assert "@import" not in written.read_text()
    assert "url(" not in page.text
    for word in ("prefers-color-scheme: dark", "@media print", "max-width"):
        assert word in page.text


def test_figures_have_words_and_tables(written):
    page = Page(written)
    assert page.of("img")
    assert all(len(each["alt"]) > 30 for each in page.of("img"))
    assert "could not be drawn" not in page.text
    assert page.text.count("The table behind it") == len(page.of("figure"))
    files = {path.name for path in (written.parent / "figures").iterdir()}
    assert len(files) == 2 * len(page.of("img"))
    assert {name.rpartition(".")[2] for name in files} == {"png", "svg"}
    # Every place that is linked to is there.
    assert {each["href"][1:] for each in page.of("a")} <= {each.get("id") for _, each in page.found}


def test_first_words(written):
    words = Page(written).text
    for said in ("Best of 2 cells: protonet in 2.", "Above the best floor", "The largest lead: protonet over fine_tune",
                 "A partial report.", "There are no scores yet."):  # fmt: skip
        assert said in words
    assert words.index("Best of 2 cells") < words.index("Who wins where")


def test_made_and_missing(written):
    words = Page(written).text
    for said in ("jaxmeta transfer quick", "jaxmeta train protonet-strokes", "ab" * 32, "@software{jaxmeta",
                 "Snell et al.", "going: scores: results.json is not there", "python 3"):  # fmt: skip
        assert said in words
    assert str(written.parent.parent) not in written.read_text()


def test_hostile_names_are_text_alone(written):
    page = Page(written)
    assert len(page.of("script")) == 1
    assert page.of("script") == [{}]
    assert not [name for _, attrs in page.found for name in attrs if name.startswith("on")]
    assert "<script>alert('owned')</script>" in page.text
    policy = next(each["content"] for each in page.of("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'; script-src 'sha256-" in policy
    for path in written.parent.glob("report.*"):
        assert "\u202e" not in path.read_text()
    lines = re.sub(r"(?s)```bash\n.*?\n *```\n", "", written.with_suffix(".md").read_text())
    assert "&lt;script&gt;" in lines
    assert "<script" not in lines
    assert "<img" not in lines
    assert r"\end{table}" in written.with_suffix(".tex").read_text()


def test_markdown_names_its_figures(written):
    text = written.with_suffix(".md").read_text()
    for path in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (written.parent / path).exists()
    assert "| protonet | **" in text
    assert "What is missing" in text


SORTED = """
const table = document.querySelector('[aria-label^="From "] table');
table.id = "tried";
return [[...table.tBodies[0].rows].map((row) => row.cells[0].textContent),
        table.tHead.rows[0].cells[1].getAttribute("aria-sort")];
"""


def test_browser(written, tmp_path):
    if browser.programs() is None:
        pytest.skip("no chromium and chromedriver here")
    with browser.started(width=390, height=844, dark=True) as window:
        window.open(written)
        shown, broken = window.run(
            "const all = [...document.images];"
            "return [all.length, all.filter((each) => !each.complete || !each.naturalWidth).length]"
        )
        assert shown > 2
        assert broken == 0
        assert window.run("return document.documentElement.scrollWidth") <= 390
        assert window.run("return matchMedia('(prefers-color-scheme: dark)').matches")
        before, direction = window.run(SORTED)
        assert direction is None
        window.press("#tried th:nth-child(2) button", "\ue007")  # the key Enter
        rising, direction = window.run(SORTED)
        assert (rising[-1], direction) == ("protonet", "ascending")
        assert sorted(rising) == sorted(before) != rising
        window.press("#tried th:nth-child(2) button", " ")
        assert window.run(SORTED) == [rising[::-1], "descending"]
        assert window.run("return document.title").startswith("moved")
        assert window.console() == []
        # What data would plant is refused, and the console tells.
        planted = tmp_path / "planted.html"
        planted.write_text(written.read_text().replace("</main>", "<script>document.title = 'owned'</script></main>"))
        window.open(planted)
        assert "owned" not in window.run("return document.title")
        assert "Content Security Policy" in "".join(window.console())


def tried(draw, **facts):
    return figure.Figure("a", "A title", draw, "What it shows, in words.", ("x",), [(1,), ("two",)], **facts)


def test_figure_that_cannot_be_drawn_is_told():
    def draw():
        raise ZeroDivisionError("by\nnothing")

    found = pictures.drawn(tried(draw))
    assert found.data == ""
    assert found.error == "A title could not be drawn: ZeroDivisionError: by nothing"
    assert [line.cells[0].text for line in found.table.lines] == ["1", "two"]


def test_figure_that_cannot_be_drawn_is_in_no_form():
    made = {
        "a": pictures.Picture(tried(None), b"", b"", 0, 0, "why"),
        "b": pictures.Picture(tried(None), b"1", b"1", 1, 1),
    }
    assert writing._files(made, "figures") == {"b": "figures/b.png"}


def test_heavy_figure_is_a_png():
    def draw():
        made = matplotlib.figure.Figure(figsize=(2, 2))
        made.subplots().plot(*np.random.default_rng(0).normal(size=(2, 20_000)), "-")
        return made

    found = pictures.drawn(tried(draw))
    assert found.data.startswith("data:image/png")
    assert pictures.drawn(tried(lambda: __import__("matplotlib.figure").figure.Figure())).data.startswith(
        "data:image/svg"
    )


def test_figures_beyond_the_size_of_a_page_are_left_to_their_files():
    shown = writing._within([pictures.Picture(tried(None), b"x" * 100, b"x" * 100, 1, 1)], 100)
    assert shown["a"]["data"] == ""
    assert "a.png beside it" in shown["a"]["error"]


def test_forms_and_places(tmp_path):
    assert writing.places(tmp_path / "a") == (tmp_path / "a" / "report.html", tmp_path / "a" / "figures")
    assert writing.places(tmp_path / "a.html") == (tmp_path / "a.html", tmp_path / "a-figures")
    with pytest.raises(ValueError, match="forms"):
        report.write([tmp_path], tmp_path / "out", forms=("pdf",))
    with pytest.raises(checks.DataError, match=r"config\.json"):
        report.write([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(writing, "_figures", lambda *given: ([], []))
    run = folders.run_folder(tmp_path / "run")
    assert cli.main(["report", str(run), "--markdown", "--latex"]) == 0
    assert capsys.readouterr().out == f"results: {run / 'report' / 'report.html'}\n"
    assert {path.name for path in (run / "report").iterdir()} == {"report.html", "report.md", "report.tex", "figures"}
    assert cli.main(["report", str(run)]) == 2
    assert "--force" in capsys.readouterr().err
    assert cli.main(["report", str(run), "--force"]) == 0
    other = str(tmp_path / "page.html")
    assert cli.main(["report", str(run), str(tmp_path / "none"), "--out", other]) == 0
    assert "not read: none" in (tmp_path / "page.html").read_text()
    assert cli.main(["report", str(run), "--out", other]) == 2
    own = tmp_path / "README.md"
    own.write_text("mine")
    assert cli.main(["report", str(run), "--out", str(own), "--force"]) == 2
    assert "expected a folder, or a file NAME.html" in capsys.readouterr().err
    assert cli.main(["report", str(run), "--out", str(own.with_suffix(".html")), "--markdown"]) == 2
    assert own.read_text() == "mine"
    for wrong, code in ((["report"], 2), (["report", str(tmp_path)], 1), (["report", str(tmp_path / "none")], 1)):
        assert cli.main(wrong) == code
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith("jaxmeta: ")
        assert "Traceback" not in said
    assert not (tmp_path / "report").exists()


def test_watch_ends_with_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(writing, "_figures", lambda *given: ([], []))
    run = folders.run_folder(tmp_path / "run", finished=False)

    def ends():
        page = run / "report" / "report.html"
        with runs.held(run):
            while not page.exists():
                time.sleep(0.05)
            seen.append(page.read_text())
        folders.write(run / "results.json", results.document(folders.run_rows(), seed=0, checksums={}))

    seen = []
    thread = threading.Thread(target=ends)
    thread.start()
    assert cli.main(["report", str(run), "--watch", "--every", "1"]) == 0
    thread.join()
    assert 'http-equiv="refresh" content="1"' in seen[0]
    last = (run / "report" / "report.html").read_text()
    assert "refresh" not in last
    assert "protonet is best" in last


@pytest.mark.long
def test_hundred_cells(tmp_path):
    sources, targets = [f"source{index}" for index in range(10)], [f"target{index}" for index in range(10)]
    folder = folders.transfer_folder(tmp_path / "wide", sources, targets)
    page = report.write([folder], tmp_path / "out")
    found = Page(page)
    assert page.stat().st_size < 10_000_000
    assert "Best of 100 cells: protonet in 100." in found.text
    assert "a meta-learner beats every baseline in 100 of 100 cells" in found.text
    titles = [f"From {source}, 1-shot" for source in sources]
    assert all(title in found.text for title in titles)
    assert len(found.of("table")) >= 11
    assert "The best score of each of 100 cells" in found.of("img")[0]["alt"]


def test_bibtex_and_papers(tmp_path):
    work = facts.read(folders.transfer_folder(tmp_path / "a"))
    assert [name for name, _ in making.papers([work.config])] == ["protonet", "fine_tune"]
    assert "version = {1.2}" in making.bibtex("1.2")
    assert json.loads(json.dumps(writing._made(work)["config"]))
    assert matrices.escaped("a_b") == r"a\_b"


@pytest.mark.parametrize(("sources", "targets", "title", "lines"), [
    (["strokes"], ["digits"], "Scores on digits, 1-shot", 4),
    (["strokes"], ["digits", NAME], "Who wins where", 6),
    ([f"s{index}" for index in range(8)], ["a", "b", "c", "d", NAME], "The best of each cell", 40),
])  # fmt: skip
def test_first_picture(tmp_path, sources, targets, title, lines):
    work = facts.read(folders.transfer_folder(tmp_path / "a", sources, targets))
    (part,) = verdicts.parts([work])
    found = lead.lead(part, verdicts.verdicts(part))
    assert found.title == title
    assert len(found.rows) == lines
    assert {len(row) for row in found.rows} == {len(found.header)}
    assert pictures.drawn(found).error == ""


def test_first_picture_leaves_out_what_would_hide_the_rest():
    shown = [folders.row("a", "d", mean, metric="return") for mean in (-6000.0, -30.0, -20.0, -10.0)]
    low, high = lead._bounds(shown)
    assert -40 < low < -30
    assert high > -10
    low, _ = lead._bounds(shown[1:])
    assert low < -30

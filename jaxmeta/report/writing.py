"""Reports of run and transfer folders: one self-contained page, Markdown, LaTeX, and figures as files."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import importlib.resources
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from jaxmeta import checks, provenance, recipes, tables
from jaxmeta.report import facts, lead, making, matrices, of_runs, pictures, probes, transfers, verdicts, words
from jaxmeta.report.facts import Work
from jaxmeta.report.figure import Figure
from jaxmeta.report.matrices import Table
from jaxmeta.report.pictures import Picture
from jaxmeta.report.verdicts import Part
from jaxmeta.runs import check_plain, write_text
from jaxmeta.runs import folder as folders

Form = Literal["html", "markdown", "latex"]
ENDINGS: dict[Form, str] = {"html": "html", "markdown": "md", "latex": "tex"}
MOST_BYTES = 9_500_000
"""Of a page, beyond which figures are left to their files."""
MOST_FILES = 300
"""Whose checksums stand in a page."""


@dataclasses.dataclass(frozen=True)
class Chapter:
    """What is said of one part of a report: in words, tables and figures."""

    name: str
    slug: str
    words: tuple[str, ...]
    missing: tuple[str, ...]
    tables: tuple[Table, ...]
    lead: Figure | None
    figures: tuple[Figure, ...]


@dataclasses.dataclass(frozen=True)
class Report:
    """All that a report says, before it is put into a form.

    Attributes:
      works: the runs and transfers.
      chapters: what is said of them.
      missing: what is not there, a sentence each.
      num_tasks: how many tasks of each run were scored anew.
    """

    works: tuple[Work, ...]
    chapters: tuple[Chapter, ...]
    missing: tuple[str, ...]
    num_tasks: int

    @property
    def title(self) -> str:
        """The names of its folders."""
        return words.listed((work.name for work in self.works), 4)


def gather(
    paths: Sequence[str | os.PathLike[str]],
    *,
    num_tasks: int = probes.TASKS,
    domain: str | None = None,
    data_dir: str | None = None,
) -> Report:
    """Reads folders of runs and transfers, and says what they allow one to say.

    Args:
      paths: of `jaxmeta train` and `jaxmeta transfer`, finished or not; what cannot be read is told in `missing`.
      num_tasks: of each finished run, scored anew for curves, calibration and pictures of episodes; 0: none.
      domain: the path of the data of runs that were trained on files.
      data_dir: where data sets lie; JAXMETA_DATA is the default.

    Raises:
      DataError: if none of them can be read.
    """
    works, refused = facts.read_all(paths)
    parts = verdicts.parts(works)
    known = {id(work) for part in parts for work in part.works}
    # A run without scores is still a chapter: what it is, and what it lacks.
    parts += [Part(work.name, (work,), ()) for work in works if id(work) not in known]
    told: set[int] = set()
    ask = functools.partial(_run_figures, num_tasks=num_tasks, domain=domain, data_dir=data_dir)
    chapters = [_chapter(part, index, told, ask) for index, part in enumerate(parts)]
    missing = [f"{work.name}: {each}" for work in works for each in work.missing]
    missing += [f"not read: {each}" for each in refused]
    missing += [each for chapter, more in chapters for each in more]
    return Report(tuple(works), tuple(chapter for chapter, _ in chapters), tuple(dict.fromkeys(missing)), num_tasks)


Ask = Callable[[Work], transfers.Drawn]


def _run_figures(work: Work, *, num_tasks: int, domain: str | None, data_dir: str | None) -> transfers.Drawn:
    own = domain if domain and recipes.short(domain) == work.config.get("domain") else None
    # What goes on is not asked: its parameters are not there, or not the last.
    number = num_tasks if work.state == "finished" else 0
    return of_runs.run_figures(work, domain=own, data_dir=data_dir, num_tasks=number)


def _chapter(part: Part, index: int, told: set[int], ask: Ask) -> tuple[Chapter, list[str]]:
    """A chapter, and what its figures lack; `told` are works whose figures stand in a chapter before it."""
    found = verdicts.verdicts(part)
    fresh = [work for work in part.works if id(work) not in told]
    told.update(map(id, fresh))
    figures, lacking = _figures(fresh, ask)
    top = lead.lead(part, found) if part.rows else None
    if top is None and figures:
        top, *figures = figures
    elif len(found) == 1:  # which the first picture shows
        figures = [figure for figure in figures if figure.name != "scores"]
    own: list[Table | None] = [matrices.winners(found)] if len(found) > 1 else []
    own += [*matrices.scores(part), matrices.sources(part)] if part.rows else []
    own += [matrices.spread(work) for work in fresh]
    slug = f"part-{index + 1}"
    made = Chapter(
        part.name,
        slug,
        tuple(words.summary(part, found)),
        tuple(each for work in part.works for each in work.missing),
        tuple(filter(None, own)),
        None if top is None else _named([top], f"{slug}-lead")[0],
        tuple(_named(figures, slug)),
    )
    return made, lacking


def _named(figures: Iterable[Figure], slug: str) -> list[Figure]:
    """Figures whose names are their own in the whole report."""
    made: list[Figure] = []
    for figure in figures:
        name = f"{slug}-{re.sub(r'[^a-z0-9]+', '-', figure.name.lower()).strip('-')}"
        number = 1 + sum(re.sub(r"-\d+$", "", each.name) == name for each in made)
        made.append(dataclasses.replace(figure, name=name if number == 1 else f"{name}-{number}"))
    return made


def _figures(works: Iterable[Work], ask: Ask) -> tuple[list[Figure], list[str]]:
    """The figures of each folder, and which could not be made."""
    figures: list[Figure] = []
    missing: list[str] = []
    for work in works:
        try:
            found = ask(work) if work.kind == "run" else transfers.transfer_figures(work)
        except Exception as error:  # a folder may be a stranger's, and a figure less is no reason for no report
            if os.environ.get("JAXMETA_DEBUG") == "1":
                raise
            said = checks.shown(f"{type(error).__name__}: {error}")
            missing.append(checks.line(f"{work.name}: its figures could not be made: {said}"))
            continue
        figures += found.figures
        missing += [f"{work.name}: {each}" for each in found.missing]
    return figures, missing


def write(
    paths: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    forms: Sequence[Form] = ("html",),
    refresh: int = 0,
    **options: Any,
) -> pathlib.Path:
    """Writes a report of runs and transfers: a page that needs no network, and its figures as PNG and SVG.

    Args:
      paths: folders of `jaxmeta train` and `jaxmeta transfer`, also several, also unfinished ones.
      output: a folder, for report.html, report.md, report.tex and figures/; or a file NAME.html, beside which are then
        NAME.md, NAME.tex and NAME-figures/. What is there is replaced.
      forms: "html", "markdown" and "latex", in any number.
      refresh: seconds after which a browser reads the page again, 0: never.
      options: of `gather`: `num_tasks`, `domain`, `data_dir`.

    Returns:
      The path of the first form.

    Raises:
      DataError: if none of the folders can be read, or something cannot be written.
      ImportError: if matplotlib or jinja2 is missing: pip install 'jaxmeta[report]'.

    Example:
      >>> from jaxmeta import report
      >>> report.write(["runs/a", "runs/b"], "runs/report", forms=("html", "markdown"))  # doctest: +SKIP
    """
    for form in forms:
        checks.choice("`forms`", form, ENDINGS)
    if "html" in forms:
        _environment()  # what is missing is told before anything is drawn
    report = gather(paths, **options)
    page, figures = places(output)
    for folder in dict.fromkeys((page.parent, figures)):
        with folders.writing(folder, "a folder"):
            folder.mkdir(parents=True, exist_ok=True)
        check_plain(folder)
    made = {figure.name: pictures.drawn(figure) for figure in _all(report)}
    for picture in made.values():
        pictures.write(picture, figures, picture.figure.name)
    makers = {
        "html": lambda: html(report, made, refresh=refresh),
        "markdown": lambda: markdown(report, _files(made, figures.name)),
        "latex": lambda: latex(report, _files(made, figures.name)),
    }
    written = [write_text(page.with_suffix(f".{ENDINGS[form]}"), makers[form]()) for form in forms]
    return written[0] if written else page


def _files(made: dict[str, Picture], folder: str) -> dict[str, str]:
    """{name of a figure: its file beside the page}, of those that could be drawn."""
    return {name: f"{folder}/{name}.png" for name, picture in made.items() if picture.png}


def places(output: str | os.PathLike[str]) -> tuple[pathlib.Path, pathlib.Path]:
    """Where the page of an output stands, and the folder of its figures."""
    path = pathlib.Path(output)
    if path.suffix.lower() in (".html", ".md", ".tex"):
        return path.with_suffix(".html"), path.with_name(f"{path.stem}-figures")
    return path / "report.html", path / "figures"


def _all(report: Report) -> list[Figure]:
    return [figure for chapter in report.chapters for figure in (chapter.lead, *chapter.figures) if figure]


def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise ImportError("a page needs jinja2: pip install 'jaxmeta[report]'") from error
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, finalize=_plain)


def _plain(value: Any) -> Any:
    """Anybody's text without what turns the direction of writing or is not seen; the package's own is Markup."""
    if type(value) is not str:
        return value
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in value)


@functools.cache
def _file(name: str) -> str:
    return importlib.resources.files("jaxmeta.report").joinpath(name).read_text("utf-8")


def html(report: Report, made: Mapping[str, Picture], *, refresh: int = 0, most_bytes: int | None = None) -> str:
    """The page, whose only script is the package's own: browsers are told its checksum, and run no other.

    Args:
      report: what it says.
      made: {name of a figure: its picture}.
      refresh: seconds after which a browser reads it again, 0: never.
      most_bytes: of all pictures; None: what the words leave of 10 MB.
    """
    import markupsafe

    text = html(report, made, refresh=refresh, most_bytes=0) if most_bytes is None else ""
    most_bytes = MOST_BYTES - len(text.encode()) if most_bytes is None else most_bytes
    script = _file("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shown = _within(made.values(), most_bytes)
    chapters = [
        {
            "name": chapter.name, "slug": chapter.slug, "words": chapter.words, "missing": chapter.missing,
            "tables": chapter.tables, "kinds": {line.kind for table in chapter.tables for line in table.lines} - {""},
            "lead": chapter.lead and shown[chapter.lead.name],
            "figures": [shown[figure.name] for figure in chapter.figures],
        }
        for chapter in report.chapters
    ]  # fmt: skip
    version = provenance.versions()["jaxmeta"]
    papers = making.papers(work.config for work in report.works)
    return _environment().from_string(_file("page.html")).render(
        title=report.title, subtitle=_subtitle(report), chapters=chapters, missing=report.missing,
        works=[_made(work) for work in report.works], bibtex=making.bibtex(version), papers=papers,
        footer=_footer(report, version), seconds=refresh,
        style=markupsafe.Markup(_file("page.css")), script=markupsafe.Markup(script), script_hash=f"sha256-{digest}",
    )  # fmt: skip


def _footer(report: Report, version: str) -> str:
    asked = report.num_tasks > 1 and any(work.kind == "run" and work.state == "finished" for work in report.works)
    anew = f"; {report.num_tasks} tasks of each finished run were scored anew for its figures" if asked else ""
    return f"Written by jaxmeta {version}. Scores are those of the folders{anew}."


def _within(made: Iterable[Picture], most_bytes: int) -> dict[str, dict[str, Any]]:
    """What a page shows of pictures, as long as they fit."""
    shown, used = {}, 0
    for picture in made:
        data = picture.data
        used += len(data)
        fits = used <= most_bytes
        error = picture.error or f"Too large for this page: it is the file {picture.figure.name}.png beside it."
        shown[picture.figure.name] = {
            "figure": picture.figure, "data": data if fits else "", "error": error, "table": picture.table,
            "width": picture.width, "height": picture.height,
        }  # fmt: skip
    return shown


def _subtitle(report: Report) -> str:
    counts = {kind: sum(work.kind == kind for work in report.works) for kind in ("run", "transfer")}
    said = [f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items() if count]
    states = dict.fromkeys(work.state for work in report.works)
    return f"A report of {' and '.join(said)}, {' and '.join(states)}."


def _made(work: Work) -> dict[str, Any]:
    """Where a run or a transfer comes from."""
    known = [
        ("what", f"{work.kind}{f' of the preset {work.preset}' if work.preset else ''}, {work.state}"),
        ("made by", work.made_by),
        ("seed", work.config.get("seed")),
        ("training", making.training(work.results)),
    ]
    shown = [(name, str(value)) for name, value in known if value not in (None, "")]
    return {
        "name": work.name, "facts": shown, "command": work.command, "data": sorted(work.checksums.items())[:MOST_FILES],
        "read": facts.data_read(work), "config": json.dumps(dict(work.config), indent=1),
    }  # fmt: skip


def markdown(report: Report, files: Mapping[str, str]) -> str:
    """The report for a pull request: words and tables; figures are named where they lie.

    Args:
      report: what it says.
      files: {name of a figure: its file}.
    """
    lines = [f"## {tables.escaped(report.title)}", ""]
    for chapter in report.chapters:
        lines += [f"### {tables.escaped(chapter.name)}", ""] if len(report.chapters) > 1 else []
        lines += [*(f"{tables.escaped(each)}\n" for each in chapter.words)]
        if chapter.lead and chapter.lead.name in files:
            lines += [f"![{_alt(chapter.lead)}]({files[chapter.lead.name]})", ""]
        for table in chapter.tables:
            lines += [matrices.markdown(table), ""]
        shown = [f"[{_alt(each, each.title)}]({files[each.name]})" for each in chapter.figures if each.name in files]
        lines += [f"Figures: {', '.join(shown)}.", ""] if shown else []
    if report.missing:
        lines += ["### What is missing", "", *(f"- {tables.escaped(each)}" for each in report.missing), ""]
    lines += ["### How it was made", ""]
    for work in report.works:
        told = "; ".join(f"{name}: {value}" for name, value in _made(work)["facts"])
        lines += [f"- {tables.escaped(work.name)}: {tables.escaped(told)}"]
        # In a fence no letter of a name means anything, and a line cannot end it.
        lines += ["", "  ```bash", f"  {work.command}", "  ```", ""] if work.command else []
    return "\n".join(lines) + "\n"


def _alt(figure: Figure, text: str = "") -> str:
    """A text in the brackets of a link, which it does not end."""
    return re.sub(r"([\[\]\\])", r"\\\1", tables.escaped(text or figure.alt))


def latex(report: Report, files: Mapping[str, str]) -> str:
    """The report's tables and figures for a paper.

    Args:
      report: what it says.
      files: {name of a figure: its file}.
    """
    lines = ["% needs \\usepackage{booktabs} and \\usepackage{graphicx}; characters beyond ASCII need a font with them"]
    for chapter in report.chapters:
        lines += ["", f"% {checks.line(chapter.name)}"]
        for table in chapter.tables:
            lines += [matrices.latex(table), ""]
        drawn = [figure for figure in (chapter.lead, *chapter.figures) if figure and figure.name in files]
        for figure in drawn:
            caption = matrices.escaped(f"{figure.title}. {figure.alt}")
            lines += [
                r"\begin{figure}", r"\centering", rf"\includegraphics[width=\linewidth]{{{files[figure.name]}}}",
                rf"\caption{{{caption}}}", r"\end{figure}", "",
            ]  # fmt: skip
    lines += [f"% {checks.line(work.name)}: {checks.line(work.command or work.made_by)}" for work in report.works]
    return "\n".join(lines) + "\n"

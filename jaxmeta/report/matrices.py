"""The tables of a report, in one form that a page, Markdown and LaTeX show."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from jaxmeta import checks, tables
from jaxmeta.recipes.scoring import metric_sign
from jaxmeta.report import verdicts, words
from jaxmeta.report.facts import Work
from jaxmeta.report.verdicts import Difference, Part, Verdict
from jaxmeta.runs import seeds
from jaxmeta.transfer import multi_source, rankings
from jaxmeta.transfer.summary import Row

MARKED = (
    "Bold: the best of a column. ≈: by chance as good (paired on the same tasks, Wilcoxon's signed ranks, p > 0.05 "
    "after Holm). In brackets: 95% interval over tasks."
)


@dataclasses.dataclass(frozen=True)
class Cell:
    """What stands in a table: a text, what is told beside it in small, the number by which it is sorted, its mark."""

    text: str
    more: str = ""
    value: float | None = None
    mark: str = ""


@dataclasses.dataclass(frozen=True)
class Line:
    """A row of a table; `kind` says what it is of: "learner", "baseline", "floor" or nothing."""

    kind: str
    cells: tuple[Cell, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a title; `foot` are lines that are not sorted, `note` says how to read it."""

    title: str
    header: tuple[str, ...]
    lines: tuple[Line, ...]
    foot: tuple[Line, ...] = ()
    note: str = ""


def scores(part: Part) -> list[Table]:
    """Methods by domains with the columns joint and single: a table for each source and number of shots."""
    ranked = {(entry["source"], entry["shots"]): entry for entry in rankings(part.rows)}
    several = len({row["source"] for row in part.rows}) > 1 or part.works[0].kind == "transfer"
    return [
        _matrix(f"From {source}, {shots}-shot" if several else f"{shots}-shot", rows, ranked.get((source, shots)))
        for (source, shots), rows in verdicts.cells(part.rows, "source", "shots")
    ]


def _matrix(title: str, rows: Sequence[Row], ranked: dict[str, Any] | None) -> Table:
    domains = list(dict.fromkeys(row["domain"] for row in rows))
    cells = {domain: [row for row in rows if row["domain"] == domain] for domain in domains}
    columns = [
        (domain, name)
        for domain in domains
        for name in ("joint", "single")
        if any(row.get(name) for row in cells[domain]) or (name == "joint" and not _scored(cells[domain]))
    ]
    marks = {(domain, name): verdicts.marks(cells[domain], name) for domain, name in columns}
    beside = list(dict.fromkeys((row["domain"], name) for row in rows for name in row.get("beside", ())))
    ranks = dict(zip(ranked["methods"], ranked["ranks"], strict=True)) if ranked and len(ranked["domains"]) > 1 else {}
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = {row["domain"]: row for row in rows if row["method"] == method}
        found = [_score(own.get(domain), name, marks[domain, name].get(method, "")) for domain, name in columns]
        found += [_beside(own.get(domain), name) for domain, name in beside]
        if ranks:
            rank = ranks.get(method)
            found.append(Cell("-") if rank is None else Cell(f"{rank:.2f}", value=rank))
        lines.append(Line(next(iter(own.values()))["family"], (Cell(method), *found)))
    names = [f"{domain}, {name}" for domain, name in columns]
    names += [f"{domain}, {name.replace('_', ' ')}" for domain, name in beside]
    header = ("method", *names, *(["average rank"] if ranks else []))
    return Table(title, header, tuple(lines), _distances(cells, columns, len(header)), _note(rows, ranked))


def _scored(rows: Sequence[Row]) -> bool:
    return any(row.get(name) for row in rows for name in ("joint", "single"))


def _score(row: Row | None, column: str, mark: str) -> Cell:
    if row is None:
        return Cell("-")
    if not row.get(column):
        return Cell("-" if _scored([row]) else row.get("note", "-"))
    return _interval(row[column], row["metric"], mark)


def _beside(row: Row | None, name: str) -> Cell:
    column = (row or {}).get("beside", {}).get(name)
    return _interval(column, name) if column else Cell("-")


def _interval(column: dict[str, Any], metric: str, mark: str = "") -> Cell:
    text, _, more = tables.interval(column, metric).partition(" ")
    return Cell(text, more, column["mean"], mark)


def _distances(cells: dict[str, list[Row]], columns: Sequence[tuple[str, str]], width: int) -> tuple[Line, ...]:
    lines = []
    for name in ("untrained", "trained"):
        known = {
            domain: next((row[f"distance_{name}"] for row in rows if f"distance_{name}" in row), None)
            for domain, rows in cells.items()
        }
        if any(value is not None for value in known.values()):
            # A domain has one distance, which stands in the first of its columns.
            firsts = {
                domain: next(index for index, (own, _) in enumerate(columns) if own == domain) for domain in cells
            }
            found = [Cell("") for _ in range(width - 1)]
            for domain, value in known.items():
                found[firsts[domain]] = Cell("-") if value is None else Cell(f"{value:.2f}", value=value)
            lines.append(Line("fact", (Cell(f"distance from the source, {name} features"), *found)))
    return tuple(lines)


def _note(rows: Sequence[Row], ranked: dict[str, Any] | None) -> str:
    known = [row for row in rows if _scored([row])]
    if not known:
        return ""
    metric = known[0]["metric"]
    better = "higher" if metric_sign(metric) > 0 else "lower"
    kinds = {(row["domain"], row["ways"], row.get("chance")) for row in known if row["ways"]}
    said = [
        f"{'Accuracy in %' if metric == 'accuracy' else metric.replace('_', ' ').capitalize()}, {better} is better.",
        MARKED,
    ]
    if metric != "return":
        said.append("joint: all queries of a task together, single: each alone.")
    if len({ways for _, ways, _ in kinds}) > 1:
        told = [f"{domain} {ways}-way" for domain, ways, _ in sorted(kinds, key=str)]
        said.append(f"Ways differ: {', '.join(told)}.")
    if ranked and "p_value" in ranked:
        said.append(
            f"Friedman's test over {len(ranked['domains'])} domains: p {words.probability(ranked['p_value'])}; ranks "
            f"that differ by more than {ranked['critical_difference']:.2f} differ significantly (Nemenyi, 0.05)."
        )
    return " ".join(said)


def winners(found: Sequence[Verdict]) -> Table:
    """Who wins where, by how much, how sure, against what floor."""
    several = len({verdict.source for verdict in found}) > 1
    header = ("domain", "shots", "best", "score", "ahead of", "by", "p (Holm)", "best floor", "above it by")
    lines = []
    for verdict in found:
        floor = verdict.floor
        cells = [
            Cell(verdict.domain),
            Cell(str(verdict.shots), value=verdict.shots),
            Cell(verdict.winner["method"], more=f"≈ {words.listed(verdict.tied, 3)}" if verdict.tied else ""),
            _interval(_column(verdict.winner), verdict.metric),
            Cell(verdict.lead.second if verdict.lead else "-"),
            *_difference(verdict.lead, verdict.metric),
            Cell(floor["method"], tables.number(_column(floor)["mean"], floor["metric"])) if floor else Cell("-"),
            _difference(verdict.gain, verdict.metric)[0],
        ]
        lines.append(Line("", tuple([Cell(verdict.source), *cells] if several else cells)))
    note = (
        "Paired differences on the same tasks, 95% bootstrap interval; p by Wilcoxon's signed ranks, adjusted for "
        "all pairs that were compared. A winner that is a learner is held against the best baseline, a baseline "
        "against the best learner, one without the other against the second best. ≈: may be as good, floors left out."
    )
    return Table("Who wins where", ("source", *header) if several else header, tuple(lines), note=note)


def _column(row: Row) -> dict[str, Any]:
    return verdicts.scored(row)


def _difference(found: Difference | None, metric: str) -> tuple[Cell, Cell]:
    if found is None:
        return Cell("-"), Cell("-")
    text, _, more = tables.difference(dataclasses.asdict(found), metric).partition(" ")
    p_value = words.probability(found.p_value).removeprefix("= ")
    return Cell(text, more, found.mean), Cell(p_value, value=found.p_value)


def sources(part: Part) -> Table | None:
    """Training on several domains against training on the best one of them."""
    entries = multi_source(part.rows, num_resamples=2_000) if part.works[0].kind == "transfer" else []
    if not entries:
        return None
    lines = []
    for entry in entries:
        text, _, more = tables.difference(entry, entry["metric"]).partition(" ")
        names = (entry["method"], entry["domain"], str(entry["shots"]), entry["first"], entry["second"])
        p_value = words.probability(entry["p_holm"]).removeprefix("= ")
        found = (Cell(text, more, entry["mean"]), Cell(p_value, value=entry["p_holm"]))
        lines.append(Line("", (*map(Cell, names), *found)))
    note = "The best one is chosen by the scores that it is then compared on, which favours it."
    header = ("method", "domain", "shots", "together", "best alone", "difference", "p (Holm)")
    return Table("Many sources against the best of them", header, tuple(lines), note=note)


def spread(work: Work) -> Table | None:
    """The spread over training seeds apart from that over tasks, of a run of several seeds."""
    rows = {seed: list(own) for seed, own in work.seeds.items()}
    kinds = {tuple((row["method"], row.get("num_tasks")) for row in own) for own in rows.values()}
    if len(rows) < 2 or len(kinds) > 1:
        return None
    lines = []
    for each in seeds.spreads(rows):
        found = each["single"] or each["joint"]
        if found is None:
            continue
        parts = [found["mean"], found["seed_std"], found["seed_effect"], found["task_std"]]
        numbers = [Cell(tables.number(value, each["metric"]), value=value) for value in parts]
        intervals = [_interval(found[name], each["metric"]) for name in ("these_seeds", "new_seeds")]
        lines.append(Line("", (Cell(each["method"]), *numbers, *intervals)))
    header = ("method", "mean", "deviation over seeds", "of it the seeds' own", "deviation over tasks",
              "for these models", "for models trained anew")  # fmt: skip
    note = f"Over {len(rows)} seeds, each on tasks of its own; each query alone where that is known."
    return Table(f"Spread over seeds and over tasks: {work.name}", header, tuple(lines), note=note) if lines else None


def markdown(table: Table) -> str:
    """A table as Markdown, with its title and note."""
    lines = [[_bold(cell) for cell in line.cells] for line in (*table.lines, *table.foot)]
    said = [f"### {tables.escaped(table.title)}", "", tables.markdown(table.header, lines)]
    return "\n".join([*said, "", tables.escaped(table.note)] if table.note else said)


def _bold(cell: Cell) -> str:
    text = f"{cell.text} {cell.more}".strip()
    return f"**{text}**" if cell.mark == "best" else f"{text} ≈" if cell.mark == "tied" else text


_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "≈": r"$\approx$", "≤": r"$\leq$", "-": "-",
}  # fmt: skip


def escaped(text: object) -> str:
    """A text as LaTeX prints it, in one line: no character of it is a command."""
    plain = " ".join(checks.line(text).split())
    return "".join(_SPECIAL.get(letter, letter) for letter in plain)


_NARROWED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"


def latex(table: Table) -> str:
    """A table as LaTeX: the best in bold, ties marked, made as narrow as a line; it needs booktabs and graphicx."""
    columns = "l" + "r" * (len(table.header) - 1)
    lines = [_latex_line(line) for line in table.lines]
    foot = [r"\midrule", *(_latex_line(line) for line in table.foot)] if table.foot else []
    label = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")
    caption = escaped(f"{table.title}. {table.note}")
    return "\n".join([
        r"\begin{table}", r"\centering", r"\small", r"\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{caption}}}", rf"\label{{tab:{label}}}",
        rf"{_NARROWED}\begin{{tabular}}{{{columns}}}", r"\toprule",
        " & ".join(map(escaped, table.header)) + r" \\", r"\midrule", *lines, *foot,
        r"\bottomrule", r"\end{tabular}}", r"\end{table}",
    ])  # fmt: skip


def _latex_line(line: Line) -> str:
    return " & ".join(_latex_cell(cell) for cell in line.cells) + r" \\"


def _latex_cell(cell: Cell) -> str:
    text = rf"\textbf{{{escaped(cell.text)}}}" if cell.mark == "best" else escaped(cell.text)
    text = rf"{text}$^{{\approx}}$" if cell.mark == "tied" else text
    return rf"{text} {{\scriptsize {escaped(cell.more)}}}" if cell.more else text

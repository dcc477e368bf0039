"""Who wins where, by how much, how sure, and against what floor."""

import folders
import numpy as np
import pytest

from jaxmeta import statistics
from jaxmeta.report import facts, matrices, verdicts, words
from jaxmeta.statistics import comparisons


def part_of(*paths):
    works, _ = facts.read_all(paths)
    (part,) = verdicts.parts(works)
    return part


@pytest.fixture(scope="module")
def transferred(tmp_path_factory):
    return part_of(folders.transfer_folder(tmp_path_factory.mktemp("transfer") / "a"))


def test_signed_rank_is_the_p_value_of_paired():
    first, second = np.random.default_rng(0).normal(size=(2, 40))
    assert comparisons.signed_rank(first, second) == statistics.paired(first, second).p_value


def test_winner_lead_and_floor(transferred):
    found = verdicts.verdicts(transferred)
    assert [(each.domain, each.winner["method"], each.versus) for each in found] == [
        ("digits", "protonet", "baseline"), ("fonts", "protonet", "baseline"),
    ]  # fmt: skip
    scores = {(row["domain"], row["method"]): row["single"]["per_task"] for row in transferred.rows}
    pairs = [statistics.paired(scores[each, "protonet"], scores[each, "fine_tune"]) for each in ("digits", "fonts")]
    for each, pair, p_value in zip(found, pairs, statistics.holm([pair.p_value for pair in pairs]), strict=True):
        assert (each.lead.first, each.lead.second, each.lead.certain) == ("protonet", "fine_tune", 1)
        assert each.lead.mean == pytest.approx(pair.difference.mean)
        assert each.lead.low == pytest.approx(pair.difference.low, abs=1e-3)
        assert each.lead.p_value == p_value
        assert each.gain.second == each.floor["method"] == "raw inputs, nearest centroid"
        assert each.gain.low < each.gain.mean < each.gain.high


def test_a_baseline_that_wins_is_held_against_the_best_learner(tmp_path):
    means = folders.MEANS | {"fine_tune": 0.75}
    made = folders.cells(["strokes"], ["digits"], means=means)
    (found,) = verdicts.verdicts(part_of(folders.transfer_folder(tmp_path / "a", targets=("digits",), made=made)))
    assert (found.winner["method"], found.lead.second, found.versus) == ("fine_tune", "protonet", "learner")
    assert found.lead.mean > 0
    assert found.lead.certain == 1


def test_lower_is_better_of_a_loss(tmp_path):
    rows = [folders.row(name, "sinusoid", mean, metric="loss", ways=0) for name, mean in (
        ("raw inputs, ridge regression", 4.0), ("maml, untrained", 5.0), ("maml", 2.0))]  # fmt: skip
    part = part_of(folders.run_folder(tmp_path / "a", rows, preset="maml-sinusoid", kind="functions"))
    (found,) = verdicts.verdicts(part)
    assert found.floor["method"] == "raw inputs, ridge regression"
    assert found.gain.mean == pytest.approx(2.0, abs=0.05)
    assert verdicts.marks(part.rows, "single") == {"maml": "best"}
    assert "loss " in words.summary(part, [found])[1]


def test_ties():
    near = [folders.row("a", "d", 0.70), folders.row("b", "d", 0.6995), folders.row("c", "d", 0.4)]
    marks = verdicts.marks(near, "joint")
    assert sorted(marks.values()) == ["best", "tied"]
    assert "c" not in marks


def test_runs_on_the_same_tasks_stand_side_by_side(tmp_path):
    first = folders.run_folder(tmp_path / "first")
    second = folders.run_folder(tmp_path / "second", folders.run_rows("maml", mean=0.7), preset="maml-strokes")
    third = folders.run_folder(tmp_path / "third", folders.run_rows(mean=0.75))
    part = part_of(first, second, third)
    names = [row["method"] for row in part.rows]
    assert names.count("raw inputs, nearest centroid") == 1
    assert "maml" in names
    assert {"protonet (first)", "protonet (third)", "protonet, untrained (third)"} <= set(names)
    (found,) = verdicts.verdicts(part)
    assert found.winner["method"] == "protonet (first)"
    assert found.lead.second == "protonet (third)"


def test_runs_on_other_tasks_are_not_compared(tmp_path):
    first = folders.run_folder(tmp_path / "first")
    second = folders.run_folder(tmp_path / "second", folders.run_rows(seed=1))
    works, _ = facts.read_all([first, second])
    assert [part.name for part in verdicts.parts(works)] == ["first", "second"]


def test_words(transferred):
    said = words.summary(transferred, verdicts.verdicts(transferred))
    assert said[0].startswith("Trained on strokes; adapted to digits and fonts: 5-way, 1 shot, 30 tasks each")
    assert said[1] == "Best of 2 cells: protonet in 2."
    assert "a meta-learner beats every baseline in 2 of 2 cells" in said[2]
    assert "The largest lead: protonet over fine_tune on" in said[3]
    assert "for certain in 2 of 2 cells" in said[4]
    assert "chance is 20.0" in said[4]


@pytest.mark.parametrize(
    ("mean", "said", "more"),
    [
        (0.8, "protonet is best: ", "protonet differs from it by +"),
        (0.505, "may be no better than the floor", "which may be chance"),
        (0.3, "protonet reaches ", "differs from it by -"),
    ],
)
def test_words_of_a_run_against_its_floor(tmp_path, mean, said, more):
    part = part_of(folders.run_folder(tmp_path / "a", folders.run_rows(mean=mean)))
    found = words.summary(part, verdicts.verdicts(part))
    assert said in found[1]
    assert ("below the floor" in found[1]) == (mean < 0.4)
    assert more in found[2]


def test_words_warn_of_scores_that_hang_on_the_other_queries(tmp_path):
    rows = [*folders.run_rows()[:2], folders.row("protonet", "strokes", 0.8, single=0.4)]
    part = part_of(folders.run_folder(tmp_path / "a", rows))
    found = verdicts.verdicts(part)
    assert any("Beware" in each and "falls from" in each for each in words.summary(part, found))


def test_nothing_is_said_without_scores(tmp_path):
    work = facts.read(folders.run_folder(tmp_path / "a", finished=False))
    part = verdicts.Part("a", (work,), ())
    assert words.summary(part, verdicts.verdicts(part))[1] == "There are no scores yet."


def test_matrix(transferred):
    (table,) = matrices.scores(transferred)
    assert table.title == "From strokes, 1-shot"
    assert table.header[:5] == ("method", "digits, joint", "digits, single", "fonts, joint", "fonts, single")
    kinds = {line.cells[0].text: line.kind for line in table.lines}
    assert kinds["protonet"] == "learner"
    assert kinds["protonet, untrained"] == "floor"
    best = [line.cells[0].text for line in table.lines if line.cells[1].mark == "best"]
    assert best == ["protonet"]
    assert [line.cells[0].text for line in table.foot] == [
        "distance from the source, untrained features", "distance from the source, trained features",
    ]  # fmt: skip
    assert "joint: all queries" in table.note


def test_markdown_and_latex(transferred):
    (table,) = matrices.scores(transferred)
    shown = matrices.markdown(table)
    assert "| protonet | **6" in shown or "| protonet | **7" in shown
    written = matrices.latex(table)
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\textbf{", r"fine\_tune", r"95\%"):
        assert word in written
    rows = [line for line in written.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in rows} == {len(table.header) - 1}
    assert r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{\begin{tabular}" in written


def test_latex_of_hostile_names():
    import re

    cell = matrices.Cell(folders.HOSTILE, mark="tied")
    table = matrices.Table(folders.HOSTILE, (folders.HOSTILE, "b"), (matrices.Line("", (cell, cell)),))
    written = matrices.latex(table)
    known = {"textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar",
             "textquotedbl", "approx", "begin", "end", "centering", "small", "caption", "label", "toprule", "midrule",
             "bottomrule", "setlength", "tabcolsep", "resizebox", "ifdim", "width", "linewidth",
             "else", "fi"}  # fmt: skip
    assert set(re.findall(r"\\([a-z]+)", written)) <= known
    assert not re.search(r"(?<!\\)[#%&_]", written.replace(" & ", ""))
    assert "\u202e" not in written
    assert written.count("{") == written.count("}")


def test_spread_over_seeds(tmp_path):
    from jaxmeta.runs import results

    rows = [{"seed": seed} | each for seed in (0, 1, 2) for each in folders.run_rows(seed=seed)]
    path = folders.run_folder(tmp_path / "a", rows, config={"seeds": 3})
    folders.write(path / "results.json", results.document(rows, seed=0, checksums={}))
    work = facts.read(path)
    table = matrices.spread(work)
    assert [line.cells[0].text for line in table.lines][-1] == "protonet"
    assert "3 seeds" in table.note
    assert matrices.spread(facts.read(folders.run_folder(tmp_path / "b"))) is None

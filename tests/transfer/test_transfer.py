import csv
import io

import numpy as np
import pytest

from jaxmeta import report, statistics, transfer

RNG = np.random.default_rng(0)


def test_sizes_that_a_target_can_give():
    assert transfer.fitted([30, 20, 90, 40, 50, 60], ways=5, shots=1, queries=15) == (5, 1, 15)
    assert transfer.fitted([30, 12, 90], ways=5, shots=5, queries=15) == (3, 5, 7)
    assert transfer.fitted([30, 20, 90, 40, 50], ways=5, shots=20, queries=15) == (5, 20, 0)
    assert transfer.fitted([30, 20, 90, 40, 50], ways=5, shots=50, queries=15).queries == 0


def test_linear_mmd_is_the_mean_over_distinct_pairs():
    source, target = RNG.normal(size=(7, 3)), RNG.normal(1, 2, size=(5, 3))
    within = [
        sum(one[i] @ one[j] for i in range(len(one)) for j in range(len(one)) if i != j) / (len(one) * (len(one) - 1))
        for one in (source, target)
    ]
    across = (source @ target.T).mean()
    variance = np.cov(source.T).trace()
    np.testing.assert_allclose(transfer.linear_mmd(source, target), (sum(within) - 2 * across) / variance)


def test_linear_mmd_of_one_domain_is_about_zero_and_grows_with_the_gap():
    draws = [transfer.linear_mmd(RNG.normal(size=(50, 4)), RNG.normal(size=(50, 4))) for _ in range(200)]
    assert abs(np.mean(draws)) < 0.01
    assert min(draws) < 0
    near, far = (transfer.linear_mmd(RNG.normal(size=(500, 4)), RNG.normal(gap, 1, (500, 4))) for gap in (0.5, 2))
    np.testing.assert_allclose([near, far], [0.25, 4], rtol=0.2)  # 4 gap^2 over a variance of 4


def row(source, method, family, domain, accuracy, ways=5, shots=1, tasks=40):
    per_task = np.clip(accuracy + 0.02 * np.random.default_rng(1).normal(size=tasks), 0, 1).tolist()
    column = {**statistics.mean_interval(per_task)._asdict(), "per_task": per_task}
    return {
        "source": source, "method": method, "family": family, "domain": domain, "split": "test", "ways": ways,
        "chance": 1 / ways, "shots": shots, "queries": 15, "norm": "layer", "metric": "accuracy", "num_tasks": tasks,
        "joint": column, "single": column, "distance_untrained": 0.5, "distance_trained": None,
    }  # fmt: skip


ROWS = [
    row("strokes", name, family, domain, base + gain)
    for domain, base in (("digits", 0.6), ("fonts", 0.7), ("mnist", 0.5))
    for name, family, gain in (
        ("raw", "floor", 0.2), ("protonet", "learner", 0.1), ("maml", "learner", 0.0), ("fine_tune", "baseline", 0.05),
    )
] + [
    row("strokes", "protonet", "learner", "cells", 0.9, ways=3),
    {
        **row("strokes", "fine_tune", "baseline", "cells", 0.5, ways=3), "joint": None, "single": None,
        "note": "not possible: 3 examples a class",
    },
]  # fmt: skip


def test_comparisons_are_paired_and_adjusted_for_all_of_them():
    found = transfer.comparisons(ROWS)
    assert [(entry["domain"], entry["first"], entry["second"]) for entry in found] == [
        (domain, first, "fine_tune") for domain in ("digits", "fonts", "mnist") for first in ("protonet", "maml")
    ]
    for entry in found:
        assert entry["mean"] == pytest.approx(0.05 if entry["first"] == "protonet" else -0.05)
        # The tasks' own spread cancels.
        assert entry["high"] - entry["low"] < 1e-9
    np.testing.assert_allclose([e["p_holm"] for e in found], statistics.holm([e["p_value"] for e in found]))
    assert transfer.comparisons(ROWS[:1]) == []


def test_rankings_are_over_domains_of_equal_ways():
    (entry,) = transfer.rankings(ROWS)
    assert entry["domains"] == ["digits", "fonts", "mnist"]
    assert dict(zip(entry["methods"], entry["ranks"], strict=True)) == {"protonet": 1, "maml": 3, "fine_tune": 2}
    scores = np.array([[0.7, 0.6, 0.65], [0.8, 0.7, 0.75], [0.6, 0.5, 0.55]])
    assert entry["p_value"] == pytest.approx(statistics.friedman(scores).p_value)
    assert entry["critical_difference"] == pytest.approx(statistics.nemenyi(scores).critical_difference)


def test_many_sources_meet_the_best_of_them():
    rows = [
        row(source, "protonet", "learner", "mnist", accuracy)
        for source, accuracy in (("omniglot,fonts", 0.8), ("omniglot", 0.7), ("fonts", 0.75), ("strokes", 0.9))
    ]
    (entry,) = transfer.multi_source(rows)
    assert (entry["first"], entry["second"]) == ("omniglot,fonts", "fonts")
    assert entry["mean"] == pytest.approx(0.05)
    assert transfer.multi_source(rows[1:]) == []


def test_tables():
    lines = transfer.markdown(ROWS, transfer.summarized(ROWS)).splitlines()
    assert lines[0] == "### From strokes, 1-shot"
    (proto,) = [line for line in lines if line.startswith("| protonet |")]
    assert [cell.strip() for cell in proto.split("|")[2:8]] == [
        "70.0 [69.4, 70.6]", "80.0 [79.4, 80.6]", "60.0 [59.4, 60.6]",
        "**90.0 [89.4, 90.6]** (3-way, chance 33.3)", "70.0", "1.00",
    ]  # fmt: skip
    assert any(line.startswith("| fine_tune |") and "not possible: 3 examples a class" in line for line in lines)
    pairs = [line for line in lines if line.startswith("| strokes |")]
    assert [line.split("|")[4:6] for line in pairs] == [[" protonet ", " fine_tune "]] * 3
    read = list(csv.DictReader(io.StringIO(transfer.csv_text(ROWS))))
    assert len(read) == len(ROWS)
    assert float(read[1]["single_mean"]) == pytest.approx(ROWS[1]["single"]["mean"], abs=1e-6)
    assert read[-1]["note"] == "not possible: 3 examples a class"
    assert read[-1]["single_mean"] == ""
    assert transfer.markdown([], transfer.summarized([])) == ""


@pytest.mark.fault(promised="what is said of a list of them")
def test_rows_that_come_once():
    compared = transfer.compare(row for row in ROWS)
    assert compared.found == transfer.summarized(row for row in ROWS) == transfer.summarized(ROWS)
    assert [bool(entries) for entries in compared.found.values()] == [True, True, False]
    wanted = transfer.markdown(ROWS, compared.found)
    assert str(compared) == transfer.markdown((row for row in ROWS), compared.found) == wanted


def test_names_of_folders_are_escaped():
    rows = [row | {"domain": "<img src=x>|\n# a", "source": "<b>"} for row in ROWS[:1]]
    text = transfer.markdown(rows, transfer.summarized(rows))
    assert "### From &lt;b&gt;, " in text
    assert "| method | &lt;img src=x&gt;\\| # a | average | rank |" in text
    assert "<" not in text


def test_wrong_features():
    good = RNG.normal(size=(4, 3))
    for source, target, expected in (
        (good[:1], good, "at least 2"), (good, good[:, :2], "equally long"), (good * np.nan, good, "finite"),
        (np.ones((4, 3)), good, "vary"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=expected):
            transfer.linear_mmd(source, target)


def test_the_figure_has_a_panel_for_each_domain(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    figure = report.transfer(ROWS)
    panels = figure.axes
    assert [panel.get_title() for panel in panels] == ["digits", "fonts", "mnist", "cells"]
    drawn = [
        line.get_xdata()[0] for line in panels[0].lines if line.get_linestyle() == "None" and len(line.get_xdata())
    ]
    means = [100 * row["single"]["mean"] for row in ROWS if row["domain"] == "digits"]
    assert set(np.round(means, 6)) <= set(np.round(drawn, 6))
    figure.savefig(tmp_path / "figure.png")

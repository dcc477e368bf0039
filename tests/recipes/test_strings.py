"""Strings to strings as a kind of data: recipes, runs, and a person's own words."""

import numpy as np
import pytest

from jaxmeta import checks, cli, recipes, runs

SMALL = {
    "hidden": (8,), "longest": 6, "shots": 8, "train_shots": 8, "train_queries": 4, "queries": 3, "tasks_per_step": 2,
    "steps": 2, "num_tasks": 2, "validation_tasks": 2, "inner_steps": 1, "inner_steps_test": 1, "inner_batch_size": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A language whose words are said backwards, of 50 words, two of them too long."""
    path, random = tmp_path_factory.mktemp("words") / "own.tsv", np.random.default_rng(0)
    sources = dict.fromkeys("".join(random.choice(list("abcde"), random.integers(2, 7))) for _ in range(60))
    sources = [*list(sources)[:48], "abcabca", "cabcabcab"]
    path.write_text("".join(f"{each}\t{' '.join(each.upper()[::-1])}\n" for each in sources), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(words, tmp_path_factory):
    recipe = recipes.get("reptile-g2p").replace(domain=str(words), augment="rename", **SMALL)
    return runs.train(recipe, folder=tmp_path_factory.mktemp("run") / "r")


def test_a_run_is_scored_by_what_it_says(run, words):
    rows = run.score(str(words), num_tasks=2)
    assert [row["method"] for row in rows] == ["reptile, untrained", "reptile"]
    for row in rows:
        assert row["metric"] == "phoneme_error_rate"
        assert row["joint"]["per_task"] == row["single"]["per_task"]
        assert 0 < row["joint"]["mean"] < 10
    opened = runs.open(run.folder)
    assert opened.recipe.task.kind == "strings"
    assert opened.score(str(words), num_tasks=2)[-1]["joint"] == rows[-1]["joint"]


def test_splits_ask_about_other_words(words):
    task = recipes.get("reptile-g2p").replace(domain=str(words), **SMALL).task
    made = {split: recipes.domains.open(str(words), split, task=task) for split in ("train", "validation", "test")}
    assert all("2 pairs left out of more than 6 letters or symbols" in own.facts[0]["notes"] for own in made.values())
    assert "5 letters, 5 symbols" in recipes.line(made["test"].facts[0])
    samples = {split: getattr(own.sample, "sample", own.sample) for split, own in made.items()}  # behind other letters
    pools = {split: {tuple(row) for row in np.asarray(own.sources[own.asked])} for split, own in samples.items()}
    assert not pools["train"] & pools["validation"]
    assert not pools["train"] & pools["test"]
    assert not pools["validation"] & pools["test"]
    for split in ("validation", "test"):
        shown = {tuple(row) for row in np.asarray(samples[split].sources[samples[split].shown])}
        assert shown == pools["train"]
    with pytest.raises(checks.DataError, match=r"own.tsv, test: .*num_queries: expected at most"):
        recipes.domains.open(str(words), "test", task=task, queries=30)


@pytest.mark.long
def test_words_of_a_persons_own(run, words, tmp_path, capsys):
    new, out = tmp_path / "new.txt", tmp_path / "out.csv"
    new.write_text("abc\nfgh\n", encoding="utf-8")  # letters that nobody knows, too
    given = ["--inputs", str(new), "--out", str(out), "--force"]
    own = ["--support", str(words), "--save", str(tmp_path / "saved.bin"), "--inner-steps", "2"]
    assert cli.main(["adapt", str(run.folder), *given, *own]) == 0
    assert "2 pairs left out" in (said := capsys.readouterr().out)
    assert "2 predicted" in said
    first = out.read_text(encoding="utf-8").splitlines()
    assert first[0] == "input,prediction,probability"
    assert [line.split(",")[0] for line in first[1:]] == ["abc", "fgh"]
    assert set("".join(line.split(",")[1] for line in first[1:])) <= set("ABCDE ")
    assert cli.main(["adapt", str(run.folder), *given, "--adapted", str(tmp_path / "saved.bin")]) == 0
    assert out.read_text(encoding="utf-8").splitlines() == first
    new.write_text("abcdefgh\n", encoding="utf-8")
    capsys.readouterr()
    assert cli.main(["adapt", str(run.folder), *given, "--support", str(words)]) == 1
    assert "strings of at most 6 letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learner": "protonet"}, "one with a head"),
        ({"learner": "cavia"}, "without context parameters"),
        ({"learner": "fine_tune"}, "one with a head for `criterion` transduction"),
        ({"domain": "omniglot"}, "expected g2p:LANGUAGE"),
        ({"longest": 0}, "`longest`"),
    ],
)
def test_what_cannot_be_is_told(changes, message, words):
    recipe = recipes.get("maml-g2p").replace(**{"domain": str(words), **SMALL, **changes})
    with pytest.raises(ValueError, match=message):
        runs.train(recipe)


def test_the_multilingual_baseline_takes_no_step_in_training():
    recipe = recipes.get("multilingual-g2p")
    assert recipe.adaptation.inner_steps == 0
    assert recipe.adaptation.inner_steps_test > 0
    for name in ("maml-g2p", "fomaml-g2p", "reptile-g2p", "from-scratch-g2p", "multilingual-g2p"):
        recipes.check(recipes.get(name))

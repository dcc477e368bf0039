"""What was trained on is known again, however its files were saved since."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from jaxmeta import checks, datasets, recipes
from jaxmeta.recipes.kinds import facts, labelled, seen
from jaxmeta.recipes.recipe import Task

PROMISE = "the test has nothing that was trained on"
TASK = Task(picture=(6, 6, 1), ways=2, shots=1, queries=1, train_ways=2)


def trained(path, task=TASK):
    """What a training on a path sees, and the domain that it would be tested on at once."""
    parts = [recipes.domains.open(str(path), split, task=task) for split in ("train", "validation")]
    return parts[0].known | parts[1].known, recipes.domains.open(str(path), "test", task=task)


def of_test(path, known, task=TASK):
    return recipes.domains.open(str(path), "test", task=task, seen=known)


def write_table(path, rows, head="age,colour,x,label", line="{age},{colour},{x},{label}", sep=",", end="\n"):
    text = [head.replace(",", sep)] + [line.format(**row, index=index).replace(",", sep) for index, row in rows]
    path.write_bytes((end.join(text) + end).encode())
    return path


def patients(seed=0, count=60):
    rng = np.random.default_rng(seed)
    return list(enumerate(
        {"age": int(rng.integers(20, 90)), "colour": ("red", "green", "blue")[rng.integers(3)],
         "x": f"{rng.normal():.4f}", "label": "ab"[index % 2]} for index in range(count)
    ))  # fmt: skip


@pytest.mark.parametrize(
    "saved",
    [
        {"end": "\r\n"},
        {"sep": ";"},
        {"sep": "\t"},
        {"head": ",age,colour,x,label", "line": "{index},{age},{colour},{x},{label}"},
        {"head": "x,label,age,colour", "line": "{x},{label},{age},{colour}"},
        {"head": "age,colour,x,label", "line": "{age}.0,{colour},{x}0,{label}"},
        {"head": "age,colour,x,label", "line": "{age}, {colour}, {x},'{label}'"},
    ],
)
@pytest.mark.fault(promised=PROMISE)
def test_a_table_saved_again(tmp_path, saved):
    known, first = trained(write_table(tmp_path / "one.csv", patients()))
    again = of_test(write_table(tmp_path / "two.csv", patients(), **saved), known)
    assert again.split == first.split == "test rows"
    assert again.facts[0]["examples"] == first.facts[0]["examples"]


@pytest.mark.parametrize("change", ["one row more", "a category more", "a row less", "shuffled", "half of it"])
@pytest.mark.fault(promised=PROMISE)
def test_a_table_that_changed(tmp_path, change):
    known, first = trained(write_table(tmp_path / "one.csv", patients()))
    own, more = patients(), patients(seed=1, count=1)
    more[0][1]["colour"] = "amber" if change == "a category more" else "red"
    changed = {
        "one row more": own + more, "a category more": own + more, "a row less": own[1:], "shuffled": own[::-1],
        "half of it": own[:30],
    }[change]  # fmt: skip
    again = of_test(write_table(tmp_path / "one.csv", changed), known)
    assert again.split == "test rows"
    left, extra = first.facts[0]["examples"], change in ("one row more", "a category more")
    assert again.facts[0]["examples"] <= left + extra
    loaded = datasets.load(tmp_path / "one.csv")
    assert seen.unseen(loaded, known).split == "test rows"
    assert not known.examples & set(seen.fingerprints(seen.unseen(loaded, known)).tolist())


@pytest.mark.fault(promised="one line: with other columns no row is known again")
def test_the_file_that_was_trained_on_with_other_columns(tmp_path):
    path = write_table(tmp_path / "one.csv", patients())
    known, _ = trained(path)
    with pytest.raises(ValueError, match="the columns of this file that were trained on, got no row that is known"):
        of_test(path, known, dataclasses.replace(TASK, columns=("age", "colour")))
    assert of_test(path, known).split == "test rows"


def test_another_table_of_the_same_columns_is_taken_whole(tmp_path):
    known, _ = trained(write_table(tmp_path / "one.csv", patients()))
    assert of_test(write_table(tmp_path / "two.csv", patients(seed=1)), known).split == "all"


def test_values_of_a_table_saved_again(tmp_path):
    task = Task(criterion="squared_error", shots=4, queries=2, train_queries=2)
    lines = [f"{index % 7},{2 * index},{index / 3}" for index in np.random.default_rng(0).permutation(60)]
    for name, end in (("one.csv", "\n"), ("two.csv", "\r\n")):
        (tmp_path / name).write_bytes(end.join(["a,b,y", *lines]).encode())
    known, first = trained(tmp_path / "one.csv", task)
    again = of_test(tmp_path / "two.csv", known, task)
    assert (again.split, again.facts[0]["examples"]) == (first.split, first.facts[0]["examples"]) == ("test rows", 15)


def write_pictures(path, classes=range(12), seed=0, names="class {}"):
    rng = np.random.default_rng(seed)
    for label in classes:
        (path / names.format(label)).mkdir(parents=True)
        for index in range(8):
            Image.fromarray(rng.integers(0, 256, (6, 6), np.uint8)).save(path / names.format(label) / f"{index}.png")
    return path


def of(domain):
    return domain.facts[0]["class_names"]


@pytest.mark.parametrize(
    "change", ["nothing", "moved", "one picture more", "one class more", "a class less", "renamed", "recoloured"]
)
@pytest.mark.fault(promised=PROMISE)
def test_pictures_that_changed(tmp_path, change):
    path = write_pictures(tmp_path / "one")
    known, first = trained(path)
    assert known.classes.isdisjoint(of(first))
    if change == "moved":
        path = shutil.move(path, tmp_path / "two")
    if change == "one picture more":
        Image.fromarray(np.full((6, 6), 7, np.uint8)).save(path / "class 3" / "9.png")
    if change == "one class more":
        write_pictures(path, [12], seed=9)
    if change == "a class less":
        shutil.rmtree(path / of(first)[0])
    if change == "renamed":
        for each in sorted(path.iterdir()):
            each.rename(path / f"other {each.name}")
    if change == "recoloured":  # other contents under the names that were trained on
        shutil.rmtree(path)
        write_pictures(path, seed=5)
    again = of_test(path, known)
    more, less = ["class 12"] * (change == "one class more"), change == "a class less"
    names = [*of(first)[less:], *more]
    assert sorted(of(again)) == sorted(f"other {name}" if change == "renamed" else name for name in names)
    assert again.split == "test"
    assert "classes left out that were trained on" in again.facts[0]["notes"][-1]


def test_other_classes_are_taken_whole_and_numbers_are_no_names(tmp_path):
    known, _ = trained(write_pictures(tmp_path / "one"))
    assert of_test(write_pictures(tmp_path / "two", seed=1, names="kind {}"), known).split == "all"
    known, _ = trained(write_pictures(tmp_path / "three", seed=2, names="{}"))
    assert of_test(write_pictures(tmp_path / "four", seed=3, names="{}"), known).split == "all"


def test_nothing_left_is_refused_unless_it_is_asked_for(tmp_path):
    path = write_pictures(tmp_path / "one")
    known, first = trained(path)
    for name in of(first):
        shutil.rmtree(path / name)
    with pytest.raises(
        ValueError, match="something that was not trained on, got nothing that was not; name the classes"
    ):
        of_test(path, known)
    everything = of_test(path, known, Task(**{**vars(TASK), "test_classes": ("all",)}))
    assert (everything.split, len(of(everything))) == ("all", 9)


def test_a_run_of_before_knows_its_files_alone(tmp_path):
    path = write_pictures(tmp_path / "one")
    known, first = trained(path)
    before = seen.Seen(known.checksums, None)
    assert of(of_test(path, before)) == of(first)
    Image.fromarray(np.full((6, 6), 7, np.uint8)).save(path / "class 3" / "9.png")
    assert of_test(path, before).split == "all"


@pytest.mark.parametrize(
    ("lists", "sizes"),
    [
        ({"train_classes": ("class 1", "class 2", "class 3")}, (3, 4, 5)),
        ({"test_classes": ("class 0", "class 1")}, (6, 4, 2)),
        ({"train_classes": ("class 1", "class 2"), "validation_classes": ("class 3", "class 4")}, (2, 2, 8)),
        ({"train_classes": ("all",)}, (12, 12, 12)),
        ({"test_classes": ("all",)}, (8, 4, 12)),
    ],
)
def test_lists_of_classes(tmp_path, lists, sizes):
    path, task = write_pictures(tmp_path / "one"), Task(**{**vars(TASK), **lists})
    parts = [recipes.domains.open(str(path), split, task=task) for split in ("train", "validation", "test")]
    assert tuple(len(of(part)) for part in parts) == sizes
    if "all" not in sum(lists.values(), ()):
        assert len({name for part in parts for name in of(part)}) == 12
        for name, classes in lists.items():
            assert sorted(of(parts[("train", "validation", "test").index(name.partition("_")[0])])) == sorted(classes)


def test_where_all_classes_train_the_other_examples_test(tmp_path):
    task = Task(**{**vars(TASK), "train_classes": ("all",)})
    path = write_pictures(tmp_path / "one")
    known, first = trained(path, task)
    again = of_test(path, known, task)
    assert (again.split, of(again), again.facts[0]["examples"]) == ("test rows", of(first), first.facts[0]["examples"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"train_classes": ("class 99",)}, "`train_classes`: expected classes of the domain, got 'class 99'"),
        (
            {"train_classes": ("class 1", "class 2"), "test_classes": ("class 1",)},
            "each class in one list, got 'class 1'",
        ),
        ({"min_examples": 9}, "`min_examples`: expected at most 8"),
    ],
)
@pytest.mark.fault(promised="one line that names the field")
def test_lists_that_do_not_fit(tmp_path, fields, words):
    task = Task(**{**vars(TASK), **fields})
    with pytest.raises(ValueError, match="expected") as caught:
        recipes.domains.open(str(write_pictures(tmp_path / "one")), "train", task=task)
    assert words in str(caught.value)


def test_small_classes_are_left_out_and_named(tmp_path):
    path = write_pictures(tmp_path / "one")
    (path / "class 4" / "0.png").unlink()
    known = recipes.domains.open(str(path), "test", task=Task(**{**vars(TASK), "min_examples": 8}), seen=seen.Seen())
    assert len(of(known)) == 11
    assert known.facts[0]["notes"] == ["1 classes of fewer than 8 examples left out: class 4"]


def test_cells_are_completed_by_the_support_set(tmp_path):
    rows = [f"{'' if index % 5 == 0 else index},{('red', 'green', 'blue')[index % 3]},{'ab'[index % 2]}"
            for index in range(40)]  # fmt: skip
    (tmp_path / "holes.csv").write_text("x,colour,label\n" + "\n".join(rows))
    task = recipes.complete(Task(domain=str(tmp_path / "holes.csv"), ways=2, shots=4, queries=3))
    assert task.num_features == 4
    domain = recipes.domains.open(task.domain, "test", task=task, seen=seen.Seen())
    episode = domain.sample(jax.random.key(0))
    assert episode.support.inputs.shape == (8, 4)
    for batch in episode:
        assert np.isfinite(batch.inputs).all()
    np.testing.assert_allclose(episode.support.inputs.mean(axis=0), 0, atol=1e-6)
    said = facts.line(domain.facts[0])
    assert said == (
        "read holes, all: 40 rows; 2 classes of 20 (a, b); target 'label'; 2 features, 1 of them categories; "
        "8 cells missing, 8 of 'x'; numbers in 1 to 39; 2 examples come again in their class; 3 examples come "
        "again in another class"
    )


def test_queries_of_another_domain_go_by_the_names_of_classes(tmp_path):
    ours = write_pictures(tmp_path / "ours", range(4), names="caf\u00e9 {}")
    theirs = write_pictures(tmp_path / "theirs", range(2, 9), seed=1, names="cafe\u0301 {}")
    domain = recipes.domains.open(str(ours), "test", task=TASK, query_domain=str(theirs), seen=seen.Seen())
    assert [of["class_names"] for of in domain.facts] == [
        ["caf\u00e9 2", "caf\u00e9 3"],
        ["caf\u00e9 2", "caf\u00e9 3"],
    ]
    episode = domain.sample(jax.random.key(0))
    for batch, path in zip(episode, (ours, theirs), strict=True):
        known = {each.tobytes() for each in datasets.load(path).inputs}
        assert {np.rint(255 * np.asarray(each)).astype(np.uint8).tobytes() for each in batch.inputs} <= known


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        ("fonts", "`query_domain`: expected at least 2 classes of the support's domain, got 0 in both"),
        ("digits,fonts", "`query_domain`: expected one domain beside one"),
        ("nowhere.csv", "nowhere.csv"),
    ],
)
@pytest.mark.fault(promised="one line that names the field")
def test_queries_of_a_domain_that_does_not_fit(tmp_path, queries, words):
    ours = write_pictures(tmp_path / "ours", range(4))
    with pytest.raises(ValueError, match="expected") as caught:
        recipes.domains.open(str(ours), "test", task=TASK, query_domain=queries, seen=seen.Seen())
    assert words in str(caught.value)


def test_queries_are_no_examples_of_the_support(tmp_path):
    ours, theirs = write_pictures(tmp_path / "ours", range(3)), write_pictures(tmp_path / "theirs", range(3), seed=1)
    shutil.copy(ours / "class 1" / "0.png", theirs / "class 1" / "another name.png")
    open_to = lambda path: recipes.domains.open(  # noqa: E731
        str(ours), "test", task=TASK, query_domain=str(path), seen=seen.Seen()
    )
    assert open_to(theirs).facts[1]["examples"] == 24
    assert open_to(theirs).facts[1]["notes"] == ["1 examples left out that the support's domain has"]
    again = shutil.copytree(ours, tmp_path / "again")
    with pytest.raises(ValueError, match=r"`query_domain`: expected other examples .*, got the same ones"):
        open_to(again)


def test_examples_that_come_again_are_told_of(tmp_path):
    path = write_pictures(tmp_path / "one", range(3))
    shutil.copy(path / "class 1" / "0.png", path / "class 1" / "0 copy.png")
    for name in ("class 0", "class 2"):
        shutil.copy(path / "class 1" / "3.png", path / name / "9.png")
    domain = recipes.domains.open(str(path), "test", task=TASK, seen=seen.Seen())
    assert domain.facts[0]["notes"] == [
        "1 examples come again in their class",
        "2 examples come again in another class",
    ]


@pytest.mark.fault(promised="one line that says which classes were left out, and why")
def test_classes_that_one_example_leaves_out(tmp_path):
    path = write_pictures(tmp_path / "one")
    known, first = trained(path)
    own, trains = of(first), sorted(known.classes)[0]
    for name in own[:2]:
        shutil.copy(path / trains / "0.png", path / name / "9.png")
    said = f"11 classes left out that were trained on: {own[0]} (1 of 9 examples), {own[1]} (1 of 9 examples), "
    with pytest.raises(ValueError, match="at most the 1 classes there are, got 2") as caught:
        of_test(path, known)
    assert said in str(caught.value)
    assert str(caught.value).endswith("; name the classes to test on with `test_classes`, all for every one")
    shutil.copy(path / trains / "0.png", path / own[2] / "9.png")
    with pytest.raises(ValueError, match="75 of 99 examples were trained on, and so were a part"):
        of_test(path, known)


def two_tables(tmp_path, **change):
    """A table of patients, and one of others that is written otherwise."""
    others = patients(seed=1)
    for _, row in others:
        row["colour"] = change.get("colours", {}).get(row["colour"], row["colour"])
    own = {key: change[key] for key in ("head", "line") if key in change}
    return write_table(tmp_path / "one.csv", patients()), write_table(tmp_path / "two.csv", others, **own)


def open_both(one, two):
    task = recipes.complete(Task(domain=str(one), ways=2, shots=4, queries=3, num_features=9))
    return recipes.domains.open(str(one), "test", task=task, query_domain=str(two), seen=seen.Seen())


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"head": "x,colour,label,age", "line": "{x},{colour},{label},{age}"}, ""),
        ({"colours": {"red": "green"}}, ""),
        ({"colours": {"red": "amber"}}, "cells are 'amber', where the support's domain has 'blue', 'green', 'red'"),
    ],
)
@pytest.mark.fault(promised="read in the columns and categories of the support's domain; unknown ones are missing")
def test_columns_of_a_query_domain_in_another_order(tmp_path, change, note):
    one, two = two_tables(tmp_path, **change)
    made = open_both(one, two)
    assert [list(fact["columns"].items()) for fact in made.facts] == [
        [("age", "numbers"), ("colour", 3), ("x", "numbers")]
    ] * 2
    told = [each for each in made.facts[1]["notes"] if each.startswith("column")]
    assert note in "".join(told)
    assert bool(told) == bool(note)
    ours, theirs = datasets.load(one), datasets.load(two)
    brought = labelled._in_columns_of(ours, theirs)
    names = lambda table: [  # noqa: E731
        {
            column.name: (column.categories[int(cell)] if column.categories and cell == cell else float(cell))
            for column, cell in zip(table.columns, row, strict=True)
        }
        for row in table.inputs
    ]
    for before, after in zip(names(theirs), names(brought), strict=True):
        gone = before["colour"] == "amber"
        assert {**before, "colour": None} == {**after, "colour": None}
        assert (after["colour"] != after["colour"]) if gone else (after["colour"] == before["colour"])
    assert np.isfinite(np.asarray(made.sample(jax.random.key(0)).query.inputs)).all()


@pytest.mark.fault(promised="missing cells of the queries alone are completed by the support set")
def test_gaps_in_a_query_domain_alone(tmp_path):
    rng, paths = np.random.default_rng(0), [tmp_path / "one.csv", tmp_path / "two.csv"]
    for path, every in zip(paths, (99, 3), strict=True):
        rows = [f"{rng.normal() if index % every else ''},{rng.normal()},{'ab'[index % 2]}" for index in range(1, 41)]
        path.write_text("\n".join(["x,z,label", *rows]))
    made = open_both(*paths)
    assert made.facts[0]["missing"] == 0 < made.facts[1]["missing"]
    for batch in made.sample(jax.random.key(0)):
        assert np.isfinite(np.asarray(batch.inputs)).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head": "age,colour,label", "line": "{age},{colour},{label}"},
         "the columns of the support's domain, age, colour, x, got none 'x'; name those that both have with `columns`"),
        ({"head": "age,colour,x,z,label", "line": "{age},{colour},{x},{x},{label}"}, "got 'z' as well"),
        ({"head": "age,color,x,label"}, "age, colour, x, got none 'colour'"),
        ({"colours": {"red": "1", "green": "2", "blue": "3"}},
         "column 'colour': expected categories, such as 'blue', as in the support's domain, got numbers"),
    ],
)  # fmt: skip
@pytest.mark.fault(promised="one line that names the first difference")
def test_other_columns_of_a_query_domain(tmp_path, change, words):
    with pytest.raises(ValueError, match="expected") as caught:
        open_both(*two_tables(tmp_path, **change))
    assert words in str(caught.value)


@pytest.mark.fault(promised="one line that says how many examples were left out")
def test_too_few_are_left_of_a_query_domain(tmp_path):
    ours, theirs = write_pictures(tmp_path / "ours", range(2)), write_pictures(tmp_path / "theirs", range(2), seed=1)
    for index in range(8):
        shutil.copy(ours / "class 1" / f"{index}.png", theirs / "class 1" / f"{index}.png")
    open_to = lambda: recipes.domains.open(  # noqa: E731
        str(ours), "test", task=TASK, query_domain=str(theirs), seen=seen.Seen()
    )
    with pytest.raises(ValueError, match=r"got 1 in both: .*; 8 examples left out that the support's domain has"):
        open_to()
    Image.fromarray(np.full((6, 6), 7, np.uint8)).save(theirs / "class 1" / "9.png")
    task = Task(**{**vars(TASK), "queries": 2})
    with pytest.raises(ValueError, match=r"at most 1, .* got 2; 8 examples left out that the support's domain has"):
        recipes.domains.open(str(ours), "test", task=task, query_domain=str(theirs), seen=seen.Seen())


def notes(path, split, task=TASK, known=None):
    return recipes.domains.open(str(path), split, task=task, seen=known).facts[0]["notes"]


@pytest.mark.fault(promised="how many examples of a split come again in it, and how many train as well, is said")
def test_copies_are_those_of_the_split(tmp_path):
    path = write_pictures(tmp_path / "one")
    names = {split: of(recipes.domains.open(str(path), split, task=TASK)) for split in ("train", "validation", "test")}
    shutil.copy(path / names["train"][0] / "0.png", path / names["train"][1] / "9.png")
    assert {split: notes(path, split) for split in names} == {
        "train": ["1 examples come again in another class"], "validation": [], "test": [],
    }  # fmt: skip
    for index in range(3):
        shutil.copy(path / names["train"][2] / f"{index}.png", path / names["validation"][0] / f"9{index}.png")
    assert notes(path, "validation") == ["3 examples are also among those that train"]


@pytest.mark.fault(promised="how many examples of a split come again in it, and how many train as well, is said")
def test_folders_and_lists_that_share_examples(tmp_path):
    path = tmp_path / "parts"
    for part in ("train", "test"):
        write_pictures(path / part, range(4))
    assert notes(path, "test")[1:] == ["24 examples are also among those that train"]  # a quarter chooses
    lists = {"train_classes": ("class 0", "class 1"), "validation_classes": ("class 2", "class 3"),
             "test_classes": ("class 4", "class 5")}  # fmt: skip
    one, task = write_pictures(tmp_path / "one", range(6)), Task(**{**vars(TASK), **lists})
    for index in range(2):
        shutil.copy(one / "class 1" / f"{index}.png", one / "class 4" / f"9{index}.png")
    assert [notes(one, split, task) for split in ("train", "validation", "test")] == [
        [], [], ["2 examples are also among those that train"],
    ]  # fmt: skip
    known = recipes.domains.open(str(one), "train", task=task).known
    assert notes(one, "test", task, known) == ["2 examples are also among those that were trained on"]


VALUES = Task(criterion="squared_error", shots=2, queries=2, train_queries=2)


def functions(path, rows=slice(None), dtype=np.float64, **more):
    """Tasks of a person's own, some of them in some order."""
    inputs = np.random.default_rng(0).normal(size=(20, 6, 1))
    targets = np.sin(inputs * np.arange(1, 21)[:, None, None])
    np.savez(path, inputs=inputs[rows].astype(dtype), targets=targets[rows].astype(dtype), **more)
    return path


@pytest.mark.fault(promised=PROMISE)
def test_tasks_in_another_order(tmp_path):
    known, first = trained(functions(tmp_path / "one.npz"), VALUES)
    assert (first.split, first.facts[0]["notes"]) == ("test", ["4 tasks of 6"])
    assert (len(known.examples), len(known.checksums)) == (16, 1)
    order = np.roll(np.arange(20), 2)
    again = of_test(functions(tmp_path / "two.npz", order, np.float32), known, VALUES)
    assert again.facts[0] == first.facts[0] | {"domain": "two"}
    assert of_test(functions(tmp_path / "some.npz", np.arange(10)), known, VALUES).facts[0]["notes"] == ["2 tasks of 6"]
    with np.load(tmp_path / "one.npz") as arrays:  # the examples of a task have no order, either
        turned = {name: arrays[name][:, ::-1] for name in arrays}
    np.savez(tmp_path / "turned.npz", **turned)
    assert of_test(tmp_path / "turned.npz", known, VALUES).facts[0]["notes"] == ["4 tasks of 6"]
    np.savez(tmp_path / "others.npz", **(turned | {"targets": turned["targets"] + 1}))
    others = of_test(tmp_path / "others.npz", known, VALUES)
    assert (others.split, others.facts[0]["notes"]) == ("all", ["20 tasks of 6"])
    with pytest.raises(
        checks.DataError, match="test: expected tasks of the part test that were not trained on, got 5 of 5"
    ):
        of_test(functions(tmp_path / "all.npz", [0, 1, 2, 5, 6]), known, VALUES)
    assert of_test(tmp_path / "one.npz", known._replace(examples=None), VALUES).facts == first.facts  # of an older run


@pytest.mark.fault(promised="classes are refused where they would change nothing")
@pytest.mark.parametrize("name", ["train_classes", "validation_classes", "test_classes", "min_examples"])
def test_values_have_no_classes(tmp_path, name):
    functions(tmp_path / "one.npz")
    write_table(tmp_path / "one.csv", patients())
    task = dataclasses.replace(VALUES, **{name: 2 if name == "min_examples" else ("a",)})
    for path, own in (("one.npz", task), ("one.csv", dataclasses.replace(task, target_column="age"))):
        wanted = f"`{name}`: expected none for (functions|tables), where it would change nothing, got"
        with pytest.raises(ValueError, match=wanted):
            recipes.domains.open(str(tmp_path / path), "test", task=own)


@pytest.mark.fault(promised="an array split of an npz of tasks is used, or refused by name")
def test_tasks_say_their_parts(tmp_path):
    path = functions(tmp_path / "one.npz", split=np.array(["test"] * 8 + ["train"] * 12))
    known, test = trained(path, VALUES)
    assert test.facts[0]["notes"] == ["8 tasks of 6", "splits of the array 'split'"]
    assert len(known.examples) == 12
    with np.load(path) as arrays:
        trains = recipes.domains.open(str(path), "train", task=VALUES).sample.examples.inputs
        assert np.isin(np.asarray(trains), arrays["inputs"][8:].astype(np.float32)).all()
    again = of_test(functions(tmp_path / "two.npz", split=np.array(["test"] * 10 + ["train"] * 10)), known, VALUES)
    assert again.facts[0]["notes"] == test.facts[0]["notes"]
    functions(path, split=np.array(["new"] * 20))
    with pytest.raises(checks.DataError, match=r"one.npz, split: expected train, validation or test .*, got 'new'"):
        of_test(path, known, VALUES)
    functions(path, split=np.array(["test"] * 20))
    with pytest.raises(checks.DataError, match=r"one.npz, train: expected tasks of the part train, got none"):
        trained(path, VALUES)


@pytest.mark.fault(promised="one line names the file and the options")
def test_tasks_of_too_few_examples(tmp_path):
    path = functions(tmp_path / "one.npz")
    for split, shots, queries in (("train", "`train_shots`", "`train_queries`"), ("test", "`shots`", "`queries`")):
        wanted = (
            f"one.npz, {split}: expected at least 9 .+ 2 examples in a task, .*, got 6; give fewer {shots} or {queries}"
        )
        with pytest.raises(checks.DataError, match=wanted):
            recipes.domains.open(str(path), split, task=dataclasses.replace(VALUES, shots=9))

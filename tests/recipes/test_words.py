"""Words with tags as a kind of data: recipes, runs, and a person's own sentences."""

import csv
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import checks, cli, criteria, datasets, encoders, recipes, runs, spans, tasks, transfer
from jaxmeta.recipes.kinds import seen, tokens
from jaxmeta.report import episodes, facts, probes

KEY = jax.random.key(0)
TYPES = ("per", "loc", "org")
PLAIN = ("the", "of", "saw", "went", "near", "and")


def conll(path, types=TYPES, count=40, seed=0):
    """Sentences in which the names of a type begin alike; every second begins with two of one type, side by side."""
    random, lines = np.random.default_rng(seed), []
    for number in range(count):
        kinds = [types[number % len(types)]] * 2 if number % 2 else []
        kinds += random.choice(types, 2).tolist()
        for place, kind in enumerate(kinds):
            name = lambda kind=kind: f"{kind.title()}{random.choice(list('abcd'))}{random.choice(list('efgh'))}"  # noqa: E731
            lines.append(f"{name()}\tB-{kind}")
            lines += [f"{name()}\tI-{kind}"] * int(random.integers(0, 2))
            lines += [] if place == 0 and number % 2 else [f"{random.choice(PLAIN)}\tO"]
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


SMALL = {
    "longest": 8, "hidden": (4,), "ways": 3, "train_ways": 2, "queries": 2, "train_queries": 2, "tasks_per_step": 1,
    "steps": 2, "num_tasks": 2, "validation_tasks": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXMETA_CACHE", str(folder / "cache"))
        conll(folder / "own.conll")
        conll(folder / "other.conll", ("drug", "dose"), 30, 1)
        yield folder


@pytest.fixture(scope="module")
def run(files):
    recipe = recipes.get("protonet-entities-ngrams").replace(domain=str(files / "own.conll"), **SMALL)
    return runs.train(recipe, folder=files / "r")


def test_a_run_is_scored_by_its_mentions(run, files):
    rows = run.score(str(files / "other.conll"), ways=2, num_tasks=2)
    assert [row["method"] for row in rows] == ["character n-grams, nearest word", "protonet, untrained", "protonet"]
    for row in rows:
        assert (row["metric"], row["split"], row["ways"]) == ("span_f1", "all", 2)
        np.testing.assert_allclose(row["joint"]["per_task"], row["single"]["per_task"], atol=1e-6)
        assert set(row["beside"]) == {"span_precision", "span_recall"}
    assert rows[0]["joint"]["mean"] > 0.4  # names of a type are spelt alike
    opened = runs.open(run.folder)
    assert opened.recipe.task.kind == "tokens"
    assert opened.score(str(files / "other.conll"), ways=2, num_tasks=2)[-1]["joint"] == rows[-1]["joint"]


def test_splits_share_no_sentence(files, monkeypatch):
    path = str(files / "own.conll")
    task = recipes.get("protonet-entities-ngrams").replace(domain=path, **SMALL, kind="tokens").task
    sentences = {}
    for split, size in (("train", 32), ("validation", 4), ("test", 4)):
        place = recipes.Place(path, split)
        sentences[split] = set(tokens._tagged(task, place).words)
        assert len(sentences[split]) == size
    assert not sentences["train"] & (sentences["validation"] | sentences["test"])
    assert not sentences["validation"] & sentences["test"]
    # What nothing of it was trained on is tested whole, what is known by its words never.
    loaded = datasets.load_sentences(path)
    prints = tokens._prints(loaded)
    known = lambda rows: recipes.Seen(frozenset(), frozenset(prints[list(rows)].tolist()))  # noqa: E731
    asked = lambda seen: tokens._tagged(task, recipes.Place(path, "test", seen=seen)).words  # noqa: E731
    assert asked(recipes.Seen()) == loaded.words
    tests = [row for row, part in enumerate(loaded.parts) if part == "test"]
    assert asked(known([0, *tests[:1]])) == tuple(loaded.words[row] for row in tests[1:] if row)
    monkeypatch.setattr(seen, "STRAY", 0.1)  # one that it has by chance does not make a domain one that is known
    assert asked(known([0])) == loaded.words[1:]
    of_file = recipes.Seen(frozenset(loaded.checksums.values()), frozenset())
    assert asked(of_file) == tuple(loaded.words[row] for row in tests)
    with pytest.raises(checks.DataError, match="test: expected sentences that are not of another split, got none"):
        asked(known(range(len(prints))))


@pytest.fixture(scope="module")
def languages(files):
    """The same sentences in two languages, under the same ids; in one of them a type more."""
    (files / "xsid").mkdir()
    for part, count in (("valid", 6), ("test", 30)):
        for language, seed, types in (("en", 2, TYPES), ("de", 3, ("loc", "per"))):
            conll(files / "own.txt", types, count, seed)
            told = (files / "own.txt").read_text(encoding="utf-8").split("\n\n")
            lines = "\n\n".join(f"# id = {number}\n{own.strip()}" for number, own in enumerate(told) if own.strip())
            (files / "xsid" / f"{language}.{part}.conll").write_text(lines + "\n", encoding="utf-8")
    return str(files)


def test_a_language_is_shown_and_another_asked(run, languages):
    own = {"query_domain": "xsid:de", "data_dir": languages, "ways": 2, "num_tasks": 12, "seed": 3}
    test = run.test("xsid:en", **own)
    assert (test.facts["domain"], test.facts["split"]) == ("xsid:en to xsid:de", "all")
    assert [told["domain"] for told in test.read] == ["xsid:en", "xsid:de"]
    assert {name.partition(": ")[0] for name in test.checksums} == {"xsid:en", "xsid:de"}
    loaded = [datasets.load_sentences(f"xsid:{each}", data_dir=languages) for each in ("en", "de")]
    rows = [tokens._rows(run.recipe.task, [words[:8] for words in each.words]) for each in loaded]
    known_by_words = 0
    for task in range(12):
        sides = []
        for part, known, each in zip(test.episodes, rows, loaded, strict=True):
            found = {
                each.ids[row]
                for row in (np.asarray(part.inputs[task])[:, None] == known[None]).all((2, 3)).nonzero()[1]
            }
            sides.append(found)
        known_by_words += len(sides[0]) * len(sides[1])
        assert not sides[0] & sides[1]
    assert known_by_words > 12  # not pieces of long sentences alone
    row = run.rows(test)[-1]
    assert (row["metric"], row["domain"]) == ("span_f1", "xsid:en to xsid:de")
    with pytest.raises(ValueError, match=r"xsid:en, all: expected types for 3 ways, got 2 .* that both domains have"):
        run.test("xsid:en", **own | {"ways": 3})
    with pytest.raises(ValueError, match=r"xsid:de, all: expected at least .* 90 of them to ask, got"):
        run.test("xsid:en", **own | {"queries": 90})


def test_single_tasks_are_shown_with_what_is_found(run, files):
    path = str(files / "other.conll")
    run.write(run.score(path, ways=2, num_tasks=3))
    probe = probes.opened(facts.read(run.folder), domain=path, num_tasks=3)
    found = [episodes._tags(probe, task) for task in range(probe.num_tasks)]
    scores = [spans.score([own[1] for own in task], [own[2] for own in task]).f1 for task in found]
    np.testing.assert_allclose(scores, run.rows(probe.test)[-1]["joint"]["per_task"], atol=1e-6)
    places = probes.chosen(np.array(scores))
    for figure in episodes.tagged(probe):
        right, missed, wrong = (
            sum(line[3] == each for line in figure.rows) for each in ("right", "missed", "not there")
        )
        own = scores[places[figure.name.removeprefix("episode-")]]
        assert 2 * right / (2 * right + missed + wrong) == pytest.approx(own)
        assert {line[2] for line in figure.rows} <= {"drug", "dose"}
        assert all(line[1].lower().startswith(line[2]) for line in figure.rows if line[3] != "not there")
        figure.draw().canvas.draw()


@pytest.mark.long
def test_a_transfer_of_words(files):
    methods, sizes = ["protonet", "maml", "from_scratch"], {"shots": (1,), "ways": 2, "num_tasks": 3, "queries": 2}
    effort = {"effort": 0.001, "tune_tasks": 2, "fine_tune_steps": 2, "criterion": "mentions"}
    rows = transfer.matrix([str(files / "own.conll")], [str(files / "other.conll")], methods, **sizes, **effort)
    assert not [row["error"] for row in rows if "error" in row]
    assert [row["method"] for row in rows] == [
        "character n-grams, nearest word", "protonet, untrained", "protonet", "maml, untrained", "maml", "from_scratch",
    ]  # fmt: skip
    assert {(row["metric"], row["ways"], row["chance"]) for row in rows} == {("span_f1", 2, None)}
    with pytest.raises(ValueError, match="expected methods that fit tokens"):
        transfer.matrix([str(files / "own.conll")], [str(files / "other.conll")], ["simple_shot"], criterion="mentions")


def test_two_mentions_side_by_side_are_two(files):
    path = str(files / "own.conll")
    task = recipes.get("protonet-entities-ngrams").replace(domain=path, **SMALL, kind="tokens").task
    domain = recipes.domains.open(path, "train", task=task, ways=3)
    episode = jax.jit(domain.sample)(KEY)
    assert episode.support.inputs.shape == (3, 8, 256 + 8 + 1)
    targets = episode.query.targets
    assert isinstance(targets, criteria.Tagging)
    mask = np.asarray(episode.query.mask)
    np.testing.assert_array_equal(mask, np.asarray(episode.query.inputs[..., -1]) > 0)
    names = np.array(["O", "a", "b", "c"])[np.asarray(targets.classes)]
    words = lambda prefix: [  # noqa: E731
        [tag if tag == "O" else f"{prefix(row, place)}-{tag}" for place, tag in enumerate(own) if mask[row, place]]
        for row, own in enumerate(names)
    ]
    right = words(lambda row, place: "B" if targets.starts[row, place] else "I")
    expected = spans.score(right, words(lambda row, place: "I"))
    logits = jax.nn.one_hot(targets.classes, 4) * 9
    metrics = criteria.span_f1(lambda inputs, mask=None: logits, episode.query, KEY)[1]
    assert metrics["accuracy"] == 1
    assert expected.f1 < 1  # a class a word does not tell them apart
    assert metrics["span_f1"] == pytest.approx(expected.f1)
    assert metrics["span_recall"] == pytest.approx(expected.recall)
    plain = episode.query._replace(targets=targets.classes)
    assert criteria.span_f1(lambda inputs, mask=None: logits, plain, KEY)[1]["span_f1"] == 1


def table(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_sentences_of_a_persons_own(run, files, tmp_path, capsys):
    new, out, saved = tmp_path / "new.conll", tmp_path / "out.csv", tmp_path / "saved.bin"
    long = [f"Drug{letter}" for letter in "abcdefghij"]  # of 10 words where the network takes 8
    new.write_bytes(b"\xef\xbb\xbfDoseae\r\nof\r\n\r\n" + "\r\n".join(long).encode() + b"\r\n")
    given = ["--inputs", str(new), "--out", str(out), "--force"]
    own = ["--support", str(files / "other.conll"), "--save", str(saved), "--top", "2", "--probabilities"]
    assert cli.main(["adapt", str(run.folder), *given, *own]) == 0
    said = capsys.readouterr().out
    assert "2 classes of" in said
    assert "12 predicted: " in said
    lines = table(out)
    assert [line["sentence"] for line in lines] == ["1"] * 2 + ["2"] * 10
    assert [line["word"] for line in lines] == ["Doseae", "of", *long]
    assert {line["prediction"] for line in lines} <= {"O", "B-drug", "I-drug", "B-dose", "I-dose"}
    assert spans.spans([line["prediction"] for line in lines if line["sentence"] == "2"])[0].type == "drug"
    for line in lines:
        shares = {name: float(line[f"probability of {name}"]) for name in ("O", "drug", "dose")}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert max(shares, key=shares.__getitem__) == line["prediction"].rpartition("-")[2]
        assert max(shares.values()) == float(line["probability"]) >= float(line["probability_2"])
    again = [*given, "--adapted", str(saved), "--top", "2", "--probabilities"]
    assert cli.main(["adapt", str(run.folder), *again]) == 0
    assert table(out) == lines


def test_runs_of_words(run):
    labels, outputs = ("O", "O", "b"), np.zeros((2, 4, 3))  # what is the first is no mention, whatever its name
    for row, classes in enumerate(([1, 1, 2, 0], [2, 2, 0, 0])):
        outputs[row, np.arange(4), classes] = 1
    found = tokens._answers(["1\tu\tv\tw\tx", "1\ty\tz"], labels, outputs)
    assert found.said == ["B-O", "I-O", "B-b", "O", "B-b", "I-b"]
    assert found.cells[-1] == ["1", "z"]
    outputs[0, 3] = outputs[0, 2]  # the sentence's second piece goes on with the mention
    assert tokens._answers(["1\tu\tv\tw\tx", "1\ty\tz"], labels, outputs).said[-3:] == ["I-b", "I-b", "I-b"]
    assert tokens._answers(["1\tu\tv\tw\tx", "2\ty\tz"], labels, outputs).said[-3:] == ["I-b", "B-b", "I-b"]


@pytest.mark.fault(promised="one line, its exit code; nothing is written")
@pytest.mark.parametrize(
    ("support", "inputs", "flags", "code", "message"),
    [
        ("Ada B-per\nwrote\n", "", [], 1, "s.conll, row 2: expected a word and its tag, got 1 columns"),
        ("Ada B-per\nwrote V\n", "", [], 1, "s.conll, row 2: expected O, or B-, I-, E- or S- and a type, got 'V'"),
        ("Ada B-\n", "", [], 1, "s.conll, row 1: expected O, or B-, I-, E- or S- and a type, got 'B-'"),
        ("Ada O\n", "", [], 1, "s.conll: expected mentions, with tags such as B-person, got O alone"),
        ("\n", "", [], 1, "s.conll: expected sentences with words, got an empty file"),
        ("Ada B-per\n", "Ada wrote a poem\nin London\n", [], 1, "n.conll, row 2: expected a word a line, and columns"),
        ("Ada B-per\n", "Ada wrote a poem\n", [], 1, "n.conll, row 1: expected a word a line, got 4 words; write each"),
        ("Ada B-O\n", "", [], 1, "s.conll, row 1: expected a type that is not called as no mention is, got 'B-O'"),
        ("Ada B-per\n", "Ada\n", ["--none", "0.1"], 2, "--none: expected examples of one class each, got sentences"),
        ("Ada B-per\n", "Ada\n", ["--sheet", "x.png"], 2, "--sheet: expected a run of classes of pictures, got one of"),
    ],
)
def test_what_is_wrong_is_one_line(run, tmp_path, capsys, support, inputs, flags, code, message):
    support_path, inputs_path = tmp_path / "s.conll", tmp_path / "n.conll"
    support_path.write_text(support)
    inputs_path.write_text(inputs or "Ada\n")
    given = ["--support", str(support_path), "--inputs", str(inputs_path), "--out", str(tmp_path / "out.csv")]
    assert cli.main(["adapt", str(run.folder), *given, *flags]) == code
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"shots": 30, "train_shots": 1},
            r"own.conll, validation: expected at least 31 mentions of each type.*`min_examples`",
        ),
        ({"ways": 4}, r"own.conll, .*: expected types for 4 ways, got 3 with at least 2 mentions"),
        ({"train_queries": 99}, r"own.conll, train: expected at least 101, 99 of them to ask, got"),
        ({"learner": "cavia", "train_ways": 3}, "without context parameters, for tokens"),
        ({"learner": "relation_net"}, "one that takes tokens"),
        (
            {"learner": "laplacian_shot"},
            r"laplacian_shot: expected embeddings \[n, dim\], got shape \(.*protonet takes",
        ),
        ({"learner": "fine_tune", "train_ways": 3}, "expected one that trains on tasks, as tokens are"),
        ({"augment": "affine"}, "`augment`"),
        ({"domain": "omniglot"}, "omniglot: expected crossner:DOMAIN, xsid:LANGUAGE, or a CoNLL file"),
        ({"columns": ("a",)}, "`columns`: expected none, since a word stands first"),
        ({"kind": "texts"}, "own.conll"),
        ({"test_classes": ("per", "loc")}, "`test_classes`: expected none for tokens, where it would change nothing"),
        ({"train_classes": ("all",)}, "`train_classes`: expected none for tokens, where it would change nothing"),
    ],
)
def test_what_cannot_be_is_told(changes, message, files):
    base = {"domain": str(files / "own.conll"), **SMALL}
    recipe = recipes.get("protonet-entities-ngrams").replace(**{**base, **changes})
    with pytest.raises(ValueError, match=message):
        runs.train(recipe)


def test_a_run_of_another_kind_says_so(run, files, tmp_path, capsys):
    out = ["--out", str(tmp_path / "e"), "--num-tasks", "2"]
    assert cli.main(["evaluate", str(run.folder), "--domain", "digits", *out]) == 1
    assert "digits: expected crossner:DOMAIN" in capsys.readouterr().err
    (tmp_path / "crossner" / "ai").mkdir(parents=True)
    for name in ("train", "dev", "test"):
        (tmp_path / "crossner" / "ai" / f"{name}.txt").write_text("a\tB-x\n")
    assert "crossner:ai" in datasets.found(tmp_path)
    with pytest.raises(ValueError, match="crossner: expected a set with classes, got sentences with a tag"):
        recipes.domains.open("crossner:ai", "test", data_dir=str(tmp_path))


@pytest.mark.long
def test_a_head_has_an_output_for_no_mention(files):
    recipe = recipes.get("protonet-entities-ngrams").replace(
        domain=str(files / "own.conll"), **{**SMALL, "train_ways": 3, "steps": 0}, learner="maml", inner_steps=1
    )
    run = runs.train(recipe)
    assert run.shape.outputs == 4  # three types and no mention
    given = recipes.kind(run.recipe.task).read(run.recipe.task, own(files / "other.conll"), 3)
    adapted = run.adapt(given)
    assert adapted.labels == ("O", "dose", "drug")
    assert adapted.outputs(given.inputs[:2]).shape == (2, 8, 3)


def test_rare_types_are_left_out_where_that_is_asked_for(files):
    rare = conll(files / "rare.conll").read_text(encoding="utf-8")
    (files / "rare.conll").write_text(f"{rare}\nX\tB-odd\nY\tI-odd\n", encoding="utf-8")
    changes = {**SMALL, "domain": str(files / "rare.conll"), "kind": "tokens", "min_examples": 3}
    task = recipes.get("protonet-entities-ngrams").replace(**changes).task
    domain = recipes.domains.open(task.domain, "test", task=task, seen=recipes.Seen())
    assert "1 types of fewer than 3 mentions not asked for: odd" in domain.facts[0]["notes"]


def own(path):
    return recipes.Own(str(path), str(path), None, "as_is", None)


class Letters:
    """A tokenizer: each letter of a word is a piece."""

    def encode_batch(self, given, is_pretokenized=False):
        assert is_pretokenized
        return [Made(words) for words in given]


class Made:
    def __init__(self, words):
        pieces = [(2 + ord(letter) % 40, place) for place, word in enumerate(words) for letter in word]
        self.ids, self.word_ids = [1, *(piece for piece, _ in pieces), 2], [None, *(of for _, of in pieces), None]


def test_an_encoder_reads_words_once(encoder_with, files, tmp_path):
    small = encoder_with(Letters(), 24)
    path = str(files / "other.conll")
    recipe = recipes.get("protonet-entities").replace(domain=path, **{**SMALL, "ways": 2})
    task = recipe.replace(task=recipes.complete(recipe.task)).task
    domain = recipes.domains.open(path, "train", task=task)
    assert domain.checksums["encoder"] == small.checksum
    assert any("cut behind 24 pieces" in note for note in domain.facts[0]["notes"])
    count = len(list((tmp_path / "cache").iterdir()))
    recipes.domains.open(path, "train", task=task)
    assert len(list((tmp_path / "cache").iterdir())) == count
    sentence = datasets.load_sentences(path).words[0]
    rows = tokens._rows(task, [sentence])[0]
    assert rows.shape == (8, 4 * 8 + 256 + 8 + 1)
    last = encoders.words(small, [sentence])[0]
    there = np.linalg.norm(last, axis=1) > 0
    unit = last[there] / np.linalg.norm(last[there], axis=1, keepdims=True)
    np.testing.assert_allclose(rows[: len(sentence), 24:32][there], unit, atol=1e-3)
    assert not rows[len(sentence) :].any()
    shape = recipes.shape(recipe.replace(task=task), domain.sample)
    assert shape == recipes.kind(task).shape(task)
    model = recipes.network(recipe.replace(task=task), shape)
    outputs = jax.eval_shape(lambda key: model.apply(model.init(key), jnp.zeros((1, *shape.inputs))), KEY)
    assert outputs.shape == (1, 8, 4 * 8 + 2 * 8 + 16)  # its own layers, and of each neighbour a sum of them
    assert list(recipes.floors(recipe.replace(task=task), 2)) == [
        "character n-grams, nearest word",
        "frozen layers, nearest word",
    ]


@pytest.mark.long
def test_crossner(tmp_path):
    data = pathlib.Path(os.environ.get("JAXMETA_TEST_DATA") or "../shared/data")
    if not (data / "crossner" / "politics").is_dir():
        pytest.skip("CrossNER is not there; JAXMETA_TEST_DATA names its folder")
    recipe = recipes.get("protonet-entities-ngrams").replace(steps=60, validation_tasks=4, hidden=(16,))
    run = runs.train(recipe, data_dir=str(data), folder=tmp_path / "r")
    rows = {row["method"]: row for row in run.score("crossner:politics", num_tasks=10, shots=5)}
    assert rows["protonet"]["split"] == "all"
    assert rows["protonet"]["joint"]["mean"] > rows["character n-grams, nearest word"]["joint"]["mean"]
    for domain in ("crossner:literature", "xsid:de"):
        assert runs.open(run.folder).test(domain, num_tasks=2, data_dir=str(data)).facts["ways"] == 9
    assert len(tasks.drawn(run.test("xsid:ja", ways=5, num_tasks=2).sample, KEY, jnp.arange(2)).query.mask) == 2

"""Words of sentences with a tag each, such as entities and slots: what surrounds a word tells, and how it is spelt."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import baselines, checks, criteria, datasets, encoders, models, spans, tasks
from jaxmeta.encoders.ngrams import ngrams
from jaxmeta.recipes import names
from jaxmeta.recipes.kinds import features, functions, seen, shown
from jaxmeta.recipes.kinds.answers import Answers
from jaxmeta.recipes.kinds.facts import Facts
from jaxmeta.recipes.kinds.kind import Domain, Given, Own, Place, Shape, Sizes
from jaxmeta.recipes.recipe import Network, Task
from jaxmeta.recipes.scoring import SCORINGS
from jaxmeta.types import Array, Batch, Episode, MetaLearner, Model, PyTree

# A word is a row: the encoder's layers, none without one; its hashed n-grams; how it is written; whether it is there.
LAYERS = (0, 2, 4, None)
GRAMS = 256
SIGNS = 8
SMALL = np.float16  # of rows in memory: of vectors of length one three digits are enough
OUTSIDE = "O"
Sentence = tuple[str, ...]


def _fits(task: Task, place: Place) -> bool:
    del place
    return task.criterion == "mentions"


def _complete(task: Task, places: Sequence[Place]) -> Task:
    del places
    for name in ("columns", "target_column", "text_column"):
        if value := getattr(task, name):
            checks.fail(f"`{name}`", "none, since a word stands first and its tag last", value)
    return task


def _encoder(task: Task) -> encoders.TextEncoder:
    found = features.encoder(task.encoder)
    if not isinstance(found, encoders.TextEncoder):
        checks.fail("`encoder`", "one of texts", f"{task.encoder!r}, one of pictures")
    return found


def _layers(task: Task) -> list[int | None]:
    """Of a small encoder the last ones there are."""
    depth = _encoder(task).module.depth
    return [None if layer is None else min(layer, depth) for layer in LAYERS]


def _size(task: Task) -> int:
    """How many numbers an encoder gives of a word."""
    return len(LAYERS) * _encoder(task).module.width if task.encoder else 0


def _width(size: int) -> int:
    return size + GRAMS + SIGNS + 1


def _written(word: str, place: int) -> list[bool]:
    """How a word is written, which an encoder of lower-case letters does not see."""
    signs = [any(map(each, word)) for each in (str.isupper, str.isdigit, str.isalnum)]
    return [word[:1].isupper(), word.isupper() and len(word) > 1, *signs, "-" in word, place == 0, len(word) < 4]


def _rows(task: Task, pieces: Sequence[Sentence]) -> np.ndarray:
    """Pieces as the network takes them, [N, longest, numbers of a word]."""
    size = _size(task)
    made = np.zeros((len(pieces), task.longest, _width(size)), SMALL)
    there = np.arange(task.longest)[None] < np.array([len(words) for words in pieces])[:, None]
    flat = [word for words in pieces for word in words]
    known, number = np.unique(np.array(flat), return_inverse=True)
    if task.encoder:
        made[there, :size] = encoders.layers_of_words(_encoder(task), pieces, _layers(task))
    made[there, size : size + GRAMS] = ngrams(known.tolist(), GRAMS)[number]
    made[there, size + GRAMS : -1] = [_written(word, place) for words in pieces for place, word in enumerate(words)]
    made[..., -1] = there
    return made


def _tagged(task: Task, place: Place) -> datasets.Tagged:
    """A split of one domain; the test takes none that was trained on, and all of a domain of which nothing was."""
    loaded = datasets.load_sentences(place.part, data_dir=place.data_dir)
    rows = np.flatnonzero(_split(loaded, place))
    if not len(rows):
        what = f"`domain` {names.short(place.part)}, {place.split}"
        checks.fail(what, "sentences that are not of another split", "none", error=checks.DataError)
    words, tags, ids, parts = (tuple(each[row] for row in rows) for each in (*loaded[:3], loaded.parts))
    return loaded._replace(words=words, tags=tags, ids=ids, parts=parts)


def _split(loaded: datasets.Tagged, place: Place) -> np.ndarray:
    """Which sentences [N] are of a split."""
    parts = np.array(loaded.parts)
    if place.split != "test" or place.seen is None or place.seen.examples is None:
        return parts == place.split
    known = np.isin(_prints(loaded), np.array(sorted(place.seen.examples), np.uint64))
    same = known.mean() >= seen.STRAY or not place.seen.checksums.isdisjoint(loaded.checksums.values())
    return ~known & (parts == "test") if same else ~known


def _prints(loaded: datasets.Tagged) -> np.ndarray:
    base, _, _ = loaded.name.partition(":")
    return seen.prints(f"{base} {each}" if base == "xsid" else each for each in loaded.ids)


def _pieces(sentences: Sequence[Sentence], longest: int) -> list[tuple[int, slice]]:
    """Sentences in pieces of so many words: which sentence, and what of it."""
    return [
        (row, slice(start, start + longest))
        for row, words in enumerate(sentences)
        for start in range(0, len(words), longest)
    ]


def _notes(task: Task, sentences: Sequence[Sentence]) -> list[str]:
    """What is told of sentences that are long."""
    long = sum(len(words) > task.longest for words in sentences)
    told = [f"{long} sentences of more than {task.longest} words in pieces"] if long else []
    if task.encoder:
        encoder = _encoder(task)
        own = [sentences[row][part] for row, part in _pieces(sentences, task.longest)]
        if cut := encoders.tokenize(encoder, own).cut:
            told.append(f"{cut} cut behind {encoder.length} pieces of words")
    return told


def _numbers(
    task: Task, loaded: datasets.Tagged, types: Sequence[str]
) -> tuple[list[Sentence], np.ndarray, np.ndarray]:
    """Pieces, the number of each word's type [N, longest], -1 of padding and of types that are not given, and where
    mentions begin [N, longest]."""
    pieces = _pieces(loaded.words, task.longest)
    targets, starts = np.full((len(pieces), task.longest), -1), np.zeros((len(pieces), task.longest), bool)
    number = {name: place for place, name in enumerate(types, 1)}
    for place, (row, part) in enumerate(pieces):
        tags = loaded.tags[row][part]
        targets[place, : len(tags)] = [0 if tag == OUTSIDE else number.get(tag[2:], -1) for tag in tags]
        for span in spans.spans(tags):
            starts[place, span.start] = True
    return [loaded.words[row][part] for row, part in pieces], targets, starts


def _counts(loaded: datasets.Tagged) -> dict[str, int]:
    """How many mentions there are of each type."""
    counts = dict.fromkeys(loaded.types, 0)
    for tags in loaded.tags:
        for span in spans.spans(tags):
            counts[span.type] += 1
    return counts


def _open(task: Task, place: Place, sizes: Sizes) -> Domain:
    loaded, split, sample, told = _sampled(task, place, sizes, lambda pieces, starts: _inputs(task, pieces, starts))
    known = seen.Seen()
    if place.split != "test":
        known = seen.Seen(frozenset(loaded.checksums.values()), frozenset(_prints(loaded).tolist()))
    own = Domain(features.augmented(task, _Strict(sample)), split, loaded.checksums, known, (told,))
    return features.sealed(task, own) if task.encoder else own


def _inputs(task: Task, pieces: Sequence[Sentence], starts: np.ndarray) -> dict[str, np.ndarray]:
    return {"words": _rows(task, pieces), "starts": starts}


def _sampled(
    task: Task, place: Place, sizes: Sizes, inputs: Callable[[Sequence[Sentence], np.ndarray], PyTree]
) -> tuple[datasets.Tagged, str, tasks.Sample, Facts]:
    """A split of one domain, what it is called, its tasks over what `inputs` makes of its pieces, and what is told."""
    loaded = _tagged(task, place)
    split = _called(place, loaded)
    types, told = _asked_for(task, place, loaded, sizes)
    pieces, targets, starts = _numbers(task, loaded, types)
    options = _options(sizes)
    _check_room(_what(place, split), len(pieces), options["max_sentences"] + sizes.queries, sizes)
    return loaded, split, tasks.mentions(inputs(pieces, starts), targets, starts, **options), told


def _called(place: Place, loaded: datasets.Tagged) -> str:
    return place.split if {place.split} == {*loaded.parts} else "all"


def _what(place: Place, split: str) -> str:
    return f"`domain` {names.short(place.part)}, {split}"


def _asked_for(
    task: Task, place: Place, loaded: datasets.Tagged, sizes: Sizes, among: Sequence[str] | None = None
) -> tuple[list[str], Facts]:
    """The types that tasks have, of these or of all that there are, and what is told of what was read."""
    counts, least = _counts(loaded), max(sizes.shots + 1, task.min_examples)
    there = [name for name in counts if among is None or name in among]
    types = [name for name in there if counts[name] >= least]
    rare = [name for name in there if name not in types]
    split = _called(place, loaded)
    if rare and not names.is_builtin(place.part) and not task.min_examples:
        got = ", ".join(f"{counts[name]} of {name}" for name in rare)
        hint = f"`min_examples` {least} leaves rare types out, or give fewer shots"
        checks.fail(_what(place, split), f"at least {least} mentions of each type, the shots and one to ask", got, hint)
    if len(types) < sizes.ways:
        got = f"{len(types)} with at least {least} mentions" + ("" if among is None else " that both domains have")
        checks.fail(_what(place, split), f"types for {sizes.ways} ways", got, "give fewer `ways`")
    notes = _notes(task, loaded.words)
    notes += [f"{len(rare)} types of fewer than {least} mentions not asked for: {', '.join(rare[:12])}"] if rare else []
    return types, _facts(loaded, split, counts, notes)


def _options(sizes: Sizes) -> dict[str, int]:
    """One sentence at most for each mention that is wanted."""
    room = sizes.ways * sizes.shots
    return {"num_ways": sizes.ways, "num_mentions": sizes.shots, "num_queries": sizes.queries, "max_sentences": room}


def _check_room(what: str, there: int, wanted: int, sizes: Sizes) -> None:
    if there < wanted:
        hint = "give fewer `queries`, `shots` or `ways`"
        checks.fail(what, f"at least {wanted}, {sizes.queries} of them to ask", f"{there} sentences", hint)


def _across(task: Task, place: Place, other: Place, sizes: Sizes) -> Domain:
    """Tasks that show sentences of one domain and ask about another's, of the types that both have; of sentences that
    are the same, or translations of another, one that is shown is not asked."""
    places, loaded = (place, other), (_tagged(task, place), _tagged(task, other))
    types, told = _asked_for(task, place, loaded[0], sizes, loaded[1].types)
    pieces, targets, starts = zip(*(_numbers(task, each, types) for each in loaded), strict=True)
    ids = [[each.ids[row] for row, _ in _pieces(each.words, task.longest)] for each in loaded]
    numbers = {each: number for number, each in enumerate(dict.fromkeys((*ids[0], *ids[1])))}
    same = [np.array([numbers[each] for each in own]) for own in ids]
    shown, asked = (_inputs(task, *each) for each in zip(pieces, starts, strict=True))
    splits = [_called(*each) for each in zip(places, loaded, strict=True)]
    room = _options(sizes)["max_sentences"]
    for where, called, own, wanted in zip(places, splits, same, (room, room + sizes.queries), strict=True):
        _check_room(_what(where, called), len(own), wanted, sizes)
    sample = tasks.mentions_across(shown, targets[0], same[0], asked, targets[1], same[1], starts[0], **_options(sizes))
    checksums = {f"{names.short(where.part)}: {file}": value for where, each in zip(places, loaded, strict=True)
                 for file, value in each.checksums.items()}  # fmt: skip
    facts = (told, _facts(loaded[1], splits[1], _counts(loaded[1]), _notes(task, loaded[1].words)))
    own = Domain(_Strict(sample), ",".join(dict.fromkeys(splits)), checksums, facts=facts)
    return features.sealed(task, own) if task.encoder else own


def _shown(task: Task, place: Place, sizes: Sizes) -> shown.Shown:
    """Pieces by their number, and what these are."""
    numbered = lambda pieces, starts: np.arange(len(pieces), dtype=np.int32)  # noqa: E731
    loaded, _, sample, _ = _sampled(task, place, sizes, numbered)
    pieces = (tuple(zip(loaded.words[row][part], loaded.tags[row][part], strict=True))
              for row, part in _pieces(loaded.words, task.longest))  # fmt: skip
    return shown.Shown("tokens", sample, sentences=tuple(pieces))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class _Strict:
    """Tasks whose queries' targets say where mentions begin, as the script of CoNLL looks at it."""

    sample: Any

    def __call__(self, key: Array) -> Episode:
        support, query = self.sample(key)
        targets = criteria.Tagging(query.targets, query.inputs["starts"])
        return Episode(
            support._replace(inputs=support.inputs["words"]),
            query._replace(inputs=query.inputs["words"], targets=targets),
        )


def _facts(loaded: datasets.Tagged, split: str, counts: dict[str, int], notes: Sequence[str]) -> Facts:
    found: Facts = {"domain": names.short(loaded.name), "split": split, "examples": len(loaded.words)}
    found |= {"classes": len(counts), "class_sizes": [min(counts.values()), max(counts.values())]}
    return found | {"class_names": list(counts)[:100], "target": "", "notes": [*loaded.notes, *notes]}


def _labelled(task: Task, place: Place) -> NoReturn:
    checks.fail("`domain`", "one class an example, for a learner that is pre-trained", repr(names.short(place.part)))


def _class_sizes(task: Task, place: Place) -> None:
    """A sentence has mentions of several types: how many there are tells nothing of how many can be asked."""


def _shape(task: Task) -> Shape:
    return Shape((task.longest, _width(_size(task))), task.ways + 1)


def _drawn_shape(task: Task, support: Batch) -> Shape:
    return Shape(support.inputs.shape[1:], task.ways + 1)


def _network(network: Network, shape: Shape, outputs: int | None, num_context_params: int) -> Model:
    if num_context_params:
        checks.fail("`learner`", "one without context parameters, for tokens", "cavia")
    longest, width = shape.inputs
    size = width - _width(0)
    layers = len(LAYERS) if size else 1
    tagger = models.tagger(longest, size or GRAMS, SIGNS, outputs, num_layers=layers, hidden=network.hidden[0])

    def apply(params: PyTree, inputs: Array, mask: Array | None = None, context: PyTree = ()) -> PyTree:
        own = jnp.concatenate([inputs[..., :size], inputs[..., size + GRAMS :]], axis=-1) if size else inputs
        return tagger.apply(params, own, mask, context)

    return Model(tagger.init, apply)


def _no_parts(network: Network, shape: Any) -> NoReturn:
    checks.fail("`learner`", "one that takes tokens, such as protonet or maml", "one of feature maps, or in_context")


def _no_condition(*given: Any) -> NoReturn:
    checks.fail("`learner`", "one without context parameters, for tokens", "cavia")


def _floors(task: Task, ways: int) -> dict[str, MetaLearner]:
    """The nearest word that is shown: by its letters, and by what an encoder makes of it."""
    size, criterion = _size(task), SCORINGS[task.criterion].criterion
    looked_at = {"character n-grams, nearest word": slice(size, size + GRAMS)}
    looked_at |= {"frozen layers, nearest word": slice(0, size)} if size else {}
    return {
        name: baselines.nearest_example(_columns(part), criterion, num_ways=ways + 1)
        for name, part in looked_at.items()
    }


def _columns(part: slice) -> Model:
    return models.from_functions(lambda key: (), lambda params, inputs: inputs[..., part].astype(float))


def _read(task: Task, own: Own, ways: int) -> Given:
    loaded = datasets.load_sentences(own.support, data_dir=own.data_dir)
    types, counts = loaded.types, _counts(loaded)
    if not types:
        checks.fail(own.support, "mentions, with tags such as B-person", "O alone", error=checks.DataError)
    if ways and len(types) > ways:
        hint = "use a run of a learner without a head, such as protonet, or fewer types"
        checks.fail(own.support, f"at most the {ways} types of the run", len(types), hint, checks.DataError)
    pieces, targets, _ = _numbers(task, loaded, types)
    classes = np.broadcast_to(
        np.arange((ways or len(types)) + 1) <= len(types), (len(pieces), (ways or len(types)) + 1)
    )
    support = Batch(
        jnp.asarray(_rows(task, pieces)), jnp.asarray(np.maximum(targets, 0), jnp.int32), jnp.asarray(targets >= 0),
        jnp.asarray(classes),
    )  # fmt: skip
    given, inputs = _read_words(task, own)
    told = (_facts(loaded, "all", counts, _notes(task, loaded.words)),)
    return Given(support, given, inputs, types, facts=told)


def _read_inputs(task: Task, own: Own, frame: Any) -> tuple[list[str], np.ndarray]:
    del frame
    return _read_words(task, own)


def _read_words(task: Task, own: Own) -> tuple[list[str], np.ndarray]:
    """What is to be tagged: the number of each piece's sentence and its words, with tabs between them; and its rows."""
    sentences = datasets.load_words(pathlib.Path(own.inputs))
    pieces = _pieces(sentences, task.longest)
    found = [sentences[row][part] for row, part in pieces]
    given = ["\t".join([str(row + 1), *words]) for (row, _), words in zip(pieces, found, strict=True)]
    return given, _rows(task, found)


def _answers(given: Sequence[str], labels: Sequence[str], outputs: np.ndarray) -> Answers:
    """A line for each word, with its tag: B- where a mention begins, I- where it goes on."""
    cells, said, logits = [], [], []
    before = ("", 0)
    for text, own in zip(given, outputs, strict=True):
        number, *words = text.split("\t")
        for word, scores in zip(words, own, strict=False):
            now = number, int(scores.argmax())
            said.append(f"{'I' if now == before else 'B'}-{labels[now[1]]}" if now[1] else OUTSIDE)
            before = now
            cells.append([number, word])
            logits.append(scores)
    return Answers(["sentence", "word"], cells, np.stack(logits), said)


TOKENS = functions.FUNCTIONS._replace(
    name="tokens",
    fits=_fits,
    complete=_complete,
    open=_open,
    across=_across,
    labelled=_labelled,
    augmented=features.augmented,
    class_sizes=_class_sizes,
    shape=_shape,
    network=_network,
    reader=_no_parts,
    maps=_no_parts,
    relation=_no_parts,
    condition=_no_condition,
    base=lambda task, learner: "protonet-entities" if task.encoder else "protonet-entities-ngrams",
    floors=_floors,
    read=_read,
    read_inputs=_read_inputs,
    shown=_shown,
    drawn_shape=_drawn_shape,
    always=(OUTSIDE,),
    answers=_answers,
)
"""Tokens with a class each, of which one is no mention."""

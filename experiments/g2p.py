"""Spelling to pronunciation of a language from a few of its words: meta-learned, or trained on other languages at once?

Paper:     the form of Gu et al., Meta-Learning for Low-Resource Neural Machine Translation, 2018, on words: a model of
           several languages is tuned on a little of a new one. Its multilingual transfer is "multilingual, fine-tuned".
           Data: SIGMORPHON 2021's task 1, low-resource (Ashby et al., 2021).
Command:   python experiments/g2p.py --data-dir PATH   (--methods NAME .. for a part; rows that are there are kept)
Hardware:  see `machine` in results/g2p.json.
Time:      see `seconds` in results/g2p.json, training and test of a method.
Expected:  from 100 words the best meta-learned one has a lower phoneme error rate than the multilingual one,
           fine-tuned, averaged over the languages that nothing was trained on.
Measured:  results/g2p.md. Other work was beside it on the machine, so `seconds` say little.

Trained on ady, gre, ice and ita, the first of the languages here by their names, and tested on lav, rum and slv: from
words of train.tsv to the words of test.tsv, whose spellings are others. A symbol that the words shown do not have
counts as an error for all methods.

What was chosen was chosen on Italian with ady, gre and ice as the sources, from 100 of its words. Training on all
languages together was best after 400 updates (fine-tuned for 50 steps, phonemes wrong: 19.0%; 22.4% after 800).
Reptile with the languages as they are: 21.7% after 150 updates, 23.1% after 300; FOMAML with renamed letters 20.2%
after 200 and 19.5% after 400, still falling, so it got more. No number of adaptation steps was chosen: all are shown.
MAML, exact through four steps, was run as it stands and not tuned.
"""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pages

import jaxmeta
from jaxmeta import criteria, datasets, inner, models, provenance, runs, symbols, tables, tasks
from jaxmeta.statistics import paired
from jaxmeta.types import Episode, MetaLearner, PyTree

SOURCES, TARGETS = ("ady", "gre", "ice", "ita"), ("lav", "rum", "slv")
SHOTS, DRAWS, ASKED = (20, 100), 4, 90
STEPS, RATE = (10, 50, 150), 1e-3
METRICS = ("phoneme_error_rate", "word_error_rate")
SHORT = symbols.Room(longest=12)  # of words in training, 97% of them; parameters do not hang on it
MODEL, SHORT_MODEL = models.transducer(), models.transducer(SHORT)
PATH = pages.RESULTS / "g2p"


def optimizer(rate: float) -> optax.GradientTransformation:
    """Adam without momentum, as Reptile has it."""
    return optax.adam(rate, b1=0, eps_root=1e-10)


def language(name: str, data_dir: str | None, split: str, num_shots: int, num_queries: int) -> tasks.Sample:
    """Training asks about words of train.tsv; the others show these and ask about their own."""
    loaded, room = datasets.load_pairs(f"g2p:{name}", data_dir=data_dir), SHORT if split == "train" else symbols.Room()
    short = [max(len(a), len(b)) <= room.longest for a, b in zip(loaded.sources, loaded.targets, strict=True)]
    loaded = loaded.rows(np.array(short) & ((loaded.parts == "train") | (loaded.parts == split)))
    asked = None if split == "train" else loaded.parts == split
    sizes = {"num_shots": num_shots, "num_queries": num_queries}
    return tasks.transduction(loaded.sources, loaded.targets, query_rows=asked, room=room, **sizes)


def _learner(make: Callable[..., MetaLearner], rate: float = RATE, **options: Any) -> MetaLearner:
    return make(SHORT_MODEL, criteria.transduction, optimizer(rate), **options)


def _outer(updates: int) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(1e-3, updates)))


class Method(NamedTuple):
    """How something is trained before it sees the new language; `from scratch` is not."""

    learner: MetaLearner
    outer: optax.GradientTransformation
    updates: int
    shots: int
    queries: int
    renames: bool
    """Whether `tasks.renamed` makes other languages of those that there are."""


FEW = inner.minibatch(16)
METHODS: dict[str, Method | None] = {
    "from scratch": None,
    "multilingual, fine-tuned": Method(_learner(jaxmeta.fomaml, num_steps=0), _outer(400), 400, 400, 50, False),
    "multilingual, letters renamed, fine-tuned": Method(
        _learner(jaxmeta.fomaml, num_steps=0), _outer(400), 400, 400, 50, True
    ),
    "FOMAML": Method(_learner(jaxmeta.fomaml, 2e-3, num_steps=8, select=FEW), _outer(800), 800, 100, 50, True),
    "Reptile": Method(
        _learner(jaxmeta.reptile, num_steps=10, batch_size=16), optax.sgd(optax.linear_schedule(1.0, 0, 300)), 300,
        400, 1, True,
    ),
    "MAML": Method(_learner(jaxmeta.maml, 2e-3, num_steps=4, select=FEW), _outer(300), 300, 100, 50, True),
}  # fmt: skip


def trained(name: str, data_dir: str | None) -> PyTree:
    """What a method's training ends with."""
    method = METHODS[name]
    if method is None:
        return MODEL.init(jax.random.key(0))
    sample = tasks.mixture([language(each, data_dir, "train", method.shots, method.queries) for each in SOURCES])
    sample = tasks.renamed(sample, room=SHORT) if method.renames else sample
    trainer = jaxmeta.meta_trainer(method.learner, method.outer)
    options = {"num_tasks": len(SOURCES), "num_steps": method.updates, "label": name, "report": pages.told}
    return runs.fit(trainer, sample, jax.random.key(0), **options).meta_params


def tested(params: PyTree, data_dir: str | None) -> dict[str, Any]:
    """{shots: {language: {steps: {metric: a score of each draw of words}}}}."""
    found: dict[str, Any] = {}
    for shots in SHOTS:
        for name in TARGETS:
            sample = language(name, data_dir, "test", shots, ASKED)
            scores = _scores(params, tasks.drawn(sample, jax.random.key(1), jnp.arange(DRAWS)))
            rounded = jax.tree.map(lambda leaf: [round(float(score), 4) for score in leaf], scores)
            found.setdefault(str(shots), {})[name] = dict(zip(map(str, STEPS), rounded, strict=True))
    return found


@jax.jit
def _scores(params: PyTree, episodes: Episode) -> list[dict[str, Any]]:
    """Of each number of steps the metrics [DRAWS], all of one adaptation."""
    adam, wanted = optimizer(RATE), jnp.array(STEPS)

    def one(episode: Episode) -> list[dict[str, jax.Array]]:
        def step(now: tuple[PyTree, PyTree, PyTree], number: jax.Array) -> tuple[Any, None]:
            params, state, kept = now
            support = lambda params: criteria.transduction(  # noqa: E731
                lambda inputs, mask=None: MODEL.apply(params, inputs), episode.support, jax.random.key(0)
            )[0]
            updates, state = adam.update(jax.grad(support)(params), state, params)
            params = optax.apply_updates(params, updates)
            kept = jax.tree.map(
                lambda all, new: jnp.where(jnp.expand_dims(wanted == number, range(1, all.ndim)), new[None], all),
                kept, params,
            )  # fmt: skip
            return (params, state, kept), None

        kept = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(STEPS), *leaf.shape)), params)
        numbers = jnp.arange(1, STEPS[-1] + 1)
        (_, _, kept), _ = jax.lax.scan(step, (params, adam.init(params), kept), numbers)

        def scored(params: PyTree) -> Any:
            said = lambda inputs, mask=None: MODEL.apply(params, inputs)  # noqa: E731
            metrics = criteria.error_rates(said, episode.query, jax.random.key(0))[1]
            return {name: metrics[name] for name in METRICS}

        return jax.lax.map(scored, kept)

    made = jax.lax.map(one, episodes)
    return [jax.tree.map(lambda leaf, at=at: leaf[:, at], made) for at in range(len(STEPS))]


def _mean(row: dict[str, Any], shots: int, steps: int, metric: str, languages: Sequence[str]) -> float:
    return float(np.mean([row["scores"][str(shots)][name][str(steps)][metric] for name in languages]))


def page(content: dict[str, Any]) -> str:
    """The table, of the content of g2p.json."""
    head = ["words", "method", *(f"{steps} steps" for steps in STEPS), "words wrong", *TARGETS]
    lines, said = [], []
    for shots in SHOTS:
        best = {name: _best(row, shots) for name, row in content["rows"].items()}
        for name, row in content["rows"].items():
            every = [_mean(row, shots, steps, METRICS[0], TARGETS) for steps in STEPS]
            own = [_mean(row, shots, best[name], METRICS[0], (each,)) for each in TARGETS]
            wrong = _mean(row, shots, best[name], METRICS[1], TARGETS)
            lines.append([shots, name, *(f"{100 * value:.1f}" for value in (*every, wrong, *own))])
        if BASE in best:
            said += [
                f"- {name}, {shots} words: {_ahead(content['rows'], name, shots, best)}"
                for name in best
                if name in ("FOMAML", "Reptile", "MAML")
            ]
    told = "\n".join(said)
    return f"""{tables.markdown(head, lines)}

Phonemes wrong in percent (lower is better) of words whose spelling was not shown, after so many steps on 20 or 100
words of the language, the mean of {", ".join(TARGETS)}; then, at the best number of steps of each method, words that
are not right as a whole, and phonemes of each language. {DRAWS} draws of the words shown, {ASKED} words asked each;
trained on {", ".join(SOURCES)}.

Ahead of multilingual training, fine-tuned, in points of phonemes, each at its best number of steps, paired over the
draws of all languages:

{told}

{provenance.line(content)}.
"""


BASE = "multilingual, fine-tuned"


def _best(row: dict[str, Any], shots: int) -> int:
    return min(STEPS, key=lambda steps: _mean(row, shots, steps, METRICS[0], TARGETS))


def _ahead(rows: dict[str, Any], name: str, shots: int, best: dict[str, int]) -> str:
    base, own = (
        np.concatenate([rows[each]["scores"][str(shots)][to][str(best[each])][METRICS[0]] for to in TARGETS])
        for each in (BASE, name)
    )
    found = paired(base, own)
    said = f"= {found.p_value:.3f}" if found.p_value >= 1e-3 else "< 0.001"
    low, high = (f"{100 * value:.1f}" for value in (found.difference.low, found.difference.high))
    return f"{100 * found.difference.mean:+.1f} [{low}, {high}], p {said}"


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=tuple(METHODS))
    options = parser.parse_args()
    path = PATH.with_suffix(".json")
    content = json.loads(path.read_text()) if path.is_file() else {}
    content = provenance.record() | {"rows": content.get("rows", {})}
    for name in options.methods:
        start = time.perf_counter()
        params = trained(name, options.data_dir)
        middle = time.perf_counter()
        scores = tested(params, options.data_dir)
        seconds = [round(middle - start), round(time.perf_counter() - middle)]
        content["rows"] |= {name: {"seconds": seconds, "scores": scores}}
        content["rows"] = {each: content["rows"][each] for each in METHODS if each in content["rows"]}
        pages.write(PATH, content, page)
        print(
            name,
            {n: _mean(content["rows"][name], n, _best(content["rows"][name], n), METRICS[0], TARGETS) for n in SHOTS},
            flush=True,
        )
    print(page(content))


if __name__ == "__main__":
    main()

"""Which sentence of a paragraph answers a question, in languages that nothing was trained on, from a few paragraphs.

Paper:     none; the comparison is this project's own. XQuAD: Artetxe et al., On the Cross-lingual Transferability of
           Monolingual Representations, 2020; multilingual E5: Wang et al., 2024.
Command:   python experiments/questions.py --data-dir PATH --multilingual FOLDER   (wants the extra text)
Hardware:  see `machine` in results/questions.json.
Time:      see `cpu_seconds` in results/questions.json; encoding the texts, once, comes before it.
Expected:  nothing: what comes is reported.
Measured:  results/questions.md. Of five languages a frozen encoder's cosine finds the sentence of 77 to 81% of the
           questions, where chance is 23; Reptile over English is up to 1.0 points ahead of it on Chinese and 1.1 behind
           on German; all else that was trained on English is behind everywhere, by 2 to 21 points.

A task is a language: the questions of 1 or 5 of its paragraphs are shown with the sentences that answer them, and
those of 10 other paragraphs are asked. Articles are shared out by a hash, alike in all languages, so that no paragraph
that was trained on or chosen by in English is shown or asked in any language. The encoder is frozen; what is learned is
a projection of rank 16 of the question, which is nothing at first: its scores begin as cosines.

Learners are trained on English alone. Rates of steps on the support set were chosen on the English validation articles
at 5 paragraphs, among those that `chosen` of results/questions.json tells, each method's for itself. Steps are plain
gradient descent: Adam without momentum moves every entry of the projection alike, and two of its steps at 0.03 took
accuracy on the English validation articles from 0.82 to 0.46.
"""

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pages

import jaxmeta
from jaxmeta import baselines, criteria, datasets, encoders, evaluation, models, provenance, runs, statistics, tables
from jaxmeta import tasks as samplers
from jaxmeta.types import MetaLearner, PyTree

LANGUAGES, SHOWN, ASKED, MOST = ("en", "de", "es", "tr", "zh"), (1, 5), 10, 5
NUM_TASKS, CHOICE_TASKS, STEPS, UPDATES, TOGETHER = 600, 50, 5, 100, 25
RATES = (0.03, 0.3)
LONGEST, GRAMS = 18, 512  # sentences of a paragraph, and hashed n-grams
PATH = pages.RESULTS / "questions"
FROZEN = "frozen encoder, cosine"


def encoded(
    encoder: encoders.TextEncoder, language: str, part: str, data_dir: str
) -> tuple[Any, dict[str, np.ndarray]]:
    """The paragraphs of a part; by what makes them, vectors of questions [N, d] and of sentences [P, LONGEST, d]."""
    loaded = datasets.load_questions(f"xquad:{language}", data_dir=data_dir)
    loaded = loaded.rows(loaded.parts == part)
    flat = [sentence for own in loaded.paragraphs for sentence in own]
    asked = {
        "encoder": encoders.encode(encoder, list(loaded.questions)),
        "n-grams": encoders.ngrams(loaded.questions, GRAMS),
    }
    # E5 was trained to tell questions from what answers them by these words.
    known = {
        "encoder": encoders.encode(encoder._replace(prefix="passage: "), flat),
        "n-grams": encoders.ngrams(flat, GRAMS),
    }
    place = np.repeat(np.arange(len(loaded.paragraphs)), [len(own) for own in loaded.paragraphs])
    number = np.concatenate([np.arange(len(own)) for own in loaded.paragraphs])
    made = {}
    for name, vectors in known.items():
        rows = np.zeros((len(loaded.paragraphs), LONGEST, vectors.shape[1]), np.float32)
        rows[place, number] = vectors
        made[name] = np.asarray(asked[name]), rows
    return loaded, made


def sampled(found: tuple[Any, dict[str, Any]], num_shown: int, which: str = "encoder") -> samplers.Sample:
    loaded, vectors = found
    sizes = {"num_paragraphs": num_shown, "num_queries": ASKED, "max_questions": MOST}
    counts = [len(own) for own in loaded.paragraphs]
    return samplers.questions(*vectors[which], counts, loaded.about, loaded.answers, **sizes)


def scores(learner: MetaLearner, params: PyTree, sample: samplers.Sample, num_tasks: int, seed: int) -> dict[str, Any]:
    """{metric: [num_tasks]}; nothing looks at other queries, so one column says all."""
    parts = []
    for first in range(0, num_tasks, TOGETHER):  # all of them would be gigabytes
        episodes = samplers.drawn(sample, jax.random.key(seed), first + jnp.arange(TOGETHER))
        given = (learner, criteria.choice, params, episodes, jax.random.key(3))
        parts.append(jaxmeta.evaluate(*given, columns={"joint": evaluation.as_is})["joint"])
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in parts[0]}


def trained(learner: MetaLearner, sample: samplers.Sample, outer: optax.GradientTransformation, label: str) -> PyTree:
    options = {"num_tasks": 4, "num_steps": UPDATES, "label": label, "report": pages.told}
    return runs.fit(jaxmeta.meta_trainer(learner, outer), sample, jax.random.key(0), **options).meta_params


def methods(width: int, english: tuple[Any, Any], unseen: tuple[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """{name: (learner, parameters)}, and which rates were chosen for them."""
    model = models.pair_scores(width)
    start = model.init(jax.random.key(0))
    outer = optax.adam(optax.cosine_decay_schedule(3e-3, UPDATES))
    on = functools.partial(sampled, english, 5)
    plain = jaxmeta.fomaml(model, criteria.choice, optax.sgd(0.0), num_steps=0)
    pooled = trained(plain, on(), outer, "English")
    tune = lambda rate: jaxmeta.fomaml(model, criteria.choice, optax.sgd(rate), num_steps=STEPS)  # noqa: E731
    scratch = lambda rate: baselines.from_scratch(model, criteria.choice, optax.sgd(rate), num_steps=STEPS)  # noqa: E731
    meta_sgd = lambda rate: jaxmeta.meta_sgd(model, criteria.choice, num_steps=3, initial_learning_rate=rate)  # noqa: E731
    reptile = lambda rate: jaxmeta.reptile(model, criteria.choice, optax.sgd(rate), num_steps=STEPS)  # noqa: E731
    candidates = {
        "adapted from scratch": [(rate, scratch(rate), {}) for rate in RATES],
        "English, then fine-tuned": [(rate, tune(rate), pooled) for rate in RATES],
        "FOMAML, English": [(rate, tune(rate), trained(tune(rate), on(), outer, f"FOMAML, {rate}"))
                            for rate in RATES],
        "Meta-SGD, English": [(rate, meta_sgd(rate), trained(meta_sgd(rate), on(), outer, f"Meta-SGD, {rate}"))
                              for rate in RATES],
        "Reptile, English": [(rate, tune(rate), trained(reptile(rate), on(), optax.sgd(0.3), f"Reptile, {rate}"))
                             for rate in RATES],
    }  # fmt: skip
    made, told = {FROZEN: (plain, start), "English, not adapted": (plain, pooled)}, {}
    choice = sampled(unseen, 5)
    for name, each in candidates.items():
        found = {rate: scores(learner, params, choice, CHOICE_TASKS, 7)["accuracy"].mean()
                 for rate, learner, params in each}  # fmt: skip
        best = max(found, key=found.__getitem__)
        told[name] = {"chosen": best, "accuracy": {str(rate): round(float(own), 4) for rate, own in found.items()}}
        made[name] = next((learner, params) for rate, learner, params in each if rate == best)
        print(name, told[name], flush=True)
    return made, told


def measured(language: str, found: tuple[Any, Any], made: dict[str, Any], grams: MetaLearner) -> list[dict[str, Any]]:
    """The rows of a language, with paired differences to the frozen encoder and to training without adaptation."""
    rows = []
    for shown in SHOWN:
        sample = sampled(found, shown)
        own = {"chance": scores(*made[FROZEN], sample, NUM_TASKS, 1)["chance"]}
        spelled = sampled(found, shown, "n-grams")
        own["character n-grams, cosine"] = scores(grams, grams.init(jax.random.key(0)), spelled, NUM_TASKS, 1)[
            "accuracy"
        ]
        own |= {name: scores(*each, sample, NUM_TASKS, 1)["accuracy"] for name, each in made.items()}
        for method, values in own.items():
            row = {
                "language": language,
                "paragraphs": shown,
                "method": method,
                **rounded(statistics.mean_interval(values)),
            }
            for name in (FROZEN, "English, not adapted"):
                if name != method:
                    pair = statistics.paired(values, own[name])
                    row[f"over {name}"] = {**rounded(pair.difference), "p": float(f"{pair.p_value:.2g}")}
            rows.append(row)
            print(f"{language}, {shown}: {method:<28} {tables.interval(row, 'accuracy')}", flush=True)
    return rows


def rounded(interval: statistics.Interval) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in interval._asdict().items()}


def page(content: dict[str, Any]) -> str:
    """The tables, of the content of questions.json."""
    rows = content["rows"]
    languages = list(dict.fromkeys(row["language"] for row in rows))
    cells, gains = [], []
    for shown in dict.fromkeys(row["paragraphs"] for row in rows):
        for method in dict.fromkeys(row["method"] for row in rows):
            own = {row["language"]: row for row in rows if (row["paragraphs"], row["method"]) == (shown, method)}
            mean = f"{100 * np.mean([own[each]['mean'] for each in languages if each != 'en']):.1f}"
            cells.append([shown, method, *(tables.interval(own[each], "accuracy") for each in languages), mean])
            name = f"over {FROZEN}"
            if all(name in row for row in own.values()) and method != "chance":
                gains.append([shown, method, *(tables.difference(own[each][name], "accuracy") for each in languages)])
    counts = ", ".join(f"{name} {own['paragraphs']} paragraphs and {own['questions']} questions"
                       for name, own in content["test"].items())  # fmt: skip
    head = ["paragraphs", "method", *languages]
    return f"""# Questions

Questions of which the right sentence of the paragraph is chosen, in %: mean and 95% interval over
{content["num_tasks"]} tasks, in each of which the questions of so many paragraphs are shown and those of {ASKED} others
asked. Trained on English; tested on the test articles alone ({counts}), which are few: tasks share paragraphs, so the
intervals tell of these and not of all articles.

{tables.markdown([*head, "mean of the others"], cells)}

Ahead of the frozen encoder, on the same tasks:

{tables.markdown(head, gains)}

Rates of the steps, by accuracy on English validation articles: `{content["chosen"]}`

{provenance.line(content)}; {content["cpu_seconds"]:.0f} s of CPU.
"""


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("--data-dir", help="where xquad lies; JAXMETA_DATA is the default")
    parser.add_argument("--multilingual", required=True, help="the folder of multilingual-e5-small-trimmed")
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES)
    options = parser.parse_args()
    encoder = encoders.open_text(options.multilingual)
    read = functools.partial(encoded, encoder, data_dir=options.data_dir)
    found = {each: read(each, "test") for each in options.languages}
    english, unseen = read("en", "train"), read("en", "validation")
    start = time.process_time()
    made, told = methods(encoder.module.width, english, unseen)
    width = next(iter(found.values()))[1]["n-grams"][0].shape[1]
    grams = jaxmeta.fomaml(models.pair_scores(width), criteria.choice, optax.sgd(0.0), num_steps=0)
    content = provenance.record() | {"num_tasks": NUM_TASKS, "chosen": told, "rows": []}
    content["test"] = {each: {"paragraphs": len(own.paragraphs), "questions": len(own.questions)}
                       for each, (own, _) in found.items()}  # fmt: skip
    for language, own in found.items():
        content["rows"] += measured(language, own, made, grams)
    content["cpu_seconds"] = round(time.process_time() - start, 1)
    pages.write(PATH, content, page)


if __name__ == "__main__":
    main()

"""Every learner on Omniglot 5-way 1-shot, each trained for the same time.

Paper:     what each reports after its own, far longer training: MAML 98.7, FOMAML 98.3, Reptile 97.7 (query set
           together), Meta-SGD 99.5, MAML++ 99.5, iMAML 99.2, ProtoNet 98.8, Relation Net 99.6 (R2-D2, ANIL, BOIL,
           Matching Nets, Proto-MAML, CAVIA and learned optimizers report other settings or none on Omniglot).
Command:   python experiments/learners.py --data-dir PATH --train-seconds 300   (PATH holds the published zips)
Hardware:  2 cores of an AMD EPYC, no accelerator.
Time:      6 minutes a row, compilation and evaluation included; rows that results/learners.json holds are kept.
Expected:  joint >= 95 for ProtoNet, R2-D2, Proto-MAML and MAML; >= 90 for FOMAML, Meta-SGD, ANIL, Matching Net and
           Relation Net; >= 80 for the others.
Measured:  results/learners.md, beside other work on the machine, which cost some rows a part of their steps. All bars
           were met. The rows of Reptile, iMAML, CAVIA and learned optimizers were made later, alone on the machine,
           with two tasks a step. Reptile: Adam's second moments go on from task to task, as its authors' do; 10 shots
           in training, an inner rate of 3e-3 and an outer one that falls from 0.4 reach 93.5. With moments afresh in
           each task it was 86.4 (15 shots), from an outer rate of 1 81.5, with five tasks and 1e-3 76.7. iMAML: a
           regularization of 0.05 and an inner rate of 2 reach 87.9; with 0.5, 0.5 and eight tasks it stayed at 58.0, on
           a busy machine and by an older program; so did learned optimizers at 71.0, with two tasks 90.3. CAVIA: 100
           context parameters and five queries a class in training reach 88.6, one query 78.9, sixteen tasks with one
           67.9 (busy, older); five steps, 128 filters, a wider last block or 512 context parameters gained little or
           nothing on validation classes, by hand.
           Inner gradients were `inner.nested`, now `inner.mixed_mode`, which is the same to 1e-12.

The settings are the presets' (`jaxmeta train NAME-omniglot-5w1s`): Conv-4, 64 filters, stride 2, rotations as new
classes. The outer rate falls with the time that has passed: by a cosine, for Reptile linearly. The parameters are those
of the best of ten validations, on classes of neither training nor test, while the clock stands. Then 600 tasks of
unseen characters with 15 queries a class, or 2,400 with 1 where training has 1: with norm "batch" the moments are the
queries', and a network trained on five pictures meets others when it is asked 75.
"""

import json
import math
import pathlib
import time

import jax
import jax.numpy as jnp
import optax
import pages

from jaxmeta import evaluation, meta_trainer, provenance, recipes, tables, training
from jaxmeta.recipes import Recipe
from jaxmeta.runs import scores
from jaxmeta.runs.training import Source, opened

SUFFIX, VALIDATIONS, PER_CALL = "-omniglot-5w1s", 10, 10


def rows() -> dict[str, Recipe]:
    """Every preset of this task; learners without a head with both norms."""
    return {
        f"{name.removesuffix(SUFFIX)}, {norm}": recipe.replace(norm=norm)
        for name, recipe in recipes.PRESETS.items()
        if name.endswith(SUFFIX)
        for norm in (("batch",) if recipe.entry.has_head else ("batch", "layer"))
    }


def num_tasks(with_fifteen: int, queries: int) -> int:
    """More tasks where each has few queries, so that intervals are about as narrow."""
    return with_fifteen if queries == 15 else 4 * with_fifteen


def train(recipe: Recipe, source: Source, seconds: float) -> tuple[dict, dict]:
    """Trains for the given time, and returns the best meta_params with what is to be told of the training.

    A loop of its own beside `runs.fit`, whose length is a number of steps: here the rate falls with the time.
    """
    shape, outer = recipes.shape(recipe, source.validation), recipe.outer
    select_on = scores.draw(source.validation, 1, num_tasks(100, recipe.task.queries))
    optimizer = optax.inject_hyperparams({"adam": optax.adam, "sgd": optax.sgd}[outer.outer_optimizer])
    trainer = meta_trainer(recipes.training_learner(recipe, shape), optimizer(learning_rate=outer.learning_rate))
    tester = recipes.learner(recipe, shape, ways=5, inner_steps=recipe.adaptation.inner_steps_test)
    init_key, train_key = jax.random.split(jax.random.key(recipe.seed))
    given, state = (source.sample, train_key), trainer.init(init_key)
    update = training.many_updates(trainer, num_tasks=recipe.budget.tasks_per_step, num_updates=PER_CALL)
    start = time.perf_counter()
    program = jax.jit(update).lower(state, *given).compile()
    compiled = time.perf_counter() - start
    spent, curve, best = 0.0, [], (-1.0, state.meta_params)
    while spent < seconds:
        part = spent / seconds
        fall = (1 + math.cos(math.pi * part)) / 2 if outer.outer_optimizer == "adam" else 1 - part
        own = state.optimizer_state
        rate = jnp.asarray(outer.learning_rate * fall, jnp.float32)
        state = state._replace(optimizer_state=own._replace(hyperparams=own.hyperparams | {"learning_rate": rate}))
        start = time.perf_counter()
        state, metrics = program(state, *given)
        loss = float(metrics["loss"].mean())
        spent += time.perf_counter() - start
        if spent >= seconds * (len(curve) + 1) / VALIDATIONS:
            found = evaluation.evaluate(
                tester, recipe.scoring.criterion, state.meta_params, select_on, jax.random.key(0),
                columns={"joint": evaluation.as_is},
            )  # fmt: skip
            accuracy = float(found["joint"]["accuracy"].mean())
            best = max(best, (accuracy, state.meta_params), key=lambda pair: pair[0])
            curve.append([int(state.step), round(loss, 4), round(accuracy, 4)])
            print(
                f"  {spent:4.0f} s, step {curve[-1][0]:>6}: loss {loss:.4f}, validation {100 * accuracy:.1f}",
                flush=True,
            )
    told = {"steps": int(state.step), "seconds": round(spent, 1), "compile_seconds": round(compiled, 1), "curve": curve}
    return best[1], told


def test(recipe: Recipe, meta_params: dict, data_dir: str) -> dict:
    task, steps = recipe.task, recipe.adaptation.inner_steps_test
    number, sizes = num_tasks(600, task.queries), {"ways": task.ways, "shots": task.shots, "queries": task.queries}
    drawn = scores.drawn(recipe, seed=2, num_tasks=number, seen=None, **sizes, data_dir=data_dir)
    row = scores.trained_row(recipe, meta_params, drawn, inner_steps=steps)
    return {
        column: [round(100 * row[column][part], 2) for part in ("mean", "low", "high")]
        for column in ("joint", "single")
    }


def page(results: dict) -> str:
    """The table, of the content of learners.json."""

    def shown(percent: list[float]) -> str:
        fractions = (value / 100 for value in percent)
        return tables.interval(dict(zip(("mean", "low", "high"), fractions, strict=True)), "accuracy")

    sizes = ("steps", "tasks a step", "inner steps, training / test", "queries a class")
    rows = []
    for name, row in results["rows"].items():
        steps = " / ".join(map(str, row["inner_steps"])) if row["inner_steps"] else "-"
        about = [f"{row['steps']:,}", row["tasks_per_step"], steps, row["queries"]]
        rows.append([name, *about, shown(row["joint"]), shown(row["single"])])
    return f"""{tables.markdown(["learner, norm", *sizes, "joint", "single"], rows)}

Accuracy in %, mean and 95% interval over {num_tasks(600, 15)} tasks, or {num_tasks(600, 1):,} with 1 query a class.
{results["train_seconds"]:g} s of training each; {provenance.line(results)}.
"""


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--train-seconds", type=float, default=300)
    parser.add_argument("--rows", nargs="*", help="some of the rows, such as 'maml, batch'; all are the default")
    parser.add_argument(
        "--out", type=pathlib.Path, default=pages.RESULTS, help="where learners.json and learners.md are"
    )
    options = parser.parse_args()
    path = options.out / "learners.json"
    results = provenance.record() | {"train_seconds": options.train_seconds, "rows": {}}
    if path.exists():
        results = json.loads(path.read_text())
        if results["train_seconds"] != options.train_seconds:
            parser.error(f"{path} holds rows of {results['train_seconds']} s; remove it, or give another --out")
    for name, preset in rows().items():
        if name in results["rows"] or (options.rows and name not in options.rows):
            continue
        print(name, flush=True)
        recipe, source = opened(preset, data_dir=options.data_dir)
        meta_params, told = train(recipe, source, options.train_seconds)
        own = recipe.adaptation
        steps = [own.inner_steps, own.inner_steps_test] if recipe.entry.has_steps else None
        told |= {"tasks_per_step": recipe.budget.tasks_per_step, "inner_steps": steps, "queries": recipe.task.queries}
        results["rows"][name] = told | test(recipe, meta_params, options.data_dir)
        pages.write(path, results, page)
    print(page(results))


if __name__ == "__main__":
    main()

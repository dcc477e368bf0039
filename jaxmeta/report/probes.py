"""What a finished run says when it is asked again: other numbers of steps and shots, and what it answers to queries."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import evaluation, recipes, runs, tasks
from jaxmeta.criteria import Gaussian
from jaxmeta.criteria.classification import silence_absent
from jaxmeta.recipes import Shown, Sizes
from jaxmeta.report.facts import Work
from jaxmeta.runs import Run, check_plain, read_json, scores, write_json
from jaxmeta.runs.folder import MOST_RESULTS, PARAMS, PROBES
from jaxmeta.runs.run import TEST_SEED
from jaxmeta.transfer.kept import is_column
from jaxmeta.types import Episode, PyTree

TASKS = 60
"""Tasks that are scored anew: enough for a curve, few enough for a minute."""
FAILURES = (ValueError, TypeError, KeyError, IndexError, MemoryError, ArithmeticError, ImportError, OSError)
"""What data, programs and folders that are not as expected raise."""

WHICH = {"typical": "A typical", "hardest": "The hardest"}


def means(said: PyTree) -> np.ndarray:
    """What is said of classes or values, of distributions their means."""
    return np.asarray(said.mean if isinstance(said, Gaussian) else said)


def chosen(scores: np.ndarray) -> dict[str, int]:
    """{"typical": the task in the middle, "hardest": that with the lowest score}; more is better."""
    order = np.argsort(scores, kind="stable")
    return {"typical": int(order[len(order) // 2]), "hardest": int(order[0])}


@dataclasses.dataclass(frozen=True)
class Probe:
    """A run with test tasks of one domain.

    Attributes:
      run: it.
      domain: whose tasks these are.
      sizes: of a task.
      num_tasks: how many.
      seed: of the tasks; they are the first of those that results.json tells of.
      data_dir: where data sets lie.
    """

    run: Run
    domain: str
    sizes: Sizes
    num_tasks: int
    seed: int
    data_dir: str | None

    @functools.cached_property
    def test(self) -> scores.Test:
        return self.drawn(self.sizes)

    def drawn(self, sizes: Sizes) -> scores.Test:
        """As many tasks of another size."""
        return self.run.test(self.domain, num_tasks=self.num_tasks, seed=self.seed, **sizes._asdict())

    @property
    def name(self) -> str:
        """The domain's."""
        return recipes.short(self.domain)

    def errors(self) -> np.ndarray:
        """[num_tasks] mean squared errors of values."""
        gaps = np.asarray(self.outputs) - np.asarray(self.episodes.query.targets)
        return np.square(gaps).reshape(len(gaps), -1).mean(axis=1)

    @property
    def has_classes(self) -> bool:
        """Whether each query is of one class, as the words of a sentence are not."""
        return self.run.recipe.scoring.has_classes and not recipes.kind(self.run.recipe.task).always

    @functools.cached_property
    def task(self) -> recipes.Task:
        """The run's, on this domain."""
        own = self.run.recipe.task
        return own if recipes.short(own.domain) == recipes.short(self.domain) else dataclasses.replace(
            own, domain=self.domain, target_column="", text_column="", columns=(), train_classes=(),
            validation_classes=(), test_classes=(), min_examples=0,
        )  # fmt: skip

    @functools.cached_property
    def shown(self) -> Shown:
        """How the tasks look to people, as their kind says."""
        place = recipes.Place(self.domain, "test", self.data_dir, self.run.seen)
        return recipes.kind(self.task).shown(self.task, place, self.sizes)

    @functools.cached_property
    def episodes(self) -> Episode:
        """Leaves [num_tasks, ...], as the network takes them."""
        return jax.device_get(self.test.episodes)

    @functools.cached_property
    def numbers(self) -> Episode | None:
        """The same with the numbers of rows of `shown.examples`."""
        if self.shown.numbered is None:
            return None
        key = jax.random.key(self.seed)
        return jax.device_get(tasks.drawn(self.shown.numbered, key, jnp.arange(self.num_tasks)))

    @functools.cached_property
    def outputs(self) -> np.ndarray:
        """What is said of each query alone [num_tasks, queries, ...]; where there are classes their probabilities."""
        return means(self.said(self.steps, self.episodes))

    @property
    def steps(self) -> int:
        return self.run.recipe.adaptation.inner_steps_test

    def said(self, inner_steps: int, episodes: Episode) -> PyTree:
        """What is said of the queries of other episodes of these sizes, after so many inner steps."""
        learner = evaluation.single(self.run.learner(ways=self.sizes.ways, inner_steps=inner_steps))
        count = len(jax.tree.leaves(episodes)[0])
        keys = jax.random.split(jax.random.key(self.run.recipe.seed), count)
        has_classes = self.has_classes

        @jax.jit
        def every(meta_params: PyTree, episodes: Episode, keys: jax.Array) -> PyTree:
            def one(given: tuple[Episode, jax.Array]) -> PyTree:
                episode, key = given
                adapted = learner.adapt(meta_params, episode.support, jax.random.split(key)[0])
                said = learner.predict(meta_params, adapted, episode.query.inputs, episode.query.mask)
                return jax.nn.softmax(silence_absent(said, episode.query.classes)) if has_classes else said

            return jax.lax.map(one, (episodes, keys), batch_size=min(8, count))

        return jax.device_get(every(self.run.meta_params, episodes, keys))

    @functools.cached_property
    def right(self) -> np.ndarray:
        """[num_tasks, queries] bool."""
        return self.outputs.argmax(-1) == np.asarray(self.episodes.query.targets)

    def class_names(self, index: int) -> list[str]:
        """What the classes of a task are called; by their number where they have no names."""
        ways = self.sizes.ways
        if self.numbers is None or self.shown.examples is None:
            return [f"class {way + 1}" for way in range(ways)]
        numbers = np.asarray(self.numbers.support.inputs[index]).reshape(-1).astype(int)
        targets = np.asarray(self.numbers.support.targets[index])[: len(numbers)]
        owners = np.searchsorted(self.shown.examples.offsets, numbers, side="right") - 1
        first = {int(way): int(owner) for way, owner in zip(targets[::-1], owners[::-1], strict=True)}
        return [self.shown.examples.class_names[first[way]] for way in range(ways)]


def opened(
    work: Work, *, domain: str | None = None, data_dir: str | None = None, num_tasks: int = TASKS
) -> Probe | str:
    """A run of a folder with tasks of the domain that its results tell of, or why there are none.

    Args:
      work: what the folder says.
      domain: another, or the path of the one that the run was trained on; None: that of the results.
      data_dir: where data sets lie.
      num_tasks: how many tasks at most; no more than the recipe has in its evaluation, which knows what they cost.
    """
    try:
        seeds = sorted(work.path.glob("seed-*/config.json"))
        run = runs.open(seeds[0].parent if seeds else work.path, data_dir=data_dir)
        task = run.recipe.task
        known = [row for row in work.rows if row["domain"] and row.get("ways") is not None]
        told = [row["domain"] for row in known if recipes.is_builtin(row["domain"])]
        own = [part for part in recipes.parts(task.domain) if recipes.is_builtin(part)]
        chosen = domain or next(iter([*(own if recipes.short(task.domain) in told else ()), *told, *own]), None)
        if chosen is None:
            return f"{recipes.short(task.domain)} is a file of somebody's: give its path as the domain"
        row = next((row for row in known if row["domain"] == recipes.short(chosen)), {})
        sizes = Sizes(row.get("ways") or task.ways, row.get("shots") or task.shots, row.get("queries") or task.queries)
        count = min(num_tasks, run.recipe.budget.num_tasks)
        probe = Probe(run, chosen, sizes, count, TEST_SEED + run.recipe.seed, data_dir)
        probe.test  # noqa: B018  # drawn once, here, where it may fail
    except FAILURES as error:
        return reason(error)
    return probe


def reason(error: BaseException) -> str:
    """An error in a line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def kept(probe: Probe, name: str, about: Any, compute: Callable[[], list[scores.Row]]) -> list[scores.Row]:
    """Rows from the run's folder, or computed and left there; of other parameters or tasks they are computed anew."""
    folder = probe.run.folder
    if folder is None:
        return compute()
    params = hashlib.sha256((folder / PARAMS).read_bytes()).hexdigest() if (folder / PARAMS).exists() else ""
    key = [1, params, recipes.short(probe.domain), list(probe.sizes), probe.num_tasks, probe.seed, about]
    path = folder / PROBES / f"{name}.json"
    if (found := _read(path, key)) is not None:
        return found
    rows = compute()
    try:
        path.parent.mkdir(exist_ok=True)
        write_json(path, {"key": key, "rows": rows})
    except (OSError, ValueError):  # a folder that is read only serves as well
        pass
    return rows


def _read(path: pathlib.Path, key: Any) -> list[scores.Row] | None:
    """What was kept, if it is of this key and what it should be."""
    check_plain(path.parent)
    check_plain(path)
    try:
        content = read_json(path, MOST_RESULTS)
        rows = content["rows"] if content["key"] == key else None
        names = ("shots", "inner_steps_test", "num_tasks")
        whole = rows and all(
            all(type(row[name]) is int for name in names) and isinstance(row["metric"], str) and
            all(row.get(name) is None or is_column(row[name], row["num_tasks"]) for name in ("joint", "single"))
            for row in rows
        )  # fmt: skip
        return rows if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def steps_beyond(fewest: int, trained: int, tested: int) -> list[int]:
    """Numbers of inner steps that are worth a look: from none to well past those of training and test."""
    most = 2 * max(trained, tested, 1)
    return sorted(step for step in {fewest, 1, trained, tested, most} if step >= fewest)


def by_steps(probe: Probe) -> list[scores.Row]:
    """Scores after each of some numbers of inner steps, on the same tasks."""
    own = probe.run.recipe
    numbers = steps_beyond(own.entry.fewest_steps, own.adaptation.inner_steps, own.adaptation.inner_steps_test)
    row = functools.partial(scores.trained_row, own, probe.run.meta_params, probe.test)
    return kept(probe, "steps", numbers, lambda: [row(inner_steps=number) for number in numbers])


def shots_around(shots: int) -> list[int]:
    """Numbers of shots around those of the test."""
    return sorted({1, shots, 2 * shots, 5 * shots})


def by_shots(probe: Probe) -> list[scores.Row]:
    """Scores with each of some numbers of shots, as far as the data have so many examples."""

    def compute() -> list[scores.Row]:
        rows, own = [], probe.run.recipe
        for shots in shots_around(probe.sizes.shots):
            try:
                test = probe.test if shots == probe.sizes.shots else probe.drawn(probe.sizes._replace(shots=shots))
            except (ValueError, MemoryError):  # fewer examples
                continue
            rows.append(scores.trained_row(own, probe.run.meta_params, test, inner_steps=probe.steps))
        return rows

    return kept(probe, "shots", shots_around(probe.sizes.shots), compute)


def hardest(scores: Sequence[float] | np.ndarray, count: int) -> list[int]:
    """The places of the lowest scores, the lowest first."""
    return np.argsort(np.asarray(scores), kind="stable")[:count].tolist()

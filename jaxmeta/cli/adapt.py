"""`jaxmeta adapt RUN`: a person's own examples."""

from __future__ import annotations

import collections
import csv
import dataclasses
import importlib.util
import io
import os
import pathlib
from typing import Any

import jax
import numpy as np

from jaxmeta import checks, datasets, encoders, floats, recipes, report, runs
from jaxmeta.cli import config, watching
from jaxmeta.criteria import Gaussian
from jaxmeta.runs import folder as folders
from jaxmeta.runs.adapted import NONE
from jaxmeta.runs.run import MOST

ADAPTATION = ("save", "text_column", "target_column", "columns", "polarity", "inner_steps", "none", "seed")
"""What is settled once a run has been adapted."""
MOST_COUNTED = 20  # classes in the line that counts


def run(options: config.Adapt) -> int:
    _check(options)
    run, out = _opened(options), pathlib.Path(options.out)
    adapted, names, inputs = (_read if options.support is None else _made)(options, run)
    _check_asked(options, adapted)
    outputs = adapted.outputs(inputs)
    header, rows = (_labels if adapted.class_names else _values)(options, adapted, names, outputs)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(header)
    writer.writerows([*cells, *row] for cells, row in rows)
    if options.save is not None:
        save = pathlib.Path(options.save)
        save.parent.mkdir(parents=True, exist_ok=True)
        print(f"adapted: {runs.save_adapted(save, adapted)}")
    out.parent.mkdir(parents=True, exist_ok=True)
    written = runs.write_text(out, stream.getvalue())
    if options.sheet is not None:
        print(f"sheet: {_sheet(options, adapted, [row for _, row in rows])}")
    if (found := adapted.threshold) is not None:
        known = f"{found.below} of {found.known} known examples are, each left out once"
        print(f"{NONE}: what is less probable than {found.probability:.6f}, as {known}")
    print(checks.line(_counted([row[0] for _, row in rows]) if adapted.class_names else _said(adapted, outputs)[1]))
    print(f"results: {written}")
    return 0


def _opened(options: config.Adapt) -> runs.Run:
    if options.run:
        return runs.open(options.run, encoder=options.encoder)
    if not options.encoder:
        checks.fail("adapt", "a run folder, or a pretrained encoder as `encoder`", "neither")
    preset = "sentences" if encoders.is_text(options.encoder) else "photos"
    return runs.untrained(recipes.get(preset).replace(encoder=options.encoder))


def _sheet(options: config.Adapt, adapted: runs.Adapted, rows: list[list[str]]) -> pathlib.Path:
    names, pictures = datasets.load_inputs(options.inputs, data_dir=options.data_dir, form=datasets.Form(112, 112, 3))
    said, shares = [row[0] for row in rows], [float(row[1]) for row in rows]
    stream, path = io.BytesIO(), pathlib.Path(options.sheet or "")
    report.contact_sheet(names, pictures, said, shares, adapted.class_names).savefig(stream, format="png", dpi=120)
    path.parent.mkdir(parents=True, exist_ok=True)
    folders.replace(path, stream.getvalue())
    return path


def _check(options: config.Adapt) -> None:
    """Raises ValueError for words that do not go together, before anything is read."""
    if (options.support is None) == (options.adapted is None):
        got = "neither" if options.support is None else "both"
        checks.fail("adapt", "labelled examples as `support`, or a file that `save` wrote as `adapted`", got)
    for each in dataclasses.fields(options):
        value = getattr(options, each.name)
        if options.support is None and each.name in ADAPTATION and value != each.default:
            checks.fail(f"`{each.name}`", "none with `adapted`, which is settled", value, "adapt anew with `support`")
    for name, given in (("out", options.out), ("save", options.save), ("sheet", options.sheet)):
        if given is not None and pathlib.Path(given).exists() and not options.force:
            hint = f"choose another `{name}`, or give --force"
            checks.fail(given, "no such file yet", "one that exists", hint)
        runs.check_plain(pathlib.Path(given or options.out))
    _check_apart(options)
    checks.integer("--inner-steps", options.inner_steps or 0, 0, MOST)
    checks.seed("--seed", options.seed)
    checks.integer("--top", options.top, 1)


def _check_apart(options: config.Adapt) -> None:
    """Raises ValueError if a file would be written over another, or over what is read; no --force means that."""
    others = {name: getattr(options, name) for name in ("support", "adapted", "inputs", "encoder", "out")}
    others |= {f"run's {name}": os.path.join(options.run, name) for name in folders.OWN} if options.run else {}
    for name in ("out", "save", "sheet"):
        given = getattr(options, name)
        others.pop(name, None)
        for other, path in others.items() if given else ():
            same = path and os.path.realpath(given) == os.path.realpath(path)
            if same or (name == "sheet" and path and os.path.isdir(path) and _is_within(given, path)):
                what = f"`{other}`" if hasattr(options, other) else f"the {other}"
                checks.fail(f"`{name}`", f"another file than {what}" if same else f"a file outside of {what}", given)
        others[name] = given


def _is_within(path: str, folder: str) -> bool:
    return pathlib.Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _own(options: config.Adapt, labelled: str) -> recipes.Own:
    column = options.target_column or None
    paths = labelled, options.inputs
    return recipes.Own(*paths, column, options.polarity, options.data_dir, options.columns, options.text_column)


def _made(options: config.Adapt, run: runs.Run) -> tuple[runs.Adapted, list[str], np.ndarray]:
    task, own = run.recipe.task, _own(options, options.support or "")
    recipes.domains.check_serve(
        task, columns=options.columns, target_column=options.target_column, text_column=options.text_column,
        polarity="" if options.polarity == config.Adapt.polarity else options.polarity,
    )  # fmt: skip
    given = recipes.kind(task).read(task, own, task.ways if run.recipe.entry.has_head else 0)
    watching.told(given.facts)
    adapted = run.adapt(given, inner_steps=options.inner_steps, seed=options.seed, none=options.none)
    if not options.run and np.bincount(given.support.targets).min() > 1:
        shares, targets = runs.left_out(adapted, given, jax.random.key(options.seed))
        right = int((shares.argmax(axis=1) == targets).sum())
        print(f"of {len(targets)} labelled examples, each left out once, {right} are told right")
    return adapted, given.names, given.inputs


def _read(options: config.Adapt, run: runs.Run) -> tuple[runs.Adapted, list[str], np.ndarray]:
    task, own = run.recipe.task, _own(options, options.adapted or "")
    adapted = runs.load_adapted(own.support, run)
    return adapted, *recipes.kind(task).read_inputs(task, own, adapted.frame)


def _check_asked(options: config.Adapt, adapted: runs.Adapted) -> None:
    if options.sheet is not None:
        if not adapted.class_names or adapted.run.recipe.task.kind in ("tables", "texts", "tokens"):
            checks.fail("`sheet`", "a run of classes of pictures", f"one of {adapted.run.recipe.task.kind}")
        if importlib.util.find_spec("matplotlib") is None:
            checks.fail("`sheet`", "matplotlib", "none", "pip install 'jaxmeta[plots]'")
    if not adapted.class_names and (options.top > 1 or options.probabilities):
        name = "`top`" if options.top > 1 else "`probabilities`"
        checks.fail(name, "a run of classes", "one of values")


Rows = list[tuple[list[str], list[str]]]  # what each line is about, and what is said of it


def _labels(
    options: config.Adapt, adapted: runs.Adapted, given: list[str], outputs: np.ndarray
) -> tuple[list[str], Rows]:
    labels, threshold = adapted.labels, adapted.threshold
    top = min(options.top, len(labels))
    answers = recipes.kind(adapted.run.recipe.task).answers(given, labels, outputs)
    header = ["prediction", "probability"]
    header += [f"{word}_{rank}" for rank in range(2, top + 1) for word in header]
    header += [f"probability of {name}" for name in labels] if options.probabilities else []
    rows = []
    for cells, said, shares in zip(answers.cells, answers.said, runs.probabilities(answers.logits), strict=True):
        order = np.argsort(-shares, kind="stable")[:top]
        row = [text for index in order for text in (labels[index], f"{shares[index]:.6f}")]
        row[0] = said if threshold is None or shares[order[0]] >= threshold.probability else NONE
        rows.append((cells, row + [f"{share:.6f}" for share in shares] if options.probabilities else row))
    return [*answers.header, *header], rows


def _values(options: config.Adapt, adapted: runs.Adapted, given: list[str], outputs: Any) -> tuple[list[str], Rows]:
    del options
    header, said = ["prediction", "probability"], [[text, ""] for text in _said(adapted, outputs)[0]]
    if isinstance(outputs, Gaussian):
        both = [_said(adapted, each)[0] for each in outputs]
        header, said = ["prediction", "deviation"], [list(row) for row in zip(*both, strict=True)]
    return ["input", *header], [([name], row) for name, row in zip(given, said, strict=True)]


def _said(adapted: runs.Adapted, outputs: Any) -> tuple[list[str], str]:
    if isinstance(outputs, Gaussian):
        texts, line = _said(adapted, outputs.mean)
        low, high = floats.ends(float(outputs.scale.min()), float(outputs.scale.max()))
        return texts, f"{line}; deviations from {low} to {high}"
    return recipes.kind(adapted.run.recipe.task).written(adapted.frame, outputs)


def _counted(predictions: list[str]) -> str:
    """How many were predicted, and how often which class."""
    counts = collections.Counter(predictions).most_common()
    said = [f"{count} {name}" for name, count in counts[:MOST_COUNTED]]
    if rest := counts[MOST_COUNTED:]:
        said.append(f"{sum(count for _, count in rest)} of {len(rest)} other classes")
    return f"{len(predictions)} predicted: {', '.join(said)}"

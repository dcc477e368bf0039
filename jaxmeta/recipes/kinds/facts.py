"""What was read, in a line that people see and a record that results.json holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxmeta import datasets, floats

Facts = dict[str, Any]
SHOWN = 12  # names in a line
SHOWN_GAPS = 3  # columns of which it is said how many cells are missing


def of(examples: datasets.Examples) -> Facts:
    """What there is to say of examples with classes."""
    sizes, names = np.diff(examples.offsets), list(examples.class_names)
    found: Facts = {"domain": examples.name, "split": examples.split, "examples": examples.count}
    found |= {"classes": len(names), "class_sizes": [int(sizes.min()), int(sizes.max())]}
    found |= {"class_names": names[:100], "target": examples.target}
    return found | _contents(examples.inputs, examples.columns) | {"notes": list(examples.notes)}


def of_table(table: datasets.Table, rows: np.ndarray, split: str) -> Facts:
    """What there is to say of rows with values."""
    values = table.targets[rows]
    found: Facts = {"domain": table.name, "split": split, "examples": len(rows), "target": table.target}
    found["targets"] = [float(values.min()), float(values.max())] if len(rows) else []
    return found | _contents(table.inputs[rows], table.columns) | {"notes": list(table.notes)}


def of_tasks(inputs: np.ndarray, targets: np.ndarray, *, name: str, split: str, notes: Sequence[str]) -> Facts:
    """What there is to say of tasks [tasks, n, d] with values [tasks, n, m]."""
    count, size = inputs.shape[:2]
    found: Facts = {"domain": name, "split": split, "examples": count * size, "target": ""}
    found["targets"] = [float(targets.min()), float(targets.max())]
    own = (f"{count} task{'s' if count > 1 else ''} of {size}", *notes)
    return found | _contents(inputs.reshape(-1, inputs.shape[2]), ()) | {"notes": list(own)}


def _contents(inputs: Any, columns: tuple[datasets.Column, ...]) -> Facts:
    if isinstance(inputs, Mapping) or inputs.dtype.kind == "U":
        return {}
    looked_at = inputs[:: max(1, len(inputs) // 4096)]
    plain = [index for index, column in enumerate(columns) if not column.categories]
    numbers = looked_at[:, plain] if columns else looked_at
    there = numbers[np.isfinite(numbers)] if numbers.dtype.kind == "f" else numbers
    found: Facts = {"shape": list(inputs.shape[1:]), "dtype": str(inputs.dtype)}
    if there.size:
        found["range"] = [float(there.min()), float(there.max())]
    if columns:
        found["columns"] = {column.name: len(column.categories) or "numbers" for column in columns}
        gaps = np.isnan(inputs).sum(axis=0).tolist()
        most = sorted(((count, -index) for index, count in enumerate(gaps) if count), reverse=True)[:SHOWN_GAPS]
        found["missing"] = sum(gaps)
        found["most_missing"] = {columns[-index].name: count for count, index in most}
    return found


def line(facts: Facts) -> str:
    """One line for people."""
    said = [f"{facts['examples']:,} {'rows' if 'columns' in facts or len(facts.get('shape', ())) == 1 else 'examples'}"]
    if "classes" in facts:
        low, high = facts["class_sizes"]
        names = [name for name in facts["class_names"] if len(name) < 30]
        shown = ", ".join(names[:SHOWN]) + (" .." if facts["classes"] > len(names[:SHOWN]) else "")
        said.append(f"{facts['classes']} classes of {low:,}" + (f" to {high:,}" if high > low else "") + f" ({shown})")
    if facts.get("target"):
        said.append(f"target {facts['target']!r}")
    if facts.get("targets"):
        said.append("targets in {} to {}".format(*floats.ends(*facts["targets"])))
    if "columns" in facts:
        texts = sum(value != "numbers" for value in facts["columns"].values())
        said.append(f"{len(facts['columns'])} features" + (f", {texts} of them categories" if texts else ""))
        most = ", ".join(f"{count} of {name!r}" for name, count in facts.get("most_missing", {}).items())
        said += [f"{facts['missing']} cells missing" + (f", {most}" if most else "")] if facts["missing"] else []
    elif facts.get("shape"):
        said.append(f"{' x '.join(map(str, facts['shape']))} {facts['dtype']}")
    if "symbols" in facts:
        said.append(f"{facts['letters']} letters, {facts['symbols']} symbols")
    if "range" in facts:
        said.append("numbers in {} to {}".format(*floats.ends(*facts["range"])))
    return f"read {facts['domain']}, {facts['split']}: " + "; ".join([*said, *facts["notes"]])

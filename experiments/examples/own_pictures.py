"""Adapt to your own pictures: a run that saw strokes alone names pictures after a few labelled ones.

    python experiments/examples/own_pictures.py --out runs/own_pictures
    python experiments/examples/own_pictures.py --support my_classes/ --inputs my_pictures/

Labelled pictures lie in one folder a class. Without any, scikit-learn's handwritten digits are written as such folders.
"""

from __future__ import annotations

import argparse
import pathlib

import numpy as np
from PIL import Image

from jaxmeta import datasets, recipes, report, runs

SHOTS, ASKED = 5, 8  # digits of a class that are labelled, and that are asked for


def digits(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes five kinds of digits as a person would keep them: dark on light, one folder a class."""
    examples = datasets.load("digits")
    for number in range(5):
        start = int(examples.offsets[number])
        for index, picture in enumerate(examples.inputs[start : start + SHOTS + ASKED]):
            scale = 255 if np.issubdtype(picture.dtype, np.floating) else 1
            path = folder / ("support" if index < SHOTS else "inputs") / f"digit {number}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((255 - scale * picture.squeeze()).astype(np.uint8)).save(path)
    return folder / "support", folder / "inputs"


def own_pictures(
    out: pathlib.Path, support: pathlib.Path | None = None, inputs: pathlib.Path | None = None, *, num_steps: int = 600
) -> pathlib.Path:
    """Trains on strokes, adapts once to labelled pictures, and returns a sheet of the others with what they are called.

    Args:
      out: a folder for the run and the sheet.
      support: labelled pictures, one folder a class; None: digits.
      inputs: pictures to name.
      num_steps: meta-training steps.
    """
    if support is None or inputs is None:
        support, inputs = digits(out)
    recipe = recipes.get("protonet-strokes").replace(steps=num_steps, shots=SHOTS)
    run = runs.train(recipe, folder=out / "run")  # goes on with what is there
    # Polarity "ink" turns dark on light into what the run was trained on.
    own = recipes.Own(str(support), str(inputs), None, "ink", None)
    given = recipes.kind(run.recipe.task).read(run.recipe.task, own, 0)
    adapted = run.adapt(given)
    shares = runs.probabilities(adapted.outputs(given.inputs))
    said = [adapted.class_names[index] for index in shares.argmax(axis=1)]
    names, pictures = datasets.load_inputs(str(inputs), form=datasets.Form(112, 112, 3))
    sheet = report.contact_sheet(names, pictures, said, shares.max(axis=1).tolist(), adapted.class_names)
    sheet.savefig(out / "sheet.png", dpi=120)
    return out / "sheet.png"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/own_pictures"))
    parser.add_argument("--support", type=pathlib.Path)
    parser.add_argument("--inputs", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=600)
    given = parser.parse_args()
    print(f"results: {own_pictures(given.out, given.support, given.inputs, num_steps=given.steps)}")

"""What the commands take."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated, Literal

import tyro

from jaxmeta import checks, report
from jaxmeta.datasets import files
from jaxmeta.recipes import Recipe
from jaxmeta.recipes.recipe import NormName, PolarityName
from jaxmeta.transfer import Plan

RECIPE, PLAN = Recipe(), Plan()
FREE = "choose another --out, or give --force"


def classes(given: tuple[str, ...]) -> tuple[str, ...]:
    """Names of classes as they were given, or the lines of a text file.

    Raises:
      DataError: if the file is no text, or names none: no list asks for other classes than an empty one.
    """
    if len(given) != 1 or not given[0].endswith(".txt"):
        return given
    path = pathlib.Path(given[0])
    if not path.is_file():
        checks.fail(str(path), "a text file with the name of a class in each line", "none", error=checks.DataError)
    with files.reading(path):
        lines = path.read_text("utf-8-sig").splitlines()
    if not (names := tuple(line.strip() for line in lines if line.strip())):
        checks.fail(str(path), "the name of a class in each line", "none", error=checks.DataError)
    return names


@dataclasses.dataclass(frozen=True)
class Train:
    """Meta-trains a learner, evaluates it on tasks never seen, and writes a run folder."""

    recipe: Recipe = RECIPE
    seeds: int = 1
    """Trainings, of this seed and those after it, in one program; each has a run folder seed-N of its own."""
    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""
    out: str | None = None
    """The run folder; runs/PRESET is the default."""
    tensorboard: bool = False
    """Write the metrics for TensorBoard, too, into the folder tensorboard of the run."""
    force: bool = False
    """Write into a folder that holds something."""
    distributed: bool = False
    """This is one of several processes, such as one on each host, that share the tasks; the first writes and prints."""


@dataclasses.dataclass(frozen=True)
class Resume:
    """Goes on with a broken run, to the bits of an unbroken one; all but where the data lies is the run's own."""

    resume: str
    """A run folder."""
    steps: int | None = None
    """More steps than the run began with, where its schedule is constant or halving: others hang on their number."""
    domain: str | None = None
    """The run's own data, if it was trained on paths: no file records them."""
    encoder: str = ""
    """The run's own pretrained encoder, if it is a file or folder: no file records where it lies."""
    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""
    tensorboard: bool = False
    """Write the metrics for TensorBoard, too, into the folder tensorboard of the run."""
    distributed: bool = False
    """This is one of several processes that share the tasks; all must see the run folder."""


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluates a run on tasks never seen, beside raw inputs and the untrained network."""

    run: Annotated[str, tyro.conf.Positional]
    """A run folder."""
    domain: str | None = None
    """Another domain: a name that `jaxmeta domains` lists, tfds:NAME, or a path; what nothing was trained on is taken
    whole."""
    target_column: str = ""
    """The target of a csv, by name or number from 1; else the column called label, target, class or y, or the last if
    that alone can be it."""
    text_column: str = ""
    """The texts of a csv or of JSON lines, by name or number from 1; else the column called text, sentence, query ..,
    or the one of the longest texts."""
    columns: tuple[str, ...] = ()
    """The features of a csv, by name or number; else all columns but those that number or name the rows."""
    query_domain: str = ""
    """The domain of the queries, if it is another than the support set's, such as another scanner or style; its classes
    go by the same names."""
    test_classes: tuple[str, ...] = ()
    """Classes of a set of your own to test on, or a text file that has one a line; all: every one; else those that were
    not trained on."""
    min_examples: int = 0
    """Classes of a set of your own with fewer examples are left out."""
    encoder: str = ""
    """The run's own pretrained encoder, if it is a file or folder: no file records where it lies."""
    polarity: PolarityName | None = None
    """Pictures: ink turns dark strokes on light paper into bright on dark; the run's own is the default."""
    norm: NormName | None = None
    """Another normalisation over the same parameters."""
    ways: int | None = None
    """Classes per task."""
    shots: int | None = None
    """Support examples per class."""
    queries: int | None = None
    """Query examples per class."""
    inner_steps: int | None = None
    """Adaptation steps."""
    num_tasks: int = 600
    """Evaluated tasks."""
    tasks_per_chunk: int = 0
    """Tasks that a device computes side by side; 0: what is fastest and fits its memory."""
    seed: int = 1
    """Seed of the tasks."""
    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""
    pictures: bool = False
    """Beside results.json learning.png and, of navigation and the arm, trajectories.png before and after each step and
    arm.gif; needs matplotlib and pillow."""
    out: str | None = None
    """Folder for results.json; RUN/evaluation is the default."""
    force: bool = False
    """Write into a folder that holds something."""
    distributed: bool = False
    """This is one of several processes that share the tasks; all must see the run folder."""


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Meta-trains on sources, adapts to tasks of targets, and compares all methods on the same tasks."""

    plan: Plan = PLAN
    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""
    out: str | None = None
    """The folder; runs/transfer-PRESET is the default."""
    resume: bool = False
    """Go on with what the folder holds of the same transfer."""
    force: bool = False
    """Write into a folder that holds something, and start over."""


@dataclasses.dataclass(frozen=True)
class Adapt:
    """Adapts a run once to labelled examples of your own and predicts others."""

    inputs: str
    """What to predict: a picture, a folder of pictures, an npz, tfds:NAME or a csv, whose columns go by the names that
    the header of a labelled csv gives them, in any order and among others; texts also as jsonl, or one a line as
    txt; words to be tagged one a line, an empty line after a sentence."""
    run: Annotated[str, tyro.conf.Positional] = ""
    """A run folder; without one a pretrained encoder and a ridge regression do, see --encoder."""
    encoder: str = ""
    """A pretrained encoder, efficientnet_lite0 or the path of a checkpoint, or of texts all_minilm_l6_v2 or the path of
    a folder with a tokenizer, in place of a run; beside one, its own, if that is a file or folder."""
    support: str | None = None
    """Labelled examples: a folder of class folders of pictures, an npz, tfds:NAME, or a csv of numbers with a target
    column; of texts a csv, tsv or jsonl; of words with tags a CoNLL file."""
    adapted: str | None = None
    """A file that --save wrote, in place of --support: predicts as then."""
    save: str | None = None
    """A file for the adapted run. Of a csv it holds the features of the labelled rows."""
    target_column: str = ""
    """The target of a csv, by name or number from 1; else the column called label, target, class or y, or the last if
    that alone can be it."""
    text_column: str = ""
    """The texts of a csv or of JSON lines, by name or number from 1; else the column called text, sentence, query ..,
    or the one of the longest texts."""
    columns: tuple[str, ...] = ()
    """The features of a csv, by name or number; else all columns but those that number or name the rows."""
    out: str = "predictions.csv"
    """The file to write."""
    polarity: PolarityName = "ink"
    """Pictures: ink turns dark strokes on light paper into what the run was trained on, bright on dark; an encoder of
    photographs sees them as they are, unless it is invert."""
    inner_steps: int | None = None
    """Adaptation steps; the run's own for evaluation is the default."""
    top: int = 1
    """Classes that are named for each input, the most probable first; all where there are no more."""
    probabilities: bool = False
    """Add a column for the probability of each class."""
    sheet: str | None = None
    """A PNG file for a contact sheet of pictures with what they were taken for; where the folders of the inputs go by
    names of classes, wrong ones are marked."""
    none: float | None = None
    """The share of known examples that may be called `none of these`, such as 0.05: what is less probable than theirs
    is called so. Each labelled example is left out once for it; classes need two."""
    seed: int = 0
    """Seed of whatever is random in adaptation."""
    data_dir: str | None = None
    """Where prepared tensorflow-datasets lie; JAXMETA_DATA is the default."""
    force: bool = False
    """Overwrite the files."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Writes what runs and transfers say, also unfinished ones, as one page that needs no network, and its figures."""

    folders: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Folders of `jaxmeta train` and `jaxmeta transfer`, side by side."""
    out: str | None = None
    """A folder for report.html and figures, or a file NAME.html; FOLDER/report is the default of one folder,
    runs/report of several."""
    markdown: bool = False
    """Beside the page report.md, as for a pull request."""
    latex: bool = False
    """Beside the page report.tex, tables with booktabs, as for a paper."""
    watch: bool = False
    """Write it anew while a run goes on, until it ends or Ctrl-C."""
    every: int = 20
    """Seconds between two looks of --watch."""
    num_tasks: int = report.TASKS
    """Tasks of each run that are scored anew for curves, calibration and pictures of episodes; 0: none."""
    domain: str | None = None
    """The path of a run's own data, if it was trained on files: no file records where they lie."""
    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""
    force: bool = False
    """Overwrite a report that is there."""


@dataclasses.dataclass(frozen=True)
class Domains:
    """Lists the domains by field, with their classes and sizes: embedded, found on this disk, and others to get."""

    data_dir: str | None = None
    """Where the data sets lie; JAXMETA_DATA is the default."""


@dataclasses.dataclass(frozen=True)
class Audit:
    """Audits a learner of your own: exact or first order, severed, transductive, leaking. It runs the code it names."""

    learner: Annotated[str, tyro.conf.Positional]
    """MODULE:NAME, importable from the current directory: a MetaLearner, a pair (learner, sampler), or a function that
    returns one of them; if it takes num_steps, memory is measured too. Importing it runs it: name no code you do not
    trust."""
    domain: Literal["sinusoid", "strokes", "tabular"] = "sinusoid"
    """The tasks, unless a sampler comes with the learner."""
    ways: int = 3
    """Classes per task."""
    shots: int = 2
    """Support examples per class (per task in regression)."""
    queries: int = 2
    """Query examples per class (per task in regression)."""
    features: int = 8
    """Columns of the domain tabular."""
    promise: tuple[str, ...] = ()
    """CHECK=WORD, any number of them, such as gradient=first_order queries=transductive; WORD none: no promise."""
    json: str | None = None
    """A file for the findings."""
    seed: int = 0
    """Seed of everything random."""
    force: bool = False
    """Overwrite the file."""

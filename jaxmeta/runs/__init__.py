"""Trainings as functions, and their folders: configs, metrics, checkpoints, parameters and results on disk."""

from jaxmeta.runs.adapted import Adapted, Threshold, left_out, probabilities
from jaxmeta.runs.checkpoints import Checkpoint, Checkpoints
from jaxmeta.runs.events import DivergedError, Event, Fitted, Report, Stopped
from jaxmeta.runs.fitting import Training, fit, fit_together
from jaxmeta.runs.folder import (
    RunFolder,
    check_empty,
    check_plain,
    clear,
    create,
    held,
    read_json,
    save_params,
    write_json,
    write_text,
)
from jaxmeta.runs.kept import load_adapted, save_adapted
from jaxmeta.runs.results import report_row, table
from jaxmeta.runs.run import Run, open, untrained
from jaxmeta.runs.stores import Store, in_folder
from jaxmeta.runs.training import train

__all__ = [
    "Adapted", "Checkpoint", "Checkpoints", "DivergedError", "Event", "Fitted", "Report", "Run", "RunFolder",
    "Stopped", "Store", "Threshold", "Training", "check_empty", "check_plain", "clear", "create", "fit",
    "fit_together", "held", "in_folder", "left_out", "load_adapted", "open", "probabilities", "read_json",
    "report_row", "save_adapted", "save_params", "table", "train", "untrained", "write_json", "write_text",
]  # fmt: skip

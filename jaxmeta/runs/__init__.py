"""Run folders: configs, metrics, checkpoints, parameters and results on disk."""

from jaxmeta.runs.checkpoints import Checkpoint, Checkpoints
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
from jaxmeta.runs.results import report_row, table

__all__ = [
    "Checkpoint", "Checkpoints", "RunFolder", "check_empty", "check_plain", "clear", "create", "held", "read_json",
    "report_row", "save_params", "table", "write_json", "write_text",
]  # fmt: skip

"""Run folders: configs, metrics, parameters and results on disk."""

from jaxmeta.runs.folder import RunFolder, create, save_params, write_json, write_text
from jaxmeta.runs.results import report_row, table

__all__ = ["RunFolder", "create", "report_row", "save_params", "table", "write_json", "write_text"]

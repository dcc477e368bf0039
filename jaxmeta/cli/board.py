"""Metrics for TensorBoard."""

from __future__ import annotations

import importlib
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from jaxmeta import runs
from jaxmeta.runs import folder as folders


class Board:
    """The event file of one training. The records are tensorboardX's; its own writer names the file by the host.

    Args:
      folder: is made.
      step: of the first scalars; what a broken run wrote of this step and those after it counts no more.
    """

    def __init__(self, folder: pathlib.Path, step: int):
        from tensorboardX.record_writer import RecordWriter

        self.folder = folder
        self.events, self.summaries = (
            importlib.import_module(f"tensorboardX.proto.{name}_pb2") for name in ("event", "summary")
        )
        for each in (folder.parent, folder):
            runs.check_plain(each)
        with folders.writing(folder, "a folder"):
            folder.mkdir(parents=True, exist_ok=True)
            self.records = RecordWriter(str(folder / f"events.out.tfevents.{time.time_ns()}"))
        self._write(file_version="brain.Event:2")
        self._write(step=step, session_log=self.events.SessionLog(status=self.events.SessionLog.START))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        made = self.summaries.Summary
        shown = [made.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, summary=made(value=shown))

    def _write(self, **content: Any) -> None:
        with folders.writing(self.folder, "an event file"):
            self.records.write(self.events.Event(wall_time=time.time(), **content).SerializeToString())
            self.records.flush()

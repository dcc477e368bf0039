"""SIGTERM and SIGINT: a training saves and leaves, and whatever cannot be brought to an end in time is left anyway."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

from jaxmeta import runs

GRACE = 8.0
"""Seconds that a training has to save."""


class Interrupted(KeyboardInterrupt):
    """A signal has ended a command in good order."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


class Stop:
    """Whether a signal asked this process to end: its number, or 0."""

    def __init__(self, hint: str):
        self.hint = hint
        self.signal: int | None = None
        self.grace = 0.0
        """Seconds from a signal to the end of the process; 0 where there is nothing to save."""

    def __call__(self) -> int:
        return self.signal or 0

    def watch(self, reader: socket.socket) -> None:
        """Waits for a signal, for its grace or a second signal, and ends the process."""
        if not (came := reader.recv(1)):
            return
        self.signal = came[0]
        if self.grace:
            reader.settimeout(self.grace)
            with contextlib.suppress(TimeoutError):
                if not reader.recv(1):
                    return
        # Files are whole at any moment, so that nothing needs the main thread, which may be deep in a compiler.
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\njaxmeta: interrupted; {self.hint}\n".encode())
        os._exit(128 + self.signal)


@contextlib.contextmanager
def watched(hint: str) -> Iterator[Stop]:
    """Lets a thread of its own meet the signals, since Python's handlers wait for the main thread to leave C++.

    Args:
      hint: what the last line says after "interrupted", such as the command that resumes.
    """
    stop = Stop(hint)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    thread = threading.Thread(target=stop.watch, args=(reader,), daemon=True)
    thread.start()
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield stop
    except runs.Stopped as stopped:
        raise Interrupted(f"interrupted {stopped}; {hint}", 128 + stopped.reason) from None
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        writer.close()
        thread.join()
        reader.close()

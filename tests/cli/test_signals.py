import signal
import subprocess
import sys
import time

import pytest

STUCK = """
import time
from jaxmeta.cli import signals
signals.GRACE = {grace}
with signals.watched("to go on: COMMAND") as stop:
    stop.grace = signals.GRACE
    print("ready", flush=True)
    while True:
        time.sleep(1)
"""


@pytest.mark.parametrize(("grace", "signals", "code"), [(1, [signal.SIGTERM], 143), (60, [signal.SIGINT] * 2, 130)])
@pytest.mark.fault(promised="the line that resumes and its exit code, in time")
def test_a_main_thread_that_never_looks_is_left_after_its_grace_or_a_second_signal(grace, signals, code):
    command = [sys.executable, "-c", STUCK.format(grace=grace)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    began = time.monotonic()
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)
    err = process.communicate(timeout=30)[1]
    assert process.returncode == code
    assert 1 <= time.monotonic() - began < 30 or grace == 60
    assert err == "\njaxmeta: interrupted; to go on: COMMAND\n"

"""What is told of a number's making, and what is not."""

import getpass
import os
import platform
import re
import socket
import subprocess
import sys

import jax
import pytest

import jaxmeta
from jaxmeta import provenance


def test_a_record_names_code_and_machine_and_nobody():
    record = provenance.record()
    assert set(record) == {"versions", "device", "processor"}
    assert record["versions"]["jax"] == jax.__version__
    assert record["versions"]["python"] == platform.python_version()
    assert record["device"] == f"{jax.device_count()} x cpu"
    assert record["processor"].endswith(f", {os.cpu_count()} cores")
    words = re.findall(r"[^\s,]+", " ".join([record["device"], record["processor"], *record["versions"].values()]))
    assert not {socket.gethostname(), getpass.getuser(), os.getcwd()} & set(words)


@pytest.mark.parametrize(
    ("content", "model"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC \nmodel\t\t: 17\n\nmodel name\t: other\n", "AMD EPYC"),
        ("model name : A: B\x1b[2J", "A: B\\x1b[2J"),
        ("BogoMIPS : 50.00\n", "an arm"),
        (None, "an arm"),
    ],
)
def test_the_processor_is_what_the_system_tells(content, model, tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(provenance, "_CPU_INFO", path)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "an arm")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    if content is not None:
        path.write_text(content)
    assert provenance.processor() == f"{model}, 7 cores"


def test_the_line_says_what_a_file_has():
    versions = {"jaxmeta": "0.1.0", "python": "3.11.7"}
    assert provenance.line({"device": "2 x cpu", "versions": versions}) == "2 x cpu; jaxmeta 0.1.0, python 3.11.7"
    every = {"device": "2 x cpu", "versions": versions, "processor": "AMD EPYC, 2 cores", "rows": []}
    assert provenance.line(every) == "2 x cpu (AMD EPYC, 2 cores); jaxmeta 0.1.0, python 3.11.7"
    assert provenance.line({"versions": versions}) == "jaxmeta 0.1.0, python 3.11.7"


def test_flags_that_may_change_a_result_are_named_and_no_path(monkeypatch, tmp_path):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert provenance.compiler_flags() == "none"
    fast, dumped = "--xla_cpu_enable_fast_math=true", "--xla_dump_hlo_as_text"
    forced = "--xla_force_host_platform_device_count=2"
    monkeypatch.setenv("XLA_FLAGS", f"{forced} {dumped} --xla_gpu_cuda_data_dir={tmp_path} {fast}")
    assert provenance.compiler_flags() == fast


@pytest.mark.long
def test_a_checkout_on_the_path_needs_no_installation():
    asked = """
import importlib.metadata as metadata

known = metadata.version

def version(name):
    if name == "jaxmeta":
        raise metadata.PackageNotFoundError(name)
    return known(name)

metadata.version = version
import jaxmeta
from jaxmeta import provenance

print(provenance.versions()["jaxmeta"])
"""
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert found.strip() == jaxmeta.__version__

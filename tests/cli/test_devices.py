"""Commands share the tasks of a step over what devices there are."""

import json
import os
import subprocess
import sys

import chex
import faults
import jax
import pytest
from flax import serialization

from jaxmeta import cli, meshes
from jaxmeta.cli import devices

TINY = [
    "train", "maml-regression", "--steps", "5", "--hidden", "4", "--shots", "3", "--train-queries", "3",
    "--queries", "3", "--tasks-per-step", "4", "--inner-steps", "1", "--num-tasks", "8", "--validation-tasks", "4",
]  # fmt: skip
COUNT = "from jaxmeta.cli import devices; devices.all_cores(); import jax; print(jax.device_count())"


def parameters(path):
    return serialization.msgpack_restore((path / "meta_params.msgpack").read_bytes())


def scores(path):
    rows = json.loads((path / "results.json").read_text())["rows"]
    return [row[column]["per_task"] for row in rows for column in ("joint", "single")]


def assert_equal(found, expected):
    chex.assert_trees_all_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({}, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        ({"JAX_NUM_CPU_DEVICES": "3"}, 3),
        ({"XLA_FLAGS": f"--{devices.FORCED}=5"}, 5),
    ],
)
def test_each_core_is_a_device_unless_the_user_says_how_many(given, count):
    ours = {name: value for name, value in os.environ.items() if name not in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")}
    done = subprocess.run([sys.executable, "-c", COUNT], env=ours | given, capture_output=True, text=True, check=True)
    assert done.stdout == f"{count}\n"


def test_the_most_devices_that_divide_the_tasks():
    if jax.device_count() != 2:
        pytest.skip("there are not two devices")
    assert meshes.most(3) is None
    assert meshes.most(6).size == 2


@pytest.mark.long
def test_one_device_makes_what_two_make_and_a_resume_names_another_number(tmp_path, monkeypatch, capsys):
    if jax.device_count() != 2:
        pytest.skip("there are not two devices")
    assert cli.main([*TINY, "--out", str(tmp_path / "two")]) == 0
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    one = [sys.executable, "-m", "jaxmeta.cli", *TINY, "--out", str(tmp_path / "one")]
    subprocess.run(one, capture_output=True, check=True)
    for name, count in (("one", 1), ("two", 2)):
        assert json.loads((tmp_path / name / "results.json").read_text())["device"] == f"{count} x cpu"
    assert_equal(parameters(tmp_path / "two"), parameters(tmp_path / "one"))
    assert_equal(scores(tmp_path / "two"), scores(tmp_path / "one"))
    process = faults.start(["train", "--resume", str(tmp_path / "two")])
    assert "device 2 x cpu, now 1 x cpu: the bits may not be" in process.communicate()[1]
    assert process.returncode == 0


@pytest.mark.fault(promised="one line and its exit code")
def test_a_number_of_devices_that_is_none(tmp_path):
    (tmp_path / "jaxmeta").write_text("from jaxmeta.cli import entry\nentry()\n")  # as the console script does
    for started in ([str(tmp_path / "jaxmeta")], ["-m", "jaxmeta.cli"], ["-c", "import jaxmeta"]):
        command = [sys.executable, *started, "domains"]
        ours = os.environ | {"JAX_NUM_CPU_DEVICES": "nonsense"}
        done = subprocess.run(command, env=ours, capture_output=True, text=True, check=False)
        said = done.stderr.splitlines()
        assert 'Invalid value "nonsense" for JAX flag jax_num_cpu_devices' in said[-1]
        assert (done.returncode, len(said) == 1) == ((1, False) if "-c" in started else (2, True))

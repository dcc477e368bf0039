"""What a training finds depends on nothing that is around it, and JAX's 64-bit mode works to the table."""

import functools
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import serialization

TINY = [
    "train", "maml-regression", "--steps", "20", "--hidden", "4", "--shots", "3", "--train-queries", "3",
    "--queries", "3", "--tasks-per-step", "2", "--inner-steps", "1", "--inner-steps-test", "1", "--num-tasks", "2",
    "--validation-tasks", "2",
]  # fmt: skip
AROUND = {
    "plain": {"PYTHONHASHSEED": "0"},
    "other hashes, locale and working directory": {"PYTHONHASHSEED": "12345", "LC_ALL": "C"},
    "two host devices": {"PYTHONHASHSEED": "0", "JAX_NUM_CPU_DEVICES": "2"},
    "64 bits": {"PYTHONHASHSEED": "0", "JAX_ENABLE_X64": "1"},
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """(surroundings) -> (meta_params, lines of metrics, scores) of a process of its own, which runs once."""
    plain = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_ENABLE_X64": "0", "LC_ALL": "C.UTF-8"}

    @functools.cache
    def trained(name):
        folder = tmp_path_factory.mktemp("around")
        away = folder if "directory" in name else None
        command = [sys.executable, "-m", "jaxmeta.cli", *TINY, "--out", "run" if away else str(folder / "run")]
        done = subprocess.run(command, cwd=away, env=plain | AROUND[name], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        run = folder / "run"
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        numbers = [{key: value for key, value in line.items() if key not in ("split", "seconds")} for line in lines]
        rows = json.loads((run / "results.json").read_text())["rows"]
        scores = {row["method"]: (row["joint"]["per_task"], row["single"]["per_task"]) for row in rows}
        return serialization.msgpack_restore((run / "meta_params.msgpack").read_bytes()), numbers, scores

    return trained


@pytest.mark.long
def test_hashes_locale_and_working_directory_change_no_bit(found):
    first, second = (found(name) for name in list(AROUND)[:2])
    np.testing.assert_equal(second, first)


@pytest.mark.long
def test_the_number_of_host_devices_changes_nothing(found):
    compare = lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6)  # noqa: E731
    jax.tree.map(compare, found("plain"), found("two host devices"))


@pytest.mark.long
def test_64_bits_from_the_data_to_the_table(found):
    meta_params, lines, scores = found("64 bits")
    assert {leaf.dtype for leaf in jax.tree.leaves(meta_params)} == {np.dtype(np.float64)}
    assert scores.keys() == found("plain")[2].keys()
    assert np.isfinite([line["loss"] for line in lines]).all()
    assert np.isfinite(list(scores.values())).all()

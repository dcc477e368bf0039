"""What a command compiles is there for the next one."""

import os
import subprocess
import sys

import jax
import pytest

from jaxmeta import cli

TINY = [
    "train", "maml-regression", "--steps", "3", "--hidden", "4", "--shots", "2", "--train-queries", "2", "--queries",
    "2", "--tasks-per-step", "2", "--inner-steps", "1", "--num-tasks", "2", "--validation-tasks", "2", "--out",
]  # fmt: skip


@pytest.mark.long
def test_a_second_command_finds_the_programs_of_the_first_and_makes_the_same_bits(tmp_path):
    environment = os.environ | {
        "JAXMETA_CACHE": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    programs, found = [], []
    for name in ("first", "second"):
        command = [sys.executable, "-m", "jaxmeta.cli", *TINY, str(tmp_path / name)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert "arning" not in done.stderr
        programs.append({path.name for path in (tmp_path / "cache").glob("programs-*/*-cache")})
        found.append((tmp_path / name / "meta_params.msgpack").read_bytes())
    assert programs[0] == programs[1] != set()
    assert found[0] == found[1]


@pytest.mark.parametrize("given", ["theirs", "", None])
def test_where_programs_are_kept(given, tmp_path, monkeypatch):
    before = jax.config.jax_compilation_cache_dir
    (tmp_path / "file").touch()
    for cache, kept in (
        (tmp_path / "file", before),
        (tmp_path, before if given is not None else str(tmp_path / f"programs-{cli._processor()}")),
    ):
        monkeypatch.setenv("JAXMETA_CACHE", str(cache))
        if given is None:
            monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        else:
            monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", given)
        try:
            cli.keep_programs()
            assert jax.config.jax_compilation_cache_dir == kept
        finally:
            jax.config.update("jax_compilation_cache_dir", before)

import contextlib
import gc
import os
import pathlib
import resource
import subprocess
import sys

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The second device is for what is shared out over a mesh; nothing else sees it.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
os.environ.setdefault("NPROC", "3")  # jaxmeta.threads says why
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", "")  # commands that tests start leave the user's cache alone
# Programs run once or a few times here: tracing and compiling them is what the suite costs, in memory that is kept.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
gc.set_threshold(100_000, 20, 50)


# A test that takes one of these shows a fault; any other is marked `fault(promised=...)` where it stands.
PROMISES = {
    "refused": "one line that names the file, what was expected and what came",
    "full_disk": "one line; what exists stays valid",
    "mount": "one line; what exists stays valid, and resumes",
}


def pytest_addoption(parser):
    parser.addoption("--faults-table", metavar="PATH", help="write what the tests marked `fault` tried, as Markdown")


# XLA's older way of writing out fusions takes about a third of the time to compile; some versions lack it.
QUICKLY_COMPILED = ("--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1")


def _compile_quickly():
    """Adds to XLA_FLAGS those that this XLA knows, since one that it does not know ends a process."""
    given = os.environ.get("XLA_FLAGS", "")
    for flag in QUICKLY_COMPILED:
        tried = {**os.environ, "XLA_FLAGS": flag}
        probe = [sys.executable, "-c", "from jaxlib import xla_client; xla_client.CompileOptions()"]
        if flag.partition("=")[0] not in given and not subprocess.run(probe, env=tried, capture_output=True).returncode:
            given = f"{given} {flag}".strip()
    os.environ["XLA_FLAGS"] = given


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # workers inherit what is set here, before jax is imported
        _compile_quickly()
    config.addinivalue_line("markers", "fault(promised): a fault or bad input, a row of the table of faults")
    config.addinivalue_line("markers", "long: what `python -m pytest` leaves to `python -m pytest -m long`")
    config.addinivalue_line(
        "markers", "product(NAME=VALUES): a product of parameters; other values than these are long"
    )
    if config.getoption("--faults-table") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(FaultsTable(config.getoption("--faults-table")))


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    for item in items:
        if mark := item.get_closest_marker("product"):
            given = item.callspec.params
            if any(given[name] not in kept for name, kept in mark.kwargs.items()):
                item.add_marker(pytest.mark.long)
        for name in PROMISES.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.fault(promised=PROMISES[name]))
        if mark := item.get_closest_marker("fault"):
            # By way of the report, which comes back from the workers.
            item.user_properties.append(("fault", (*_tried(item), mark.kwargs["promised"])))


def _tried(item):
    """A test's name, and what it was given as far as that can be read."""
    tried = item.originalname.removeprefix("test_").replace("_", " ")
    if not hasattr(item, "callspec"):
        return tried, ""
    given = " ".join(", ".join(map(repr, item.callspec.params.values())).split())
    given = item.callspec.id if "object at 0x" in given or "<function" in given else given
    return tried, given[:120]


class FaultsTable:
    """Every fault and bad input that was tried, by the file of its test."""

    def __init__(self, path):
        self.path, self.rows = pathlib.Path(path), {}

    def pytest_runtest_logreport(self, report):
        told = dict(report.user_properties).get("fault")
        if told and (report.when == "call" or not report.passed):
            seen = "not tried here" if report.skipped else "as promised" if report.passed else "OTHERWISE"
            self.rows[report.nodeid] = (report.location[0].removeprefix("tests/"), *told, seen)

    def pytest_sessionfinish(self):
        from jaxmeta import provenance, tables

        rows = sorted(self.rows.values())
        count = lambda rows, seen: sum(row[-1] == seen for row in rows)  # noqa: E731
        lines = [f"{len(rows)} faults and bad inputs: {count(rows, 'as promised')} ended as promised, "
                 f"{count(rows, 'OTHERWISE')} otherwise, {count(rows, 'not tried here')} were not tried here.", "",
                 "Command: `python -m pytest -m fault --faults-table tests/faults_table.md`"]  # fmt: skip
        for area in dict.fromkeys(row[0] for row in rows):
            own = [row[1:] for row in rows if row[0] == area]
            cells = [(tried, tables.Code(given), *ended) for tried, given, *ended in own]
            lines += ["", f"## {area}: {count(own, 'as promised')} of {len(own)}", ""]
            lines += [tables.markdown(["tried", "given", "promised", "seen"], cells)]
        made = provenance.line({"versions": provenance.versions()})
        self.path.write_text("\n".join([*lines, "", f"{made}.", ""]))


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """Real data sets, read in place."""
    path = pathlib.Path(os.environ.get("JAXMETA_TEST_DATA", pathlib.Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no data sets at {path.name}; JAXMETA_TEST_DATA names their folder")
    return path


@pytest.fixture
def refused():
    """Expects a DataError of one line that says what was expected, what came, and all of `words`."""
    from jaxmeta import checks

    @contextlib.contextmanager
    def expect(*words):
        with pytest.raises(checks.DataError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        for word in ("expected", "got", *words):
            assert str(word) in message

    return expect


@pytest.fixture
def full_disk():
    """No file grows beyond `size` bytes while it is open: what a full disk is to a writer."""

    @contextlib.contextmanager
    def limited(size=4096):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def mount():
    """mount(*arguments, folder) as on the command line, until the test ends; skips where the machine forbids it."""
    mounted = []

    def mount(*arguments):
        try:
            subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"nothing can be mounted here: {getattr(error, 'stderr', None) or error}")
        mounted.append(arguments[-1])

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)

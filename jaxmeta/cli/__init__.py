"""The command `jaxmeta`: parses arguments, calls the library, ends with the exit codes that scripts rely on."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import io
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxmeta import checks

COMMANDS = ("train", "transfer", "evaluate", "adapt", "report", "domains", "audit")
USAGE = f"usage: jaxmeta {{{','.join(COMMANDS)}}} ...; jaxmeta COMMAND --help says more"


class UsageError(ValueError):
    """The arguments do not parse."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
      0 done, 1 data or run error, 2 usage, 3 diverged, 130 interrupted, 143 terminated.

    Raises:
      BrokenPipeError: if whoever reads the output has gone.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if importlib.util.find_spec("tyro") is None or importlib.util.find_spec("tqdm") is None:
        print("jaxmeta: the command needs the extra `cli`: pip install 'jaxmeta[cli,data]'", file=sys.stderr)
        return 2
    try:
        return _run(arguments)
    except KeyboardInterrupt as stop:
        return _say(str(stop) or "interrupted", getattr(stop, "code", 130))
    except BrokenPipeError:
        raise
    except (checks.DataError, OSError, ImportError) as error:
        return _say(error, 1)
    except (MemoryError, RuntimeError) as error:  # jax's own for what the machine has not got is a RuntimeError
        hint = "; a smaller --tasks-per-chunk asks for less at once" if "RESOURCE_EXHAUSTED" in str(error) else ""
        return _say((str(error) or "more memory is needed than there is") + hint, 1)
    except ArithmeticError as error:
        return _say(error, 3)
    except (ValueError, TypeError) as error:
        return _say(error, 2)


def _say(error: object, code: int) -> int:
    if os.environ.get("JAXMETA_DEBUG") == "1":
        raise
    # The library names fields, in backticks; here they are flags.
    flags = re.sub(r"`(\w+)`", lambda field: f"--{field[1].replace('_', '-')}", " ".join(str(error).split()))
    print(f"jaxmeta: {checks.line(flags)}", file=sys.stderr)
    return code


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"Learns how to adapt: few-shot, cross-domain meta-learning.\n{USAGE}")
        return 0 if arguments else 2
    options, run = parsed(arguments)
    from jaxmeta.cli import devices, watching
    from jaxmeta.datasets import files

    with devices.joined(getattr(options, "distributed", False)), files.watched(watching.reading, watching.heard()):
        return run(options)


def parsed(arguments: Sequence[str]) -> tuple[Any, Callable[[Any], int]]:
    """What a command's words ask for, and the function that does it.

    Raises:
      ValueError: if they do not parse.
    """
    command, rest = arguments[0], list(arguments[1:])
    checks.choice("command", command, COMMANDS)
    from jaxmeta.cli import config

    if command == "train" and any(word.split("=")[0] == "--resume" for word in rest):
        return _parse(config.Resume, rest, "jaxmeta train"), _command("train", "resume")
    if command in ("train", "transfer"):
        preset, options = _preset(command, rest)
        run = _command(command, "begin" if command == "train" else "run")
        return options, functools.partial(run, preset=preset)
    return _parse(getattr(config, command.capitalize()), rest, f"jaxmeta {command}"), _command(command, "run")


def _command(name: str, function: str) -> Callable[..., int]:
    return getattr(importlib.import_module(f"jaxmeta.cli.{name}"), function)


def _preset(command: str, rest: list[str]) -> tuple[str, Any]:
    """The preset that is named first, and what the other arguments change of it."""
    from jaxmeta import recipes, transfer
    from jaxmeta.cli import config

    preset = rest.pop(0) if rest and not rest[0].startswith("-") else "PRESET" if command == "train" else "quick"
    presets: Mapping[str, Any] = recipes.PRESETS if command == "train" else transfer.PLANS
    kind: Any
    kind, field = (config.Train, "recipe") if command == "train" else (config.Transfer, "plan")
    more = "--resume RUN goes on with a broken run." if command == "train" else "quick if none is named."
    if command == "transfer":
        checks.choice("preset", preset, presets)
    default = kind(**{field: presets[preset]}) if preset in presets else kind()
    about = f"{kind.__doc__} Presets: {', '.join(presets)}. {more}"
    given = {word.split("=")[0] for word in rest}
    parsed = _parse(kind, rest, f"jaxmeta {command} {preset}", about, default)
    checks.choice("preset", preset, presets)
    if "--runs" in given and not given & {"--sources", "--learners"}:  # they stand alone, and train nothing
        plan = dataclasses.replace(parsed.plan, sources=(), learners=())
        parsed = dataclasses.replace(parsed, plan=plan)
    return preset, parsed


def _parse(kind: Any, arguments: list[str], program: str, description: str = "", default: Any = None) -> Any:
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = {} if default is None else {"default": default}
            config = (tyro.conf.OmitArgPrefixes,)
            description = description or kind.__doc__
            return tyro.cli(kind, args=arguments, prog=program, description=description, config=config, **options)
    except SystemExit as stop:
        if not stop.code:
            sys.exit(0)
        # The parser draws a box of several lines, whose title says it a first time; a script wants one.
        plain = re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue())
        plain = re.sub(r"╭─.*─╮|[─-╿]", " ", plain)
        raise UsageError(" ".join(plain.split()) or f"{program}: wrong arguments") from None


def _processor() -> str:
    """Tells kinds of processors apart: a program compiled for one, in a home that machines share, may crash another."""
    try:
        with open("/proc/cpuinfo") as lines:
            kind = "".join(sorted({line for line in lines if line.startswith(("flags", "Features"))}))
    except OSError:
        kind = platform.processor()
    return hashlib.sha256(f"{platform.machine()} {kind}".encode()).hexdigest()[:8]


def keep_programs() -> None:
    """Lets a command find what an earlier one compiled; JAX_COMPILATION_CACHE_DIR says where else, or "" that not."""
    import jax

    from jaxmeta.datasets import cache

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    path = cache.folder() / f"programs-{_processor()}"
    with contextlib.suppress(OSError):  # a cache that cannot be written is no error
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            jax.config.update("jax_compilation_cache_dir", str(path))


def entry() -> None:
    """The console script; where whoever reads the output has gone, as in `jaxmeta domains | head`, it ends silently."""
    from jaxmeta.cli import devices

    devices.all_cores()
    keep_programs()
    try:
        try:
            code = main()
        finally:
            print(end="", flush=True)  # within reach of the handler, which the flush at exit is not
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        code = 141  # 128 + SIGPIPE: what a shell reports of any program that ends so
    devices.part(code)
    sys.exit(code)

"""`jaxmeta train --resume RUN`."""

from __future__ import annotations

import dataclasses

from jaxmeta import checks
from jaxmeta.cli import evaluate, presets, session, sources, train
from jaxmeta.cli.config import Resume
from jaxmeta.runs import RunFolder, processes


def run(options: Resume) -> int:
    with processes.alike():
        run = RunFolder(options.resume)
        if run.preset not in presets.TRAININGS:
            path = f"{options.resume}/config.json"
            checks.fail(path, "a preset that is known", repr(run.preset), error=checks.DataError)
        config = evaluate.load(options.resume)[1]
        domain = options.domain or config.domain
        if sources.name(domain) != config.domain:
            checks.fail("--domain", f"the {config.domain!r} that the run began with", repr(sources.name(domain)))
        if options.domain is None and not sources.is_builtin(domain):
            # A run folder may be a stranger's, and the file of that name anybody's.
            checks.fail("--domain", f"the path of {domain!r}, which the run began with", "none")
        given = {"data_dir": options.data_dir, "out": options.resume, "distributed": options.distributed}
        config = dataclasses.replace(config, domain=domain, **given)
    return train.run(config, run.preset, session.go_on)

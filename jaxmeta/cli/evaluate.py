"""`jaxmeta evaluate RUN`."""

from __future__ import annotations

import contextlib
import pathlib

from jaxmeta import checks, runs
from jaxmeta.cli import config, pictures, watching
from jaxmeta.runs import folder as folders
from jaxmeta.runs import processes, results
from jaxmeta.runs.run import check_domain, read


def run(options: config.Evaluate) -> int:
    if options.pictures:
        pictures.check()
    evaluation = pathlib.Path(options.run, "evaluation")
    with contextlib.ExitStack() as held:
        with processes.alike():
            check_domain(read(runs.RunFolder(options.run)), options.domain)
            run = runs.open(options.run, data_dir=options.data_dir, encoder=options.encoder)
            if options.out is None:
                runs.check_plain(evaluation)
            out = options.out or evaluation
            # Of this run, of another or of a transfer: no --force means that.
            if pathlib.Path(out, folders.CONFIG).exists():
                hint = "its results.json is of its training; choose another --out"
                checks.fail("`out`", "a folder that holds no run", out, hint)
            if not options.force:
                runs.check_empty(out, config.FREE)  # before any data are loaded
            test = run.test(
                options.domain, num_tasks=options.num_tasks, ways=options.ways, shots=options.shots,
                queries=options.queries, seed=options.seed, target_column=options.target_column,
                text_column=options.text_column,
                columns=options.columns, test_classes=config.classes(options.test_classes),
                min_examples=options.min_examples, query_domain=options.query_domain, polarity=options.polarity or "",
            )  # fmt: skip
            watching.told(test.read)
            folder = held.enter_context(runs.create(out, force=options.force, hint=config.FREE))
        rows = run.rows(
            test, inner_steps=options.inner_steps, norm=options.norm, tasks_per_chunk=options.tasks_per_chunk
        )
        print(run.table(rows))
        if options.pictures:
            pictures.draw(folder, run, test)
        content = results.document(rows, seed=options.seed, checksums=test.checksums, read=test.read)
        print(f"results: {runs.write_json(folder / 'results.json', content)}")
    return 0

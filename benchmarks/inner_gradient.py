"""What `inner.mixed_mode` and `inner.checkpointed_scan` save of MAML's memory and time, beside plain nesting.

Command:   python benchmarks/inner_gradient.py
Measured:  results/inner_gradient.json and results/inner_gradient.md; machine and versions are in them.

One outer gradient of exact MAML, 5-way 1-shot with 15 queries a class, Conv-4 with 64 filters (stride 2, norm "batch",
28x28), 4 tasks one after the other. Memory is what the compiled program asks for beside its arguments and results. Time
is taken in turns, so that a drift of the machine's speed meets all forms; the ratio to nested is taken turn by turn.
"""

import json
import pathlib
import platform
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import optax

import jaxmeta
from jaxmeta import criteria, inner, maml, meta_trainer, models, tasks

RESULTS = pathlib.Path(__file__).parent / "results"
NUM_TASKS, TURNS, MEMORY_STEPS, TIME_STEPS = 4, 15, (1, 5, 50), (1, 5)
FORMS = {
    "nested": {"gradient": inner.nested},
    "mixed mode": {"gradient": inner.mixed_mode},
    "mixed mode, checkpointed": {"gradient": inner.mixed_mode, "scan": inner.checkpointed_scan},
}


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    sample = tasks.strokes(num_ways=5, num_shots=1, num_queries=15)
    episodes = jax.jit(lambda: tasks.episodes(sample, jax.random.key(0), jnp.arange(NUM_TASKS)))()
    model, key, rows = models.conv4((28, 28, 1), 5), jax.random.key(1), []
    for num_steps in MEMORY_STEPS:
        programs = {}
        for form, options in FORMS.items():
            learner = maml(model, criteria.cross_entropy, optax.sgd(0.4), num_steps=num_steps, **options)
            trainer = meta_trainer(learner, optax.adam(1e-3), tasks_per_chunk=1)
            state = trainer.init(key)
            program = jax.jit(trainer.update).lower(state, episodes, key).compile()
            megabytes = program.memory_analysis().temp_size_in_bytes / 1e6
            rows.append({"form": form, "num_steps": num_steps, "temporary_megabytes": round(megabytes, 1)})
            programs[form] = lambda program=program, state=state: jax.block_until_ready(program(state, episodes, key))
            print(rows[-1], file=sys.stderr, flush=True)
        if num_steps not in TIME_STEPS:
            continue
        seconds = {form: [] for form in FORMS}
        for turn in range(TURNS + 1):
            for form, program in programs.items():
                start = time.perf_counter()
                program()
                if turn:
                    seconds[form].append(time.perf_counter() - start)
        for row in rows[-len(FORMS) :]:
            own, nested = seconds[row["form"]], seconds["nested"]
            row["seconds"] = round(statistics.median(own), 4)
            ratios = [a / b for a, b in zip(own, nested, strict=True)]
            row["relative_to_nested"] = [round(f(ratios), 2) for f in (statistics.median, min, max)]
            print(row, file=sys.stderr, flush=True)
    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    versions = {"jaxmeta": jaxmeta.__version__, "jax": jax.__version__, "python": platform.python_version()}
    content = {"device": device, "versions": versions, "rows": rows}
    (RESULTS / "inner_gradient.json").write_text(json.dumps(content, indent=1) + "\n")
    lines = ["| inner steps | form | temporary memory, MB | a step, s | relative to nested |", "|---|---|---|---|---|"]
    for row in rows:
        median, low, high = row.get("relative_to_nested", ["-"] * 3)
        ratio = f"{median} [{low}, {high}]" if "seconds" in row else "not measured"
        cells = row["num_steps"], row["form"], row["temporary_megabytes"], row.get("seconds", "-"), ratio
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", f"{device}; " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".", ""]
    (RESULTS / "inner_gradient.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()

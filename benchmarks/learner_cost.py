"""What a meta-training step of each learner costs, relative to MAML's.

Command:   python benchmarks/learner_cost.py
Measured:  results/learner_cost.json and results/learner_cost.md; machine and versions are in them.

One outer update of the same 16 tasks, 5-way 1-shot with 5 queries a class, Conv-4 with 64 filters and norm "batch";
gradient-based learners take 5 inner steps. Learners take turns, so that a drift of the machine's speed meets all of
them; the ratio to MAML is taken turn by turn, and its median, minimum and maximum are told. Compilation is apart.
"""

import json
import pathlib
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import optax

import jaxmeta
from jaxmeta import meta_trainer, tasks
from jaxmeta.cli import build
from jaxmeta.cli.config import Train

RESULTS = pathlib.Path(__file__).parent / "results"
NUM_TASKS, TURNS = 16, 7
LEARNERS = (
    "maml", "fomaml", "reptile", "meta_sgd", "anil", "boil", "maml_plus_plus", "imaml", "cavia", "learned_optimizer",
    "proto_maml", "protonet", "matching_net", "relation_net", "r2d2",
)  # fmt: skip


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    sample = tasks.strokes(num_ways=5, num_shots=1, num_queries=5)
    episodes = jax.jit(lambda: tasks.episodes(sample, jax.random.key(0), jnp.arange(NUM_TASKS)))()
    programs, compiled = {}, {}
    for name in LEARNERS:
        config = Train(learner=name, domain="strokes", inner_steps=5, inner_learning_rate=0.1)
        trainer = meta_trainer(build.training_learner(config, build.shape(config, sample)), optax.adam(1e-3))
        state, key = trainer.init(jax.random.key(1)), jax.random.key(2)
        start = time.perf_counter()
        program = jax.jit(trainer.update).lower(state, episodes, key).compile()
        compiled[name] = round(time.perf_counter() - start, 1)
        programs[name] = lambda program=program, given=(state, episodes, key): jax.block_until_ready(program(*given))
        programs[name]()
        print(f"{name}: compiled in {compiled[name]} s", flush=True)
    seconds = {name: [] for name in LEARNERS}
    for _ in range(TURNS):
        for name, program in programs.items():
            start = time.perf_counter()
            program()
            seconds[name].append(time.perf_counter() - start)
    rows = {}
    for name in LEARNERS:
        ratios = [own / maml for own, maml in zip(seconds[name], seconds["maml"], strict=True)]
        rows[name] = {
            "seconds": round(statistics.median(seconds[name]), 4), "compile_seconds": compiled[name],
            "relative_to_maml": [round(f(ratios), 2) for f in (statistics.median, min, max)],
        }  # fmt: skip
    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    versions = {"jaxmeta": jaxmeta.__version__, "jax": jax.__version__, "python": platform.python_version()}
    (RESULTS / "learner_cost.json").write_text(
        json.dumps({"device": device, "versions": versions, "rows": rows}, indent=1) + "\n"
    )
    lines = ["| learner | a step, s | relative to MAML | compilation, s |", "|---|---|---|---|"]
    for name, row in rows.items():
        median, low, high = row["relative_to_maml"]
        lines.append(f"| {name} | {row['seconds']:.3f} | {median} [{low}, {high}] | {row['compile_seconds']} |")
    lines += ["", f"{device}; " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".", ""]
    (RESULTS / "learner_cost.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()

"""What a meta-training step of each learner costs, relative to MAML's.

Claim:     the cost column of the README's table of learners.
Command:   python benchmarks/run.py learner_cost

One outer update of the same 16 tasks, 5-way 1-shot with 5 queries a class, Conv-4 with 64 filters and norm "batch";
gradient-based learners take 5 inner steps. Learners take turns, so that a drift of the machine's speed meets all of
them; the ratio to MAML is taken turn by turn, and its median, minimum and maximum are told. Compilation is apart.
"""

import statistics
import sys
import time

import jax
import jax.numpy as jnp
import optax
import turns

from jaxmeta import meta_trainer, recipes, tables, tasks

NUM_TASKS, TURNS = 16, 7
LEARNERS = (
    "maml", "fomaml", "reptile", "meta_sgd", "anil", "boil", "maml_plus_plus", "imaml", "cavia", "learned_optimizer",
    "proto_maml", "protonet", "matching_net", "relation_net", "cross_transformer", "r2d2",
)  # fmt: skip
SIZES = {}
if turns.IS_SMALL:
    NUM_TASKS, LEARNERS, SIZES = 2, LEARNERS[:2], {"num_filters": 2}


def main() -> dict:
    sample = tasks.strokes(num_ways=5, num_shots=1, num_queries=5)
    episodes = tasks.drawn(sample, jax.random.key(0), jnp.arange(NUM_TASKS))
    programs, compiled = {}, {}
    for name in LEARNERS:
        if turns.is_over():
            print(f"{name}: not measured, the time was over", file=sys.stderr)
            continue
        recipe = recipes.Recipe().replace(learner=name, domain="strokes", inner_steps=5, inner_learning_rate=0.1)
        recipe = recipe.replace(**SIZES)
        learner = recipes.training_learner(recipe, recipes.shape(recipe, sample))
        trainer = meta_trainer(learner, optax.adam(1e-3))
        state, key = trainer.init(jax.random.key(1)), jax.random.key(2)
        start = time.perf_counter()
        program = jax.jit(trainer.update).lower(state, episodes, key).compile()
        compiled[name] = round(time.perf_counter() - start, 1)
        programs[name] = lambda program=program, given=(state, episodes, key): jax.block_until_ready(program(*given))
        print(f"{name}: compiled in {compiled[name]} s", file=sys.stderr, flush=True)
    seconds, rows = turns.in_turns(programs, TURNS), {}
    for name in programs:
        ratios = [own / maml for own, maml in zip(seconds[name], seconds["maml"], strict=True)]
        rows[name] = {
            "seconds": round(statistics.median(seconds[name]), 4), "compile_seconds": compiled[name],
            "relative_to_maml": turns.spread(ratios),
        }  # fmt: skip
    return {"rows": rows}


def table(column: dict) -> str:
    header = ("learner", "a step, s", "relative to MAML", "compilation, s")
    cells = [
        (name, f"{row['seconds']:.3g}", turns.shown(row["relative_to_maml"]), row.get("compile_seconds", "-"))
        for name, row in column["rows"].items()
    ]
    return tables.markdown(header, cells)

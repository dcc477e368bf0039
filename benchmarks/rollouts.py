"""Environment steps a second: rollouts alone, and whole meta-training steps of MAML.

Claim:     environments in pure JAX, with all trajectories of all tasks in lockstep in one program, are not what
           training waits for.
Command:   python benchmarks/run.py rollouts

20 tasks of 20 trajectories to adapt and 20 to judge by, a policy of 64-64 units. A rollout is of the 400 trajectories
of all tasks; a meta-step is an update of exact MAML with one inner step, which has two rollouts, and counts the steps
of both. Environments take turns. Each program is compiled once, which the count of traces says.
"""

import statistics
import sys

import jax
import jax.numpy as jnp
import optax
import turns

from jaxmeta import control, criteria, maml, meta_trainer, models, tables, tasks

NUM_TASKS, TRAJECTORIES, TURNS = 20, 20, 7
ENVIRONMENTS = {
    "navigation": control.navigation,
    "arm": control.arm,
    "pendulum": control.pendulum,
    "cartpole": control.cartpole,
    "grid": control.grid,
}


def main() -> dict:
    programs, steps, traces = {}, {}, {}
    for name, make in ENVIRONMENTS.items():
        sample = make(num_shots=TRAJECTORIES, num_queries=TRAJECTORIES)
        episodes = jax.jit(lambda sample=sample: tasks.episodes(sample, jax.random.key(0), jnp.arange(NUM_TASKS)))()
        rules = episodes.support.rules
        make_policy = models.gaussian_policy if rules.space == "continuous" else models.categorical_policy
        policy = make_policy(rules.num_observations, rules.num_actions)
        outer = criteria.policy_gradient(scale=criteria.normalised)
        learner = maml(policy, criteria.policy_gradient(), optax.sgd(0.1), num_steps=1, outer_criterion=outer)
        trainer = meta_trainer(learner, optax.adam(3e-3))
        state, keys = trainer.init(jax.random.key(1)), jax.random.split(jax.random.key(2), NUM_TASKS)
        count = NUM_TASKS * TRAJECTORIES * rules.horizon

        def rolled(params, episodes, keys, policy=policy, name=name):
            traces[name, "rollout"] = traces.get((name, "rollout"), 0) + 1
            predictor = lambda inputs, mask=None: policy.apply(params, inputs, mask)  # noqa: E731
            return jax.vmap(lambda env, key: control.rollout(predictor, env, key))(episodes.support, keys)

        def updated(state, episodes, key, trainer=trainer, name=name):
            traces[name, "meta-step"] = traces.get((name, "meta-step"), 0) + 1
            return trainer.update(state, episodes, key)

        for kind, function, given, taken in (
            ("rollout", rolled, (state.meta_params, episodes, keys), count),
            ("meta-step", updated, (state, episodes, keys[0]), 2 * count),
        ):
            compiled = jax.jit(function)
            jax.block_until_ready(compiled(*given))
            steps[name, kind] = taken
            programs[name, kind] = lambda compiled=compiled, given=given: jax.block_until_ready(compiled(*given))
        print(f"{name}: compiled", file=sys.stderr, flush=True)
    seconds, rows = turns.in_turns(programs, TURNS), {}
    for name, kind in programs:
        own = statistics.median(seconds[name, kind])
        rows.setdefault(name, {})[kind] = {
            "seconds": round(own, 4), "steps_a_second": turns.spread([steps[name, kind] / each for each in
                                                                       seconds[name, kind]], 0),
            "traces": traces[name, kind],
        }  # fmt: skip
    return {"rows": rows}


def table(column: dict) -> str:
    header = ("environment", "rollouts, steps a second", "meta-steps, steps a second", "a meta-step, s")
    cells = [
        (
            name,
            *(f"{row[kind]['steps_a_second'][0]:,.0f}" for kind in ("rollout", "meta-step")),
            f"{row['meta-step']['seconds']:.3f}",
        )
        for name, row in column["rows"].items()
    ]
    return tables.markdown(header, cells)

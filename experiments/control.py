"""Control: new goals, new bodies and new physics from a few rollouts.

Paper:     Finn et al., Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks, 2017, section 5.3 and Figure
           4: 2D navigation, one to three policy gradient steps of 20 trajectories: MAML from about -40 before (another
           unit) to less than -5 after one; a policy pre-trained on all goals adapts slowly. The arm, cart-pole,
           pendulum and grid are this experiment's own.
Command:   python experiments/control.py navigation   (likewise arm, cartpole, pendulum, grid;
           --draw for pictures)
Hardware:  2 cores of an AMD EPYC, no accelerator, shared with other work: `seconds` are no measure of speed.
Time:      see `seconds` in results/control.json; below 5 minutes a seed on 2 idle cores.
Expected:  navigation, 40 held-out goals: MAML at least -2.5 after one step and -1.5 after three, at least 6 ahead of
           the policy trained on all goals and adapted at its best rate; ANIL at least -3. Arm: trained on one body, at
           least 10 ahead of that baseline after one step on the same body and the cross-coupled one.
Measured:  results/control.json and results/control.md. Navigation and the arm meet it: MAML -1.3 after one step and
           -0.5 after three, 10.3 ahead there, 10.9 on the arm's own body and 12.3 on the cross-coupled one. On
           cart-pole one policy for all tasks stands without adaptation, since the cart's own motion tells how its
           motor turns; on the pendulum it is a tie after one step, in the grid MAML leads.

A step is taken on a rollout of 20 trajectories, and judged on 20 others; 20 tasks an update, Adam. Rates are chosen on
20 validation tasks, by whole trainings of all seeds, on navigation by the mean return after one step and after three;
that of the baseline, whose training has none, on 60 validation tasks of each domain that it is tested in, for each seed
anew, after one step; on 20 of them the ones chosen for navigation were so poor that MAML led by 30. The checkpoint is
the best of the validations. What the rows do not tell: the trust region took a rate of 0.1 and 100 updates, and all
domains but navigation chose rates in trainings of seed 0 that were cut short after 50 updates, and validated every 50.
On navigation that was tried, too: with rates chosen so, after one step alone, MAML's policies of some seeds fell apart
at three steps, DiCE's before one, and Reptile's of one seed at any rate. The arm was tried before with 150 updates and
300 on other test goals, 9.0 ahead on its own body; longer trainings with a rate that falls, later rewards discounted by
0.9 in the inner steps, and 60 validation goals were chosen on those, and what is told was measured on goals that were
drawn after that. The body "crossed" was made a half of "swapped" after the latter's first scores had been seen.
Cart-pole and pendulum were tried with 100 updates first (MAML 6.1 and 0.9 ahead after one step), then with 400 on new
test tasks. PPO makes five outer steps of a tenth of the others' size on the same trajectories; of the full size they
tore the policy apart (-1,400 to -5,400 after one step).
"""

import functools
import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pages

import jaxmeta
from jaxmeta import control, criteria, models, provenance, report, statistics, tables, tasks, training
from jaxmeta.types import MetaLearner, adapted_predictor

SHOTS, TASKS, HELD_OUT, VALIDATION, EVERY, STEPS, SEEDS = 20, 20, 40, 20, 25, 3, 3
OUTER = criteria.policy_gradient(scale=criteria.normalised)
NUM_CONTEXT = 8
BASELINE = "all tasks, then adapted"
BASELINE_RATES, BASELINE_VALIDATION = (0.0, 0.03, 0.1, 0.3, 0.5, 0.7, 1.0, 2.0), 60
CLIP = 0.5


class Domain(NamedTuple):
    """Where a policy is trained, and where it is tested."""

    sample: tasks.Sample
    tested: dict[str, tasks.Sample]
    updates: int
    methods: tuple[str, ...]
    rates: tuple[float, ...] = (0.05, 0.1, 0.2)
    learning_rate: optax.ScalarOrSchedule = 3e-3
    discount: float = 0.99
    """Of later rewards, in the inner steps' advantages."""
    validation: int = VALIDATION
    """Tasks on which rates and checkpoints are chosen."""
    held_out: int = 2_000
    """The seed of the tasks that are tested on."""
    judged: tuple[int, ...] = (1,)
    """After how many steps rates and checkpoints are chosen, by the mean return; the baseline's after one."""

    def policy(self, num_context: int = 0) -> jaxmeta.Model:
        rules = jax.eval_shape(self.sample, jax.random.key(0)).support.rules
        make = models.gaussian_policy if rules.space == "continuous" else models.categorical_policy
        return make(rules.num_observations + num_context, rules.num_actions)

    def encoder(self) -> jaxmeta.Model:
        rules = jax.eval_shape(self.sample, jax.random.key(0)).support.rules
        return models.mlp(rules.num_observations + rules.num_actions + 2, NUM_CONTEXT, hidden=(64, 64))


def sampled(make: Callable[..., tasks.Sample], **options: Any) -> tasks.Sample:
    return make(num_shots=SHOTS, num_queries=SHOTS, **options)


ALL = (
    "MAML",
    "ANIL",
    "FOMAML",
    "Reptile",
    "Meta-SGD",
    "DiCE",
    "E-MAML",
    "E-MAML, 0.01",
    "context",
    "PPO",
    "trust region",
)
DOMAINS: dict[str, Callable[[], Domain]] = {
    "navigation": lambda: Domain(
        sampled(control.navigation), {"navigation": sampled(control.navigation)}, 150, (BASELINE, *ALL), judged=(1, 3)
    ),
    "arm": lambda: Domain(
        sampled(control.arm),
        {f"arm:{body}": sampled(control.arm, body=body) for body in control.BODIES},
        800, (BASELINE, "MAML", "ANIL", "Meta-SGD", "context"), (0.1, 0.3, 1.0),
        optax.cosine_decay_schedule(3e-3, 800), 0.9, 60, 3_000,
    ),
    "cartpole": lambda: Domain(
        sampled(control.cartpole), {"cartpole": sampled(control.cartpole)}, 400, (BASELINE, "MAML", "context"),
        (0.1, 0.3, 1.0), optax.cosine_decay_schedule(3e-3, 400), 0.99, 60, 3_000,
    ),
    "pendulum": lambda: Domain(
        sampled(control.pendulum), {"pendulum": sampled(control.pendulum)}, 400, (BASELINE, "MAML", "context"),
        (0.1, 0.3, 1.0), optax.cosine_decay_schedule(3e-3, 400), 0.99, 60, 3_000,
    ),
    "grid": lambda: Domain(
        sampled(control.grid), {"grid": sampled(control.grid)}, 100, (BASELINE, "MAML", "context"), (1.0, 3.0, 10.0)
    ),
}  # fmt: skip


class Method(NamedTuple):
    """How a method is trained and tested; rates may be traced, but for those that an init needs."""

    trainer: Callable[[Any], training.MetaTrainer]
    tested: Callable[[int, Any], MetaLearner]
    """(inner steps, rate)"""
    init: Callable[[float], Callable[[jax.Array], Any]]


def method(name: str, domain: Domain) -> Method:
    """A row of the table."""
    policy, collect = domain.policy(), functools.partial(control.rollout, discount=domain.discount)
    inner = criteria.policy_gradient(collect=collect)
    outer = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(domain.learning_rate))
    gentle = optax.chain(outer, optax.scale(0.1))

    def maml(steps: int, rate: Any, **options: Any) -> MetaLearner:
        options = {"outer_criterion": OUTER} | options
        return jaxmeta.maml(policy, options.pop("criterion", inner), optax.sgd(rate), num_steps=steps, **options)

    def plain(train: Callable[[Any], MetaLearner], tested: Callable[[int, Any], MetaLearner] = maml) -> Method:
        trainer = lambda rate: jaxmeta.meta_trainer(train(rate), outer)  # noqa: E731
        return Method(trainer, tested, lambda rate: train(rate).init)

    def build(rate: Any) -> Callable[..., MetaLearner]:
        return lambda criterion, **options: jaxmeta.maml(policy, criterion, optax.sgd(rate), **options)

    def anil(steps: int, rate: Any) -> MetaLearner:
        return jaxmeta.anil(policy, inner, optax.sgd(rate), num_steps=steps, outer_criterion=OUTER)

    def meta_sgd(steps: int, rate: Any) -> MetaLearner:
        # The rate is where learned ones start: a program is the same for all.
        rate = rate if isinstance(rate, float) else 0.1
        return jaxmeta.meta_sgd(policy, inner, num_steps=steps, initial_learning_rate=rate, outer_criterion=OUTER)

    def e_maml(rate: Any, exploration: float) -> MetaLearner:
        return jaxmeta.e_maml(
            policy, inner, optax.sgd(rate), num_steps=1, outer_criterion=OUTER, exploration=exploration
        )

    def context(steps: int, rate: Any) -> MetaLearner:
        del rate
        learner = jaxmeta.context_policy(
            domain.policy(NUM_CONTEXT), domain.encoder(), OUTER, num_context_params=NUM_CONTEXT
        )
        unknown = lambda meta_params, support, key: learner.adapt(meta_params, support, key)._replace(  # noqa: E731
            vector=jnp.zeros(NUM_CONTEXT)
        )
        return learner if steps else learner._replace(adapt=unknown)

    dice = criteria.policy_gradient(criteria.loaded_dice, collect=collect)
    made = {
        BASELINE: lambda: plain(lambda rate: maml(0, rate)),
        "MAML": lambda: plain(lambda rate: maml(1, rate)),
        "ANIL": lambda: plain(lambda rate: anil(1, rate), anil),
        "FOMAML": lambda: plain(lambda rate: jaxmeta.fomaml(
            policy, inner, optax.sgd(rate), num_steps=1, outer_criterion=OUTER)),
        "Reptile": lambda: plain(lambda rate: jaxmeta.reptile(policy, inner, optax.sgd(rate), num_steps=3)),
        "Meta-SGD": lambda: plain(lambda rate: meta_sgd(1, rate), meta_sgd),
        "DiCE": lambda: plain(lambda rate: maml(1, rate, criterion=dice)),
        "E-MAML": lambda: plain(lambda rate: e_maml(rate, 1.0)),
        "E-MAML, 0.01": lambda: plain(lambda rate: e_maml(rate, 0.01)),
        "context": lambda: plain(lambda rate: context(1, rate), context),
        "PPO": lambda: Method(
            lambda rate: jaxmeta.ppo_trainer(build(rate), gentle, num_steps=1), maml, lambda rate: policy.init),
        "trust region": lambda: Method(
            lambda rate: jaxmeta.trust_region_trainer(build(rate), num_steps=1), maml, lambda rate: policy.init),
    }  # fmt: skip
    return made[name]()


class Programs(NamedTuple):
    """What is compiled once for all rates and seeds of a method."""

    update: Callable[..., Any]
    judge: Callable[..., jax.Array]
    returns: Callable[..., jax.Array]


def programs(own: Method, judged: Sequence[int]) -> Programs:
    @functools.partial(jax.jit, donate_argnums=0)
    def update(state: Any, sample: Any, key: jax.Array, rate: jax.Array) -> Any:
        return training.many_updates(own.trainer(rate), num_tasks=TASKS, num_updates=EVERY)(state, sample, key)

    def after(steps: Sequence[int]) -> Callable[..., jax.Array]:
        """(meta_params, episodes, key, rate) -> [num_tasks, len(steps)] the mean return of each task's policy"""

        def returns(meta_params: Any, episodes: Any, key: jax.Array, rate: jax.Array) -> jax.Array:
            def one(episode: Any, key: jax.Array) -> jax.Array:
                found = []
                for number in steps:
                    learner = own.tested(number, rate)
                    adapted = learner.adapt(meta_params, episode.support, key)
                    predictor = adapted_predictor(learner.predict, meta_params, adapted)
                    met = control.rollout(predictor, episode.query, jax.random.fold_in(key, 1))
                    found.append(control.episode_return(met))
                return jnp.stack(found)

            return jax.vmap(one)(episodes, jax.random.split(key, len(jax.tree.leaves(episodes)[0])))

        return jax.jit(returns)

    return Programs(update, after(judged), after(range(STEPS + 1)))


def drawn(sample: tasks.Sample, seed: int, num_tasks: int) -> Any:
    return tasks.drawn(sample, jax.random.key(seed), jnp.arange(num_tasks))


def train(own: Method, made: Programs, domain: Domain, rate: float, seed: int, updates: int) -> tuple[Any, float]:
    """The best checkpoint by the mean return of validation tasks, and what that was."""
    trainer, validation = own.trainer(rate), drawn(domain.sample, 1_000, domain.validation)
    meta_params = jax.jit(own.init(rate))(jax.random.key(seed))
    state = jax.jit(lambda meta_params: trainer.init(jax.random.key(0))._replace(meta_params=meta_params))(meta_params)
    best, kept = -np.inf, jax.device_get(meta_params)
    for _ in range(updates // EVERY):
        state, _ = made.update(state, tasks.as_pytree(domain.sample), jax.random.key(seed + 100), rate)
        score = float(made.judge(state.meta_params, validation, jax.random.key(1), rate).mean())
        if score > best:
            best, kept = score, jax.device_get(state.meta_params)
    return kept, best


def measured(name: str, domain: Domain) -> list[dict]:
    """The rows of a method: of every seed and every domain that it is tested in."""
    own = method(name, domain)
    made = programs(own, (1,) if name == BASELINE else domain.judged)
    rates = (0.0,) if name == BASELINE else (domain.rates if name != "context" else domain.rates[:1])
    trained: dict[float, list[tuple[Any, float, float]]] = {rate: [] for rate in rates}
    for rate, seed in itertools.product(rates, range(SEEDS)):
        began = time.perf_counter()
        meta_params, score = train(own, made, domain, rate, seed, domain.updates)
        trained[rate].append((meta_params, score, time.perf_counter() - began))
        print(f"  {name}, rate {rate}, seed {seed}: {score:.2f} on validation tasks", flush=True)
    tried = {rate: float(np.mean([score for _, score, _ in fits])) for rate, fits in trained.items()}
    rate = max(tried, key=tried.__getitem__)
    rows = []
    for seed, (meta_params, _, seconds) in enumerate(trained[rate]):
        for tested, sample in domain.tested.items():
            used, chosen = rate, tried
            if name == BASELINE:
                validation = drawn(sample, 1_000, BASELINE_VALIDATION)
                scores = {each: made.judge(meta_params, validation, jax.random.key(1), each) for each in BASELINE_RATES}
                chosen = {each: float(score.mean()) for each, score in scores.items()}
                used = max(chosen, key=chosen.__getitem__)
            found = np.asarray(
                made.returns(meta_params, drawn(sample, domain.held_out, HELD_OUT), jax.random.key(2), used)
            )
            rows.append({
                "method": name, "domain": tested, "seed": seed, "rate": used,
                "tried": {str(each): round(score, 3) for each, score in chosen.items()},
                "updates": domain.updates, "seconds": round(seconds, 1),
                "returns": [[round(float(value), 3) for value in column] for column in found.T],
            })  # fmt: skip
            told = ", ".join(f"{mean:.2f}" for mean in found.mean(axis=0))
            print(f"{name}, seed {seed}, {tested}, rate {used}: {told} ({seconds:.0f} s)", flush=True)
    return rows


def draw(name: str) -> None:
    """What MAML's policies of seed 0 walk before and after each step, as results/control-NAME.png; the arm moves."""
    domain = DOMAINS[name]()
    own, rate = method("MAML", domain), 0.1
    meta_params, _ = train(own, programs(own, domain.judged), domain, rate, 0, domain.updates)
    each = [drawn(sample, domain.held_out, 4 // len(domain.tested)) for sample in domain.tested.values()]
    episodes = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *each)
    learner_of = lambda steps: own.tested(steps, rate)  # noqa: E731
    found = report.rollouts(learner_of, meta_params, episodes, jax.random.key(0), range(STEPS + 1))
    report.trajectories(found).savefig(pages.RESULTS / f"control-{name}.png", dpi=100)
    if name == "arm":
        report.animation(pages.RESULTS / "control-arm.gif", *found[0])


def page(content: dict) -> str:
    """The tables, of the content of control.json."""
    parts = []
    for name, domain in content["domains"].items():
        for tested in dict.fromkeys(row["domain"] for row in domain["rows"]):
            rows = [row for row in domain["rows"] if row["domain"] == tested]
            parts.append(
                f"## {tested}\n\n{_table(rows)}\n\nTrained in `{name}`, {SEEDS} seeds. {provenance.line(domain)}."
            )
    return f"""# Control

Mean return of {HELD_OUT} held-out tasks before adaptation and after one, two and three steps, each on a rollout of
{SHOTS} trajectories; 95% interval over tasks and seeds. Ahead: of `{BASELINE}` on the same tasks after one step, mean
over seeds, paired by task, with Wilcoxon's test. Seconds are of a training on a machine shared with other work, with
what it compiles; they are no measure of speed.

{chr(10).join(f"{part}{chr(10)}" for part in parts)}"""


def _table(rows: Sequence[dict]) -> str:
    names = list(dict.fromkeys(row["method"] for row in rows))
    scores = {name: np.array([row["returns"] for row in rows if row["method"] == name]) for name in names}
    lines = []
    for name in names:
        own = [row for row in rows if row["method"] == name]
        # [seeds, steps + 1, tasks]
        cells = []
        for step in range(STEPS + 1):
            spread = statistics.crossed_seeds(scores[name][:, step])
            cells.append(f"{spread.mean:.2f} [{spread.these_seeds.low:.2f}, {spread.these_seeds.high:.2f}]")
        if name == "context":
            cells[2:] = ["-"] * (STEPS - 1)
        ahead = "-"
        if name != BASELINE and BASELINE in scores:
            found = statistics.paired(scores[name][:, 1].mean(axis=0), scores[BASELINE][:, 1].mean(axis=0))
            low, high = found.difference.low, found.difference.high
            ahead = f"{found.difference.mean:+.2f} [{low:+.2f}, {high:+.2f}], p = {found.p_value:.0e}"
        rates = ", ".join(dict.fromkeys(f"{row['rate']:g}" for row in own)) if name != "context" else "-"
        updates = ", ".join(dict.fromkeys(str(row["updates"]) for row in own))
        lines.append([name, updates, rates, *cells, ahead, f"{np.mean([row['seconds'] for row in own]):.0f}"])
    head = ["method", "updates", "rate", "before", "1 step", "2 steps", "3 steps", "ahead after 1 step", "training, s"]
    return tables.markdown(head, lines)


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("domain", choices=list(DOMAINS))
    parser.add_argument("--draw", action="store_true", help="measure nothing, and draw what MAML's policies do")
    parser.add_argument("--methods", nargs="+", help="some of them; the others' rows stay")
    parser.add_argument("--rates", nargs="+", type=float, help="of the steps, to choose from; one is not chosen")
    given = parser.parse_args()
    if given.draw:
        return draw(given.domain)
    domain, path = DOMAINS[given.domain](), pages.RESULTS / "control"
    domain = domain._replace(rates=tuple(given.rates)) if given.rates else domain
    for name in given.methods or domain.methods:
        rows = measured(name, domain)
        kept = json.loads(path.with_suffix(".json").read_text()) if path.with_suffix(".json").exists() else {}
        before = kept.get("domains", {}).get(given.domain, {}).get("rows", [])
        rows = [row for row in before if row["method"] != name] + rows
        rows.sort(key=lambda row: domain.methods.index(row["method"]))
        done = kept.get("domains", {}) | {given.domain: provenance.record() | {"rows": rows}}
        content = {"domains": {each: done[each] for each in DOMAINS if each in done}}
        pages.write(path, content, page)


if __name__ == "__main__":
    main()

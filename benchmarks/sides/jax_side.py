"""jaxmeta's side of `meta_step.py`; the tasks are shared out over all devices of the process."""

import math
import time

import jax
import jax.extend
import jax.numpy as jnp
import optax
from cases import FILTERS, HIDDEN, INNER_RATE, IS_SMALL, OUTER_RATE, Case, episodes, weights
from serve import serve

import jaxmeta
from jaxmeta import criteria, inner, models, provenance
from jaxmeta.models import forms

jax.config.update("jax_default_matmul_precision", "highest")  # float32 on a GPU as well; nothing changes on CPU


def learner_of(case: Case) -> jaxmeta.MetaLearner:
    if case.network == "mlp":
        model = models.mlp(784, case.ways, hidden=HIDDEN)
    else:
        model = models.conv4((28, 28, 1), None if case.learner == "protonet" else case.ways, num_filters=FILTERS)
    if case.learner == "protonet":
        return jaxmeta.protonet(model, criteria.cross_entropy, num_ways=case.ways)
    options = {"gradient": inner.first_order} if case.learner == "fomaml" else {}
    make = jaxmeta.maml if case.learner == "fomaml" else getattr(jaxmeta, case.learner)
    return make(model, criteria.cross_entropy, optax.sgd(INNER_RATE), num_steps=case.steps, **options)


def matmul_operations(jaxpr: jax.extend.core.Jaxpr) -> int:
    """Multiplications and additions of all matmuls and convolutions in a program, loops counted out."""
    total = 0
    for equation in jaxpr.eqns:
        params, shapes = equation.params, [var.aval.shape for var in (*equation.invars, *equation.outvars)]
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            total += 2 * math.prod(shapes[2]) * math.prod(shapes[0][axis] for axis in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            features = params["dimension_numbers"].rhs_spec[0]
            total += 2 * math.prod(shapes[2]) * math.prod(shapes[1]) // shapes[1][features]
        inner = [matmul_operations(each) for each in jax.extend.core.jaxprs_in_params(params)]
        # The branches of a choice do the same; the convolution among them would also count zeros between its steps.
        once = min(inner, default=0) if equation.primitive.name == "cond" else sum(inner)
        total += once * params.get("length", 1) * (params["mesh"].size if "mesh" in params else 1)
    return total


def matmul_limit() -> float:
    """Operations a second of a float32 matmul that this process reaches with all that it has."""
    size = 64 if IS_SMALL else 2048
    left = right = jnp.ones((size, size))
    matmul = jax.jit(jnp.matmul).lower(left, right).compile()
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        matmul(left, right).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def problem(case: Case) -> tuple[jaxmeta.MetaTrainer, jaxmeta.MetaState, jaxmeta.Episode, jax.Array]:
    """The trainer and what its update is given."""
    mesh = jax.make_mesh((jax.device_count(),), ("tasks",), axis_types=(jax.sharding.AxisType.Auto,))
    trainer = jaxmeta.meta_trainer(learner_of(case), optax.adam(OUTER_RATE), mesh=mesh)
    params: dict = {}
    for name, leaf in weights(case).items():
        layer, kind = name.split("/")
        params.setdefault(layer, {})[kind] = jnp.asarray(leaf)
    state = trainer.init(jax.random.key(0))._replace(meta_params=params)
    state = jax.device_put(state, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
    given = [jnp.asarray(x) for x in episodes(case)]
    tasks = jaxmeta.Episode(jaxmeta.Batch(*given[:2]), jaxmeta.Batch(*given[2:]))
    tasks = jax.device_put(tasks, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("tasks")))
    return trainer, state, tasks, jax.random.key(1)


def prepare(case: Case, form: str):
    del form
    trainer, state, tasks, key = problem(case)
    trace = lambda: jax.jit(trainer.update, donate_argnums=0).trace(state, tasks, key)  # noqa: E731
    traced, update = forms.falling_back(lambda: ((traced := trace()), traced.lower().compile()))

    def step() -> tuple[float, float]:
        nonlocal state
        state, metrics = update(state, tasks, key)
        jax.block_until_ready((state, metrics))
        return float(metrics["loss"]), float(metrics["gradient_norm"])

    return step, {"matmul_operations": matmul_operations(traced.jaxpr.jaxpr)}


def about() -> dict:
    return provenance.record() | {"matmul_limit": matmul_limit()}


if __name__ == "__main__":
    serve(prepare, about)

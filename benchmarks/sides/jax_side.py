"""jaxmeta's side of `meta_step.py`; the tasks are shared out over all devices of the process."""

import jax
import jax.numpy as jnp
import optax
from cases import FILTERS, HIDDEN, INNER_RATE, OUTER_RATE, Case, episodes, weights
from serve import serve

import jaxmeta
from jaxmeta import criteria, inner, models

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


def prepare(case: Case, form: str):
    del form
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
    key = jax.random.key(1)
    update = jax.jit(trainer.update, donate_argnums=0).lower(state, tasks, key).compile()

    def step() -> tuple[float, float]:
        nonlocal state
        state, metrics = update(state, tasks, key)
        jax.block_until_ready((state, metrics))
        return float(metrics["loss"]), float(metrics["gradient_norm"])

    return step


def about() -> dict:
    versions = {"jaxmeta": jaxmeta.__version__, "jax": jax.__version__}
    return {"device": f"{jax.device_count()} x {jax.devices()[0].device_kind}", "versions": versions}


if __name__ == "__main__":
    serve(prepare, about)

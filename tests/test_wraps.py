"""Adapters in a frozen network, and learners that see them alone."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import registry

import jaxmeta
from jaxmeta import criteria, inner, learners, models, runs, tasks, training, tree

MODULE = models.Conv4(num_outputs=3, num_filters=4, norm="layer")
PICTURES = jax.random.uniform(jax.random.key(1), (6, 14, 14, 1))
VARIABLES = MODULE.init(jax.random.key(0), PICTURES)
SAMPLE = tasks.strokes(num_ways=3, num_shots=2, num_queries=2, size=14)
RULES = {"tsa": models.tsa, "film": models.film, "lora": models.lora(2)}


def wrapped(rule=models.tsa):
    return models.wrap(MODULE, VARIABLES, PICTURES, rule)


def changed(params):
    """Params that an adapter's training may reach."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    return structure.unflatten(
        [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    )


@pytest.mark.parametrize("rule", RULES)
def test_a_new_adapter_changes_nothing_and_a_trained_one_does(rule):
    model = wrapped(RULES[rule])
    params, plain = model.init(jax.random.key(0)), MODULE.apply(VARIABLES, PICTURES)
    np.testing.assert_allclose(model.apply(model.frozen, params, PICTURES), plain, atol=1e-6)
    assert np.abs(model.apply(model.frozen, changed(params), PICTURES) - plain).max() > 1e-2


def test_where_adapters_stand():
    kinds = {name: sorted(wrapped(rule).init(jax.random.key(0))) for name, rule in RULES.items()}
    assert kinds == {
        "tsa": [f"Conv_{index}" for index in range(4)],
        "film": [f"Norm_{index}" for index in range(4)],
        "lora": ["Dense_0"],
    }
    last = models.wrap(MODULE, VARIABLES, PICTURES, models.tsa, where=lambda path: path == "Conv_3")
    assert list(last.init(jax.random.key(0))) == ["Conv_3"]


def test_a_residual_adapter_is_a_convolution_of_one_pixel():
    """Beside a 3 x 3 kernel of stride 1 it is what is added to the kernel's middle."""
    module, pictures = models.Conv(5), PICTURES[:, :7, :7]
    inside = module.init(jax.random.key(0), pictures)["params"]
    variables = {"params": {"layers_0": inside}}
    model = models.wrap(nn.Sequential([module]), variables, pictures, models.tsa)
    params = changed(model.init(jax.random.key(0)))
    kernel = inside["kernel"].at[1, 1].add(params["layers_0"]["kernel"])
    same = module.apply({"params": {**inside, "kernel": kernel}}, pictures)
    np.testing.assert_allclose(model.apply(variables, params, pictures), same, atol=1e-5)


class Kept(nn.Module):
    """A layer in a network that calls it by name."""

    layer: nn.Module

    @nn.compact
    def __call__(self, inputs):
        return self.layer(inputs) if isinstance(self.layer, nn.Sequential) else self.layer(inputs=inputs)


def trained(layer, inputs, rule):
    """A wrapped layer's own params, its adapter's after a change, and what both make of the inputs."""
    module = Kept(layer)
    variables = module.init(jax.random.key(0), inputs)
    model = models.wrap(module, variables, inputs, rule)
    params = changed(model.init(jax.random.key(0)))
    return variables["params"]["layer"], params["layer"], module, model.apply(variables, params, inputs)


@pytest.mark.parametrize(
    ("strides", "padding", "size"), [(1, "VALID", 5), (2, "VALID", 15), (None, "VALID", 7), (2, ((1, 1), (1, 1)), 15)]
)
def test_a_residual_adapter_stands_in_the_middle_of_any_window(strides, padding, size):
    inputs = jax.random.normal(jax.random.key(3), (2, size, size, 3))
    layer = nn.Conv(4, (3, 3), strides, padding=padding)
    own, adapter, module, outputs = trained(layer, inputs, models.tsa)
    kernel = own["kernel"].at[1, 1].add(adapter["kernel"])
    same = module.apply({"params": {"layer": {**own, "kernel": kernel}}}, inputs)
    np.testing.assert_allclose(outputs, same, atol=1e-5)


def test_a_convolution_of_each_channel_has_a_scale_of_each():
    inputs = jax.random.normal(jax.random.key(3), (2, 5, 5, 3))
    own, adapter, module, outputs = trained(nn.Conv(3, (3, 3), feature_group_count=3), inputs, models.tsa)
    kernel = own["kernel"].at[1, 1, 0].add(adapter["scale"])
    same = module.apply({"params": {"layer": {**own, "kernel": kernel}}}, inputs)
    np.testing.assert_allclose(outputs, same, atol=1e-5)


@pytest.mark.parametrize(
    ("features", "axis", "shape"),
    [(4, -1, (3,)), ((2, 4), -1, (5, 3)), (4, (-2, -1), (5, 2, 3)), ((2, 4), (1, 3), (5, 6, 3))],
)
def test_a_matrix_of_low_rank_is_added_to_a_dense_layers_of_any_axes(features, axis, shape):
    inputs = jax.random.normal(jax.random.key(3), (2, *shape))
    own, adapter, module, outputs = trained(nn.DenseGeneral(features, axis), inputs, models.lora(2))
    kernel = own["kernel"] + (adapter["down"] @ adapter["up"]).reshape(own["kernel"].shape)
    same = module.apply({"params": {"layer": {**own, "kernel": kernel}}}, inputs)
    np.testing.assert_allclose(outputs, same, atol=1e-5)


@pytest.mark.fault(promised="one line that names what is there")
@pytest.mark.parametrize(
    ("layer", "rule"),
    [
        (nn.ConvTranspose(4, (3, 3), (2, 2)), models.tsa),
        (nn.DenseGeneral(4, batch_dims=(0,)), models.lora(2)),
        (nn.Sequential([nn.BatchNorm(True, axis=1)]), models.film),
    ],
)
def test_a_layer_that_an_adapter_does_not_fit_is_left_alone(layer, rule):
    inputs = jnp.ones((2, 5, 5, 3))
    with pytest.raises(ValueError, match=r"^wrap: expected a network with layers that this adapter fits, got layer"):
        trained(layer, inputs, rule)


@pytest.mark.fault(promised="one line that names what is there")
def test_a_network_without_a_place_is_refused():
    mlp = models.MLP(3, hidden=())
    variables = mlp.init(jax.random.key(0), jnp.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^wrap: expected a network with layers that this adapter fits, got Dense_0"):
        models.wrap(mlp, variables, jnp.ones((1, 2)), models.tsa)


def learner(make=jaxmeta.maml, **options):
    def made(model):
        return make(model, criteria.cross_entropy, optax.sgd(0.1), num_steps=2, **options)

    return learners.over_frozen(made, wrapped())


@pytest.mark.parametrize("gradient", [inner.mixed_mode, inner.nested])
@pytest.mark.long
def test_the_exact_gradient_of_adapters_in_a_frozen_network(gradient):
    """As by hand, where the weights stand in the loss, by reverse mode twice."""
    model, episode = wrapped(), SAMPLE(jax.random.key(3))

    def loss(params, batch):
        predictor = lambda inputs, mask=None: model.apply(VARIABLES, params, inputs)  # noqa: E731
        return criteria.cross_entropy(predictor, batch, jax.random.key(0))[0]

    def by_hand(params):
        for _ in range(2):
            params = jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params, episode.support))
        return loss(params, episode.query)

    frozen = learner(gradient=gradient)
    start = frozen.init(jax.random.key(0))
    own = lambda params: frozen.loss(start._replace(learned=params), episode, jax.random.key(4))[0]  # noqa: E731
    params = changed(start.learned)
    found, wanted = jax.jit(jax.grad(own))(params), jax.jit(jax.grad(by_hand))(params)
    assert float(tree.norm(wanted)) > 1e-2
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5), found, wanted)


def gained(model):
    """The model's weights frozen, under a gain of each layer."""
    weights = model.init(jax.random.key(0))

    def of(frozen, params):
        scaled = lambda layer, gain: jax.tree.map(lambda leaf: leaf * (1 + gain), layer)  # noqa: E731
        return {name: scaled(frozen[name], params[name]["gain"]) for name in frozen}

    return models.FrozenModel(
        weights,
        lambda key: {layer: {"gain": jnp.zeros(())} for layer in weights},
        lambda frozen, params, inputs, mask=None, context=(): model.apply(of(frozen, params), inputs, mask, context),
        lambda frozen, params, support: model.context(of(frozen, params), support),
    )


@pytest.mark.product(name=("imaml", "maml", "maml_plus_plus", "protonet"))
@pytest.mark.parametrize("name", sorted(registry.LEARNERS.keys() - {"relation_net", "cavia"}))  # of several inputs
def test_every_learner_is_one_over_a_frozen_model(name):
    asked = []
    registry.LEARNERS[name](lambda *given: asked.append(given) or registry.linen("batch", *given))
    model = gained(registry.linen("batch", *asked[0]))
    learner = learners.over_frozen(lambda bound: registry.LEARNERS[name](lambda *given: bound), model)
    meta_params = learner.init(jax.random.key(0))
    episode = tasks.strokes(num_ways=registry.WAYS, num_shots=1, num_queries=1, size=registry.SIZE)(jax.random.key(0))
    loss = lambda own: learner.loss(meta_params._replace(learned=own), episode, jax.random.key(1))[0]  # noqa: E731
    gradient = jax.eval_shape(jax.grad(loss), meta_params.learned)
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, meta_params.learned)


def test_what_is_frozen_has_no_optimizer_state_and_stays():
    trainer = training.stop_at_divergence(jaxmeta.meta_trainer(learner(), optax.adam(1e-2)))
    run, state = training.many_updates(trainer, num_tasks=2, num_updates=3), trainer.init(jax.random.key(0))
    moments = [leaf for leaf in jax.tree.leaves(state.optimizer_state) if leaf.ndim]
    own = jax.tree.leaves(state.meta_params.learned)
    assert sum(leaf.size for leaf in moments) == 2 * sum(leaf.size for leaf in own)
    after, metrics = jax.jit(run)(state, SAMPLE, jax.random.key(1))
    assert bool(metrics["finite"].all())
    jax.tree.map(np.testing.assert_array_equal, after.meta_params.frozen.value, VARIABLES)
    for new, old in zip(jax.tree.leaves(after.meta_params.learned), own, strict=True):
        assert np.abs(new - old).max() > 0


@pytest.mark.long
def test_seeds_share_what_is_frozen():
    trainer = jaxmeta.meta_trainer(learner(), optax.adam(1e-2))
    update = training.many_updates(trainer, num_tasks=2, num_updates=2)
    keys = [jax.random.key(seed) for seed in range(2)]
    states = [trainer.init(key) for key in keys]
    (first, second), _ = jax.jit(training.side_by_side(update))(states, SAMPLE, keys, np.array([2, 2]))
    alone, _ = jax.jit(update)(states[1], SAMPLE, keys[1])
    for found, wanted in zip(jax.tree.leaves(second.meta_params), jax.tree.leaves(alone.meta_params), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, first.meta_params.frozen, second.meta_params.frozen)


def test_frozen_weights_are_no_part_of_the_program():
    inside = {"kernel": np.ones((2000, 1000), np.float32), "bias": np.zeros(1000, np.float32)}
    module, variables = nn.Sequential([nn.Dense(1000)]), {"params": {"layers_0": inside}}
    model = models.wrap(module, variables, jnp.ones((1, 2000)), models.lora(1))
    own = learners.over_frozen(lambda model: jaxmeta.protonet(model, criteria.cross_entropy, num_ways=2), model)
    trainer = jaxmeta.meta_trainer(own, optax.sgd(0.1))
    batch = jaxmeta.Batch(jnp.ones((1, 4, 2000)), jnp.zeros((1, 4), int))
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    text = jax.jit(trainer.update).lower(state, jaxmeta.Episode(batch, batch), jax.random.key(0)).as_text()
    assert len(text) < 100_000


def test_marks_of_what_is_trained():
    marked = tree.trained({"a": 1, "b": tree.Frozen({"c": 2, "d": [3, 4]})})
    assert marked == {"a": True, "b": tree.Frozen({"c": False, "d": [False, False]})}


@pytest.mark.long
def test_files_leave_out_what_is_frozen_and_a_resume_has_it(tmp_path):
    model = wrapped()
    big = model._replace(frozen={**VARIABLES, "more": np.zeros(1_000_000, np.float32)})
    big = big._replace(apply=lambda frozen, *rest: model.apply({"params": frozen["params"]}, *rest))
    own = learners.over_frozen(
        lambda model: jaxmeta.maml(model, criteria.cross_entropy, optax.sgd(0.1), num_steps=1), big
    )
    trainer = jaxmeta.meta_trainer(own, optax.adam(1e-2))
    fit = lambda steps, folder: runs.fit(  # noqa: E731
        trainer, SAMPLE, jax.random.key(0), num_tasks=2, num_steps=steps, store=runs.in_folder(tmp_path / folder)
    )
    whole = fit(4, "whole")
    fit(2, "parts")
    parts = fit(4, "parts")
    jax.tree.map(np.testing.assert_array_equal, parts.state, whole.state)
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.msgpack")]
    assert len(sizes) > 1
    assert max(sizes) < 100_000


def test_differences_reach_every_weight_and_start_at_none():
    model = models.differences(MODULE, VARIABLES, PICTURES)
    params, plain = model.init(jax.random.key(0)), MODULE.apply(VARIABLES, PICTURES)
    assert len(params) == len(jax.tree.leaves(VARIABLES["params"]))
    np.testing.assert_allclose(model.apply(model.frozen, params, PICTURES), plain, atol=1e-6)
    moved = jax.tree.map(lambda leaf: leaf + 0.1, VARIABLES["params"])
    found = model.apply(model.frozen, jax.tree.map(lambda leaf: leaf + 0.1, params), PICTURES)
    np.testing.assert_allclose(found, MODULE.apply({"params": moved}, PICTURES), rtol=1e-5, atol=1e-5)
    some = models.differences(MODULE, VARIABLES, PICTURES, where=lambda path: path.startswith("Norm"))
    assert sorted({path.split("/")[0] for path in some.init(jax.random.key(0))}) == [f"Norm_{i}" for i in range(4)]
    with pytest.raises(ValueError, match="differences: where: expected at least one of Conv_0/kernel"):
        models.differences(MODULE, VARIABLES, PICTURES, where=lambda path: False)


def test_a_head_starts_at_none():
    model = wrapped().with_head(3, 2)
    params = model.init(jax.random.key(0))
    np.testing.assert_array_equal(model.apply(model.frozen, params, PICTURES), np.zeros((6, 2)))
    params["head"]["kernel"] = jnp.eye(3, 2)
    found = model.apply(model.frozen, params, PICTURES)
    np.testing.assert_allclose(found, MODULE.apply(VARIABLES, PICTURES)[:, :2], atol=1e-6)

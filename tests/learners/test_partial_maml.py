import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
from proofs import KEY, assert_close, assert_exact, episode, meta_gradient, network

from jaxmeta import anil, boil, criteria, maml, models, partial_maml, tree
from jaxmeta.types import Batch


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def build(make=partial_maml, model=None, **options):
    return make(model or network(), criteria.cross_entropy, optax.sgd(0.2, momentum=0.9), num_steps=3, **options)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("make", [anil, boil])
def test_meta_gradient_of_fast_and_slow_leaves_against_finite_differences(make):
    learner = build(make, head="v")
    assert_exact(learner, learner.init(KEY))


@pytest.mark.usefixtures("float64")
def test_everything_adapted_is_maml():
    everything, whole = build(adapts=lambda path: True), build(maml)
    params = whole.init(KEY)
    assert_close(meta_gradient(everything, params), meta_gradient(whole, params))
    support = episode().support
    assert_close(jax.jit(everything.adapt)(params, support, KEY), jax.jit(whole.adapt)(params, support, KEY))


@pytest.mark.usefixtures("float64")
def test_a_step_changes_what_it_should_as_descent_does():
    params = build(maml).init(KEY)
    support = episode().support
    adapted = build(adapts={"w": False, "b": True, "v": False}).adapt(params, support, KEY)
    assert tree.paths(adapted) == ["params/b"]
    frozen = optax.masked(optax.set_to_zero(), {"w": True, "b": False, "v": True})
    by_hand = maml(
        network(), criteria.cross_entropy, optax.chain(optax.sgd(0.2, momentum=0.9), frozen), num_steps=3
    ).adapt(params, support, KEY)
    assert_close(adapted.params["b"], by_hand.params["b"])
    assert_close(tree.merge(adapted.params, params), by_hand.params)
    assert (adapted.params["b"] != params["b"]).all()


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Callable:
    """Params, or bools, that can be called, as a module's are in libraries whose modules are pytrees."""

    w: Any
    b: Any

    def __call__(self, inputs):
        return jnp.tanh(inputs @ self.w) + self.b[None]


def test_a_tree_of_bools_that_can_be_called_is_no_function_of_paths():
    model = models.from_functions(
        lambda key: Callable(jnp.ones((2, 3)), jnp.zeros(3)), lambda params, inputs: params(inputs)
    )
    assert adapted_paths(partial_maml, model, adapts=Callable(False, True)) == ["b"]


def adapted_paths(make, model, shape=(2,), **options):
    """The leaves that one task carries."""
    learner = build(make, model, **options)
    batch = Batch(jnp.zeros((6, *shape)), jnp.arange(6) % 3)
    params = jax.eval_shape(model.init, KEY)
    return tree.paths(jax.eval_shape(lambda params: learner.adapt(params, batch, KEY).params, params))


PICTURES = (16, 16, 1)
CONV = models.conv4(PICTURES, 3, num_filters=2, norm="layer")


def test_the_head_of_the_built_in_networks():
    assert adapted_paths(anil, CONV, PICTURES) == ["Dense_0/bias", "Dense_0/kernel"]
    body = adapted_paths(boil, CONV, PICTURES)
    assert len(body) == 4 * 3
    assert not [path for path in body if path.startswith("Dense")]
    norms = adapted_paths(partial_maml, CONV, PICTURES, adapts=lambda path: path.startswith("Norm"))
    assert norms == [f"Norm_{i}/{name}" for i in range(4) for name in ("bias", "scale")]
    deep = models.mlp(2, 3, hidden=(2,) * 10)  # Dense_10 follows Dense_9, not Dense_1
    assert adapted_paths(anil, deep) == ["Dense_10/bias", "Dense_10/kernel"]
    assert adapted_paths(anil, deep, head="Dense_1") == ["Dense_1/bias", "Dense_1/kernel"]
    assert adapted_paths(anil, models.resnet12(PICTURES, 3, widths=(2,)), PICTURES) == [
        "Dense_0/bias",
        "Dense_0/kernel",
    ]


@pytest.mark.usefixtures("float64")
def test_wrong_use_of_the_mask():
    with pytest.raises(ValueError, match="at least one of b, v, w, got none"):
        build(adapts=lambda path: path == "x")
    with pytest.raises(ValueError, match="at least one of b, v, w, got none"):
        build(adapts={"w": False, "b": False, "v": False})
    with pytest.raises(ValueError, match="bools at b, v, w, got b, v"):
        build(adapts={"b": True, "v": True})


def test_wrong_use_of_the_head():
    encoder = models.conv4((16, 16, 1), None, num_filters=2)
    with pytest.raises(ValueError, match=r"anil: head: expected a part of Conv_0/kernel, .* got no name that says it"):
        build(anil, encoder)
    with pytest.raises(ValueError, match=r"boil: head: .* got 'Dense_1'"):
        build(boil, CONV, head="Dense_1")
    with pytest.raises(ValueError, match="got 'Dense_0'"):
        build(anil, models.mlp(2, 3, hidden=()))


@pytest.mark.fault(promised="one line: which layer is the last has to be said")
@pytest.mark.parametrize("make", [anil, boil])
def test_a_layer_of_a_name_of_its_own_may_be_the_head(make):
    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, name="classifier")(nn.relu(nn.Dense(3)(x)))

    model = models.from_linen(Network(), jnp.ones((1, 2)))
    options = {"num_steps": 1}
    with pytest.raises(ValueError, match="Dense_0 beside classifier; name it, such as head='classifier'"):
        make(model, criteria.cross_entropy, optax.sgd(0.1), **options)
    make(model, criteria.cross_entropy, optax.sgd(0.1), head="classifier", **options)

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxmeta import models
from jaxmeta.models import convolution

KEY = jax.random.key(0)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("extent", [(7, 8), (8, 5)])
def test_patches_are_the_convolution(stride, extent):
    x = jax.random.normal(KEY, (2, *extent, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))
    plain = lambda x, k: jax.lax.conv_general_dilated(  # noqa: E731
        x, k, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    ours = lambda x, k: models.convolve(x, k, stride=stride)  # noqa: E731
    np.testing.assert_allclose(ours(x, kernel), plain(x, kernel), rtol=1e-4, atol=1e-5)
    for argument in (0, 1):
        loss = lambda f, argument=argument: jax.grad(lambda *given: jnp.sin(f(*given)).sum(), argument)(x, kernel)  # noqa: E731
        np.testing.assert_allclose(loss(ours), loss(plain), rtol=1e-3, atol=1e-4)


def test_max_pool_drops_the_odd_row():
    x = jnp.arange(18.0).reshape(1, 3, 6, 1)
    np.testing.assert_array_equal(convolution.max_pool(x)[0, :, :, 0], [[7, 9, 11]])


def test_max_pool_is_a_window_maximum_with_its_gradient():
    x = jax.random.randint(jax.random.key(0), (2, 6, 4, 3), 0, 4).astype(float)  # with many ties
    weights = jnp.arange(2 * 3 * 2 * 3, dtype=float).reshape(2, 3, 2, 3)
    window = lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")  # noqa: E731
    np.testing.assert_array_equal(convolution.max_pool(x), window(x))
    gradient = jax.grad(lambda x: (convolution.max_pool(x) * weights).sum())(x)
    np.testing.assert_array_equal(gradient.reshape(2, 3, 2, 2, 2, 3).sum((2, 4)), weights)
    assert (gradient != 0).sum() == weights.size - 1
    distinct = jax.random.permutation(jax.random.key(1), x.size).reshape(x.shape).astype(float)
    ours, theirs = (
        jax.grad(lambda x, pool=pool: (pool(x) * weights).sum())(distinct) for pool in (convolution.max_pool, window)
    )
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("downsampling", ["stride", "max_pool"])
def test_conv4_shapes(downsampling):
    model = models.conv4((28, 28, 1), 5, num_filters=4, downsampling=downsampling)
    assert jax.eval_shape(model.apply, model.init(KEY), jnp.zeros((2, 28, 28, 1))).shape == (2, 5)
    encoder = models.conv4((28, 28, 1), None, num_filters=4, downsampling=downsampling)
    dim = {"stride": 16, "max_pool": 4}[downsampling]
    assert jax.eval_shape(encoder.apply, encoder.init(KEY), jnp.zeros((2, 28, 28, 1))).shape == (2, dim)


@pytest.mark.parametrize("norm", ["batch", "support", "none"])
def test_resnet12_shapes(norm):
    x = jnp.zeros((2, 16, 19, 3))
    for outputs, dim in ((5, 5), (None, 7)):
        model = models.resnet12((16, 19, 3), outputs, widths=(4, 5, 6, 7), norm=norm)
        params = jax.eval_shape(model.init, KEY)
        assert jax.eval_shape(model.apply, params, x).shape == (2, dim)


def test_resnet12_has_the_published_size():
    def size(**given):
        params = jax.eval_shape(models.resnet12((84, 84, 3), **given).init, KEY)
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    assert size(num_outputs=None) == 12_424_320
    assert size(num_outputs=5) == 12_424_320 + 5 * 641


def test_resnet12_by_hand():
    """One block against the plain operations, and its gradient in every parameter."""
    model = models.resnet12((4, 4, 2), None, widths=(3,), norm="none")
    x = jax.random.normal(KEY, (2, 4, 4, 2))
    params = model.init(KEY)
    weights = [params[f"Conv_{index}"] for index in range(4)]

    def convolved(x, layer):
        dims = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, layer["kernel"], (1, 1), "SAME", dimension_numbers=dims)
        return x + layer["bias"][None, None, None]

    def leaky(x):
        return jnp.where(x > 0, x, 0.1 * x)

    y = leaky(convolved(leaky(convolved(x, weights[0])), weights[1]))
    y = leaky(convolved(y, weights[2]) + convolved(x, weights[3]))
    wanted = y.reshape(2, 2, 2, 2, 2, 3).max((2, 4)).mean((1, 2))
    np.testing.assert_allclose(jax.jit(model.apply)(params, x), wanted, rtol=1e-5, atol=1e-6)
    grads = jax.jit(jax.grad(lambda params: jnp.square(model.apply(params, x)).sum()))(params)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.from_linen(nn.BatchNorm(use_running_average=False), jnp.ones((2, 3))), "running averages"),
        (lambda: models.from_linen(nn.Dropout(0.5, deterministic=False), jnp.ones((2, 3))), "dropout"),
        (lambda: models.from_nnx(lambda rngs: nnx.BatchNorm(3, rngs=rngs)), "running averages"),
        (lambda: models.from_nnx(lambda rngs: nnx.Dropout(0.5, rngs=rngs)), "dropout"),
        (lambda: models.conv4((28, 28, 1), 5, norm="batches"), "one of batch, support"),
        (lambda: models.conv4((8, 8, 1), 5, downsampling="max_pool"), "16 x 16"),
        (lambda: models.conv4_maps((3, 8, 1), downsampling="max_pool"), "conv4_maps: shape: .*4 x 4 with max_pool"),
        (lambda: models.relation_module((7, 7)), r"relation_module: shape: .*got \(7, 7\)"),
        (lambda: models.relation_module((7, 7, 4), norm="batches"), "relation_module: norm: .*one of batch, support"),
        (lambda: models.relation_module((7, 7, 4), hidden=0), "hidden"),
        (lambda: models.film_conv4((8, 8, 1), 2, num_context_params=3, downsampling="max_pool"), "16 x 16"),
        (lambda: models.mlp(0, 1), "num_inputs"),
        (lambda: models.resnet12((15, 84, 3), 5), "16 x 16"),
        (lambda: models.resnet12((84, 84, 3), 5, widths=()), "at least one block"),
        (lambda: models.resnet12((84, 84, 3), 0), "num_outputs"),
        (lambda: models.resnet12((84, 84, 3), 5, norm="batches"), "one of batch, support"),
    ],
)
@pytest.mark.fault(promised="an error that says what was expected and what came")
def test_what_a_model_cannot_be(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_task_norm_by_hand():
    x = jax.random.normal(KEY, (3, 2, 2, 4))
    norm = models.Norm("task")
    variables = norm.init(KEY, x)
    np.testing.assert_allclose(variables["context"]["moments"].count, 3)
    y = norm.apply({"params": variables["params"]}, x)
    batch_mean, batch_var = x.mean((0, 1, 2), keepdims=True), x.var((0, 1, 2), keepdims=True)
    own_mean, own_var = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    mean = (batch_mean + own_mean) / 2
    var = (batch_var + (batch_mean - mean) ** 2 + own_var + (own_mean - mean) ** 2) / 2
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("downsampling", ["stride", "max_pool"])
def test_the_networks_of_relation_net(downsampling):
    """As published: 28 x 28 glyphs are halved twice; two blocks with 64 filters, then 8 hidden units."""
    encoder = models.conv4_maps((28, 28, 1), downsampling=downsampling)
    maps = jax.eval_shape(encoder.apply, jax.eval_shape(encoder.init, KEY), jnp.zeros((2, 28, 28, 1)))
    assert maps.shape == (2, 7, 7, 64)
    relation = models.relation_module(maps.shape[1:], downsampling=downsampling)
    params = jax.eval_shape(relation.init, KEY)
    assert params["Conv_0"]["kernel"].shape == (3, 3, 128, 64)
    rest = {"stride": 2, "max_pool": 1}[downsampling]
    assert params["Dense_0"]["kernel"].shape == (rest * rest * 64, 8)
    assert jax.eval_shape(relation.apply, params, jnp.zeros((3, 7, 7, 128))).shape == (3, 1)


class Attention(nn.Module):
    """Its mask says which positions may be looked at."""

    @nn.compact
    def __call__(self, x, mask=None):
        return nn.Dense(2)(nn.MultiHeadDotProductAttention(num_heads=2, qkv_features=4)(x, mask=mask).mean(axis=1))


class Counted(nn.Module):
    """Its mask says which rows there are, and its mean takes all of them."""

    @nn.compact
    def __call__(self, x, mask=None):
        x = x if mask is None else jnp.where(mask[:, None], x, 0)
        return nn.Dense(2, kernel_init=nn.initializers.zeros)(x - x.mean(axis=0)[None])


@pytest.mark.parametrize(("module", "shape"), [(Attention(), (1, 6, 3)), (Attention(), (5, 5, 3)), (Counted(), (2, 3))])
@pytest.mark.fault(promised="refused when the model is made")
def test_a_mask_that_is_not_the_rows(module, shape):
    with pytest.raises(ValueError, match=r"expected a `mask` \[n\].*rename the argument"):
        models.from_linen(module, jax.ShapeDtypeStruct(shape, jnp.float32))


class Attending(nnx.Module):
    def __init__(self, rngs):
        self.inside = nnx.MultiHeadAttention(2, 3, 4, decode=False, rngs=rngs)

    def __call__(self, x, mask=None):
        return self.inside(x, mask=mask).mean(axis=1)


@pytest.mark.parametrize(
    "model",
    [
        models.from_nnx(Attending),
        models.from_functions(
            lambda key: jnp.ones(3), lambda p, x, mask=None: (x if mask is None else x.cumsum(0)) @ p
        ),
    ],
)
@pytest.mark.fault(promised="refused once a mask comes, of whose shape nothing is known before")
def test_a_mask_that_is_not_the_rows_is_found_when_it_comes(model):
    x = jnp.ones((5, 5, 3))
    params = model.init(KEY)
    model.apply(params, x)
    with pytest.raises(ValueError, match=r"expected a `mask` \[n\].*rename the argument"):
        jax.jit(jax.vmap(model.apply, (None, 0, 0)))(params, x[None], jnp.ones((1, 5), bool))


class Frozen(nnx.Variable):
    pass


class Holding(nnx.Module):
    """A layer and something beside it."""

    def __init__(self, rngs, kind):
        self.kind, self.layer = kind, nnx.Linear(3, 3, rngs=rngs)
        if kind in ("frozen", "counter"):
            self.more = Frozen(jax.random.normal(rngs.params(), (3,)))
        if kind in ("dropout off", "dropout of nothing"):
            rate = 0.5 if kind == "dropout off" else 0.0
            self.more = nnx.Dropout(rate, deterministic=kind == "dropout off", rngs=rngs)
        if kind == "kept averages":
            self.more = nnx.BatchNorm(3, use_running_average=True, rngs=rngs)
        if kind in ("noise", "unused key"):
            self.more = rngs
        if kind == "array":
            self.more = nnx.data(jnp.full(3, 2.0))
        if kind == "own param":
            self.more = nnx.Param(jnp.ones(3))

    def __call__(self, x):
        x = self.layer(x)
        if self.kind == "frozen":
            return x * self.more[...][None]
        if self.kind in ("counter", "own param"):
            self.more[...] = self.more[...] + 1
        if self.kind == "array":
            return x * self.more[None]
        if self.kind == "sown":
            self.hidden = nnx.Intermediate(x)  # as `sow` does it
        if self.kind in ("noise", "unused key"):
            noise = jax.random.normal(self.more.params(), x.shape)
            return x + noise if self.kind == "noise" else x
        return (
            self.more(x) if callable(getattr(self, "more", None)) and self.kind not in ("counter", "own param") else x
        )


@pytest.mark.parametrize(
    "kind", ["frozen", "dropout off", "dropout of nothing", "kept averages", "unused key", "array", "sown"]
)
def test_what_a_call_does_not_change_is_carried_along(kind):
    model = models.from_nnx(lambda rngs: Holding(rngs, kind))
    params, x = model.init(KEY), jax.random.normal(KEY, (4, 3))
    assert "more" not in params or kind == "kept averages"
    outputs = jax.jit(model.apply)(params, x)
    np.testing.assert_allclose(outputs, model.apply(params, x), rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda params: jnp.square(model.apply(params, x)).sum())(params)
    assert jax.tree.structure(gradient) == jax.tree.structure(params)


@pytest.mark.parametrize(
    ("kind", "named"),
    [("counter", "changes of more"), ("own param", "changes of more"), ("noise", "random.*more/default")],
)
@pytest.mark.fault(promised="refused by name")
def test_what_a_call_changes_is_refused(kind, named):
    model = models.from_nnx(lambda rngs: Holding(rngs, kind))
    params = model.init(KEY)
    with pytest.raises(ValueError, match=named):
        jax.jit(model.apply)(params, jnp.ones((4, 3)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: models.from_linen(nn.Dense, jnp.ones((2, 3))),
            "from_linen: expected a linen module.*got the class Dense",
        ),
        (lambda: models.from_linen(lambda x: x, jnp.ones((2, 3))), "from_linen: expected a linen module.*got function"),
        (lambda: models.from_nnx(nnx.Linear(3, 2, rngs=nnx.Rngs(0))), "from_nnx: expected what makes.*got the module"),
    ],
)
@pytest.mark.fault(promised="an error that says what was expected and what came")
def test_what_is_no_module(build, message):
    with pytest.raises(TypeError, match=message):
        build()


@pytest.mark.fault(promised="refused by name")
def test_arrays_that_nnx_does_not_see():
    with pytest.raises(ValueError, match=r"expected arrays that nnx sees, got some in scales of inside; make Params"):
        models.from_nnx(WeightNormed)


def test_a_plain_array_of_an_nnx_module_is_refused():
    class Scaled(nnx.Module):
        def __init__(self, rngs):
            self.dense, self.scale = nnx.Linear(3, 2, rngs=rngs), jnp.ones(2)

        def __call__(self, inputs):
            return self.dense(inputs) * self.scale

    with pytest.raises(ValueError, match=r"expected arrays that nnx sees, got some in scale of Scaled; make Params"):
        models.from_nnx(lambda rngs: Scaled(rngs))


class WeightNormed(nnx.Module):
    def __init__(self, rngs):
        self.inside = nnx.WeightNorm(nnx.Linear(3, 3, rngs=rngs), rngs=rngs)

    def __call__(self, x):
        return self.inside(x)


def test_a_recurrent_cell_draws_a_key_for_a_carry_of_zeros():
    model = models.from_nnx(lambda rngs: nnx.RNN(nnx.OptimizedLSTMCell(3, 4, rngs=rngs)))
    assert model.apply(model.init(KEY), jnp.ones((2, 5, 3))).shape == (2, 5, 4)


class Projecting(nn.Module):
    """A fixed random projection, and perhaps a counter of calls."""

    counts: str = ""

    @nn.compact
    def __call__(self, x):
        fixed = self.variable("constants", "fixed", lambda: jax.random.normal(self.make_rng("params"), (3, 4)))
        if self.counts:
            calls = self.variable("counters", self.counts, lambda: jnp.zeros(()))
            calls.value += 1
        return nn.Dense(2)(x @ fixed.value)


def test_a_linen_constant_is_the_same_whatever_the_key():
    model = models.from_linen(Projecting(), jnp.ones((1, 3)))
    params = model.init(KEY)
    assert set(params) == {"Dense_0"}
    np.testing.assert_array_equal(params["Dense_0"]["kernel"], model.init(KEY)["Dense_0"]["kernel"])
    assert model.apply(params, jnp.ones((2, 3))).shape == (2, 2)
    with pytest.raises(ValueError, match="changes of counters/calls"):
        models.from_linen(Projecting("calls"), jnp.ones((1, 3)))


@pytest.mark.fault(promised="one line that names the leaf and what to give")
@pytest.mark.parametrize("made", [lambda init: init, jax.jit, lambda init: lambda key: jax.eval_shape(init, key)])
def test_params_that_hold_a_function(made):
    model = models.from_functions(lambda key: {"w": jnp.ones(2), "activation": jnp.tanh}, lambda params, x: x)
    with pytest.raises(TypeError, match=r"init: expected leaves of real floats, got tanh at .*'activation'.*eqx"):
        made(model.init)(KEY)

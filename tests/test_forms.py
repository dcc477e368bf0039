"""The form of convolutions: an argument, a choice that is measured once and kept, one that is left where it fails."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from proofs import KEY

from jaxmeta import chunks, criteria, evaluate, maml, memory, models
from jaxmeta.models import convolution, forms
from jaxmeta.types import Batch, Episode


@pytest.fixture
def accelerator(monkeypatch, tmp_path):
    """A device that nothing is known of, and a cache of its own; what is measured there is small."""
    monkeypatch.setenv("JAXMETA_CACHE", str(tmp_path))
    monkeypatch.setattr(memory, "on_cpu", lambda: False)
    monkeypatch.setattr(forms, "_given_up", set())
    small = {"num_tasks": 2, "num_rows": 1, "size": 4, "num_filters": 1, "num_repeats": 1}
    measured = []

    def measure(original=forms.measure):
        measured.append(original(**small))
        return measured[-1]

    monkeypatch.setattr(forms, "measure", measure)
    kept = forms._kept
    kept.cache_clear()
    jax.clear_caches()
    yield measured
    kept.cache_clear()
    jax.clear_caches()


def refuse(monkeypatch, form):
    """The compiler gives up on a form, as it may on a GPU."""

    def given_up(x, kernel, stride):
        raise jax.errors.JaxRuntimeError("UNIMPLEMENTED: no algorithm worked\nmore of it")

    monkeypatch.setitem(convolution._CONVOLUTIONS, form, given_up)


def test_forms_are_one_convolution():
    x, kernel = jax.random.normal(KEY, (2, 5, 6, 3)), jax.random.normal(KEY, (3, 3, 3, 4))
    for stride in (1, 2):
        plain, patches, automatic = (
            models.convolve(x, kernel, stride=stride, form=form) for form in ("plain", "patches", "automatic")
        )
        np.testing.assert_allclose(patches, plain, atol=1e-5)
        np.testing.assert_allclose(automatic, plain, atol=1e-5)
    with pytest.raises(ValueError, match=r"convolve: form: expected .*plain.* got 'winograd'"):
        models.convolve(x, kernel, form="winograd")
    with pytest.raises(
        ValueError, match="conv4: convolution: expected one of automatic, plain, patches, got 'winograd'"
    ):
        models.conv4((16, 16, 1), 3, convolution="winograd")


@pytest.mark.parametrize("form", forms.FORMS)
def test_networks_take_the_form_that_they_are_given(form):
    shape = (16, 16, 1)
    networks = [
        models.conv4(shape, None, num_filters=2, convolution=form),
        models.conv4_maps(shape, num_filters=2, convolution=form),
        models.resnet12((4, 4, 1), None, widths=(2,), convolution=form),
    ]
    for model, inputs in zip(networks, (shape, shape, (4, 4, 1)), strict=True):
        params = jax.eval_shape(model.init, KEY)
        program = str(jax.make_jaxpr(model.apply)(params, jax.ShapeDtypeStruct((1, *inputs), jnp.float32)))
        assert "platform_index" not in program
        assert ("conv_general_dilated[" in program) == (form == "plain")


def test_a_cpu_needs_no_measurement(monkeypatch):
    monkeypatch.setattr(forms, "measure", lambda: pytest.fail("measured"))
    assert forms.choice() == ("patches", True)
    # Nor is the other form traced, which would be differentiated and thrown away.
    program = jax.make_jaxpr(models.convolve)(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)))
    assert "platform_index" not in str(program)
    assert "conv_general_dilated" not in str(program)


def test_elsewhere_the_choice_is_measured_once_and_kept(accelerator, tmp_path):
    found = forms.choice()
    assert set(accelerator[0]) == set(forms.WAYS)
    assert found == min(accelerator[0], key=accelerator[0].__getitem__)
    (kept,) = tmp_path.iterdir()
    record = json.loads(kept.read_text())
    assert [record["form"], record["in_turn"]] == list(found)
    assert json.loads(record["key"])[1:3] == [jax.devices()[0].device_kind, jax.__version__]
    forms._kept.cache_clear()  # another process
    other = found._replace(in_turn=not found.in_turn)
    kept.write_text(json.dumps({**record, "in_turn": other.in_turn}))
    assert forms.choice() == other
    assert len(accelerator) == 1
    forms._kept.cache_clear()
    kept.write_text("{")  # damaged: as good as none
    assert forms.choice() in forms.WAYS
    assert len(accelerator) == 2


def test_the_choice_may_be_asked_for_while_something_is_traced(accelerator):
    apply = jax.vmap(models.convolve, (None, 0))
    made = jax.jit(lambda x, kernels: apply(x, kernels))(jnp.ones((1, 4, 4, 1)), jnp.ones((2, 3, 3, 1, 1)))
    assert made.shape == (2, 1, 4, 4, 1)
    assert len(accelerator) == 1


def test_chunks_follow_the_choice(accelerator, monkeypatch):
    pictures, vectors = jnp.zeros((6, 5, 28, 28, 1)), jnp.zeros((6, 5, 784))
    for in_turn, chunk in ((True, 1), (False, 6)):
        monkeypatch.setattr(forms, "choice", lambda in_turn=in_turn: forms.Choice("plain", in_turn))
        assert chunks.default_chunk(pictures) == chunk
        assert chunks.default_chunk(vectors) == 6
    assert not accelerator


@pytest.mark.long
def test_a_form_that_does_not_compile_is_not_measured(accelerator, monkeypatch):
    refuse(monkeypatch, "plain")
    with pytest.warns(RuntimeWarning, match=r"'plain, tasks .*' do not compile on cpu, left it out: UNIMPL.* worked$"):
        assert forms.choice().form == "patches"
    assert {way.form for way in accelerator[0]} == {"patches"}


@pytest.mark.long
@pytest.mark.usefixtures("accelerator")
def test_a_program_that_does_not_compile_takes_the_other_form(monkeypatch):
    monkeypatch.setattr(forms, "_kept", functools.cache(lambda kind: forms.Choice("plain", False)))
    model = models.conv4((4, 4, 1), 2, num_filters=2, norm="layer")
    learner = maml(model, criteria.cross_entropy, optax.sgd(0.1), num_steps=1)
    params, batch = learner.init(KEY), Batch(jnp.ones((2, 2, 4, 4, 1)), jnp.array([[0, 1], [0, 1]]))
    episodes = Episode(*[batch._replace(classes=jnp.ones((2, 2, 2), bool))] * 2)
    refuse(monkeypatch, "plain")
    with pytest.warns(RuntimeWarning, match=r"form 'plain' do not compile on cpu, took 'patches': UNIMPL.* worked$"):
        scores = evaluate(learner, criteria.cross_entropy, params, episodes, KEY)
    assert np.isfinite(scores["joint"]["loss"]).all()
    assert forms.choice() == ("patches", False)
    refuse(monkeypatch, "patches")
    jax.clear_caches()
    with pytest.raises(jax.errors.JaxRuntimeError, match="no algorithm"):
        forms.falling_back(lambda: jax.eval_shape(model.init, KEY))


@pytest.mark.usefixtures("accelerator")
def test_what_is_no_fault_of_convolutions_is_raised(monkeypatch):
    monkeypatch.setattr(forms, "_kept", functools.cache(lambda kind: forms.Choice("plain", False)))

    def too_large():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    def broken():
        raise jax.errors.JaxRuntimeError("INTERNAL: of another kind")

    for fault, words in ((too_large, "RESOURCE_EXHAUSTED"), (broken, "another kind")):
        with pytest.raises(jax.errors.JaxRuntimeError, match=words):
            forms.falling_back(fault)
        assert not forms._given_up

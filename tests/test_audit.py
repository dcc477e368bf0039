import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import cli, criteria, fomaml, maml, models, proofs, protonet, tasks
from jaxmeta.auditing import PROMISES, WORDS, Report
from jaxmeta.types import Batch, Episode, MetaLearner, query_loss

KEY = jax.random.key(0)
WAYS, FEATURES = 3, 4
CRITERION = criteria.cross_entropy


def network(num_outputs=WAYS):
    def init(key):
        keys = jax.random.split(key, 2)
        shapes = {"w": (FEATURES, 5), "v": (5, num_outputs)}
        weights = {name: jax.random.normal(key, shapes[name]) for key, name in zip(keys, shapes, strict=True)}
        return {**weights, "b": jnp.linspace(0, 0.1, 5)}

    return models.from_functions(init, lambda params, x: jnp.tanh(x @ params["w"] + params["b"][None]) @ params["v"])


def batch_normalised():
    model = network()

    def apply(params, x, mask):
        outputs = model.apply(params, x)
        shares = jnp.ones(len(x)) if mask is None else mask
        return outputs - (outputs * shares[:, None]).sum(axis=0, keepdims=True) / shares.sum()

    return models.from_functions(model.init, apply)


@functools.cache
def drawn():
    sample = tasks.tabular(num_features=FEATURES, num_ways=WAYS, num_shots=2, num_queries=2)
    return tasks.drawn(sample, KEY, jnp.arange(3))


def report(learner, **options):
    return jaxmeta.audit(learner, drawn(), KEY, criterion=CRITERION, **options)


def found(report: Report) -> dict[str, str]:
    return {check.name: check.found for check in report.checks}


def ours(model=None, num_steps=2, **options):
    return maml(model or network(), CRITERION, optax.sgd(0.3), num_steps=num_steps, **options)


def composed(adapt, predict=None, init=None) -> MetaLearner:
    predict = predict or ours().predict
    return MetaLearner(init or ours().init, adapt, predict, query_loss(adapt, predict, CRITERION))


GOOD = {name: words[0] for name, words in WORDS.items()} | {"memory": "not checked"}


def test_maml_keeps_every_promise():
    audited = report(ours())
    assert found(audited) == GOOD | {"label_order": "matters"}
    assert audited.broken == ()
    (gradient,) = (check for check in audited.checks if check.name == "gradient")
    assert 0 < gradient.measured < 1e-7
    table = str(audited).splitlines()
    assert [line.split()[0] for line in table[1:]] == list(WORDS)
    assert "kept" in table[1]
    assert json.loads(json.dumps(audited.as_json()))[0] == {**gradient._asdict()}


def test_protonet_keeps_every_promise_and_knows_no_label_by_name():
    model = network(5)
    audited = report(protonet(model, CRITERION, num_ways=WAYS), promises={"label_order": "equivariant"})
    assert found(audited) == GOOD
    assert audited.broken == ()


def test_a_first_order_impostor_is_told_from_one_that_says_so():
    learner = fomaml(network(), CRITERION, optax.sgd(0.3), num_steps=2)
    audited = report(learner)
    assert audited.broken == ("gradient",)
    assert found(audited) == GOOD | {"gradient": "first_order", "label_order": "matters"}
    assert report(learner, promises={"gradient": "first_order"}).broken == ()


def test_a_surrogate_is_no_first_order():
    # Reptile's loss; Adam's update has no derivative at zero, and none is asked for.
    learner = maml(network(), CRITERION, optax.adam(0.1), num_steps=2)

    def loss(meta_params, episode, key):
        adapted = learner.adapt(*jax.lax.stop_gradient((meta_params, episode.support)), key).params
        gaps = jax.tree.map(lambda a, b: jnp.square(a - b).sum(), meta_params, adapted)
        return 0.5 * jax.tree.reduce(jnp.add, gaps), {}

    audited = report(learner._replace(loss=loss), promises={"gradient": "surrogate"})
    assert found(audited)["gradient"] == "surrogate"
    assert audited.broken == ()


def test_a_severed_leaf_is_named():
    learner = ours()

    def adapt(meta_params, support, key):
        return learner.adapt({**meta_params, "b": jax.lax.stop_gradient(meta_params["b"])}, support, key)

    audited = report(composed(adapt))
    assert audited.broken == ("gradient", "leaves")
    (leaves,) = (check for check in audited.checks if check.name == "leaves")
    assert (leaves.measured, leaves.note) == (1, "['b']")


def test_a_leaf_without_effect_is_not_severed(float64):
    learner = ours()
    unused = learner._replace(
        init=lambda key: {"network": learner.init(key), "unused": jnp.zeros(2)},
        adapt=lambda meta_params, support, key: learner.adapt(meta_params["network"], support, key),
    )
    values = proofs.gradient(subject(composed(unused.adapt, init=unused.init)))
    assert [finding[0] for finding in values.values()] == ["exact", "reached"]
    assert values["leaves"][2] == "1 of 4 without effect on the loss"


def subject(learner, episodes=None):
    return proofs.subject(learner, CRITERION, learner.init(KEY), episodes or drawn(), KEY)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("float64")
class TestRows:
    """Learners with one fault each; the other findings stay as they were."""

    plain = GOOD | {"label_order": "matters"}

    def differences(self, learner, episodes=None):
        findings = {name: finding[0] for name, finding in proofs.rows(subject(learner, episodes)).items()}
        return {name: word for name, word in findings.items() if word != self.plain[name]}

    def test_batch_moments_are_transductive_and_their_mask_is_kept(self):
        assert self.differences(ours(batch_normalised())) == {"queries": "transductive"}

    def test_an_order_leak(self):
        learner = ours()

        def adapt(meta_params, support, key):
            rows = jax.random.permutation(key, len(support.targets))[:3]  # a minibatch
            return learner.adapt(meta_params, jax.tree.map(lambda leaf: leaf[rows], support), key)

        assert self.differences(composed(adapt)) == {"support_order": "matters", "padding": "leaks"}

    def test_padding_in_the_support_set(self):
        def forgetful(predictor, batch, key):
            return CRITERION(lambda inputs, mask: predictor(inputs), batch._replace(mask=None), key)

        learner = maml(network(), forgetful, optax.sgd(0.3), num_steps=1, outer_criterion=CRITERION)
        assert self.differences(learner) == {"padding": "leaks"}

    def test_padding_in_the_gradient_alone(self):
        learner = ours()

        def predict(meta_params, adapted, inputs, mask=None):
            lengths = jnp.linalg.norm(inputs @ adapted.params["w"], axis=1, keepdims=True)
            if mask is not None:
                lengths = jnp.where(mask[:, None], lengths, 0)
            return learner.predict(meta_params, adapted, inputs) + lengths

        findings = proofs.rows(subject(composed(learner.adapt, predict)))
        assert findings["padding"][0] == "leaks"
        assert np.isnan(findings["padding"][1])

    @pytest.mark.parametrize("where", ["adaptation", "prediction"])
    def test_query_targets_in_the_loss(self, where):
        learner = ours()

        def loss(meta_params, episode, key):
            support, query = episode
            if where == "adaptation":
                support = Batch(*(jnp.concatenate(pair) for pair in zip(support[:2], query[:2], strict=True)))
            adapted = learner.adapt(meta_params, support, key)
            hint = 0.1 * jax.nn.one_hot(query.targets, WAYS) if where == "prediction" else 0
            return CRITERION(lambda inputs, mask: learner.predict(meta_params, adapted, inputs) + hint, query, key)

        # The first of the two forgets the masks, too.
        differences = self.differences(learner._replace(loss=loss))
        assert differences.pop("query_targets") == "seen"
        assert set(differences) <= {"padding"}

    def test_absent_classes_hide_no_gap(self):
        few = drawn()._replace(**{part: batch._replace(classes=None) for part, batch in drawn()._asdict().items()})
        good, bad = (protonet(model, CRITERION, num_ways=8) for model in (network(5), batch_normalised()))
        assert self.differences(good, few) == {"label_order": "equivariant"}
        assert self.differences(bad, few) == {"label_order": "equivariant", "queries": "transductive"}

    def test_a_column_of_huge_numbers_hides_no_gap(self):
        learner = ours(batch_normalised())

        def predict(*given):
            return learner.predict(*given).at[:, 0].set(-1e9)

        assert self.differences(composed(learner.adapt, predict))["queries"] == "transductive"

    def test_an_order_that_neither_a_turn_nor_a_reversal_shows(self):
        def adapt(meta_params, support, key):
            neighbours = (support.inputs * jnp.roll(support.inputs, 1, axis=0)).sum()
            return ours().adapt(jax.tree.map(lambda leaf: leaf * (1 + neighbours), meta_params), support, key)

        assert self.differences(composed(adapt))["support_order"] == "matters"

    def test_a_head_that_only_turns_with_its_labels(self):
        learner = protonet(network(5), CRITERION, num_ways=WAYS)

        def predict(*given):
            logits = learner.predict(*given)
            return logits + jnp.roll(logits, 1, axis=1)

        turned = proofs.rows(subject(composed(learner.adapt, predict, learner.init)))
        assert turned["label_order"][0] == "matters"

    def test_a_mask_that_is_only_counted(self):
        def adapt(meta_params, support, key):
            if support.mask is not None:
                first = jnp.arange(len(support.mask)) < support.mask.sum()
                support = support._replace(mask=first)
            return ours().adapt(meta_params, support, key)

        assert self.differences(composed(adapt)) == {"padding": "leaks"}

    def test_queries_that_count_those_like_themselves(self):
        learner = ours()

        def predict(meta_params, adapted, inputs, mask=None):
            far = jnp.abs(inputs[:, None] - inputs[None]).sum(axis=-1)
            alike = (jnp.where(True if mask is None else mask[None], far, 1) < 1e-3).sum(axis=1, keepdims=True)
            return learner.predict(meta_params, adapted, inputs) * alike

        assert self.differences(composed(learner.adapt, predict))["queries"] == "transductive"

    def test_one_label_tells_nothing_of_targets(self):
        alike = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if leaf.dtype == jnp.int32 else leaf, drawn())
        found, _, note = proofs.rows(subject(ours(), alike))["query_targets"]
        assert (found, note) == ("not checked", "there is one label")

    def test_what_is_no_batch_is_not_checked(self):
        learner = MetaLearner(
            lambda key: jnp.ones(2),
            lambda *given: (),
            lambda *given: (),
            lambda params, *given: (params.sum() ** 2, {}),
        )
        episodes = jaxmeta.Episode((), jnp.zeros((3, 1)))
        audited = jaxmeta.audit(learner, episodes, KEY)
        assert found(audited)["gradient"] == "exact"
        assert found(audited)["queries"] == "not checked"
        assert audited.broken == ()


def test_a_learner_that_compiles_twice():
    def init(key):
        return {**network().init(key), "b": jnp.full(5, 0.1)}  # of weak type, which an update does not keep

    count, number, note = proofs.compilations(ours()._replace(init=init), drawn(), KEY)
    assert (count, number) == ("many", 2)
    assert "meta_params['b']" in note
    assert proofs.compilations(ours(), drawn(), KEY)[:2] == ("one", 1)


def test_memory_of_exact_and_first_order_steps():
    flat = lambda num_steps: fomaml(network(), CRITERION, optax.sgd(0.3), num_steps=num_steps)  # noqa: E731
    assert proofs.memory(flat, drawn(), KEY)[0] == "flat"
    exact = lambda num_steps: ours(num_steps=num_steps, scan=jax.lax.scan)  # noqa: E731
    found, per_step, note = proofs.memory(exact, drawn(), KEY)
    assert found == "grows"
    assert per_step > 4 * 38  # at least a copy of the parameters
    assert "at 2 8 32 steps" in note


def test_a_loss_in_single_precision_is_not_judged():
    learner = ours()
    single = lambda *given: (learner.loss(*given)[0].astype(jnp.float32), {})  # noqa: E731
    with jax.enable_x64(True):
        finding = proofs.gradient(subject(learner._replace(loss=single)))["gradient"]
    assert finding[:2] == ("not checked", None)
    assert "float32" in finding[2]


def test_promises_that_are_none():
    with pytest.raises(ValueError, match="one of gradient, leaves"):
        report(ours(), promises={"gradients": "exact"})
    with pytest.raises(ValueError, match="one of exact, first_order, surrogate, None"):
        report(ours(), promises={"gradient": "second_order"})
    assert PROMISES.keys() == WORDS.keys()


MODULE = """
import optax
from jaxmeta import criteria, fomaml, models, protonet, tasks

def first_order(num_steps=1):
    return fomaml(models.mlp(1, 1, hidden=(3,)), criteria.squared_error, optax.sgd(0.01), num_steps=num_steps)

pair = protonet(models.flat(), criteria.cross_entropy, num_ways=2), tasks.tabular(
    num_features=2, num_ways=2, num_shots=2, num_queries=1)
number = 3

def needy(width):
    return width

def failing():
    raise RuntimeError("two\\nlines")

def leaving():
    raise SystemExit(0)
"""


@pytest.mark.long
def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audited_learners.py").write_text(MODULE)
    (tmp_path / "broken_module.py").write_text("1 +")

    def run(*arguments):
        code = cli.main(["audit", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    code, out, err = run("audited_learners:first_order", "--json", "found.json")
    assert (code, err) == (1, "")
    assert "broken" in out
    assert out.splitlines()[-1] == "results: found.json"
    written = json.loads((tmp_path / "found.json").read_text())
    assert written["learner"] == "audited_learners:first_order"
    assert [row["name"] for row in written["checks"]] == list(WORDS)
    rows = {row["name"]: row for row in written["checks"]}
    assert (rows["gradient"]["found"], rows["gradient"]["verdict"]) == ("first_order", "broken")
    assert rows["memory"]["found"] == "flat"  # measured, since the function takes num_steps
    assert str(tmp_path) not in json.dumps(written)
    assert run("audited_learners:pair", "--promise", "label_order=equivariant", "leaves=none")[0] == 0

    for code, message, *arguments in [
        (2, "found.json", "audited_learners:first_order", "--json", "found.json"),
        (2, "MODULE:NAME", "audited_learners"),
        (2, "'no_such_module'", "no_such_module:learner"),
        (2, "'nobody'", "audited_learners:nobody"),
        (2, "got int", "audited_learners:number"),
        (2, "needs width", "audited_learners:needy"),
        (2, "got 'exact'", "audited_learners:pair", "--promise", "exact"),
        (2, "one of exact", "audited_learners:pair", "--promise", "gradient=good"),
        (1, "RuntimeError: two lines", "audited_learners:failing"),
        (1, "SystemExit: 0", "audited_learners:leaving"),
        (1, "SyntaxError", "broken_module:learner"),
    ]:
        got, out, err = run(*arguments)
        assert (got, out) == (code, "")
        assert message in err
        assert err.count("\n") == 1


@pytest.mark.fault(promised="one line that says what is wanted")
def test_what_is_no_key_no_episodes_and_no_mask():
    learner = protonet(models.flat(), criteria.cross_entropy, num_ways=2)
    batch = Batch(jnp.ones((1, 4, 2)), jnp.arange(4)[None] % 2)
    episode, key = Episode(batch, batch), jax.random.key(0)
    for call in (
        lambda episodes, key: jaxmeta.audit(learner, episodes, key),
        lambda episodes, key: jaxmeta.evaluate(learner, criteria.cross_entropy, (), episodes, key),
    ):
        with pytest.raises(TypeError, match=r"key: expected a random key, got 0 \(int\); jax.random.key\(0\)"):
            call(episode, 0)
        with pytest.raises(TypeError, match=r"episodes: expected one Episode .*, got a list; .*stack"):
            call([episode, episode], key)
        for dtype in (int, float):
            masked = Episode(batch, batch._replace(mask=jnp.ones((1, 4), dtype)))
            with pytest.raises(TypeError, match=f"the query set: expected an array of bools, got {dtype.__name__}"):
                call(masked, key)

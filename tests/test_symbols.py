"""Strings to strings: symbols that are a task's own, the tasks, and the network."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta import checks, criteria, maml, models, symbols, tasks

KEY = jax.random.key(0)
ROOM = symbols.Room(longest=6, letters=12, symbols=16)
SOURCES = ["ab", "ba", "abc", "cab", "bc", "ca", "ac", "acb"]
TARGETS = [tuple(source.upper()) for source in SOURCES]


def test_marks_say_what_a_symbol_is_written_with():
    known = {symbol: set(symbols.marks(symbol)) - {0} for symbol in ("a", "á", "áː", "t͡ʃ", "t", "ʃ", "θ", "б", "B")}
    assert known["a"] < known["á"]
    assert known["á"] - known["a"] - set(symbols.marks("áː")) == {symbols.marks("á")[0]}
    assert known["t"] | known["ʃ"] < known["t͡ʃ"]
    assert set(symbols.marks("t")) & known["θ"]  # theta
    assert set(symbols.marks("b")) & known["б"]  # be
    assert set(symbols.marks("b")) & known["B"]
    assert all(len(symbols.marks(symbol)) == symbols.SHOWN for symbol in known)
    assert symbols.marks("a")[0] == 1 + 3904355907 % 2047  # crc32: the same on any machine


def test_strings_and_their_numbers():
    known = symbols.alphabet(["ab", "cab"], [("X", "Y"), ("Y",)])
    rows = symbols.encoded_sources(["cab", "b"], known, ROOM)
    np.testing.assert_array_equal(rows[:, :6], [[3, 1, 2, 0, 0, 0], [2, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(rows[0, 6:10], symbols.marks("a"))
    np.testing.assert_array_equal(rows[0, 6:], rows[1, 6:])
    numbers = symbols.encoded_targets([("Y", "X"), ()], known, ROOM)
    np.testing.assert_array_equal(numbers, [[3, 2, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]])
    assert symbols.decoded(numbers, known.symbols) == [("Y", "X"), ()]
    assert symbols.decoded(np.full((1, 7), 2.0), known.symbols) == [("X",) * 7]
    for make, message in (
        (lambda: symbols.encoded_sources(["abcabca"], symbols.alphabet(["abc"], ()), ROOM, "f"), "at most 6 letters"),
        (lambda: symbols.encoded_targets([("X",) * 7], known, ROOM, "f"), "at most 6 symbols"),
        (lambda: symbols.encoded_sources(["a"], symbols.alphabet(["abcdefghijklmn"], ()), ROOM, "f"), "12 different l"),
        (lambda: symbols.encoded_sources(["a"], symbols.alphabet("a", ["ABCDEFGHIJKLMNOPQ"]), ROOM, "f"), "14 diff"),
    ):
        with pytest.raises(checks.DataError, match=f"f: expected .*{message}"):
            make()


def words(batch):
    return {tuple(row) for row in np.asarray(batch.inputs[:, :6])}


@pytest.mark.parametrize("asked", [None, np.arange(8) > 4])
def test_support_and_queries_share_no_string(asked):
    sample = tasks.transduction(SOURCES, TARGETS, num_shots=3, num_queries=3, query_rows=asked, room=ROOM)
    drawn = jax.jit(jax.vmap(sample))(jax.random.split(KEY, 40))
    known = symbols.alphabet(SOURCES, TARGETS)
    encoded = [tuple(row) for row in symbols.encoded_sources(SOURCES, known, ROOM)[:, :6]]
    numbers = symbols.encoded_targets(TARGETS, known, ROOM)
    seen = set()
    for task in range(40):
        support, query = jax.tree.map(lambda leaf, task=task: leaf[task], tuple(drawn))
        assert len(words(support)) == len(words(query)) == 3
        assert not words(support) & words(query)
        seen |= words(query)
        if asked is not None:
            assert words(query) == {encoded[row] for row in np.flatnonzero(asked)}
        there = set(np.unique(support.targets))
        for batch in (support, query):
            for row, target in zip(batch.inputs[:, :6], batch.targets, strict=True):
                right = numbers[encoded.index(tuple(np.asarray(row)))]
                np.testing.assert_array_equal(target, [each if each in there or each == 0 else -1 for each in right])
        table = np.asarray(query.inputs[0, 6:]).reshape(-1, symbols.SHOWN)[ROOM.letters :]
        assert {number for number in range(16) if table[number, 0]} == there - {0}
    assert asked is not None or seen == set(encoded)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_shots": 6}, "num_shots: expected at most the 8"),
        ({"num_shots": 6, "query_rows": np.arange(8) > 4}, "num_shots: expected at most the 5"),
        ({"query_rows": np.arange(8) > 6}, "num_queries: expected at most the 1"),
        ({"sources": ["ab"] * 8}, "different strings"),
    ],
)
def test_tasks_that_cannot_be(options, message):
    given = {"num_shots": 2, "num_queries": 3} | options
    with pytest.raises(ValueError, match=message):
        tasks.transduction(given.pop("sources", SOURCES), TARGETS, room=ROOM, **given)


@pytest.fixture(scope="module")
def small():
    model = models.transducer(ROOM, width=8, num_layers=1, num_heads=2)
    params = jax.jit(model.init)(KEY)
    # Large, so that what is said is not the same everywhere.
    return model, jax.tree.map(lambda leaf: leaf * 3 if leaf.ndim > 1 else leaf, params)


def test_what_is_said_is_the_likeliest_after_what_was_said(small):
    model, params = small
    episode = tasks.transduction(SOURCES, TARGETS, num_shots=4, num_queries=4, room=ROOM)(KEY)
    for inputs in (episode.support.inputs, episode.query.inputs):
        said = jax.jit(model.apply)(params, inputs)
        assert said.shape == (4, 7)
        assert len(np.unique(said)) > 2
        previous = jnp.concatenate([jnp.ones((4, 1), said.dtype), said[:, :-1]], axis=1)
        likeliest = jax.jit(model.apply)(params, (inputs, previous)).argmax(axis=-1)
        over = np.cumsum(np.asarray(said) == symbols.END, axis=1) - (np.asarray(said) == symbols.END) > 0
        np.testing.assert_array_equal(np.where(over, 0, likeliest), said)
        alone = jnp.concatenate([jax.jit(model.apply)(params, row[None]) for row in inputs])
        np.testing.assert_array_equal(alone, said)


def test_logits_look_at_nothing_that_comes(small):
    model, params = small
    inputs = tasks.transduction(SOURCES, TARGETS, num_shots=4, num_queries=4, room=ROOM)(KEY).support.inputs
    previous = jnp.array([[1, 2, 3, 4]] * 4)
    apply = jax.jit(model.apply)
    first, later = (apply(params, (inputs, each)) for each in (previous, previous.at[:, 3].set(2)))
    np.testing.assert_array_equal(first[:, :3], later[:, :3])
    assert np.abs(first[:, 3] - later[:, 3]).max() > 1e-3
    assert (first[..., 0] < -1e30).all()  # nobody says padding
    there = np.asarray(inputs[0, 6:]).reshape(-1, symbols.SHOWN)[ROOM.letters :, 0] > 0
    assert (np.asarray(first)[..., ~there] < -1e30).all()
    assert (np.asarray(first)[..., there] > -1e3).all()


def test_parameters_do_not_hang_on_the_room(small):
    model, params = small
    wide = symbols.Room(longest=9, letters=14, symbols=20)
    known = symbols.alphabet(SOURCES, TARGETS)
    rows, wider = (symbols.encoded_sources(SOURCES, known, room) for room in (ROOM, wide))
    said = jax.jit(model.apply)(params, jnp.asarray(rows))
    other = models.transducer(wide, width=8, num_layers=1, num_heads=2)
    assert jax.tree.map(jnp.shape, jax.eval_shape(other.init, KEY)) == jax.tree.map(jnp.shape, params)
    np.testing.assert_array_equal(jax.jit(other.apply)(params, jnp.asarray(wider))[:, :7], said)


def test_the_numbers_of_letters_and_symbols_are_a_tasks_own(small):
    model, params = small
    known = symbols.alphabet(SOURCES, TARGETS)
    other = symbols.Alphabet(known.letters[::-1], known.symbols[::-1])
    said, renamed = (
        symbols.decoded(
            jax.jit(model.apply)(params, jnp.asarray(symbols.encoded_sources(SOURCES, own, ROOM))), own.symbols
        )
        for own in (known, other)
    )
    assert said == renamed


@pytest.mark.long
def test_a_language_is_learned():
    model = models.transducer(ROOM, width=16, num_layers=1, num_heads=2)
    episode = tasks.transduction(SOURCES, TARGETS, num_shots=6, num_queries=2, room=ROOM)(KEY)
    learner = maml(model, criteria.transduction, optax.adam(1e-2, eps_root=1e-10), num_steps=150)

    @jax.jit
    def errors(params):
        adapted = learner.adapt(params, episode.support, KEY)
        return [
            criteria.error_rates(lambda x, mask=None: learner.predict(params, adapted, x), batch, KEY)[0]
            for batch in episode
        ]

    shown, asked = errors(model.init(KEY))
    assert shown == 0
    assert asked < 0.7


def test_letters_stand_for_one_another():
    plain = tasks.transduction(SOURCES, TARGETS, num_shots=3, num_queries=3, room=ROOM)
    made = jax.jit(jax.vmap(tasks.renamed(plain, room=ROOM)))(jax.random.split(KEY, 60))
    tables = np.asarray(made.support.inputs[:, 0, 6 : 6 + ROOM.letters * symbols.SHOWN])
    tables, others = np.split(tables.reshape(60, ROOM.letters, symbols.SHOWN), [3], axis=1)
    letters = [tuple(symbols.marks(letter)) for letter in "abc"]
    orders = {tuple(letters.index(tuple(row)) for row in table) for table in tables}
    assert len(orders) > 3
    assert 20 < sum((table == np.array(letters)).all() for table in tables) < 58
    assert (others == 0).all()
    table = np.asarray(made.support.inputs[:, :1, 6 : 6 + ROOM.letters * symbols.SHOWN])
    for part in made:
        np.testing.assert_array_equal(
            part.inputs[:, :, 6 : 6 + ROOM.letters * symbols.SHOWN], np.repeat(table, 3, axis=1)
        )
        words = {
            tuple(row) for row in symbols.encoded_sources(SOURCES, symbols.alphabet(SOURCES, TARGETS), ROOM)[:, :6]
        }
        assert {tuple(row) for row in np.asarray(part.inputs[:, :, :6]).reshape(-1, 6)} <= words


def test_widths_that_cannot_be():
    with pytest.raises(ValueError, match="a multiple of num_heads"):
        models.transducer(ROOM, width=10)

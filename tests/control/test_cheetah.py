"""The cheetah, beside MuJoCo's own engine where the extra mjx is installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import control
from jaxmeta.control import cheetah

KEY = jax.random.key(0)


def test_what_is_missing_is_named_with_what_to_install(monkeypatch):
    cheetah._engine.cache_clear()
    cheetah._rules.cache_clear()
    monkeypatch.setattr(cheetah, "_is_there", lambda name: name == "gymnasium")
    with pytest.raises(ImportError, match=r"needs mujoco, mujoco.mjx: pip install 'jaxmeta\[mjx\]'"):
        control.cheetah_direction(num_shots=2, num_queries=2)


@pytest.mark.long
def test_a_step_is_mujocos_and_the_reward_is_the_tasks():
    mujoco = pytest.importorskip("mujoco", reason="wants the extra mjx")
    pytest.importorskip("mujoco.mjx", reason="wants the extra mjx")
    episode = control.cheetah_velocity(num_shots=2, num_queries=2, horizon=3)(KEY)
    rules, task = episode.support.rules, episode.support.parameters
    assert 0 <= float(task.goal) < cheetah.MOST_SPEED
    state, action = rules.reset(task, KEY), jnp.array([0.3, -0.5, 2.0, 0.1, -0.2, 0.0])
    own = mujoco.MjModel.from_xml_path(str(cheetah._body()))
    own.opt.iterations, own.opt.ls_iterations = cheetah.ITERATIONS, cheetah.SEARCHES
    data, step = mujoco.MjData(own), jax.jit(rules.step)
    data.qpos[:], data.qvel[:], data.ctrl[:] = state.positions, state.speeds, np.clip(action, -1, 1)
    for _ in range(4):
        before = data.qpos[0]
        mujoco.mj_step(own, data, cheetah.FRAMES)
        state, reward, done = step(task, state, action, KEY)
        np.testing.assert_allclose(state.positions, data.qpos, atol=2e-3)
        speed = (data.qpos[0] - before) / 0.05
        wanted = -abs(speed - float(task.goal)) - 0.05 * np.square(data.ctrl).sum()
        np.testing.assert_allclose(reward, wanted, atol=5e-2)
        assert not done
    np.testing.assert_allclose(rules.observe(task, state), np.concatenate([data.qpos[1:], data.qvel]), atol=5e-2)
    back = control.Cheetah(jnp.array(-1.0))
    forwards, backwards = (
        cheetah._towards(each, state, action, KEY)[1] for each in (control.Cheetah(-back.goal), back)
    )
    cost = 0.05 * np.square(np.clip(action, -1, 1)).sum()
    np.testing.assert_allclose(forwards + cost, -(backwards + cost), rtol=1e-4)

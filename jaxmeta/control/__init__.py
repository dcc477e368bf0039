"""Environments in JAX, and what a policy meets in them."""

from jaxmeta.control.arm import BODIES, Arm, arm
from jaxmeta.control.arm import places as arm_places
from jaxmeta.control.cartpole import CartPole, cartpole
from jaxmeta.control.chain import Chain, chain, enumerated
from jaxmeta.control.cheetah import Cheetah, cheetah_direction, cheetah_velocity
from jaxmeta.control.distributions import Gaussian, divergence, log_probability, mean_action, sample
from jaxmeta.control.environment import Environment, Rules, episodes_of
from jaxmeta.control.grid import Grid, grid
from jaxmeta.control.navigation import navigation
from jaxmeta.control.pendulum import Pendulum, pendulum
from jaxmeta.control.rollouts import first_broken, rollout
from jaxmeta.control.trajectories import (
    Baseline,
    Trajectories,
    advantages,
    discounted,
    episode_return,
    linear_baseline,
    no_baseline,
)

__all__ = [
    "BODIES",
    "Arm",
    "Baseline",
    "CartPole",
    "Chain",
    "Cheetah",
    "Environment",
    "Gaussian",
    "Grid",
    "Pendulum",
    "Rules",
    "Trajectories",
    "advantages",
    "arm",
    "arm_places",
    "cartpole",
    "chain",
    "cheetah_direction",
    "cheetah_velocity",
    "discounted",
    "divergence",
    "enumerated",
    "episode_return",
    "episodes_of",
    "first_broken",
    "grid",
    "linear_baseline",
    "log_probability",
    "mean_action",
    "navigation",
    "no_baseline",
    "pendulum",
    "rollout",
    "sample",
]

"""Pictures of policies: what they walk before and after adaptation, and an arm that moves.

Made with matplotlib (extra `plots`) and pillow (extra `data`), which are imported once a picture is asked for.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxmeta import checks, control, tree
from jaxmeta.report import style
from jaxmeta.types import Array, Episode, MetaLearner, PyTree, adapted_predictor

Rollouts = Mapping[int, control.Trajectories]
"""{inner steps: the trajectories of the policy after so many}"""
_COLORS = (style.SOFT, style.ORANGE, style.SKY, style.BLUE, style.GREEN)


def rollouts(
    learner_of: Callable[[int], MetaLearner], meta_params: PyTree, episodes: Episode, key: Array, steps: Sequence[int]
) -> list[tuple[control.Environment, Rollouts]]:
    """Trajectories of each task's policy after each number of inner steps, on the same random numbers.

    Args:
      learner_of: inner steps -> the learner in test.
      meta_params: what was learned.
      episodes: of Environments, leaves [num_tasks, ...].
      key: a random key.
      steps: the numbers of steps.

    Returns:
      A task's environment and rollouts, as `trajectories` and `animation` take them, of each task.
    """
    count = tree.leading_axis(episodes)

    def after(number: int) -> control.Trajectories:
        learner = learner_of(number)

        def rolled(episode: Episode, key: Array) -> control.Trajectories:
            adapted = learner.adapt(meta_params, episode.support, key)
            predictor = adapted_predictor(learner.predict, meta_params, adapted)
            return control.rollout(predictor, episode.query, jax.random.fold_in(key, 1))

        return jax.device_get(jax.jit(jax.vmap(rolled))(episodes, jax.random.split(key, count)))

    found = {number: after(number) for number in steps}
    of_task = lambda task, leaves: jax.tree.map(lambda leaf: leaf[task], leaves)  # noqa: E731
    return [
        (of_task(task, episodes.query), {number: of_task(task, own) for number, own in found.items()})
        for task in range(count)
    ]


def _hands(env: control.Environment, found: control.Trajectories) -> np.ndarray:
    if env.rules.name == "navigation":
        return np.asarray(found.states)
    return np.asarray(jax.vmap(jax.vmap(lambda angles: control.arm_places(env.parameters, angles)[1]))(
        found.states.angles))  # fmt: skip


def _target(env: control.Environment) -> np.ndarray:
    return np.asarray(env.parameters if env.rules.name == "navigation" else env.parameters.target)


@style.styled
def trajectories(tasks: Sequence[tuple[control.Environment, Rollouts]]) -> Any:
    """Where a point or a hand goes in each task before and after each number of inner steps, and where it should.

    Args:
      tasks: of navigation or the arm, a panel each.

    Returns:
      A matplotlib Figure.

    Raises:
      ValueError: if there are no tasks, or their environment has no places to draw.
    """
    names = {env.rules.name for env, _ in tasks}
    if not names or names - {"navigation", "arm"}:
        checks.fail("trajectories", "tasks of navigation or arm", ", ".join(sorted(names)) or "none")
    lines = math.ceil(len(tasks) / 2)
    figure = style.sheet(0.5 + 2.9 * lines)
    panels = figure.subplots(lines, 2, squeeze=False).reshape(-1)
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    for panel, (env, found) in zip(panels, tasks, strict=False):
        for color, (steps, own) in zip(_COLORS, found.items(), strict=False):
            weights = np.asarray(own.weights)
            for path, counts in zip(_hands(env, own)[:5], weights[:5], strict=True):
                path = path[: max(2, int((counts > 0).sum()))]
                panel.plot(path[:, 0], path[:, 1], color=color, linewidth=1, alpha=0.8)
            label = f"{steps} step{'' if steps == 1 else 's'}: {float(control.episode_return(own)):.1f}"
            panel.plot([], [], color=color, linewidth=2, label=label)
        panel.plot(*_target(env), marker="*", color=style.RED, markersize=14, linestyle="", markeredgecolor=style.INK)
        panel.set_aspect("equal", adjustable="datalim")
        panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), handlelength=1.2, borderpad=0.2)
        style.ruled(panel, "both")
    figure.supxlabel("returns after so many steps; the star is not told", fontsize=9)
    return figure


@style.styled
def rewards(tasks: Sequence[tuple[control.Environment, Rollouts]]) -> Any:
    """The mean reward at each time after each number of inner steps, a panel for each task.

    Args:
      tasks: of any environment.

    Returns:
      A matplotlib Figure.
    """
    figure = style.sheet(0.6 + 1.7 * len(tasks))
    panels = figure.subplots(len(tasks), 1, sharex=True, squeeze=False)[:, 0]
    for index, (panel, (_, found)) in enumerate(zip(panels, tasks, strict=True)):
        for color, line, (steps, own) in zip(_COLORS, ("-", "--", "-.", ":", "-"), found.items(), strict=False):
            weights = np.asarray(own.weights)
            mean = (np.asarray(own.rewards) * weights).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-9)
            label = f"{steps} step{'' if steps == 1 else 's'}: {float(control.episode_return(own)):.1f}"
            panel.plot(mean, line, color=color, label=label)
        panel.set_title(f"task {index + 1}")
        panel.legend(loc="best")
        style.ruled(panel, "y")
    figure.supylabel("mean reward", fontsize=9)
    panels[-1].set_xlabel("time; returns after so many inner steps")
    return figure


@style.styled
def learning_curves(runs: Mapping[str, Sequence[Mapping[str, Any]]], metric: str = "return") -> Any:
    """A metric over the steps of trainings, in training and on validation tasks.

    Args:
      runs: {label: the lines of metrics.jsonl}.
      metric: which of them.

    Returns:
      A matplotlib Figure.
    """
    figure = style.sheet(3.4)
    panel = figure.subplots()
    for index, (label, lines) in enumerate(runs.items()):
        color, _ = style.place(index)
        for split, line in (("train", ":"), ("validation", "-")):
            own = [each for each in lines if each["split"] == split and each.get(metric) is not None]
            panel.plot([each["step"] for each in own], [each[metric] for each in own], line, color=color)
        panel.plot([], [], "-", color=f"C{index}", label=label)
    panel.set_xlabel("step; dotted: training, line: validation after adaptation")
    panel.set_ylabel(metric)
    if metric == "return":
        panel.set_yscale("symlog", linthresh=1.0)
    panel.legend()
    style.ruled(panel, "both")
    return figure


def animation(
    path: str | os.PathLike[str], env: control.Environment, found: Rollouts, *, milliseconds: int = 60
) -> None:
    """Writes a GIF of the arm after each number of inner steps, side by side, on its way to the target.

    Args:
      path: of the GIF.
      env: a task of the arm.
      found: its rollouts; the first trajectory of each is shown.
      milliseconds: of a frame.

    Raises:
      ValueError: if it is another environment.
      ImportError: if pillow is missing.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise ImportError("pictures need pillow: pip install 'jaxmeta[data]'") from error
    if env.rules.name != "arm":
        checks.fail("animation", "an arm", env.rules.name)
    size, reach = 200, 1.15 * float(np.sum(env.parameters.lengths))
    places = jax.vmap(lambda angles: control.arm_places(env.parameters, angles))
    arms = [np.asarray(places(own.states.angles[0])) for own in found.values()]

    def pixel(place: np.ndarray, column: int) -> tuple[float, float]:
        return size * (column + 0.5 + place[0] / reach / 2), size * (0.5 - place[1] / reach / 2)

    def frame(time: int) -> Any:
        image = Image.new("RGB", (size * len(arms), size + 16), "white")
        draw = ImageDraw.Draw(image)
        for column, (steps, arm) in enumerate(zip(found, arms, strict=True)):
            x, y = pixel(_target(env), column)
            draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill="#D55E00")
            joints = [pixel(np.zeros(2), column), *(pixel(place, column) for place in arm[time])]
            draw.line(joints, fill="#0072B2", width=5)
            for x, y in joints:
                draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill="#404040")
            draw.text((size * column + 6, size), f"after {steps} step{'' if steps == 1 else 's'}", fill="black")
        return image

    frames = [frame(time) for time in range(len(arms[0]))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)

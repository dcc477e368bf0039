"""The spread of training seeds apart from the spread of tasks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jaxmeta.statistics import arrays
from jaxmeta.statistics.intervals import Interval, mean_interval, student_interval


class SeedSpread(NamedTuple):
    """How much scores vary with the training seed, how much with the task, and what that says of the mean."""

    mean: float  # over seeds and tasks
    seed_std: float  # standard deviation, over seeds, of the seeds' means: the "+-" of most papers
    seed_effect: float  # the same less what the draw of tasks adds to it: the square root of a variance component, >= 0
    task_std: float  # standard deviation over the tasks of one seed, pooled over seeds
    these_seeds: Interval  # for new tasks and these trained models: seeds are a fixed effect
    new_seeds: Interval  # for new tasks and models trained anew: seeds are a random effect


def crossed_seeds(scores: Any, *, level: float = 0.95) -> SeedSpread:
    """The spread over seeds and over tasks when every seed's model met the same tasks (a crossed design).

    With S seeds, T tasks and y_st the score of seed s on task t, y_st = mean + seed_s + task_t + rest_st. Let V_seed
    be the variance, over seeds, of the S seed means, V_task that, over tasks, of the T task means, and R the variance
    of y_st - (seed mean) - (task mean) + mean on (S - 1) (T - 1) degrees of freedom:

      seed_effect^2 = max(0, V_seed - R / T)
      these_seeds   = mean +- t sqrt(V_task / T), T - 1 degrees of freedom
      new_seeds     = mean +- t sqrt(V_seed / S + V_task / T), degrees of freedom by Satterthwaite

    The last sum holds the variance of rest twice, R / (S T) too much, which errs to the wide side: simulated, normal
    scores were held at 94.5 to 97.5% from 4 seeds on. Of 3 and of 2 seeds whose effect was large it held 93 and 91.5%.

    Args:
      scores: [num_seeds, num_tasks], at least 2 of both; a column is one task.
      level: the confidence of both intervals, in (0, 1).

    Raises:
      ValueError: if scores are too few, not [num_seeds, num_tasks] or not finite, or level is not in (0, 1).

    References:
      Satterthwaite, An Approximate Distribution of Estimates of Variance Components, 1946.
      Searle, Casella and McCulloch, Variance Components, 1992, chapter 4.

    Example:
      >>> from jaxmeta import statistics
      >>> spread = statistics.crossed_seeds([[0.5, 0.7, 0.9], [0.7, 0.8, 0.9]])
      >>> print(f"{spread.mean:.2f} {spread.seed_std:.3f} {spread.seed_effect:.3f} {spread.task_std:.3f}")
      0.75 0.071 0.058 0.158
    """
    scores = arrays.finite("crossed_seeds: scores", scores, seeds=2, tasks=2)
    level = arrays.confidence("crossed_seeds: level", level)
    num_seeds, num_tasks = scores.shape
    seed_means, task_means = scores.mean(1), scores.mean(0)
    rest = scores - seed_means[:, None] - task_means + scores.mean()
    seed_variance = seed_means.var(ddof=1)
    rest_variance = np.sum(rest**2) / ((num_seeds - 1) * (num_tasks - 1))
    by_seed, by_task = seed_variance / num_seeds, task_means.var(ddof=1) / num_tasks
    freedom = _satterthwaite([by_seed, by_task], [num_seeds - 1, num_tasks - 1])
    return SeedSpread(
        mean=float(scores.mean()),
        seed_std=float(np.sqrt(seed_variance)),
        seed_effect=float(np.sqrt(max(0.0, seed_variance - rest_variance / num_tasks))),
        task_std=float(np.sqrt(scores.var(1, ddof=1).mean())),
        these_seeds=mean_interval(task_means, level=level),
        new_seeds=student_interval(scores.mean(), by_seed + by_task, freedom, level),
    )


def nested_seeds(scores: Any, *, level: float = 0.95) -> SeedSpread:
    """The spread over seeds and over tasks when every seed's model met tasks of its own (a nested design).

    With S seeds, T tasks each, y_st = mean + seed_s + rest_st, V_seed the variance, over seeds, of the S seed means and
    W_s the variance, over its own tasks, of seed s's scores, whose mean over seeds is W:

      seed_effect^2 = max(0, V_seed - W / T)
      these_seeds   = mean +- t sqrt(W / (S T)), degrees of freedom by Satterthwaite
      new_seeds     = mean +- t sqrt(V_seed / S), S - 1 degrees of freedom

    Args:
      scores: [num_seeds, num_tasks], at least 2 of both; no two rows share a task.
      level: the confidence of both intervals, in (0, 1).

    Raises:
      ValueError: if scores are too few, not [num_seeds, num_tasks] or not finite, or level is not in (0, 1).

    References:
      Satterthwaite, An Approximate Distribution of Estimates of Variance Components, 1946.
      Searle, Casella and McCulloch, Variance Components, 1992, chapter 3.

    Example:
      >>> from jaxmeta import statistics
      >>> spread = statistics.nested_seeds([[0.5, 0.7, 0.9], [0.7, 0.8, 0.9]])
      >>> print(f"{spread.mean:.2f} {spread.seed_std:.3f} {spread.seed_effect:.3f} {spread.task_std:.3f}")
      0.75 0.071 0.000 0.158
    """
    scores = arrays.finite("nested_seeds: scores", scores, seeds=2, tasks=2)
    level = arrays.confidence("nested_seeds: level", level)
    num_seeds, num_tasks = scores.shape
    seed_means, within = scores.mean(1), scores.var(1, ddof=1)
    freedom = _satterthwaite(within, [num_tasks - 1] * num_seeds)
    return SeedSpread(
        mean=float(scores.mean()),
        seed_std=float(seed_means.std(ddof=1)),
        seed_effect=float(np.sqrt(max(0.0, seed_means.var(ddof=1) - within.mean() / num_tasks))),
        task_std=float(np.sqrt(within.mean())),
        these_seeds=student_interval(scores.mean(), within.mean() / (num_seeds * num_tasks), freedom, level),
        new_seeds=mean_interval(seed_means, level=level),
    )


def _satterthwaite(variances: Any, freedoms: list[int]) -> float:
    """The degrees of freedom of a sum of independent variance estimates."""
    variances = np.asarray(variances)
    if not variances.any():
        return 0.0
    shares = variances / variances.sum()
    return float(1 / np.sum(shares**2 / freedoms))

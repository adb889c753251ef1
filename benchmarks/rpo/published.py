"""What CleanRL publishes: mean and standard deviation over 10 seeds after 8M steps.

From docs/rl-algorithms/rpo.md of vwxyzjn/cleanrl (commit 17a2406): training returns of the
stochastic policy, with one environment x 2048 steps, and a time limit as an end. Its tasks are
dm_control's, Gym's Pendulum-v1 and Gym's MuJoCo tasks of version 4. Ours have the same names in
MuJoCo Playground, gymnax and, as version 5, MJX.
"""

import math
from typing import NamedTuple

from benchmarks.rpo.groups import Group
from rpojax.statistics import Estimate

SEEDS = 10
QUANTILE = 2.262
"""Of Student's t at 97.5 %, for ten seeds."""


class Published(NamedTuple):
    """A published score."""

    mean: float
    std: float

    @property
    def interval(self) -> Estimate:
        """The mean and its 95 % interval, as if returns were normal."""
        half = QUANTILE * self.std / math.sqrt(SEEDS - 1)
        return Estimate(self.mean, self.mean - half, self.mean + half, 0.95)


def _tasks(
    prefix: str, alphas: tuple[float, ...], scores: dict[str, tuple[float, ...]]
) -> dict[tuple[str, float], Published]:
    return {
        (prefix + task, alpha): Published(*numbers[2 * place : 2 * place + 2])
        for task, numbers in scores.items()
        for place, alpha in enumerate(alphas)
        if len(numbers) > 2 * place
    }


PUBLISHED: dict[tuple[str, float], Published] = {
    **_tasks("", (0.0, 0.5), {"Pendulum-v1": (-1141.98, 135.55, -151.08, 3.73)}),
    **_tasks(
        "playground/",
        (0.0, 0.5),
        {
            "PendulumSwingup": (472.19, 385.47, 774.30, 21.03),
            "CartpoleSwingupSparse": (240.14, 299.93, 525.49, 185.96),
            "CartpoleSwingup": (590.21, 16.72, 613.46, 10.91),
            "CartpoleBalance": (790.36, 17.64, 795.12, 10.49),
            "BallInCup": (935.26, 12.57, 939.75, 10.18),
            "PointMass": (534.23, 264.35, 653.73, 23.14),
            "AcrobotSwingup": (26.87, 7.93, 42.97, 2.71),
            "CartpoleBalanceSparse": (986.04, 9.93, 988.56, 4.28),
            "AcrobotSwingupSparse": (1.70, 0.88, 3.31, 0.84),
            "ReacherEasy": (773.01, 56.70, 716.89, 50.07),
        },
    ),
    **_tasks(
        "mjx/",
        (0.0, 0.5, 0.01),
        {
            "InvertedPendulum-v5": (888.83, 34.66, 879.81, 35.52),
            "InvertedDoublePendulum-v5": (5644.00, 353.46, 296.97, 15.95, 5409.03, 318.68),
            "Reacher-v5": (-4.67, 0.88, -66.35, 0.66, -3.93, 0.19),
            "Pusher-v5": (-30.62, 6.80, -276.32, 26.99, -31.48, 9.83),
        },
    ),
}
"""By our name of the environment, and alpha; 0 is PPO."""


def published_for(group: Group) -> Published | None:
    """What is published of a setting, if anything.

    CleanRL's agents are perturbed in the update only, and a time limit terminates.
    """
    if group.time_limit_bootstrap or (group.alpha and group.perturb_rollouts):
        return None
    return PUBLISHED.get((group.environment, group.alpha))

"""What CleanRL publishes: mean and standard deviation over 10 seeds after 8M steps.

From docs/rl-algorithms/rpo.md of vwxyzjn/cleanrl (commit 17a2406): training returns of the
stochastic policy, with one environment x 2048 steps, and a time limit as an end. Its tasks are
dm_control's, Gym's Pendulum-v1 and Gym's MuJoCo tasks of version 4. Ours have the same names in
MuJoCo Playground, gymnax and, as version 5, mjx/ and mujoco/.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks.rpo.groups import Group

SEEDS = 10
LEVEL = 0.05  # of the tests


class Published(NamedTuple):
    """A published score."""

    mean: float
    std: float

    def verdict(self, scores: np.ndarray) -> str:
        """Where the mean of scores [N] lies: "above", "below", or "not apart", by Welch's t-test.

        It takes published standard deviations for those of the ten scores (NumPy's default).
        """
        own = scores.mean(), scores.std(ddof=1), len(scores)
        std = self.std * (SEEDS / (SEEDS - 1)) ** 0.5
        test = stats.ttest_ind_from_stats(*own, self.mean, std, SEEDS, equal_var=False)
        if not test.pvalue < LEVEL:
            return "not apart"
        return "above" if test.statistic > 0.0 else "below"


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
            "HopperStand": (3.26, 1.65, 404.39, 198.17),
            "WalkerWalk": (305.74, 92.15, 787.11, 125.97),
            "WalkerStand": (439.24, 210.22, 734.74, 142.52),
            "WalkerRun": (128.18, 91.52, 391.56, 119.75),
            "HopperHop": (6.48, 18.92, 62.60, 87.29),
            "FingerTurnHard": (83.76, 28.96, 259.99, 144.83),
            "FingerTurnEasy": (237.76, 78.10, 450.88, 133.54),
            "FingerSpin": (630.06, 252.99, 848.67, 25.21),
            "CheetahRun": (472.14, 99.62, 565.51, 58.03),
            "HumanoidStand": (20.76, 29.35, 140.43, 57.27),
            "HumanoidWalk": (8.92, 18.01, 77.00, 53.00),
            "HumanoidRun": (5.44, 9.16, 24.00, 19.54),
            "FishSwim": (80.42, 9.18, 140.33, 49.10),
            "ReacherHard": (637.84, 81.15, 576.81, 48.25),
            "SwimmerSwimmer6": (164.22, 18.44, 159.60, 39.52),
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
    **_tasks(
        "mujoco/",
        (0.0, 0.5, 0.01),
        {
            "Walker2d-v5": (2872.92, 690.53, 3665.48, 278.61),
            "Ant-v5": (1774.42, 819.08, -7.99, 2.47, 2702.91, 683.53),
            "Humanoid-v5": (583.17, 27.88, 799.44, 170.85),
            "HumanoidStandup-v5": (109325.87, 16161.71, 150972.11, 6926.19),
            "Hopper-v5": (2761.77, 286.88, 1557.18, 206.74, 2334.22, 441.89),
            "HalfCheetah-v5": (2667.34, 1109.99, 2163.57, 790.16, 2716.51, 1314.93),
            "Swimmer-v5": (124.52, 22.10, 117.82, 10.07, 129.97, 12.02),
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

"""What the tables compare, and the settings that they share.

A cell is an environment with one choice of the static settings. All alphas of a cell and all of
their agents train in one program, since alpha is traced.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import rpojax

AGENTS = 10  # of each alpha
EPISODES = {"gymnax": 1024, "others": 128}
"""Of each agent's evaluation. Returns in Pendulum-v1 depend on where it starts more than on the
agent, and episodes of gymnax are short."""

ON_MJX = (
    "PendulumSwingup",
    "CartpoleSwingupSparse",
    "CartpoleSwingup",
    "CartpoleBalance",
    "BallInCup",
    "PointMass",
    "AcrobotSwingup",
    "CartpoleBalanceSparse",
    "AcrobotSwingupSparse",
    "ReacherEasy",
)
"""Of dm_control, trained on MJX. The others, on MuJoCo's C engine, are in the order of what
CleanRL's RPO gains."""
ON_C = (
    "HopperStand",
    "WalkerWalk",
    "WalkerStand",
    "WalkerRun",
    "HopperHop",
    "FingerTurnHard",
    "FingerTurnEasy",
    "FingerSpin",
    "CheetahRun",
    "HumanoidStand",
    "HumanoidWalk",
    "HumanoidRun",
    "FishSwim",
    "ReacherHard",
    "SwimmerSwimmer6",
)
MUJOCO = {
    "mjx": ("InvertedPendulum-v5", "InvertedDoublePendulum-v5", "Reacher-v5", "Pusher-v5"),
    "mujoco": (
        "Walker2d-v5",
        "Ant-v5",
        "Humanoid-v5",
        "HumanoidStandup-v5",
        "Hopper-v5",
        "HalfCheetah-v5",
        "Swimmer-v5",
    ),
}
"""Gymnasium's tasks by the family that trains them: on MJX, and on the C engine."""
GYMNAX = (
    "Pendulum-v1",
    "MountainCarContinuous-v0",
    "PointRobot-misc",
    "Reacher-misc",
    "Swimmer-misc",
)


class Cell(NamedTuple):
    """An environment, the static settings, and the alphas."""

    table: str
    cfg: rpojax.Config
    alphas: tuple[float, ...]

    @property
    def episodes(self) -> int:
        """Of each agent's evaluation."""
        return EPISODES["gymnax" if self.cfg.env in GYMNAX else "others"]

    @property
    def name(self) -> str:
        """Of the directory in which it is trained."""
        environment = str(self.cfg.env).replace("/", "-")
        perturbed = "rollout" if self.cfg.perturb_rollouts else "update"
        limit = "bootstrap" if self.cfg.time_limit_bootstrap else "end"
        return f"{self.table}-{environment}-{perturbed}-{limit}-{self.cfg.total_timesteps}"


def dm_control(steps: int | None) -> list[Cell]:
    """RPO by the paper and PPO; and RPO by skrl."""
    return [
        Cell(
            "dm_control",
            _parallel(
                f"playground/{task}", steps or 2_000_000, perturbed, env_params={"impl": impl}
            ),
            alphas,
        )
        for perturbed, alphas in ((False, (0.5, 0.0)), (True, (0.5,)))
        for impl, tasks in (("jax", ON_MJX), ("c", ON_C))
        for task in tasks
    ]


def mujoco(steps: int | None) -> list[Cell]:
    """Alphas in the tasks of Gymnasium, in some of which 0.5 is known to fail."""
    alphas = (0.0, 0.01, 0.1, 0.5)
    return [
        Cell("mujoco", _parallel(f"{family}/{task}", steps or 1_000_000, False), alphas)
        for family, tasks in MUJOCO.items()
        for task in tasks
    ]


def ablation(steps: int | None) -> list[Cell]:
    """Alpha, where the perturbation acts, and what a time limit is.

    Without a perturbation it acts nowhere, so that alpha 0 is trained once for each kind of limit.
    """
    lengths = {
        "Pendulum-v1": 300_000,
        "playground/PendulumSwingup": 2_000_000,
        "playground/CartpoleSwingup": 2_000_000,
    }
    alphas = (0.0, 0.01, 0.1, 0.5, 1.0)
    return [
        Cell(
            "ablation",
            _parallel(name, steps or length, perturbed, time_limit_bootstrap=bootstrap),
            alphas[1:] if perturbed else alphas,
        )
        for name, length in lengths.items()
        for perturbed in (False, True)
        for bootstrap in (False, True)
    ]


def gymnax(steps: int | None) -> list[Cell]:
    """The presets of gymnax's tasks, and the same with alpha 0."""
    changes = {} if steps is None else {"total_timesteps": steps}
    presets = [rpojax.Config.preset(name, **changes) for name in GYMNAX]
    return [Cell("gymnax", cfg, (cfg.alpha, 0.0)) for cfg in presets]


def cleanrl(steps: int | None) -> list[Cell]:
    """CleanRL's settings to the letter: one environment, 2048 steps."""
    lengths = {"Pendulum-v1": 1_000_000, "playground/PendulumSwingup": 2_000_000}
    return [
        Cell(
            "cleanrl",
            rpojax.Config.preset("cleanrl", env=name, total_timesteps=steps or length),
            (0.5, 0.0),
        )
        for name, length in lengths.items()
    ]


TABLES = {
    "dm_control": dm_control,
    "mujoco": mujoco,
    "ablation": ablation,
    "gymnax": gymnax,
    "cleanrl": cleanrl,
}


def cells_of(
    table: str, steps: int | None = None, environments: Sequence[str] | None = None
) -> list[Cell]:
    """The cells of a table.

    Args:
        table: one of `TABLES`.
        steps: of each agent; None for those of the table.
        environments: some of its environments; None for all.

    Raises:
        SystemExit: an environment that the table does not have.
    """
    cells = TABLES[table](steps)
    known = list(dict.fromkeys(str(cell.cfg.env) for cell in cells))
    for name in environments or ():
        if name not in known:
            raise SystemExit(f"{name!r} is not in {table}; give some of {', '.join(known)}")
    return [cell for cell in cells if environments is None or cell.cfg.env in environments]


def variant(row: Mapping[str, Any]) -> str:
    """The name of an agent's algorithm in tables and pictures."""
    if row["alpha"] == 0.0:
        return "PPO"
    return f"RPO {row['alpha']:g}" + (", rollout too" if row["perturb_rollouts"] else "")


def _parallel(env: str, steps: int, perturb_rollouts: bool, **changes: Any) -> rpojax.Config:
    """CleanRL's settings, with the 2048 steps of an update from 16 environments.

    With 64 environments there are a quarter of the updates for the same steps, and no agent of four
    learnt PendulumSwingup in 1.5M steps.
    """
    return rpojax.Config.preset(
        "dm_control",
        env=env,
        total_timesteps=steps,
        perturb_rollouts=perturb_rollouts,
        **changes,
    )

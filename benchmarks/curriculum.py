"""A sparse reward with and without a curriculum: how many agents learn the full task.

    python -m benchmarks.curriculum [--steps 3e6] [--agents 10] [--joints 2]

A planar arm on MuJoCo's C engine gets a reward only while its tip is within 3 cm of a
target. A target is where the tip would be with joint angles that are drawn for each episode: from
the whole circle in the full task, and from a part of it around the arm's start at lower levels of
the curriculum. Both are evaluated on the full task, with mean actions; an agent has solved it if
its tip is at the target for at least half of the steps. Results with other numbers of joints or
steps stay in the CSV file.
"""

import argparse
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rpojax
from benchmarks.reporting import (
    RESULTS,
    environment_info,
    packages_of,
    print_table,
    read_csv,
    write_csv,
)
from rpojax import envs

STEPS, EPISODES = 100, 256  # of an episode; of an evaluation
SOLVED = 0.5 * STEPS
LINK = 0.15
CFG = rpojax.Config(
    num_envs=32,
    num_steps=64,
    num_minibatches=8,
    update_epochs=8,
    learning_rate=1e-3,
    lr_schedule="linear",
    gamma=0.97,
    alpha=0.1,
)


def arm_xml(joints: int) -> str:
    """A planar arm with motors, which begins stretched out along x."""
    inner = f'<site name="tip" pos="{LINK} 0 0"/>'
    for index in reversed(range(joints)):
        place = f' pos="{LINK} 0 0"' if index else ""
        inner = (
            f'<body{place}><joint name="joint_{index}" axis="0 0 1" damping="0.1" '
            f'armature="0.01"/><geom type="capsule" size="0.01" fromto="0 0 0 {LINK} 0 0" '
            f'contype="0" conaffinity="0"/>{inner}</body>'
        )
    motors = "".join(f'<motor joint="joint_{index}" ctrlrange="-1 1"/>' for index in range(joints))
    return (
        '<mujoco model="arm"><option timestep="0.01" gravity="0 0 0" integrator="implicitfast"/>'
        f"<worldbody>{inner}</worldbody><actuator>{motors}</actuator></mujoco>"
    )


def tip_of(angles: jax.Array) -> jax.Array:
    """[joints] -> [2], where the tip is."""
    headings = jnp.cumsum(angles)
    return LINK * jnp.stack([jnp.cos(headings).sum(), jnp.sin(headings).sum()])


def environments(joints: int) -> dict[str, envs.Env]:
    """The task, and the curriculum that leads to it."""

    def follow(command: jax.Array, timestep: envs.TimeStep) -> envs.TimeStep:
        rest = jnp.linalg.norm(tip_of(command) - timestep.obs["tip"])
        return timestep._replace(reward=(rest < 0.03).astype(jnp.float32))

    arm = envs.from_mjcf(
        arm_xml(joints),
        control_dt=0.02,
        start=envs.start_at(qpos=0.1, qvel=0.0),
        observe={
            "joints": lambda data: jnp.stack([jnp.cos(data.qpos), jnp.sin(data.qpos), data.qvel]),
            "tip": lambda data: data.site("tip").xpos[:2],
        },
        reward={"none": (0.0, lambda data: jnp.float32(0.0))},
        max_episode_steps=STEPS,
        impl="c",
    )
    task = envs.commands(arm, [-np.pi] * joints, [np.pi] * joints, follow)

    def targets(level: jax.Array) -> dict[str, jax.Array]:
        most = jnp.full(joints, np.pi) * level
        return {"command.low": -most, "command.high": most}

    ladder = envs.curriculum(task, targets, raise_at=30.0, lower_at=10.0, step=0.05)
    return {"none": task, "targets": ladder}


def measure(env: envs.Env, steps: int, agents: int) -> list[dict[str, Any]]:
    """A row for each agent."""
    cfg = CFG.replace(env=env, total_timesteps=steps)
    keys = jax.random.split(jax.random.key(0), agents)
    start = time.perf_counter()
    result = jax.block_until_ready(jax.jit(jax.vmap(rpojax.make_train(cfg)))(keys))
    seconds = time.perf_counter() - start

    def full_task(state: rpojax.TrainState) -> jax.Array:
        return rpojax.evaluate(cfg, state, jax.random.key(1), EPISODES).episode_return

    returns = np.asarray(jax.jit(jax.vmap(full_task))(result.state)).mean(axis=1)
    ended = result.metrics.environment.get("curriculum.level", np.ones((agents, 1)))
    levels = [level[np.isfinite(level)][-1] for level in np.asarray(ended)]
    return [
        {
            "agent": agent,
            "steps": cfg.actual_timesteps,
            "return": f"{returns[agent]:.1f}",
            "solved": int(returns[agent] >= SOLVED),
            "last level": f"{levels[agent]:.2f}",
            "seconds": f"{seconds:.0f}",
        }
        for agent in range(agents)
    ]


def main() -> None:
    """Train, evaluate, print, write CSV."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=lambda text: int(float(text)), default=3_000_000)
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--joints", type=int, default=2)
    args = parser.parse_args()

    info = environment_info(packages_of("mujoco/"))
    rows: list[dict[str, Any]] = []
    for name, env in environments(args.joints).items():
        found = measure(env, args.steps, args.agents)
        rows += [{"joints": args.joints, "curriculum": name, **row} for row in found]
        print(name, sum(row["solved"] for row in found), "of", args.agents, flush=True)
    print_table(f"Sparse reach of an arm of {args.joints} joints", rows, info)
    path = RESULTS / "curriculum.csv"
    measured = {(str(row["joints"]), str(row["steps"])) for row in rows}
    others = [row for row in read_csv(path) if (row["joints"], row["steps"]) not in measured]
    write_csv(path, others + [{**row, **info.as_row()} for row in rows])


if __name__ == "__main__":
    main()

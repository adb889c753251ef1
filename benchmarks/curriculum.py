"""A sparse reward with and without a curriculum: how many agents learn the full task.

    python -m benchmarks.curriculum

CartpoleSwingupSparse, on MuJoCo's C engine. The curriculum begins with gravity upside down, where
the pole stands by itself, and ends with the task as it is. Both are evaluated on that, with mean
actions; an agent has solved it with a return of at least 500 of 1000.

In results/curriculum.csv, after 2M steps, no agent of either has: levels have come to 0.00 to 0.42.
"""

import argparse
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rpojax
from benchmarks.reporting import RESULTS, environment_info, packages_of, print_table, write_csv

ENVIRONMENT = "playground/CartpoleSwingupSparse"
SOLVED = 500.0
EPISODES = 32
# Episodes have 1000 steps: each of 16 environments plays 125 of them, and can rise 20 times.
CFG = rpojax.Config(
    num_envs=16,
    num_steps=128,
    num_minibatches=8,
    update_epochs=4,
    learning_rate=1e-3,
    alpha=0.1,
)


def gravity(level: jax.Array) -> dict[str, jax.Array]:
    """From 9.81 upwards to 9.81 downwards."""
    return {"gravity": jnp.array([0.0, 0.0, 9.81]) * (1.0 - 2.0 * level)}


def environments() -> dict[str, rpojax.envs.Env]:
    """The task, and the curriculum that leads to it."""
    env = rpojax.envs.make(ENVIRONMENT, impl="c")
    ladder = rpojax.envs.curriculum(env, gravity, raise_at=400.0, lower_at=100.0, step=0.05)
    return {"none": env, "gravity": ladder}


def measure(env: rpojax.envs.Env, steps: int, agents: int) -> list[dict[str, Any]]:
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
    parser.add_argument("--steps", type=lambda text: int(float(text)), default=2_000_000)
    parser.add_argument("--agents", type=int, default=10)
    args = parser.parse_args()

    info = environment_info(packages_of(ENVIRONMENT))
    rows: list[dict[str, Any]] = []
    for name, env in environments().items():
        found = measure(env, args.steps, args.agents)
        rows += [{"curriculum": name, **row} for row in found]
        print(name, sum(row["solved"] for row in found), "of", args.agents, flush=True)
    print_table(f"{ENVIRONMENT}, {args.agents} agents", rows, info)
    write_csv(RESULTS / "curriculum.csv", rows, info)


if __name__ == "__main__":
    main()

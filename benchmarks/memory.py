"""Perceptron, GRU and LSTM in environments whose observations are incomplete.

    python -m benchmarks.memory

Pendulum-v1 without its angular velocity, and PointRobot-misc, whose goal shows in the rewards
only. Each agent is evaluated after training; the spread is that over seeds.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np

import rpojax
from benchmarks.reporting import RESULTS, caption, environment_info, print_table, write_csv

CELLS = (None, "gru", "lstm")
EVALUATION_EPISODES = 128


def pendulum_without_velocity() -> rpojax.envs.Env:
    """Pendulum-v1 that shows the angle alone, as its cosine and sine."""
    env = rpojax.envs.transform_observation(rpojax.envs.make("Pendulum-v1"), lambda obs: obs[:2])
    return dataclasses.replace(env, name="Pendulum, no velocity")


def tasks() -> dict[str, rpojax.Config]:
    """Settings for each environment, but for the network."""
    return {
        "Pendulum-v1 without velocity": rpojax.Config(
            env=pendulum_without_velocity(), num_minibatches=16, total_timesteps=600_000
        ),
        "PointRobot-misc, rescaled actions": rpojax.Config(
            env="PointRobot-misc",
            num_steps=100,
            update_epochs=4,
            num_minibatches=8,
            total_timesteps=1_000_000,
            learning_rate=1e-3,
            alpha=0.1,
            action_transform="rescale",
        ),
    }


def network(cell: Any) -> rpojax.NetworkConfig:
    """The perceptron of the defaults, or one layer of it and a cell."""
    if cell is None:
        return rpojax.NetworkConfig()
    return rpojax.NetworkConfig(hidden_sizes=(64,), cell=cell)


def measure(cfg: rpojax.Config, seeds: int) -> tuple[np.ndarray, float]:
    """Mean evaluation return of each agent, and the training's wall time with compilation."""
    start = time.perf_counter()
    keys = jax.random.split(jax.random.key(0), seeds)
    result = jax.block_until_ready(rpojax.sharded_vmap(rpojax.make_train(cfg))(keys))
    seconds = time.perf_counter() - start
    evaluate: Callable[[Any], Any] = lambda state: rpojax.evaluate(  # noqa: E731
        cfg, state, jax.random.key(1), EVALUATION_EPISODES
    )
    returns = jax.jit(jax.vmap(evaluate))(result.state).episode_return
    return np.asarray(returns).mean(axis=1), seconds


def draw(path: Path, returns: Mapping[str, Mapping[str, np.ndarray]], info: Any) -> None:
    """A panel for each task: a dot for each seed, a bar for their mean."""
    figure, panels = plt.subplots(1, len(returns), figsize=(8, 3.2), layout="constrained")
    for axes, (task, by_network) in zip(np.atleast_1d(panels), returns.items(), strict=True):
        for place, values in enumerate(by_network.values()):
            axes.hlines(values.mean(), place - 0.25, place + 0.25, color="tab:blue")
            spread = np.linspace(-0.12, 0.12, len(values))
            axes.plot(place + spread, values, "o", color="tab:orange", markersize=4, alpha=0.8)
        axes.set_xticks(range(len(by_network)), list(by_network))
        axes.set_title(task, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    np.atleast_1d(panels)[0].set_ylabel("evaluation return")
    figure.supxlabel(caption(info), fontsize=6, color="gray")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Train, evaluate, print, write CSV and PNG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    args = parser.parse_args()

    info = environment_info()
    rows: list[dict[str, Any]] = []
    returns: dict[str, dict[str, np.ndarray]] = {}
    for task, cfg in tasks().items():
        for cell in CELLS:
            length = None if cell is None else cfg.num_steps // 4
            trained = cfg.replace(network=network(cell), sequence_length=length)
            values, seconds = measure(trained, args.seeds)
            name = cell or "perceptron"
            returns.setdefault(task, {})[name] = values
            row = {
                "task": task,
                "network": name,
                "mean return": f"{values.mean():.1f}",
                "std": f"{values.std(ddof=1):.1f}",
                "worst": f"{values.min():.1f}",
                "best": f"{values.max():.1f}",
                "seconds": f"{seconds:.0f}",
            }
            print(*row.values(), sep=", ", flush=True)
            rows.append(row)
    print_table(f"Memory, {args.seeds} seeds", rows, info)
    write_csv(RESULTS / "memory.csv", rows, info)
    draw(RESULTS / "memory.png", returns, info)


if __name__ == "__main__":
    main()

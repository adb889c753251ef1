"""What studies cost and what they find, each part by its name.

    python -m benchmarks.studies speed      # 6 alphas x 16 seeds: both cores against one
    python -m benchmarks.studies alpha      # the same study to its end, and the policies' std
    python -m benchmarks.studies halving    # successive halving against the whole grid
    python -m benchmarks.studies pbt        # a population against settings that stay as they are

`speed` starts a process for each number of devices, in turn, and reports the ratio of runs that
follow each other. `pbt` times the same agents with and without evolution in the same way.
"""

import argparse
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import rpojax
from benchmarks.reporting import (
    RESULTS,
    environment_info,
    paired_ratios,
    print_table,
    write_csv,
)
from benchmarks.timing import in_turn
from benchmarks.worker import printed_by
from rpojax.report import plot_genealogy, plot_sample_efficiency
from rpojax.statistics import bootstrap_interval, interquartile_mean, sample_efficiency
from rpojax.studies import LogUniform, StudyResult

ALPHAS = [0.0, 0.01, 0.1, 0.3, 0.5, 1.0]
SEEDS = 16
PENDULUM = rpojax.Config(
    env="Pendulum-v1",
    num_envs=64,
    num_steps=32,
    update_epochs=4,
    num_minibatches=8,
    learning_rate=1e-3,
    total_timesteps=250_000,
    agents_at_once=1,
)
Row = dict[str, Any]


def one_speed(devices: int) -> float:
    """Environment steps per second of 6 x 16 agents, compilation and evaluation left out."""
    jax.config.update("jax_num_cpu_devices", devices)
    cfg = PENDULUM.replace(total_timesteps=6 * PENDULUM.batch_size)
    speeds = []
    hyperparams = cfg.hyperparams().replace(alpha=np.repeat(np.float32(ALPHAS), SEEDS))
    rpojax.fit(
        cfg,
        seeds=[*range(SEEDS)] * len(ALPHAS),
        hyperparams=hyperparams,
        on_chunk=lambda progress: speeds.append(progress.steps_per_second),
    )
    return speeds[-1]


def speed(rounds: int) -> list[Row]:
    """Both cores against one, in turn."""
    workers = {
        devices: functools.partial(printed_by, "studies", "worker", devices)
        for devices in ("1", "2")
    }
    found = in_turn(workers, rounds)
    ratios = paired_ratios(found["2"], found["1"])
    return [
        {
            "devices": devices,
            "steps_per_second": round(float(np.median(speeds))),
            "of_one_device": str(ratios) if devices == "2" else "1",
        }
        for devices, speeds in found.items()
    ]


def alpha() -> list[Row]:
    """The study of alpha to its end, with a picture of the standard deviation."""
    started = time.perf_counter()
    study = rpojax.study(PENDULUM, grid={"alpha": ALPHAS}, num_seeds=SEEDS)
    seconds = time.perf_counter() - started
    curves = {
        label: (curve.steps, sample_efficiency(*curve, method="expanded"))
        for label, curve in study.curves("action_std").items()
    }
    plot_sample_efficiency(
        curves,
        RESULTS / "studies_action_std.png",
        ylabel="standard deviation of the policy",
        num_seeds=SEEDS,
        title="Pendulum-v1",
    )
    return [
        {
            "alpha": row.setting.changes["alpha"],
            "evaluation_return": row.score,
            "low": row.low,
            "high": row.high,
            "action_std_at_the_end": float(curves[row.setting.label][1].value[-1]),
            "seconds": round(seconds),
        }
        for row in study.summary()
    ]


def halving() -> list[Row]:
    """Whether halving finds the best setting of a grid, and for how many steps."""
    cfg = PENDULUM.replace(total_timesteps=150_000)
    grid = {"learning_rate": [1e-5, 1e-4, 3e-4, 1e-3, 3e-3], "alpha": [0.0, 0.1, 0.5]}
    whole = rpojax.study(cfg, grid=grid, num_seeds=8)
    halved = rpojax.study(cfg, grid=grid, num_seeds=8, halving=rpojax.studies.Halving(4, 0.3))

    def steps(study: StudyResult) -> int:
        return sum(
            study.result(index).metrics.episode_return.size * setting.cfg.batch_size
            for index, setting in enumerate(study.settings)
        )

    rows = []
    by_label = {row.setting.label: row for row in whole.summary()}
    for name, study in (("whole grid", whole), ("halving", halved)):
        label = study.settings[study.best].label
        row = by_label[label]
        rows.append(
            {
                "search": name,
                "best": label,
                "score_in_the_whole_grid": row.score,
                "low": row.low,
                "high": row.high,
                "steps": steps(study),
                "share_of_the_steps": steps(study) / steps(whole),
            }
        )
    return rows


def pbt(rounds: int) -> list[Row]:
    """A population that starts with rates most of which do not learn."""
    cfg = PENDULUM.replace(total_timesteps=400_000, lr_schedule="constant")
    rates = LogUniform(1e-7, 1e-2)
    evolve = rpojax.PBT(every=10, hyperparams={"learning_rate": rates})
    drawn = cfg.hyperparams().replace(**evolve.draw(32, seed=0))
    arguments: dict[str, Any] = {"num_seeds": 32, "hyperparams": drawn}
    fixed = rpojax.fit(cfg, **arguments)
    evolved = rpojax.fit(cfg, evolve=evolve, **arguments)
    grid = [1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    best = rpojax.study(cfg, grid={"learning_rate": grid}, num_seeds=8)

    def returns(result: rpojax.TrainResult) -> np.ndarray:
        keys = jax.random.split(jax.random.key(1), 32)

        def play(state: rpojax.TrainState, key: jax.Array) -> jax.Array:
            return rpojax.evaluate(cfg, state, key, 32).episode_return.mean()

        return np.asarray(jax.vmap(play)(result.state, keys))

    def row(name: str, scores: np.ndarray) -> Row:
        estimate = bootstrap_interval(scores, method="expanded")
        return {
            "agents": name,
            "number": len(scores),
            "median": float(np.median(scores)),
            "interquartile_mean": float(interquartile_mean(scores)),
            "low": float(estimate.low),
            "high": float(estimate.high),
            "best": float(scores.max()),
        }

    assert evolved.evolution is not None
    plot_genealogy(
        evolved.evolution,
        ["learning_rate"],
        RESULTS / "studies_pbt.png",
        score_label="episode return",
        title="Pendulum-v1, 32 agents",
    )
    rows = [row("rates that stay as drawn", returns(fixed)), row("PBT", returns(evolved))]
    label = f"best rate of a grid, {best.settings[best.best].label}"
    rows.append(row(label, best.scores[best.best]))
    short = cfg.replace(total_timesteps=60 * cfg.batch_size)

    def seconds_of_training(evolve: rpojax.PBT | None) -> float:
        seconds: list[float] = []
        rpojax.fit(
            short,
            evolve=evolve,
            on_chunk=lambda progress: seconds.append(progress.train_seconds),
            **arguments,
        )
        return seconds[-1]

    measures = {"fixed": None, "PBT": evolve}
    found = in_turn(
        {name: functools.partial(seconds_of_training, each) for name, each in measures.items()},
        rounds,
    )
    ratios = paired_ratios(found["PBT"], found["fixed"])
    times = {rows[0]["agents"]: "1", rows[1]["agents"]: str(ratios)}
    return [each | {"time": times.get(each["agents"], "-")} for each in rows]


def main() -> None:
    """Measure one part, print it and write it to benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["speed", "alpha", "halving", "pbt", "worker"])
    parser.add_argument("devices", type=int, nargs="?", default=1, help="of a worker of `speed`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, help="JAX's compilation cache, to repeat quickly")
    arguments = parser.parse_args()
    if arguments.cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(arguments.cache))
    if arguments.part == "worker":
        print(json.dumps(one_speed(arguments.devices)))
        return
    if arguments.part != "speed":
        rpojax.use_all_cores()
    parts: dict[str, Callable[[], list[Row]]] = {
        "speed": lambda: speed(arguments.rounds),
        "alpha": alpha,
        "halving": halving,
        "pbt": lambda: pbt(arguments.rounds),
    }
    rows = [
        {name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()}
        for row in parts[arguments.part]()
    ]
    info = environment_info()
    print_table(f"studies: {arguments.part}", rows, info)
    write_csv(RESULTS / f"studies_{arguments.part}.csv", rows, info)


if __name__ == "__main__":
    main()

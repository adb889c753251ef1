"""What `rpojax.fit` costs over the bare program, `sharded_vmap(make_train(cfg))`.

    python -m benchmarks.fit_overhead

Both train the same agents for the same updates, in turn. Compilation is left out of both. Of `fit`
everything after it is counted: the host loop, the transfer of metrics to the host, the masks that
keep a diverged agent finite, and the records of every update, written as by `rpojax train`.
"Checkpoints" also saves ten times; the time of that depends on the disk and on the length of the
run. The persistent compilation cache holds the programs, since every call of `fit` compiles them
again.

A busy machine disturbs a run of seconds by more than `fit` costs. The median of the ratios of runs
that follow each other is reported, and the ratio of the fastest runs, the least disturbed ones.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax

import rpojax
from benchmarks.reporting import (
    RESULTS,
    EnvironmentInfo,
    bar_chart,
    environment_info,
    paired_ratios,
    print_table,
    write_csv,
)
from benchmarks.timing import in_turn
from rpojax.runs.directory import RunDirectory

BASE = "bare program"


def bare(cfg: rpojax.Config, num_seeds: int) -> Callable[[], float]:
    """Seconds of one call of the compiled training, with its result on the host."""
    keys = jax.random.split(jax.random.key(0), num_seeds)
    program = rpojax.sharded_vmap(rpojax.make_train(cfg)).lower(keys).compile()

    def run() -> float:
        start = time.perf_counter()
        jax.device_get(program(keys).metrics)
        return time.perf_counter() - start

    return run


def fitted(cfg: rpojax.Config, num_seeds: int, save: bool) -> Callable[[], float]:
    """Seconds of one `fit`, from the end of its compilation to its result."""

    def run() -> float:
        started = []

        def note_start(progress: rpojax.Progress) -> None:
            if not started:
                started.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as directory:
            files = RunDirectory(Path(directory))
            result = rpojax.fit(
                cfg,
                num_seeds,
                on_chunk=note_start,
                loggers=files.loggers(tensorboard=False, wandb=None),
                checkpoint_dir=files.checkpoints if save else None,
            )
            jax.device_get(result.metrics)
            return time.perf_counter() - started[0]

    return run


def main() -> None:
    """Read the arguments, and keep the compiled programs while measuring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seeds", type=int, nargs="*", default=[4])
    parser.add_argument("--timesteps", type=int, default=500_000, help="of each agent")
    arguments = parser.parse_args()
    rpojax.use_all_cores()
    info = environment_info()
    cfg = rpojax.Config(total_timesteps=arguments.timesteps)
    with tempfile.TemporaryDirectory() as cache:
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        measure(cfg, arguments.seeds, arguments.rounds, info)


def measure(cfg: rpojax.Config, numbers: list[int], rounds: int, info: EnvironmentInfo) -> None:
    """Time the ways to train in turn, print a table, write CSV and PNG."""
    rows, table, bars = [], [], {}
    for seeds in numbers:
        ways = {
            BASE: bare(cfg, seeds),
            "fit": fitted(cfg, seeds, save=False),
            "fit, checkpoints": fitted(cfg, seeds, save=True),
        }
        for run in ways.values():
            run()  # warms up
        seconds = in_turn(ways, rounds)
        for name, values in seconds.items():
            ratio = paired_ratios(values, seconds[BASE])
            median = statistics.median(values)
            table.append(
                {
                    "way": name,
                    "agents": seeds,
                    "seconds": f"{median:.2f}",
                    "of bare": ratio,
                    "fastest of each": f"{min(values) / min(seconds[BASE]):.3f}",
                }
            )
            rows += [
                {"agents": seeds, "way": name, "round": index, "seconds": round(value, 4)}
                for index, value in enumerate(values)
            ]
            bars[f"{seeds} agents: {name}"] = ratio.median
    title = f"{cfg.env}, {cfg.actual_timesteps:,} steps for each agent, without compilation"
    print_table(title, table, info)
    write_csv(RESULTS / "fit_overhead.csv", rows, info)
    bar_chart(
        RESULTS / "fit_overhead.png",
        title,
        bars,
        info,
        xlabel="time relative to the bare program (median of ratios taken in pairs)",
        value_format="{:.3f}",
        reference=1.0,
    )


if __name__ == "__main__":
    main()

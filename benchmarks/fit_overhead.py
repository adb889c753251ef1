"""What `rpojax.fit` costs over the bare program, `sharded_vmap(make_train(cfg))`.

    python -m benchmarks.fit_overhead

Both train the same agents for the same updates, in turn. Compilation is left out of both. Of `fit`
all that follows it is counted: the host loop, the metrics' way to the host, the records, the masks
that keep a diverged seed finite. "fit" is without loggers, as by default; "fit, logger" tells
every update to a logger that keeps the records in memory; "fit, logger, checkpoints" also saves
ten times in a temporary directory, whose time depends on the disk and on the length of the run.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

import rpojax
from benchmarks.reporting import (
    RESULTS,
    bar_chart,
    environment_info,
    paired_ratios,
    print_table,
    write_csv,
)

BASE = "bare program"


class MemoryLogger:
    """The cheapest logger: it keeps what it is told."""

    def start(self, cfg: rpojax.Config, num_seeds: int, updates: int) -> None:
        """Begin with nothing."""
        self.records: list[Any] = []

    def log(self, record: Any) -> None:
        """Keep one record."""
        self.records.append(record)

    def close(self) -> None:
        """Nothing to close."""


def bare(cfg: rpojax.Config, num_seeds: int) -> Callable[[], float]:
    """Seconds of one call of the compiled training, with its result on the host."""
    keys = jax.random.split(jax.random.key(0), num_seeds)
    program = rpojax.sharded_vmap(rpojax.make_train(cfg)).lower(keys).compile()

    def run() -> float:
        start = time.perf_counter()
        jax.device_get(program(keys).metrics)
        return time.perf_counter() - start

    return run


def fitted(cfg: rpojax.Config, num_seeds: int, logger: bool, save: bool) -> Callable[[], float]:
    """Seconds of one `fit`, from the end of its compilation to its result."""

    def run() -> float:
        started = []

        def note_start(progress: rpojax.Progress) -> None:
            if not started:
                started.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as directory:
            result = rpojax.fit(
                cfg,
                num_seeds,
                on_chunk=note_start,
                loggers=[MemoryLogger()] if logger else [],
                checkpoint_dir=Path(directory) / "run" if save else None,
            )
            jax.device_get(result.metrics)
            return time.perf_counter() - started[0]

    return run


def main() -> None:
    """Time the ways to train in turn, print a table, write CSV and PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--timesteps", type=int, default=500_000, help="of each agent")
    arguments = parser.parse_args()
    if jax.config.jax_platforms in (None, "", "cpu"):
        rpojax.use_all_cores()
    info = environment_info()
    cfg = rpojax.Config(total_timesteps=arguments.timesteps)

    rows, table, bars = [], [], {}
    for seeds in arguments.seeds:
        ways = {
            BASE: bare(cfg, seeds),
            "fit": fitted(cfg, seeds, logger=False, save=False),
            "fit, logger": fitted(cfg, seeds, logger=True, save=False),
            "fit, logger, checkpoints": fitted(cfg, seeds, logger=True, save=True),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for run in ways.values():
            run()  # warms up
        for _ in range(arguments.rounds):
            for name, run in ways.items():
                seconds[name].append(run())
        for name, values in seconds.items():
            ratio = paired_ratios(values, seconds[BASE])
            median = statistics.median(values)
            table.append(
                {"way": name, "agents": seeds, "seconds": f"{median:.2f}", "of bare": ratio}
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
        xlabel="time, of the bare program's (median of ratios taken in pairs)",
        value_format="{:.3f}",
    )


if __name__ == "__main__":
    main()

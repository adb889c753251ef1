"""Two checkouts of rpojax against each other: throughput and compile time.

    python -m benchmarks.compare OTHER [--rounds 9] [--env mjx/HalfCheetah-v5]

OTHER is the root of another checkout, such as a `git worktree` of an older commit. A process for
each checkout stays alive, with the same Python and the same packages, and both measure in turn, in
alternating order. Each time, a process compiles and runs one of these anew:

* one agent: `jax.jit(make_train(cfg))`;
* eight agents: `jax.jit(jax.vmap(make_train(cfg)))`;
* four agents by `fit`, on all cores, with its own measures.

With --env, only the first, with shorter rollouts. Ratios are of seconds, this checkout over the
other, round by round: below 1 is faster.
"""

import argparse
import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.reporting import (
    REPOSITORY,
    RESULTS,
    bar_chart,
    environment_info,
    packages_of,
    paired_ratios,
    print_table,
    read_csv,
    write_csv,
)
from benchmarks.timing import in_turn

WORKER = """
import json, sys, time
import jax, rpojax
rpojax.use_all_cores()
cfg = rpojax.Config(**json.loads(sys.argv[1]))
train = rpojax.make_train(cfg)

def trained(function, keys):
    start = time.perf_counter()
    program = jax.jit(function).lower(keys).compile()
    compiled = time.perf_counter()
    jax.block_until_ready(program(keys))
    warm = time.perf_counter()
    jax.block_until_ready(program(keys))
    return compiled - start, time.perf_counter() - warm

def fitted():
    calls = []
    rpojax.fit(cfg.replace(total_timesteps=2 * cfg.total_timesteps), 4, on_chunk=calls.append)
    return calls[0].compile_seconds, calls[-1].train_seconds

ways = {
    "one agent": lambda: trained(train, jax.random.key(0)),
    "eight agents": lambda: trained(jax.vmap(train), jax.random.split(jax.random.key(0), 8)),
    "four agents by fit": fitted,
}
for line in sys.stdin:
    jax.clear_caches()
    print(json.dumps(ways[line.strip()]()), flush=True)
"""
WAYS = ("one agent", "eight agents", "four agents by fit")
CSV, ENV = RESULTS / "compare.csv", "Pendulum-v1"


@contextlib.contextmanager
def started(root: Path, settings: dict[str, Any]) -> Iterator[Callable[[str], tuple[float, float]]]:
    """A process with the package of a checkout; it returns seconds to compile and to run a way."""
    environment = {**os.environ, "PYTHONPATH": str(root), "JAX_ENABLE_COMPILATION_CACHE": "false"}
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, json.dumps(settings)],
        cwd=root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    requests, answers = process.stdin, process.stdout

    def measure(way: str) -> tuple[float, float]:
        print(way, file=requests, flush=True)
        compile_seconds, run_seconds = json.loads(answers.readline())
        return compile_seconds, run_seconds

    try:
        yield measure
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Measure both checkouts in turn, print a table, write CSV and PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="root of another checkout")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--env", default=ENV, help="in which one agent trains")
    arguments = parser.parse_args()
    info = environment_info(packages_of(arguments.env))
    is_default = arguments.env == ENV
    settings: dict[str, Any] = {"env": arguments.env, "total_timesteps": 12 * 64 * 128}
    if not is_default:
        settings |= {"num_steps": 32, "total_timesteps": 2 * 64 * 32}
    root = arguments.other.resolve()
    table, rows, bars = [], [], {}
    with started(REPOSITORY, settings) as this, started(root, settings) as other:
        for way in WAYS if is_default else WAYS[:1]:
            measures = {
                "this": functools.partial(this, way),
                "other": functools.partial(other, way),
            }
            for measure in measures.values():
                measure()  # warms up
            measured = in_turn(measures, arguments.rounds)
            for part, label in enumerate(("compile", "run")):
                ours, theirs = ([each[part] for each in measured[name]] for name in measures)
                ratio = paired_ratios(ours, theirs)
                table.append(
                    {
                        "way": way,
                        "seconds to": label,
                        "this": f"{statistics.median(ours):.2f}",
                        "other": f"{statistics.median(theirs):.2f}",
                        "this / other": ratio,
                    }
                )
                rows += [
                    {
                        "environment": arguments.env,
                        "way": way,
                        "part": label,
                        "round": index,
                        "this": a,
                        "other": b,
                    }
                    for index, (a, b) in enumerate(zip(ours, theirs, strict=True))
                ]
                bars[f"{way}, {label}"] = ratio.median
    title = f"Seconds of this checkout / the other, median of {arguments.rounds} rounds"
    print_table(title, table, info)
    others = [row for row in read_csv(CSV) if row["environment"] != arguments.env]
    write_csv(CSV, [*others, *({**row, **info.as_row()} for row in rows)])
    if not is_default:
        return
    bar_chart(
        RESULTS / "compare.png",
        title,
        bars,
        info,
        xlabel="ratio",
        value_format="{:.3f}",
        reference=1.0,
    )


if __name__ == "__main__":
    main()

"""Two checkouts of rpojax against each other: throughput and compile time.

    python -m benchmarks.compare OTHER [--rounds 9]

OTHER is the root of another checkout, such as a `git worktree` of an older commit. Each round
starts one process for each checkout, in turn and in alternating order, with the same Python and the
same packages. A process compiles and runs without a compilation cache:

* one agent: `jax.jit(make_train(cfg))`;
* eight agents: `jax.jit(jax.vmap(make_train(cfg)))`;
* `fit` with four agents on all cores, with its own measures.

Ratios are this checkout over the other, round by round: above 1 is faster for throughput and slower
for compile time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.reporting import (
    REPOSITORY,
    RESULTS,
    bar_chart,
    environment_info,
    paired_ratios,
    print_table,
    write_csv,
)

WORKER = """
import json, time
import jax, rpojax
rpojax.use_all_cores()
updates = 24
cfg = rpojax.Config(total_timesteps=updates * 64 * 128)
measured = {}

def measure(name, function, keys, agents):
    start = time.perf_counter()
    program = jax.jit(function).lower(keys).compile()
    measured[name + ": compile seconds"] = time.perf_counter() - start
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(program(keys).metrics)
        seconds.append(time.perf_counter() - start)
    measured[name + ": steps/s"] = agents * cfg.actual_timesteps / min(seconds)

measure("one agent", rpojax.make_train(cfg), jax.random.key(0), 1)
measure("8 agents", jax.vmap(rpojax.make_train(cfg)), jax.random.split(jax.random.key(0), 8), 8)
last = []
rpojax.fit(cfg.replace(total_timesteps=4 * cfg.total_timesteps), 4, on_chunk=last.append)
measured["fit, 4 agents: compile seconds"] = last[-1].compile_seconds
measured["fit, 4 agents: steps/s"] = last[-1].steps_per_second
print(json.dumps(measured))
"""


def measure(root: Path) -> dict[str, float]:
    """What a process with the package of a checkout measures."""
    environment = {**os.environ, "PYTHONPATH": str(root), "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, "-c", WORKER]
    output = subprocess.run(
        command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    measured: dict[str, float] = json.loads(output.splitlines()[-1])
    return measured


def main() -> None:
    """Measure both checkouts in turn, print a table, write CSV and PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="root of another checkout")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    info = environment_info()
    roots = {"this": REPOSITORY, "other": arguments.other.resolve()}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in roots}
    for index in range(arguments.rounds):
        for name in list(roots)[:: -1 if index % 2 else 1]:
            rounds[name].append(measure(roots[name]))
    table, rows, bars = [], [], {}
    for what in rounds["this"][0]:
        this, other = ([measured[what] for measured in rounds[name]] for name in roots)
        ratio = paired_ratios(this, other)
        shown = "{:,.0f}" if what.endswith("steps/s") else "{:.2f}"
        table.append(
            {
                "measure": what,
                "this": shown.format(statistics.median(this)),
                "other": shown.format(statistics.median(other)),
                "this / other": ratio,
            }
        )
        rows += [
            {"measure": what, "round": index, "this": round(a, 3), "other": round(b, 3)}
            for index, (a, b) in enumerate(zip(this, other, strict=True))
        ]
        bars[what] = ratio.median
    title = f"This checkout / the other, median of {arguments.rounds} rounds"
    print_table(title, table, info)
    write_csv(RESULTS / "compare.csv", rows, info)
    bar_chart(RESULTS / "compare.png", title, bars, info, xlabel="ratio", value_format="{:.3f}")


if __name__ == "__main__":
    main()

"""Where many agents are slower than one: each part of an update, vmapped and one after the other.

    python -m benchmarks.agents_profile [--cells 16,64,64 64,64,256] [--rounds 5]

A cell is agents,width,environments, with the settings of benchmarks/agents.py. Parts are those of
benchmarks/roofline.py, on one device; each is timed for one agent, for N vmapped, and for N one
after the other, in the same rounds. The figures are milliseconds for each agent.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.agents import config
from benchmarks.reporting import RESULTS, environment_info, print_table, write_csv
from benchmarks.roofline import PART_OF, make_parts
from benchmarks.timing import interleaved, ratio


def ways(function: Callable[..., Any], arguments: Any, count: int) -> dict[str, Callable[[], Any]]:
    """Calls for one agent, for `count` vmapped, and for as many one after the other."""

    def repeated(leaf: Any) -> Any:
        return jnp.broadcast_to(leaf[None], (count, *leaf.shape)).copy()

    many = jax.tree.map(repeated, arguments)
    one = jax.jit(function)
    vmapped = jax.jit(jax.vmap(function))
    mapped = jax.jit(lambda many: jax.lax.map(lambda each: function(*each), many))
    return {
        "one": lambda: one(*arguments),
        "vmap": lambda: vmapped(*many),
        "map": lambda: mapped(many),
    }


def main() -> None:
    """Time all parts, print a table for each cell, write CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", nargs="+", default=["16,64,64", "64,64,256"])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    info = environment_info()
    rows = []
    for cell in arguments.cells:
        count, width, envs = map(int, cell.split(","))
        table = []
        for name, (function, inputs) in make_parts(config(width, envs, "all")).items():
            seconds = interleaved(ways(function, inputs, count), arguments.rounds, 0.1)
            each = {"one": 1, "vmap": count, "map": count}
            median = {way: statistics.median(seconds[way]) / each[way] for way in each}
            table.append(
                {
                    "part": name,
                    **{f"{way}, ms": f"{1e3 * median[way]:.3f}" for way in each},
                    "vmap / map": ratio(seconds, "vmap", "map"),
                }
            )
            rows += [
                {
                    "agents": count,
                    "width": width,
                    "envs": envs,
                    "part": name.removeprefix(PART_OF),
                    "way": way,
                    "round": index,
                    "ms_per_agent": round(1e3 * value / each[way], 4),
                }
                for way, values in seconds.items()
                for index, value in enumerate(values)
            ]
        title = f"{count} agents of 2x{width} with {envs} environments, one device"
        print_table(title, table, info)
    write_csv(RESULTS / "agents_profile.csv", rows, info)


if __name__ == "__main__":
    main()

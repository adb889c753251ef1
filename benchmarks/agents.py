"""Many agents: N x width x environments, vmapped, one after the other, and as rpojax chooses.

    python -m benchmarks.agents [--minutes 30] [--agents 8 64] [--widths 64] [--envs 64 256]
    python -m benchmarks.agents --env mujoco/Hopper-v5 --agents 8 --widths 64 --envs 16 64

32 steps, 4 epochs x 8 minibatches on Pendulum-v1 or another environment, two hidden layers of
`width`. Playground's tasks are on MuJoCo's C engine. Each cell is a process of its own, which times
in turn:

* `vmap`, `map`, `auto`: `jax.jit(jax.vmap(train))` on one device with all agents at once, one
  after the other, and with `agents_at_once="auto"`;
* `vmap on all`, `map on all`, `auto on all`: the same agents by `sharded_vmap` over all cores;
* `rejax`, `rejax on all`: rejax's PPO on the same work, vmapped (extra `bench`); on Pendulum-v1.

Cells that the CSV holds already, measured at the same commit or not, are left out, so that the
table can be made in several goes; `--again` measures them anew. A cell that would take more than
a minute of training in each round is left out too.

FLOP/s count the networks' products alone; the machine's rate is that of the same products and
tanhs on all cores with nothing else (`roofline`).
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import rpojax
from benchmarks.reporting import (
    RESULTS,
    caption,
    environment_info,
    packages_of,
    print_table,
    provenance,
    read_csv,
    write_csv,
)
from benchmarks.timing import interleaved
from benchmarks.worker import printed_by
from rpojax.core.model import Model, make_model
from rpojax.programs.agents_at_once import agents_at_once

AGENTS = (1, 2, 8, 64, 256)
WIDTHS = (32, 64, 128, 256)
ENVS = (1, 16, 64, 256, 2048)
PENDULUM = "Pendulum-v1"
STEPS, EPOCHS, MINIBATCHES = 32, 4, 8
SLOWEST_ROUND = 60.0  # seconds
CSV, PNG = RESULTS / "agents.csv", RESULTS / "agents.png"
KEY_COLUMNS = ("env", "agents", "width", "envs")
Cell: TypeAlias = tuple[str, int, int, int]  # of the key columns


def config(width: int, envs: int, at_once: Any, env: str = PENDULUM) -> rpojax.Config:
    """The work of one agent."""
    return rpojax.Config(
        env=env,
        env_params={"impl": "c"} if env.startswith("playground/") else {},
        num_envs=envs,
        num_steps=STEPS,
        update_epochs=EPOCHS,
        num_minibatches=MINIBATCHES,
        lr_schedule="constant",
        total_timesteps=10**9,
        network=rpojax.NetworkConfig(hidden_sizes=(width, width)),
        agents_at_once=at_once,
    )


def flops_per_step(width: int, model: Model) -> float:
    """Of the products of one environment step trained on: acting, values, gradients."""
    obs_dim, action_dim = model.env.obs.shape[0], model.env.action_dim
    actor = 2 * (obs_dim * width + width * width + width * action_dim)
    critic = 2 * (obs_dim * width + width * width + width)
    # Forward, gradient of the inputs and of the kernels; the first layer's inputs need none.
    update = 3 * (actor + critic) - 4 * obs_dim * width
    return actor + 2 * critic + EPOCHS * update


def ours(env: str, width: int, envs: int, count: int, updates: int) -> dict[str, Callable[[], Any]]:
    """Calls that train `count` agents for some updates, by name; equal programs have one call."""
    keys = jax.random.split(jax.random.key(0), count)
    calls: dict[str, Callable[[], Any]] = {}
    same: dict[Any, Callable[[], Any]] = {}
    for place, mapped in (
        ("", lambda f: jax.jit(jax.vmap(f))),
        (" on all", rpojax.sharded_vmap),
    ):
        devices = jax.device_count() if place else 1
        if devices > count:
            continue
        for name, at_once in (("vmap", "all"), ("map", 1), ("auto", "auto")):
            cfg = config(width, envs, at_once, env)
            each = -(-count // devices)
            limit = agents_at_once(make_model(cfg), devices)
            block = each if limit is None else min(limit, each)
            if (place, block) not in same:
                trainer = rpojax.make_trainer(cfg)

                def run(state: Any, trainer: Any = trainer) -> Any:
                    return trainer.run(state, None, updates)

                program, state = mapped(run), mapped(trainer.init)(keys)
                same[place, block] = lambda p=program, s=state: p(s)
            calls[name + place] = same[place, block]
    return calls


def peers(width: int, envs: int, count: int, updates: int) -> dict[str, Callable[[], Any]]:
    """The same work by rejax, vmapped; none where it is not installed."""
    try:
        from benchmarks.peers.common import Work
        from benchmarks.peers.rejax_ppo import make_algorithm
    except ImportError:
        return {}
    work = Work(
        num_envs=envs,
        num_steps=STEPS,
        update_epochs=EPOCHS,
        num_minibatches=MINIBATCHES,
        hidden_sizes=(width, width),
        updates_per_chunk=updates,
    )
    algorithm = make_algorithm(work)
    keys = jax.random.split(jax.random.key(0), count)

    def run(state: Any) -> Any:
        return algorithm.train(train_state=state)[0]

    calls = {}
    program, state = jax.jit(jax.vmap(run)), jax.jit(jax.vmap(algorithm.init_state))(keys)
    calls["rejax"] = lambda: program(state)
    if count >= jax.device_count() > 1:
        program_all = rpojax.sharded_vmap(run)
        state_all = rpojax.sharded_vmap(algorithm.init_state)(keys)
        calls["rejax on all"] = lambda: program_all(state_all)
    return calls


def roofline(width: int, envs: int) -> Callable[[], Any]:
    """Products and tanhs of gradient steps on every device; returns the call."""
    minibatch = envs * STEPS // MINIBATCHES
    devices = jax.device_count()

    def step(weights: list[jax.Array], _: None) -> tuple[list[jax.Array], None]:
        first, second = weights
        hidden = jnp.tanh(obs @ first)
        out = jnp.tanh(hidden @ second)
        error = out * (1.0 - out * out)
        below = (error @ second.T) * (1.0 - hidden * hidden)
        transposed = jax.lax.optimization_barrier((hidden.T, obs.T))
        return [
            first - 1e-6 * (transposed[1] @ below),
            second - 1e-6 * (transposed[0] @ error),
        ], None

    obs = jnp.ones((minibatch, width), jnp.float32)

    def run(key: jax.Array) -> Any:
        weights = list(jax.random.normal(key, (2, width, width)) / width**0.5)
        return jax.lax.scan(step, weights, None, length=64)[0]

    keys = jax.random.split(jax.random.key(0), devices)
    program = rpojax.sharded_vmap(run)
    return lambda: program(keys)


def measure_cell(env: str, count: int, width: int, envs: int, rounds: int) -> dict[str, Any]:
    """One row of the table, without its environment."""
    rpojax.use_all_cores()
    steps = count * envs * STEPS
    wanted = 150_000 if env == PENDULUM else 15_000  # about a third of a second, for small agents
    updates = max(1, round(wanted / steps))
    calls = ours(env, width, envs, count, updates)
    first = next(iter(calls.values()))
    jax.block_until_ready(first())
    start = time.perf_counter()
    jax.block_until_ready(first())
    if time.perf_counter() - start > SLOWEST_ROUND / 8:
        return {}
    if env == PENDULUM:
        calls |= peers(width, envs, count, updates)
    calls["roofline"] = roofline(width, envs)
    distinct = {call: name for name, call in calls.items()}
    timed = interleaved({name: calls[name] for name in distinct.values()}, rounds)
    seconds = {name: timed[distinct[call]] for name, call in calls.items()}
    rate = 64 * (envs * STEPS // MINIBATCHES) * 2 * 5 * width * width * jax.device_count()
    model = make_model(config(width, envs, "auto", env))
    return {
        "seconds": seconds,
        "updates": updates,
        "blocks": {
            "one": agents_at_once(model, 1),
            "all": agents_at_once(model, jax.device_count()),
        },
        "flops_per_step": flops_per_step(width, model),
        "roofline_gflops": rate / statistics.median(seconds["roofline"]) / 1e9,
    }


def rows_of(cell: Cell, found: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of the CSV for one cell."""
    env, count, width, envs = cell
    steps = count * envs * STEPS * found["updates"]
    return [
        {
            "env": env,
            "agents": count,
            "width": width,
            "envs": envs,
            "way": way,
            "round": index,
            "steps_per_second": round(steps / seconds),
            "auto_block": found["blocks"]["all" if way.endswith("on all") else "one"],
            "gflops": round(steps / seconds * found["flops_per_step"] / 1e9, 2),
            "roofline_gflops": round(found["roofline_gflops"], 2),
        }
        for way, values in found["seconds"].items()
        if way != "roofline"
        for index, seconds in enumerate(values)
    ]


def cell_of(row: dict[str, Any]) -> Cell:
    """The cell that a line of the CSV belongs to."""
    return row["env"], int(row["agents"]), int(row["width"]), int(row["envs"])


def median_ratio(rows: Sequence[dict[str, Any]], way: str, others: Sequence[str]) -> float | None:
    """Median over rounds of `way` over the best (by median) of `others`; None if one is absent."""
    speeds = {
        name: [float(row["steps_per_second"]) for row in rows if row["way"] == name]
        for name in (way, *others)
    }
    if not all(speeds.values()):
        return None
    best = max(others, key=lambda name: statistics.median(speeds[name]))
    return statistics.median(a / b for a, b in zip(speeds[way], speeds[best], strict=True))


RATIOS = {
    "auto / better of vmap and map, one device": ("auto", ("vmap", "map")),
    "auto / better of both, all devices": ("auto on all", ("vmap on all", "map on all")),
    "auto / vmap, all devices": ("auto on all", ("vmap on all",)),
    "auto / rejax, one device": ("auto", ("rejax",)),
    "auto / rejax, all devices": ("auto on all", ("rejax on all",)),
}


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for each cell."""
    table = []
    for cell in sorted(set(map(cell_of, rows))):
        mine = [row for row in rows if cell_of(row) == cell]
        best = [row for row in mine if row["way"].startswith("auto")]
        fastest = max(best, key=lambda row: float(row["steps_per_second"]))
        line: dict[str, Any] = dict(zip(KEY_COLUMNS, cell, strict=True))
        line["blocks"] = "/".join({row["way"]: str(row["auto_block"]) for row in best}.values())
        for name, (way, others) in RATIOS.items():
            value = median_ratio(mine, way, others)
            line[name] = None if value is None else round(value, 2)
        line["k steps/s"] = round(float(fastest["steps_per_second"]) / 1e3)
        line["of products and tanhs"] = round(
            float(fastest["gflops"]) / float(fastest["roofline_gflops"]), 2
        )
        table.append(line)
    return table


def heat_map(path: Path, table: list[dict[str, Any]], measured: str) -> None:
    """A row for each cell of the table, a column for each ratio."""
    names = [name for name in RATIOS if any(line[name] is not None for line in table)]
    values = np.array([[line[name] or np.nan for name in names] for line in table])
    figure, axes = plt.subplots(
        figsize=(3 + 1.3 * len(names), 1.6 + 0.32 * len(table)), layout="constrained"
    )
    axes.imshow(np.log2(values), cmap="RdYlGn", vmin=-1.3, vmax=1.3, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center")
    axes.set_xticks(
        range(len(names)),
        [name.replace(" / ", " /\n").replace(", ", ",\n") for name in names],
        fontsize=8,
    )
    axes.xaxis.tick_top()
    labels = [
        f"{line['env']}: {line['agents']} agents of 2 x {line['width']}, "
        + _environments(line["envs"])
        for line in table
    ]
    axes.set_yticks(range(len(table)), labels, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.suptitle("Steps per second, ratios", fontsize=10, x=0.01, ha="left")
    figure.supxlabel(caption(measured), fontsize=6, color="gray", x=0.01, ha="left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _environments(count: int) -> str:
    return f"{count} environment{'s' if count > 1 else ''}"


def main() -> None:
    """Measure the cells that are missing, print the table, write CSV and PNG."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default=PENDULUM)
    parser.add_argument("--agents", nargs="+", type=int, default=AGENTS)
    parser.add_argument("--widths", nargs="+", type=int, default=WIDTHS)
    parser.add_argument("--envs", nargs="+", type=int, default=ENVS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, help="begin no cell after this time")
    parser.add_argument("--again", action="store_true", help="measure cells that are there anew")
    parser.add_argument("--cell", nargs=3, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(measure_cell(arguments.env, *arguments.cell, arguments.rounds)))
        return
    started = time.perf_counter()
    info = environment_info(packages_of(arguments.env))
    rows = read_csv(CSV)
    for sizes in itertools.product(arguments.agents, arguments.widths, arguments.envs):
        cell = arguments.env, *sizes
        if arguments.minutes and time.perf_counter() - started > 60 * arguments.minutes:
            break
        there = [row for row in rows if cell_of(row) == cell]
        if there and not arguments.again:
            continue
        words = "--env", arguments.env, "--rounds", str(arguments.rounds)
        found = printed_by("agents", *words, "--cell", *map(str, sizes))
        if not found:
            print(f"{cell}: a round would take more than a minute", flush=True)
            continue
        rows = [row for row in rows if row not in there]
        rows += [{**row, **info.as_row()} for row in rows_of(cell, found)]
        write_csv(CSV, rows)
        print(summary(rows_of(cell, found))[0], flush=True)
    table = summary(rows)
    measured = provenance(rows)
    print_table("Training throughput of many agents", table, measured)
    heat_map(PNG, table, measured)


if __name__ == "__main__":
    main()

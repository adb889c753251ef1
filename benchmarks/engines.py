"""MuJoCo's C engine against MJX on a CPU: training, compiling, and physics alone.

    python -m benchmarks.engines [--environments NAME ...] [--rounds 5]
    python -m benchmarks.engines --compile --environments mjx/Humanoid-v5

* `train`: `make_train` for one agent with CleanRL's settings and 64 environments x 32 steps, a
  program for each engine, in turn in one process: seconds of MJX over those of the C engine, the
  seconds that each takes to compile, and those of C over those of the same training of Pendulum-v1.
* `physics`: 64 simulations x 32 steps with random controls, as a scan of the C engine's operation,
  and as a loop over `mujoco.batch.Batch` with as many threads: seconds of the operation over those
  of the loop.
* `--compile` alone: seconds to trace and compile the same training on MJX, once, over those of one
  step of 64 environments, which is the least that XLA has to compile.

Each environment is a process of its own. Ratios are taken round by round.
"""

import argparse
import functools
import json
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rpojax
from benchmarks.reporting import (
    RESULTS,
    environment_info,
    packages_of,
    paired_ratios,
    print_table,
    read_csv,
    write_csv,
)
from benchmarks.timing import interleaved
from benchmarks.worker import printed_by
from rpojax.envs.physics.engine import make_simulator
from rpojax.envs.physics.gymnasium_tasks import TASKS
from rpojax.envs.physics.mjcf import load_model
from rpojax.envs.physics.mjx import model_path

CSV = RESULTS / "engines.csv"
ENVIRONMENTS = (
    "mjx/Pusher-v5",
    "mjx/HalfCheetah-v5",
    "mjx/Hopper-v5",
    "playground/WalkerWalk",
    "playground/CartpoleBalance",
)
NUM_ENVS, NUM_STEPS, UPDATES = 64, 32, 8


def training(env: str | rpojax.envs.Env, **env_params: str) -> rpojax.Config:
    """The training of one agent."""
    return rpojax.Config(
        env=env,
        env_params=env_params,
        num_envs=NUM_ENVS,
        num_steps=NUM_STEPS,
        total_timesteps=UPDATES * NUM_ENVS * NUM_STEPS,
    )


def compiled(cfg: rpojax.Config) -> Callable[[], Any]:
    """A training, compiled anew."""
    program = jax.jit(rpojax.make_train(cfg)).lower(jax.random.key(0)).compile()
    return lambda: program(jax.random.key(0))


def physics(name: str) -> dict[str, Callable[[], Any]]:
    """The same simulations by the engine's operation and by MuJoCo's own batch."""
    import mujoco
    import mujoco.batch

    family, _, task = name.partition("/")
    if family == "mjx":
        model, substeps = load_model(model_path(TASKS[task].xml)), TASKS[task].frame_skip
    else:
        from mujoco_playground import registry

        env = registry.load(task, config_overrides={"impl": "jax"})
        model, substeps = env.mj_model, env.n_substeps
    simulator = make_simulator(model, ("qpos", "qvel"))
    rng = np.random.default_rng(0)
    controls = rng.uniform(-1, 1, (NUM_STEPS, NUM_ENVS, model.nu)).astype(np.float32)

    @jax.jit
    def by_operation(rows: jax.Array, controls: jax.Array) -> Any:
        def one(row: jax.Array, ctrl: jax.Array) -> Any:
            return simulator.advance(row, {"ctrl": ctrl}, {}, substeps)

        return jax.lax.scan(lambda rows, ctrl: jax.vmap(one)(rows, ctrl), rows, controls)

    rows = jnp.broadcast_to(jnp.asarray(simulator.row), (NUM_ENVS, simulator.row.size))
    batch = mujoco.batch.Batch(model, nsim=NUM_ENVS, nthread=len(os.sched_getaffinity(0)))
    ctrl, qpos = batch.bind("ctrl"), batch.bind("qpos")

    def by_batch() -> np.ndarray:
        batch.reset()
        for given in controls:
            ctrl[:] = given
            batch.step(nstep=substeps)
        return np.array(qpos)

    return {"operation": lambda: by_operation(rows, controls), "batch": by_batch}


def measure(name: str, rounds: int) -> list[dict[str, Any]]:
    """The rows of one environment."""
    found = interleaved(physics(name), rounds)
    ratios = paired_ratios(found["operation"], found["batch"])
    rows = [{"environment": name, "what": "physics: operation / batch", "figure": str(ratios)}]
    on_c = functools.partial(compiled, training(name, impl="c"))
    on_pendulum = functools.partial(compiled, training("Pendulum-v1"))
    compiling = interleaved({"c": on_c, "pendulum": on_pendulum}, rounds)
    programs = {"c": on_c()}
    start = time.perf_counter()
    programs["jax"] = compiled(training(name, impl="jax"))
    seconds_of_mjx = time.perf_counter() - start
    seconds = interleaved(programs, rounds)
    steps = UPDATES * NUM_ENVS * NUM_STEPS
    speeds = {impl: f"{steps / np.median(each):.0f}" for impl, each in seconds.items()}
    figures = {
        "train: MJX / C": str(paired_ratios(seconds["jax"], seconds["c"])),
        "train: steps/s of C": speeds["c"],
        "train: steps/s of MJX": speeds["jax"],
        "compile: seconds of C": f"{np.median(compiling['c']):.1f}",
        "compile: seconds of MJX, once": f"{seconds_of_mjx:.1f}",
        "compile: C / Pendulum-v1": str(paired_ratios(compiling["c"], compiling["pendulum"])),
    }
    return rows + [
        {"environment": name, "what": what, "figure": figure} for what, figure in figures.items()
    ]


def measure_compiling(name: str) -> list[dict[str, Any]]:
    """The rows of one environment: its training against one step of it, both on MJX."""
    env = rpojax.envs.make(name, impl="jax")
    train = rpojax.make_train(training(env))
    keys = jax.random.split(jax.random.key(0), NUM_ENVS)
    state, _ = jax.eval_shape(env.reset, keys, {})
    action = jax.ShapeDtypeStruct((NUM_ENVS, env.action_dim), jnp.float32)
    seconds = []
    for function, arguments in ((env.step, (keys, state, action, {})), (train, (keys[0],))):
        jax.clear_caches()  # traced anew, too
        start = time.perf_counter()
        jax.jit(function).lower(*arguments).compile()
        seconds.append(time.perf_counter() - start)
    of_step, of_train = seconds
    figures = {
        "compile: seconds of a step of MJX, once": f"{of_step:.1f}",
        "compile: seconds of MJX, once": f"{of_train:.1f}",
        "compile: train / step of MJX, once": f"{of_train / of_step:.2f}",
    }
    return [{"environment": name, "what": what, "figure": text} for what, text in figures.items()]


def main() -> None:
    """Measures what was asked for, and writes the CSV."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", nargs="+", default=ENVIRONMENTS, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="time compiling on MJX alone")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        (name,) = arguments.environments
        rows = measure_compiling(name) if arguments.compile else measure(name, arguments.rounds)
        print(json.dumps(rows))
        return
    for name in arguments.environments:
        info = environment_info(packages_of(name))
        words = ["--worker", "--environments", name, "--rounds", str(arguments.rounds)]
        rows = printed_by("engines", *words, *["--compile"] * arguments.compile)
        new = {(row["environment"], row["what"]) for row in rows}
        kept = [row for row in read_csv(CSV) if (row["environment"], row["what"]) not in new]
        write_csv(CSV, [*kept, *({**row, **info.as_row()} for row in rows)])
        print_table(name, rows, info)


if __name__ == "__main__":
    main()

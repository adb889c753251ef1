"""Many agents on one accelerator: steps/s, memory, TF32, and the distance from the roofline.

    python -m benchmarks.accelerator [--agents 1 16 256 1024 4096] [--rounds 5]

Agents are computed all at once ("vmap") and in blocks, on one device, until its memory is full;
float32 products in full precision and, where the device is an NVIDIA GPU, in TF32. The roofline is
the networks' products and tanhs alone (benchmarks/roofline.py), vmapped over as many agents and
timed in the same rounds. Memory is what XLA plans for the program.
"""

import argparse
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp

import rpojax
from benchmarks.reporting import RESULTS, bar_chart, environment_info, print_table, write_csv
from benchmarks.roofline import (
    Weights,
    actor_roofline,
    forward,
    kernels,
    minibatch_roofline,
)
from benchmarks.timing import interleaved, ratio
from rpojax.devices.memory import bytes_needed

UPDATES = 2  # in each call
BLOCK = 256  # agents at once, in the programs that go through them in blocks
PRECISIONS = ("float32", "tensorfloat32")


def config(**changes: Any) -> rpojax.Config:
    """The default settings with a constant learning rate, for any number of updates."""
    return rpojax.Config(lr_schedule="constant", total_timesteps=10**9, **changes)


def lowered(count: int) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Programs to compile and their arguments, by name."""
    cfg = config()
    steps = cfg.update_epochs * cfg.num_minibatches
    init = jax.jit(jax.vmap(rpojax.make_trainer(cfg).init))
    state = init(jax.random.split(jax.random.key(0), count))
    networks = kernels(state.params)

    def roofline(networks: list[Weights], obs: jax.Array) -> Any:
        """One agent's products: obs is [B, d], repeated to the sizes that are needed."""
        minibatch = jnp.tile(obs, (cfg.minibatch_size // cfg.num_envs, 1))
        batches = jnp.broadcast_to(minibatch, (steps, *minibatch.shape))
        rollout = jnp.tile(obs, (2 * cfg.num_steps, 1))  # observations and final observations

        def update(networks: list[Weights], _: None) -> tuple[list[Weights], Any]:
            acted = actor_roofline(networks[0], obs, cfg.num_steps)
            values = forward(networks[1], rollout)[-1]
            return minibatch_roofline(networks, batches), (acted.sum(), values.sum())

        return jax.lax.scan(update, networks, None, length=UPDATES)

    def training(at_once: Any) -> Any:
        trainer = rpojax.make_trainer(config(agents_at_once=at_once))
        return jax.jit(jax.vmap(lambda state: trainer.run(state, None, UPDATES)))

    programs: dict[str, tuple[Any, tuple[Any, ...]]] = {}
    nvidia = "NVIDIA" in jax.devices()[0].device_kind
    for precision in PRECISIONS if nvidia else PRECISIONS[:1]:
        with jax.default_matmul_precision(precision):
            programs[f"vmap, {precision}"] = training("all").lower(state), (state,)
            if precision == PRECISIONS[0]:
                if count > BLOCK:
                    program = training(BLOCK).lower(state)
                    programs[f"blocks of {BLOCK}, {precision}"] = program, (state,)
                bare = jax.jit(jax.vmap(roofline)).lower(networks, state.obs)
                programs["roofline"] = bare, (networks, state.obs)
    return programs


def compiled(count: int) -> dict[str, tuple[Callable[[], Any], int | None]]:
    """Calls and the bytes that they need, by name; compiled side by side."""
    programs = lowered(count)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda pair: pair[0].compile(), programs.values()))
    return {
        name: ((lambda p=program, a=arguments: p(*a)), bytes_needed(program))
        for (name, (_, arguments)), program in zip(programs.items(), found, strict=True)
    }


def main() -> None:
    """Measure as long as memory lasts; print the table, write CSV and PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, nargs="+", default=[1, 4, 16, 64, 256, 1024, 4096])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    info = environment_info()
    device = jax.devices()[0]

    rows: list[dict[str, Any]] = []
    table, bars = [], {}
    for count in arguments.agents:
        try:
            programs = compiled(count)
            calls = {name: call for name, (call, _) in programs.items()}
            seconds = interleaved(calls, arguments.rounds)
        except jax.errors.JaxRuntimeError as error:
            print(f"{count} agents: {str(error).splitlines()[0]}")
            break
        steps = UPDATES * config().batch_size * count
        for name, (_, needed) in programs.items():
            if name == "roofline":
                continue
            speed = steps / statistics.median(seconds[name])
            table.append(
                {
                    "agents": count,
                    "way": name,
                    "steps/s, all agents": f"{speed:,.0f}",
                    "of the roofline": ratio(seconds, "roofline", name),
                    "of vmap, float32": ratio(seconds, "vmap, float32", name),
                    "memory, MB": f"{needed / 2**20:,.0f}" if needed else "unknown",
                }
            )
            print(table[-1], flush=True)
            rows += [
                {
                    "agents": count,
                    "way": name,
                    "round": index,
                    "steps_per_second": round(steps / trained),
                    "roofline_fraction": round(bare / trained, 4),
                    "bytes": needed,
                }
                for index, (trained, bare) in enumerate(
                    zip(seconds[name], seconds["roofline"], strict=True)
                )
            ]
            bars[f"{count}: {name}"] = speed
    title = "Pendulum-v1, 64 envs x 128 steps, 10 epochs x 32 minibatches: agents on one device"
    print_table(title, table, info)
    write_csv(RESULTS / f"accelerator-{device.platform}.csv", rows, info)
    bar_chart(
        RESULTS / f"accelerator-{device.platform}.png",
        title,
        bars,
        info,
        xlabel="environment steps trained on per second, all agents together (median)",
    )


if __name__ == "__main__":
    main()

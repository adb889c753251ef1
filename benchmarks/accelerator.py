"""Many agents on one accelerator: steps/s, memory, and the distance from the roofline.

    python -m benchmarks.accelerator

Seeds are vmapped on one device, 1 to 4096 of them, until its memory is full. The roofline is the
networks' products and tanhs alone (benchmarks/roofline.py), vmapped over as many agents and timed
in the same rounds.
"""

import argparse
import statistics
from collections.abc import Callable
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

UPDATES = 2  # in each call


def programs(cfg: rpojax.Config, seeds: int) -> dict[str, Callable[[], Any]]:
    """Training and its roofline for `seeds` agents, compiled and with their inputs."""
    trainer = rpojax.make_trainer(cfg)
    state = jax.jit(jax.vmap(trainer.init))(jax.random.split(jax.random.key(0), seeds))
    train = jax.jit(jax.vmap(lambda state: trainer.run(state, None, UPDATES)))
    networks = kernels(state.params)
    steps = cfg.update_epochs * cfg.num_minibatches

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

    bare = jax.jit(jax.vmap(roofline))
    return {"train": lambda: train(state), "roofline": lambda: bare(networks, state.obs)}


def main() -> None:
    """Double the seeds as long as memory lasts; print the table, write CSV and PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most-seeds", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    info = environment_info()
    cfg = rpojax.Config(lr_schedule="constant")
    device = jax.devices()[0]

    rows, table, bars = [], [], {}
    seeds = 1
    while seeds <= arguments.most_seeds:
        try:
            seconds = interleaved(programs(cfg, seeds), arguments.rounds)
        except jax.errors.JaxRuntimeError as error:
            print(f"{seeds} seeds: {str(error).splitlines()[0]}")
            break
        steps = UPDATES * cfg.batch_size * seeds
        speed = steps / statistics.median(seconds["train"])
        peak = (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
        fraction = ratio(seconds, "roofline", "train")
        table.append(
            {
                "seeds": seeds,
                "steps/s, all seeds": f"{speed:,.0f}",
                "of the roofline": fraction,
                "peak memory, MB": f"{peak / 2**20:,.0f}" if peak else "not told",
            }
        )
        rows += [
            {
                "seeds": seeds,
                "round": index,
                "steps_per_second": round(steps / trained),
                "roofline_fraction": round(bare / trained, 4),
                "peak_bytes": peak,
            }
            for index, (trained, bare) in enumerate(
                zip(seconds["train"], seconds["roofline"], strict=True)
            )
        ]
        bars[str(seeds)] = speed
        seeds *= 2 if seeds < 16 else 4
    title = f"{cfg.env}, 64 envs x 128 steps, 10 epochs x 32 minibatches: seeds on one device"
    print_table(title, table, info)
    write_csv(RESULTS / f"accelerator-{device.platform}.csv", rows, info)
    bar_chart(
        RESULTS / f"accelerator-{device.platform}.png",
        title,
        bars,
        info,
        xlabel="environment steps trained on per second, all seeds together (median)",
    )


if __name__ == "__main__":
    main()

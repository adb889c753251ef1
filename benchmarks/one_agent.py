"""One agent on one and on several devices: from which sizes it pays, and what is communicated.

    python -m benchmarks.one_agent --width 256

Pendulum-v1, 32 steps, 2 epochs of 4 minibatches. Each core of a CPU is a device; XLA lets the
program of one device use the other cores for some of its operations;
XLA_FLAGS=--xla_cpu_multi_thread_eigen=false leaves it one core, as if it were a device of its own.
`bytes` is what a device receives in an update, counted in the traced program; the benchmark ends
with an error if `model_bytes`, by the formulas of README.md, says otherwise. `model_seconds` are
those bytes at the bandwidth and the latency of this machine's own collectives, measured here.
Results of another width, or with other flags, are kept in the file.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params
from jax.sharding import Mesh, PartitionSpec

import rpojax
from benchmarks.reporting import (
    RESULTS,
    environment_info,
    paired_ratios,
    print_table,
    read_csv,
    write_csv,
)
from benchmarks.timing import interleaved

STEPS, EPOCHS, MINIBATCHES = 32, 2, 4
SIZES = (64, 256, 1024, 4096)
SAMPLES_PER_CALL = 16_384  # environment steps of a call, at least one update's
STEP_METRICS = 7  # numbers that come with a gradient
PER_SAMPLE, PER_ACTION = 4, 3  # numbers of a sample: log_prob, ...; action, mean, log_std
NAME = "one_agent.csv"


class Traffic(NamedTuple):
    """What a device receives in an update."""

    gathered: float  # bytes of samples
    reduced: float  # bytes of gradients and metrics, by a ring
    messages: int

    def seconds(self, bandwidth: float, latency: float) -> float:
        """In bytes per second, and seconds for each message."""
        return (self.gathered + self.reduced) / bandwidth + self.messages * latency


def config(width: int, envs: int, devices: int) -> rpojax.Config:
    """The agent that is timed."""
    return rpojax.Config(
        num_envs=envs,
        num_steps=STEPS,
        update_epochs=EPOCHS,
        num_minibatches=MINIBATCHES,
        network=rpojax.NetworkConfig(hidden_sizes=(width, width)),
        total_timesteps=10**9,
        devices_per_agent=devices,
    )


def counted(cfg: rpojax.Config) -> Traffic:
    """The traffic of one update, as the traced program has it; small messages included."""
    trainer = rpojax.make_trainer(cfg)
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    share = (cfg.devices_per_agent - 1) / cfg.devices_per_agent
    gathered, reduced, messages = _count(jax.make_jaxpr(trainer.iterate)(state).jaxpr)
    return Traffic(share * gathered, 2.0 * share * reduced, messages)


def _count(jaxpr: Any) -> np.ndarray:
    """Bytes that all-gathers return, bytes that all-reduces return, and their number."""
    total = np.zeros(3, np.int64)
    for equation in jaxpr.eqns:
        size = sum(out.aval.size * out.aval.dtype.itemsize for out in equation.outvars)
        if equation.primitive.name.startswith("all_gather"):
            total += (size, 0, len(equation.outvars))
        elif equation.primitive.name.startswith("psum"):
            total += (0, size, len(equation.outvars))
        else:
            times = equation.params.get("length", 1)
            for inner in jaxprs_in_params(equation.params):
                total += times * _count(inner)
    return total


def modelled(cfg: rpojax.Config, obs_size: int, action_dim: int, num_params: int) -> Traffic:
    """The traffic of one update by the formulas of README.md, for a feed-forward network."""
    devices, samples = cfg.devices_per_agent, cfg.batch_size
    share = (devices - 1) / devices
    gradient_steps = cfg.update_epochs * cfg.num_minibatches
    per_sample = obs_size + PER_ACTION * action_dim + PER_SAMPLE
    gathered = 4 * share * samples * (per_sample + cfg.update_epochs)
    reduced = 4 * 2 * share * gradient_steps * (num_params + STEP_METRICS)
    return Traffic(gathered, reduced, gradient_steps + cfg.update_epochs)


def program(cfg: rpojax.Config) -> tuple[Callable[[], Any], int]:
    """Some updates of the agent, and how many environment steps they take."""
    trainer = rpojax.make_trainer(cfg)
    updates = max(1, SAMPLES_PER_CALL // cfg.batch_size)
    state = jax.jit(trainer.init)(jax.random.key(0))
    compiled = jax.jit(lambda state: trainer.run(state, None, updates)).lower(state).compile()
    return (lambda: compiled(state)), updates * cfg.batch_size


def collectives(devices: int) -> tuple[float, float]:
    """Bytes per second and seconds per message of all-reduces between devices of this machine."""
    mesh = Mesh(np.asarray(jax.devices()[:devices]), ("devices",))
    calls, length = {}, 50
    for size in (8, 2**20):

        def reduce_often(vector: jax.Array) -> jax.Array:
            def once(_: Any, vector: jax.Array) -> jax.Array:
                return jax.lax.pmean(vector, "devices") + 1.0

            return jax.lax.fori_loop(0, length, once, vector)

        spec = PartitionSpec()
        mapped = jax.shard_map(
            reduce_often, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False
        )
        call, vector = jax.jit(mapped), jnp.ones(size)
        calls[size] = lambda call=call, vector=vector: call(vector)
    seconds = interleaved({str(size): call for size, call in calls.items()}, rounds=5)
    small, large = (min(seconds[str(size)]) / length for size in calls)
    sent = 2.0 * (devices - 1) / devices * 4 * 2**20
    return sent / (large - small), small


def main() -> None:
    """Time the sizes of one width, print a table, write CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64, help="of both hidden layers")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="environments")
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rpojax.use_all_cores()
    info = environment_info()
    width, devices, flags = arguments.width, arguments.devices, os.environ.get("XLA_FLAGS", "")

    bandwidth, latency = collectives(devices)
    rows: list[dict[str, Any]] = []
    table = []
    for envs in arguments.sizes:
        cfgs = {str(count): config(width, envs, count) for count in (1, devices)}
        calls, steps = {}, 1
        for name, cfg in cfgs.items():
            calls[name], steps = program(cfg)
        seconds = interleaved(calls, arguments.rounds, least_seconds=0.2)
        shared = cfgs[str(devices)]
        env = rpojax.envs.make(shared.env)
        params = jax.eval_shape(rpojax.make_trainer(shared).init, jax.random.key(0)).params
        num_params = sum(leaf.size for leaf in jax.tree.leaves(params))
        traffic, model = counted(shared), modelled(shared, env.obs.size, env.action_dim, num_params)
        received = traffic.gathered + traffic.reduced
        if not 0.0 <= received - model.gathered - model.reduced < 2_000:
            raise AssertionError(f"counted {traffic}, and by the formulas {model}")
        ratios = paired_ratios(seconds["1"], seconds[str(devices)])
        per_update = steps // shared.batch_size
        one, several = (statistics.median(seconds[name]) / per_update for name in cfgs)
        communication = traffic.seconds(bandwidth, latency)
        table.append(
            {
                "environments": envs,
                "steps/s on one": f"{shared.batch_size / one:,.0f}",
                f"on {devices}": f"{shared.batch_size / several:,.0f}",
                "ratio": ratios,
                "bytes": f"{received:,.0f}",
                "model, share of the time": f"{communication / several:.2f}",
            }
        )
        rows += [
            {
                "width": width,
                "environments": envs,
                "devices": devices,
                "xla_flags": flags,
                "round": index,
                "seconds_of_update_on_one": round(a / per_update, 6),
                "seconds_of_update_on_several": round(b / per_update, 6),
                "bytes": round(received),
                "model_bytes": round(model.gathered + model.reduced),
                "messages": traffic.messages,
                "model_seconds": round(communication, 6),
                "bandwidth": round(bandwidth),
                "latency": round(latency, 8),
            }
            for index, (a, b) in enumerate(zip(seconds["1"], seconds[str(devices)], strict=True))
        ]
    title = f"One agent, 2 x {width}, on {devices} devices and on one"
    notes = [f"all-reduce: {bandwidth / 1e9:.1f} GB/s, {latency * 1e6:.0f} us"]
    print_table(title, table, info, notes)
    path = RESULTS / NAME
    same = str(width), flags
    others = [row for row in read_csv(path) if (row["width"], row["xla_flags"]) != same]
    write_csv(path, [*others, *({**row, **info.as_row()} for row in rows)])


if __name__ == "__main__":
    main()

"""How long one step of a policy takes: exported to ONNX and to NumPy, and `make_policy`.

    python -m benchmarks.latency

One observation at a time on one core, as on a robot: 48 observations, 12 actions, a network of
3 x 256, and one with a GRU of 256 after it. The forms take turns of 200 steps, so that all see the
same machine.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reporting import RESULTS, environment_info, print_table, write_csv

OBSERVATIONS, ACTIONS = 48, 12
TURN = 200  # steps


def config(cell: str | None) -> Any:
    """Settings for an environment of a robot's sizes, which stands still."""
    import jax
    import jax.numpy as jnp

    import rpojax
    from rpojax.envs import Env, TimeStep

    def reset(keys: Any, params: Any) -> Any:
        zeros = jnp.zeros((len(keys), OBSERVATIONS))
        return zeros, zeros

    def step(keys: Any, state: Any, action: Any, params: Any) -> Any:
        never = jnp.zeros(len(keys), bool)
        return state, TimeStep(state, jnp.zeros(len(keys)), never, never)

    bound = np.ones(ACTIONS, np.float32)
    obs = jax.ShapeDtypeStruct((OBSERVATIONS,), jnp.float32)
    network = rpojax.NetworkConfig(hidden_sizes=(256,) * 3, cell=cell, cell_sizes=(256,))
    env = Env("Robot", reset, step, obs, -bound, bound)
    return rpojax.Config(env=env, network=network, num_minibatches=4)


def policies(cell: str | None, place: Path) -> dict[str, Any]:
    """The same policy in each form, each `(obs, carry) -> (action, carry)`."""
    import jax

    import rpojax
    from rpojax.agent import numpy_policy

    cfg = config(cell)
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(0))
    rpojax.export_policy(cfg, state, place / "policy.onnx", format="onnx")
    rpojax.export_policy(cfg, state, place / "policy.npz", format="numpy")
    return {
        "make_policy": rpojax.make_recurrent_policy(cfg, state),
        "onnx": rpojax.load_policy(place / "policy.onnx"),
        "numpy": numpy_policy.load(place / "policy.npz"),
    }


def seconds_of_steps(acting: dict[str, Any], turns: int) -> dict[str, np.ndarray]:
    """Seconds of each step, f64[turns * TURN], by the form of the policy."""
    rng = np.random.default_rng(0)
    taken: dict[str, list[float]] = {name: [] for name in acting}
    carries: dict[str, Any] = dict.fromkeys(acting)
    for turn in range(turns + 1):
        for name, act in acting.items():
            for obs in rng.standard_normal((TURN, OBSERVATIONS)).astype(np.float32):
                start = time.perf_counter()
                _, carries[name] = act(obs, carries[name])
                if turn:  # the first is a warm-up
                    taken[name].append(time.perf_counter() - start)
    return {name: np.array(seconds) for name, seconds in taken.items()}


def main() -> None:
    """Measure and write results/latency.csv."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20, help="of 200 steps for each form")
    turns = parser.parse_args().turns
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX starts threads
    info = environment_info(("jax", "numpy", "onnxruntime"))
    rows = []
    for network, cell in (("3 x 256", None), ("3 x 256, GRU 256", "gru")):
        with tempfile.TemporaryDirectory() as place:
            for name, seconds in seconds_of_steps(policies(cell, Path(place)), turns).items():
                p50, p99 = (round(1e3 * np.percentile(seconds, part), 4) for part in (50, 99))
                row = {"network": network, "policy": name, "steps": len(seconds)}
                rows.append(row | {"p50 ms": p50, "p99 ms": p99})
    print_table("One step of a policy on one core", rows, info)
    write_csv(RESULTS / "latency.csv", rows, info)


if __name__ == "__main__":
    main()

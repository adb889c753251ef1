"""From the start of a process to a trained agent: imports, compilation, memory, time to solve.

    python -m benchmarks.startup

Each figure is taken in a process of its own, several times. "Warm" means that JAX's persistent
compilation cache holds the programs of an earlier, identical process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from typing import Any

from benchmarks.reporting import (
    REPOSITORY,
    RESULTS,
    bar_chart,
    environment_info,
    paired_ratios,
    print_table,
    write_csv,
)

IMPORTS = {
    "import jax, flax, optax": "import jax, flax, optax",
    "import rpojax": "import rpojax",
    "import gymnax": "import gymnax",
}

COMPILE = """
    import json, resource, time
    import jax, rpojax, gymnax
    cfg = rpojax.Config()
    train = jax.jit(rpojax.make_train(cfg))
    key = jax.random.key(0)
    start = time.perf_counter()
    lowered = train.lower(key)
    traced = time.perf_counter()
    compiled = lowered.compile()
    done = time.perf_counter()
    memory = compiled.memory_analysis()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({
        "trace seconds": traced - start,
        "compile seconds": done - traced,
        "program MB": (memory.temp_size_in_bytes + memory.output_size_in_bytes
                       + memory.argument_size_in_bytes) / 2**20,
        "process peak MB": peak / 2**10,
    }))
"""

SOLVE = """
    import time
    start = time.perf_counter()
    import json
    import jax, rpojax
    imported = time.perf_counter()
    cfg = rpojax.Config(
        env="Pendulum-v1", total_timesteps=196_608, num_envs=16, num_steps=128,
        num_minibatches=8, update_epochs=8, learning_rate=2e-3, gamma=0.95, alpha=0.1,
        max_grad_norm=1.0, clip_value_loss=False,
    )
    result = jax.jit(rpojax.make_train(cfg))(jax.random.key(SEED))
    evaluation = rpojax.evaluate(cfg, result.state, jax.random.key(1))
    mean = float(evaluation.episode_return.mean())
    seconds = time.perf_counter() - start
    print(json.dumps({"return": mean, "seconds after the first import": seconds}))
"""


def run(code: str, cache: str | None = None) -> tuple[float, dict[str, Any]]:
    """Wall-clock seconds of a process that runs `code`, and the JSON line that it printed."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if cache is not None:
        environment |= {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=REPOSITORY,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return seconds, json.loads(lines[-1]) if lines else {}


def main() -> None:
    """Take all figures in turn, print the table, write CSV and PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    info = environment_info()

    measured: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        measured.setdefault(name, []).append(value)

    for seed in range(rounds):
        for name, code in IMPORTS.items():
            note(f"{name} [s]", run(code)[0])
        with tempfile.TemporaryDirectory() as cache:
            for state in ("cold", "warm"):
                _, told = run(COMPILE, cache)
                note(f"trace default program, {state} [s]", told["trace seconds"])
                note(f"compile default program, {state} [s]", told["compile seconds"])
                if state == "cold":
                    note("memory of the default program [MB]", told["program MB"])
                    note("peak memory of the process [MB]", told["process peak MB"])
            for state in ("cold", "warm"):
                seconds, told = run(SOLVE.replace("SEED", str(seed)), cache)
                note(f"solve Pendulum-v1, {state} [s]", seconds)
                note(f"its evaluation return, {state}", told["return"])

    imports = paired_ratios(measured["import rpojax [s]"], measured["import jax, flax, optax [s]"])
    table = [
        {
            "what": name,
            "median": f"{statistics.median(values):.2f}",
            "min-max": f"{min(values):.2f} to {max(values):.2f}",
        }
        for name, values in measured.items()
    ]
    notes = [f"import rpojax / import jax, flax, optax: {imports}"]
    print_table("From the start of a process", table, info, notes)
    rows = [
        {"what": name, "round": index, "value": round(value, 4)}
        for name, values in measured.items()
        for index, value in enumerate(values)
    ]
    write_csv(RESULTS / "startup.csv", rows, info)
    bar_chart(
        RESULTS / "startup.png",
        "From the start of a process (each in its own)",
        {
            name.removesuffix(" [s]"): statistics.median(values)
            for name, values in measured.items()
            if name.endswith("[s]")
        },
        info,
        xlabel="seconds (median)",
        value_format="{:,.2f}",
    )


if __name__ == "__main__":
    main()

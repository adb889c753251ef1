"""A study that is killed at random moments ends with the same tables."""

import os
import random
import subprocess
import sys
import time

import pytest
from small_study import tables

KILLS = int(os.environ.get("RPOJAX_STUDY_KILLS", "2"))
STUDY = """
import sys
import jax
jax.config.update("jax_compilation_cache_dir", sys.argv[2])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
import rpojax
cfg = rpojax.Config(
    env="MountainCarContinuous-v0", num_envs=4, num_steps=32, num_minibatches=2, update_epochs=2,
    total_timesteps=4 * 32 * 90, network=rpojax.NetworkConfig(hidden_sizes=(8,)),
)
grid = {"alpha": [0.0, 0.2, 0.5], "num_steps": [16, 32]}
rpojax.study(cfg, grid=grid, num_seeds=2, eval_episodes=2, halving=3, directory=sys.argv[1])
"""


def start(directory, cache):
    quickly = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compiled
    return subprocess.Popen([sys.executable, "-c", STUDY, directory, cache], env=quickly)


@pytest.mark.slow
def test_killed_study_ends_with_the_same_tables(tmp_path):
    whole, killed, cache = (tmp_path / name for name in ("whole", "killed", "cache"))
    process = start(whole, cache)
    try:
        assert process.wait(timeout=900) == 0
    finally:
        process.kill()
    rng, kills = random.Random(0), 0
    while True:
        process = start(killed, cache)
        try:
            if kills == KILLS:
                assert process.wait(timeout=900) == 0
                break
            deadline = time.monotonic() + 600
            while not (killed / "study.json").exists() and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            try:
                process.wait(timeout=rng.uniform(0.0, 8.0))
            except subprocess.TimeoutExpired:
                kills += 1
            else:  # it came to its end: start anew
                assert process.returncode == 0
                assert tables(killed) == tables(whole)
                killed = tmp_path / f"killed_{kills}_{time.monotonic_ns()}"
        finally:
            process.kill()
            process.wait()
    assert tables(killed) == tables(whole)

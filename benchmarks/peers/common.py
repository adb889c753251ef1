"""The work that every worker trains on, and the protocol by which it is asked to.

A worker builds its agent, compiles and warms up, and prints one JSON line that says it is ready.
For every line `go` on its standard input it then trains one timed round and prints
`{"steps": ..., "seconds": ...}`. It ends when its standard input does.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata

from benchmarks.reporting import PACKAGES, device_name


@dataclass(frozen=True)
class Work:
    """The environment, network and PPO settings that all workers share.

    The rest is common too, and fixed in each worker: separate tanh networks for actor and critic,
    a log standard deviation that does not depend on the state, observations and rewards
    normalised, advantages normalised per minibatch, no entropy bonus.
    """

    env: str = "Pendulum-v1"
    num_envs: int = 64
    num_steps: int = 128
    update_epochs: int = 10
    num_minibatches: int = 32
    hidden_sizes: tuple[int, ...] = (64, 64)
    learning_rate: float = 3e-4
    adam_eps: float = 1e-5
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_eps: float = 0.2
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    alpha: float = 0.5  # of RPO; the PPO peers have none
    updates_per_chunk: int = 4  # trained in one call, at whose end the worker waits for the device

    @property
    def batch_size(self) -> int:
        """Environment steps in one update."""
        return self.num_envs * self.num_steps

    @property
    def minibatch_size(self) -> int:
        """Samples in one minibatch."""
        return self.batch_size // self.num_minibatches

    @property
    def chunk_steps(self) -> int:
        """Environment steps in one chunk."""
        return self.batch_size * self.updates_per_chunk


WORKS = {
    "default": Work(),
    "brax-4x32": Work(  # the sizes of Brax's and Playground's tuned settings
        num_envs=2048,
        num_steps=16,
        update_epochs=4,
        num_minibatches=16,
        hidden_sizes=(32, 32, 32, 32),
    ),
    "brax-2x256": Work(
        num_envs=2048,
        num_steps=16,
        update_epochs=4,
        num_minibatches=16,
        hidden_sizes=(256, 256),
        updates_per_chunk=1,
    ),
    "brax-pendulum": Work(  # with which `benchmarks.environments` solves it
        env="brax/inverted_pendulum",
        num_steps=32,
        update_epochs=4,
        num_minibatches=8,
        learning_rate=1e-3,
        alpha=0.1,
        updates_per_chunk=16,
    ),
    "brax-pendulum-2048": Work(  # the sizes of Brax's tuned settings for it
        env="brax/inverted_pendulum",
        num_envs=2048,
        num_steps=80,
        update_epochs=4,
        num_minibatches=32,
        hidden_sizes=(32, 32, 32, 32),
        updates_per_chunk=1,
    ),
    "half-cheetah": Work(env="mujoco/HalfCheetah-v5", num_steps=32, updates_per_chunk=8),
    "hopper": Work(env="mujoco/Hopper-v5", num_steps=32, updates_per_chunk=8),
    "walker-walk": Work(env="playground/WalkerWalk", num_steps=32, updates_per_chunk=8),
}

WORK_VARIABLE = "RPOJAX_BENCHMARK_WORK"
WORK = WORKS[os.environ.get(WORK_VARIABLE, "default")]


@dataclass(frozen=True)
class Ready:
    """The first line a worker prints, once it is warm."""

    name: str
    version: str
    device: str
    versions: dict[str, str]  # of the packages that the speed depends on
    differences: list[str]  # from the work that was asked for, one remark each


@dataclass(frozen=True)
class Round:
    """The line a worker prints after each timed round."""

    steps: int
    seconds: float

    @property
    def steps_per_second(self) -> float:
        """Training throughput: environment steps collected and learnt from in a second."""
        return self.steps / self.seconds


def serve(
    name: str,
    version: str,
    build: Callable[[Work], Callable[[], None]],
    *,
    differences: Sequence[str] = (),
    packages: Sequence[str] = PACKAGES,
) -> None:
    """Runs one worker.

    Args:
      name: how the table calls it.
      version: of what is measured.
      build: given the work, returns `train_chunk()`, which goes on training from where the last
        call stopped, for `updates_per_chunk` updates, and returns when the device has finished.
      differences: what the peer does otherwise than asked.
      packages: distributions below it, whose versions are reported too.
    """
    parser = argparse.ArgumentParser(description=f"Training worker for {name}.")
    parser.add_argument("--seconds", type=float, default=3.0, help="least length of a round")
    seconds = parser.parse_args().seconds

    train_chunk = build(WORK)
    train_chunk()  # compiles
    _train_round(train_chunk, seconds)  # warms up; a changed weak type would compile once more here
    versions = {package: metadata.version(package) for package in packages}
    ready = Ready(name, version, device_name(), versions, list(differences))
    print(json.dumps(asdict(ready)), flush=True)
    for line in sys.stdin:
        if line.strip() == "go":
            print(json.dumps(asdict(_train_round(train_chunk, seconds))), flush=True)


def _train_round(train_chunk: Callable[[], None], least_seconds: float) -> Round:
    """Trains whole chunks until the time is up."""
    steps = 0
    start = time.perf_counter()
    elapsed = 0.0
    while elapsed < least_seconds:
        train_chunk()
        steps += WORK.chunk_steps
        elapsed = time.perf_counter() - start
    return Round(steps, elapsed)

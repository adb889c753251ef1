"""Training that a person watches: a host loop over one compiled program."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.config import Config
from rpojax.parallel import sharded_vmap
from rpojax.train import Trainer, is_finite, make_trainer
from rpojax.types import Array, HyperParams, Metrics, TrainResult, TrainState
from rpojax.validation import whole_number

SECONDS_PER_CHUNK = 0.25  # aimed at; one update may well take longer
LONGEST_CHUNK = 256  # updates, whose metrics the device holds at one time


class Progress(NamedTuple):
    """What `on_chunk` is told; S seeds, n updates since the last call."""

    updates: int  # done so far, of cfg.num_updates
    steps: int  # environment steps done so far, by all seeds together
    metrics: Metrics  # of numpy arrays, f32[S, n]
    compile_seconds: float
    train_seconds: float  # spent in training so far, without the compilation and on_chunk

    @property
    def steps_per_second(self) -> float:
        """Environment steps of all seeds together, per second of training."""
        return self.steps / self.train_seconds if self.steps else 0.0


def fit(
    cfg: Config,
    num_seeds: int = 1,
    seed: int = 0,
    hyperparams: HyperParams | None = None,
    on_chunk: Callable[[Progress], Any] | None = None,
) -> TrainResult:
    """Train S agents side by side, a few updates at a time, and tell in between how it goes.

    The agents are spread over all devices; `use_all_cores` makes one of each core of a CPU.

    The agents are those of `jax.jit(jax.vmap(make_train(cfg)))(keys)`, where `keys =
    jax.random.split(jax.random.key(seed), num_seeds)`, but for the rounding of programs compiled
    apart, which grows in a long training. How many updates make a chunk is an argument of the
    compiled program and no part of it: chunks follow the clock, change no number, and a last,
    shorter one costs no second compilation.

    Args:
        cfg: settings.
        num_seeds: S.
        seed: of the key that each agent's own is split from.
        hyperparams: for all agents alike, each f32[]; None for the config's own.
        on_chunk: called once when the program is compiled, then after every chunk, a few times a
            second at most. What it raises ends the training.

    Returns:
        The result with a leading axis of seeds: metrics [S, cfg.num_updates], finite bool[S].

    Raises:
        ValueError: as `make_train`; num_seeds below 1; hyperparameters with an axis.
    """
    num_seeds = whole_number("num_seeds", num_seeds)
    if hyperparams is not None:
        _require_scalars(hyperparams)
    trainer = make_trainer(cfg)
    keys = jax.random.split(jax.random.key(seed), num_seeds)
    # Copies fill up the last seeds' share of the devices; they are dropped at the end.
    keys = keys[np.arange(-(-num_seeds // jax.device_count()) * jax.device_count()) % num_seeds]

    compile_start = time.perf_counter()
    longest = min(cfg.num_updates, LONGEST_CHUNK)
    init = sharded_vmap(trainer.init, (0, None)).lower(keys, hyperparams).compile()
    state = init(keys, hyperparams)
    advance = (
        sharded_vmap(
            functools.partial(_advance, trainer, longest), (0, None, None), donate_argnums=(0,)
        )
        .lower(state, hyperparams, np.int32(0))
        .compile()
    )
    compile_seconds = time.perf_counter() - compile_start

    collected = [_blank_metrics((num_seeds, 0))]
    updates, chunk, train_seconds = 0, 1, 0.0

    def report() -> None:
        if on_chunk is not None:
            steps = num_seeds * updates * cfg.batch_size
            on_chunk(Progress(updates, steps, collected[-1], compile_seconds, train_seconds))

    report()
    while updates < cfg.num_updates:
        chunk = min(chunk, longest, cfg.num_updates - updates)
        start = time.perf_counter()
        state, metrics = advance(state, hyperparams, np.int32(chunk))
        collected.append(_trim(metrics, num_seeds, chunk))  # waits for the chunk to end
        seconds = time.perf_counter() - start
        updates, train_seconds = updates + chunk, train_seconds + seconds
        report()
        chunk = max(1, round(chunk * SECONDS_PER_CHUNK / seconds))

    whole = jax.tree.map(lambda *chunks: jnp.asarray(np.concatenate(chunks, axis=1)), *collected)
    state = jax.tree.map(lambda leaf: leaf[:num_seeds], state)
    return TrainResult(state=state, metrics=whole, finite=jax.vmap(is_finite)(state))


def _advance(
    trainer: Trainer,
    longest: int,
    state: TrainState,
    hyperparams: HyperParams | None,
    num_updates: Array,
) -> tuple[TrainState, Metrics]:
    """`num_updates` updates of one agent, i32[] and `longest` at most.

    Returns:
        The state, and the metrics [longest], of which the first `num_updates` are set.
    """

    def step(index: Array, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
        state, rows = carry
        state, row = trainer.iterate(state, hyperparams)
        return state, jax.tree.map(lambda values, value: values.at[index].set(value), rows, row)

    rows = jax.tree.map(jnp.asarray, _blank_metrics((longest,)))
    return jax.lax.fori_loop(0, num_updates, step, (state, rows))


def _blank_metrics(shape: tuple[int, ...]) -> Metrics:
    blank: Any = np.zeros(shape, np.float32)
    return Metrics(**{field.name: blank for field in dataclasses.fields(Metrics)})


def _trim(metrics: Metrics, num_seeds: int, num_updates: int) -> Metrics:
    """The part of the metrics that counts, as numpy arrays [num_seeds, num_updates]."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[:num_seeds, :num_updates], metrics)


def _require_scalars(hyperparams: HyperParams) -> None:
    """Raise ValueError for a hyperparameter out of range or with an axis."""
    hyperparams.check()
    for name, value in vars(hyperparams).items():
        if np.ndim(value):
            raise ValueError(
                f"hyperparams.{name} has shape {np.shape(value)}, and fit trains with one value; "
                "for a sweep, vmap make_train(cfg) with HyperParams.axes"
            )

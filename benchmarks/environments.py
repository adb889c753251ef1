"""The families of environments: steps per second, seconds to compile, what agents learn in them.

    python -m benchmarks.environments [--parts speed compile] [--environments NAME ...] [--again]

* `speed`: environment steps per second of 64 environments with random actions: stepping alone, with
  a full reset in each step (`Config.resets = "exact"`), and with a pool of 64 starts for each
  rollout of 32 steps ("pool"); in turn, round after round.
* `compile`: seconds to make the environment, once for all that follows, and to compile a reset and
  a step of 64 of it; `train`, which holds two resets (the first, and those of new episodes) and a
  step; and `evaluate`, with one of each.
* `learning`: 4 agents with the settings in `LEARNING`, trained together, and the mean and standard
  deviation of 64 evaluation episodes of each. Agents of MJX's tasks are also scored in Gymnasium.
* `tasks`: each of MuJoCo Playground's tasks on the C engine: seconds to make it, to pass
  `check_env` with 20 steps of 3 environments, and to train 3 updates of its preset with 4
  environments; and whether all numbers are finite.
* `time-limit`: the value that is learnt where episodes of a constant reward are cut off, with
  bootstrap and without, against the true value.

Each part of each environment is a process of its own. What the CSV holds already is left out, so
that the table can be made in several goes. Families that are not installed are skipped.
"""

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import rpojax
from benchmarks.reporting import (
    RESULTS,
    environment_info,
    packages_of,
    print_table,
    read_csv,
    write_csv,
)
from benchmarks.timing import interleaved
from benchmarks.worker import printed_by
from rpojax import envs
from rpojax.core.keys import update_keys
from rpojax.core.model import make_model
from rpojax.core.resets import draw_starts, step_and_reset
from rpojax.envs.registry import FAMILIES, how_to_install
from rpojax.envs.wrappers import with_time_limit
from rpojax.networks import make_network

CSV = RESULTS / "environments.csv"
NUM_ENVS, NUM_STEPS = 64, 32
AGENTS, EPISODES, GYMNASIUM_EPISODES = 4, 64, 16
TIMED = (
    "Pendulum-v1",
    "mjx/InvertedPendulum-v5",
    "brax/inverted_pendulum",
    "playground/CartpoleBalance",
    "playground/PendulumSwingup",
)
LEARNING: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "brax/inverted_pendulum": ("brax/inverted_pendulum", {}),
    "mjx/InvertedPendulum-v5": ("mjx/InvertedPendulum-v5", {}),
    "playground/CartpoleBalance": ("brax/inverted_pendulum", {"total_timesteps": 1_000_000}),
    "brax/inverted_double_pendulum": ("brax/inverted_double_pendulum", {}),
    "mjx/InvertedDoublePendulum-v5": ("mjx/InvertedDoublePendulum-v5", {}),
}
"""A preset and changes to it."""

REWARD, GAMMA, LIMIT = 1.0, 0.9, 8


class Figure(NamedTuple):
    """One number."""

    what: str
    index: int  # of the round or the agent
    value: float


def speed(name: str, rounds: int) -> Iterator[Figure]:
    """Steps per second with each way to reset."""
    ways = {
        "alone": step_alone(envs.make(name)),
        **{mode: rollout(name, mode) for mode in ("exact", "pool")},
    }
    for way, seconds in interleaved(ways, rounds).items():
        for index, value in enumerate(seconds):
            yield Figure(f"steps/s {way}", index, NUM_ENVS * NUM_STEPS / value)


def step_alone(env: envs.Env) -> Callable[[], Any]:
    """32 steps of 64 episodes that are never reset."""

    @jax.jit
    def run(key: jax.Array, state: Any) -> Any:
        def step(state: Any, keys: jax.Array) -> Any:
            state, timestep = env.step(keys, state, random_action(env, keys[0]), {})
            return state, timestep.reward

        return jax.lax.scan(step, state, jax.random.split(key, (NUM_STEPS, NUM_ENVS)))

    state, _ = jax.jit(env.reset)(jax.random.split(jax.random.key(0), NUM_ENVS), {})
    return lambda: run(jax.random.key(1), state)


def rollout(name: str, resets: Any) -> Callable[[], Any]:
    """The same with new episodes where they end, as training resets."""
    cfg = rpojax.Config(env=name, num_envs=NUM_ENVS, num_steps=NUM_STEPS, resets=resets)
    env = make_model(cfg).env

    @jax.jit
    def run(key: jax.Array, start: Any) -> Any:
        keys = update_keys(cfg, key)
        starts = draw_starts(cfg, env, {}, keys)

        def step(before: Any, inputs: Any) -> Any:
            step_keys, picks = inputs
            action = random_action(env, step_keys[0])
            now = starts._replace(picks=picks)
            stepped = step_and_reset(env, {}, now, step_keys, *before, action)
            return (stepped.state, stepped.obs), stepped.timestep.reward

        return jax.lax.scan(step, start, (keys.environment, starts.picks))

    start = jax.jit(env.reset)(jax.random.split(jax.random.key(0), NUM_ENVS), {})
    return lambda: run(jax.random.key(1), start)


def random_action(env: envs.Env, key: jax.Array) -> jax.Array:
    """Uniform within [-1, 1]."""
    return jax.random.uniform(key, (NUM_ENVS, env.action_dim), minval=-1.0)


def compile_seconds(name: str, rounds: int) -> Iterator[Figure]:
    """Seconds of one process that has compiled nothing before; of one round."""
    del rounds
    start = time.perf_counter()
    env = envs.make(name)
    yield Figure("seconds to make", 0, time.perf_counter() - start)
    cfg, key = rpojax.Config(env=name), jax.random.key(0)
    keys = jax.random.split(key, cfg.num_envs)
    env_state, _ = jax.eval_shape(env.reset, keys, {})
    action = jax.ShapeDtypeStruct((cfg.num_envs, env.action_dim), jnp.float32)
    state = jax.eval_shape(rpojax.make_trainer(cfg).init, key)
    programs: Mapping[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "reset": (env.reset, (keys,)),
        "step": (env.step, (keys, env_state, action)),
        "train": (rpojax.make_train(cfg), (key,)),
        "evaluate": (functools.partial(rpojax.evaluate, cfg), (state, key)),
    }
    for program, (function, arguments) in programs.items():
        start = time.perf_counter()
        jax.jit(function).lower(*arguments).compile()
        yield Figure(f"seconds to compile {program}", 0, time.perf_counter() - start)


def learning(name: str, rounds: int) -> Iterator[Figure]:
    """Evaluation returns of agents that were trained together."""
    del rounds
    rpojax.use_all_cores()
    preset, changes = LEARNING[name]
    cfg = rpojax.Config.preset(preset, env=name, **changes)
    keys = jax.random.split(jax.random.key(0), AGENTS)
    train = rpojax.sharded_vmap(rpojax.make_train(cfg)).lower(keys).compile()
    start = time.perf_counter()
    result = jax.block_until_ready(train(keys))
    yield Figure("seconds of training", 0, time.perf_counter() - start)
    yield Figure("steps of each agent", 0, cfg.actual_timesteps)
    for agent in range(AGENTS):
        state = result.select(agent).state
        evaluation = rpojax.evaluate(cfg, state, jax.random.key(1), EPISODES)
        yield Figure("return", agent, float(evaluation.episode_return.mean()))
        yield Figure("std of return", agent, float(evaluation.episode_return.std()))
        if name.startswith("mjx/"):
            played = rpojax.evaluate_gymnasium(
                rpojax.make_policy(cfg, state), name.removeprefix("mjx/"), GYMNASIUM_EPISODES
            )
            yield Figure("return in Gymnasium", agent, float(played.episode_return.mean()))
            yield Figure("std of return in Gymnasium", agent, float(played.episode_return.std()))


def task(name: str, rounds: int) -> Iterator[Figure]:
    """Seconds of the first checks and updates of a task, mostly of compiling."""
    del rounds
    jax.config.update("jax_disable_most_optimizations", True)
    start = time.perf_counter()
    env = envs.make(name, impl="c")
    yield Figure("seconds to make", 0, time.perf_counter() - start)
    start = time.perf_counter()
    envs.check_env(env, num_steps=20)
    yield Figure("seconds to check", 0, time.perf_counter() - start)
    preset = rpojax.Config.preset(name)
    num_steps = preset.advantage_horizon or 8
    size = {"num_envs": 4, "num_steps": num_steps, "total_timesteps": 3 * 4 * num_steps}
    cfg = preset.replace(env=env, num_minibatches=2, **size)
    start = time.perf_counter()
    result = rpojax.fit(cfg)
    yield Figure("seconds to train", 0, time.perf_counter() - start)
    yield Figure("finite", 0, float(result.finite.all()))


def time_limit(name: str, rounds: int) -> Iterator[Figure]:
    """The value of an endless constant reward, and the values that critics learn."""
    del name, rounds
    for_ever = REWARD / (1.0 - GAMMA)
    sums = [for_ever * (1.0 - GAMMA**left) for left in range(1, LIMIT + 1)]
    yield Figure("value, no end", 0, for_ever)
    yield Figure("value, an end", 0, statistics.mean(sums))
    for bootstrap in (True, False):
        what = f"learnt {'with' if bootstrap else 'without'} bootstrap"
        for agent, value in enumerate(values_of_constant_reward(bootstrap)):
            yield Figure(what, agent, value)


def values_of_constant_reward(bootstrap: bool) -> list[float]:
    """The values of some agents' critics, with observations that do not contain the time."""

    def timestep(count: int) -> envs.TimeStep:
        no = jnp.zeros(count, bool)
        return envs.TimeStep(jnp.ones((count, 1)), jnp.full(count, REWARD), no, no)

    endless = envs.Env(
        name="Constant reward",
        reset=lambda keys, params: (jnp.zeros(len(keys)), jnp.ones((len(keys), 1))),
        step=lambda keys, state, action, params: (state, timestep(len(keys))),
        obs=jax.ShapeDtypeStruct((1,), jnp.float32),
        action_low=np.array([-1.0]),
        action_high=np.array([1.0]),
    )
    cfg = rpojax.Config(
        env=with_time_limit(endless, LIMIT),
        total_timesteps=100_000,
        num_envs=16,
        num_steps=16,
        num_minibatches=4,
        update_epochs=4,
        learning_rate=3e-3,
        gamma=GAMMA,
        gae_lambda=1.0,
        clip_value_loss=False,
        normalize_observations=False,
        normalize_rewards=False,
        time_limit_bootstrap=bootstrap,
    )
    keys = jax.random.split(jax.random.key(0), AGENTS)
    result = jax.jit(jax.vmap(rpojax.make_train(cfg)))(keys)
    network = make_network(cfg.network, cfg.env)
    outputs, _ = jax.vmap(network.apply, (0, None))(result.state.params, jnp.ones((1, 1)))
    return np.ravel(outputs.value).tolist()


PARTS: Mapping[str, tuple[Callable[[str, int], Iterator[Figure]], tuple[str, ...]]] = {
    "speed": (speed, TIMED),
    "compile": (compile_seconds, TIMED),
    "learning": (learning, tuple(LEARNING)),
    "tasks": (task, ()),  # all of Playground's; naming them here would import it in each process
    "time-limit": (time_limit, ("constant reward",)),
}


def main() -> None:
    """Measure what is missing, print the tables, write the CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=tuple(PARTS))
    parser.add_argument("--environments", nargs="+", help="those of each part, by default")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--again", action="store_true", help="measure what is there anew")
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        part, name = arguments.cell
        print(json.dumps(list(PARTS[part][0](name, arguments.rounds))))
        return
    rows = read_csv(CSV)
    for part in arguments.parts:
        for name in arguments.environments or PARTS[part][1] or playground_tasks():
            there = [row for row in rows if (row["part"], row["environment"]) == (part, name)]
            if (there and not arguments.again) or not is_installed(name):
                continue
            info = environment_info(packages_of(name))
            figures = printed_by(
                "environments", "--cell", part, name, "--rounds", str(arguments.rounds)
            )
            found = [Figure(*figure) for figure in figures]
            rows = [row for row in rows if row not in there]
            rows += [{**row, **info.as_row()} for row in rows_of(part, name, found)]
            write_csv(CSV, rows)
            print_table(f"{part}: {name}", summary(found), info)


def playground_tasks() -> list[str]:
    """All of MuJoCo Playground's tasks; they have presets."""
    return [name for name in rpojax.Config.presets() if name.startswith("playground/")]


def is_installed(name: str) -> bool:
    """Whether the family of an environment is; names without a family are always there."""
    family = name.partition("/")[0]
    return family not in FAMILIES or how_to_install(family) is None


def rows_of(part: str, name: str, found: list[Figure]) -> list[dict[str, Any]]:
    """The lines of the CSV for one part of one environment."""
    return [
        {
            "part": part,
            "environment": name,
            **figure._asdict(),
            "value": float(f"{figure.value:.6g}"),
        }
        for figure in found
    ]


def summary(found: list[Figure]) -> list[dict[str, Any]]:
    """One line for each kind of figure, over rounds or agents."""
    table = []
    for what in dict.fromkeys(figure.what for figure in found):
        values = [figure.value for figure in found if figure.what == what]
        table.append(
            {
                "what": what,
                "median": shown(statistics.median(values)),
                "min-max": f"{shown(min(values))} to {shown(max(values))}",
            }
        )
    return table


def shown(value: float) -> str:
    """Whole numbers from a thousand on, four digits below."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


if __name__ == "__main__":
    main()

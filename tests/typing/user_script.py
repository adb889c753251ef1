"""A user's script, read by type checkers in strict mode; see `test_typing.py`. It is never run."""

import jax
import jax.numpy as jnp
import numpy as np

import rpojax
from rpojax import Config, HyperParams, Metrics, TrainResult, TrainState
from rpojax.envs import Env, Params, TimeStep


def compiled(train: rpojax.Train) -> rpojax.Train:
    """`jax.jit`, with the types that it drops."""
    return jax.jit(train)  # pyright: ignore[reportUnknownMemberType]


def one_seed(cfg: Config) -> TrainResult:
    train: rpojax.Train = rpojax.make_train(cfg)
    key = jax.random.key(0)
    result: TrainResult = compiled(train)(key)
    on_the_moon: TrainResult = train(key, None, {"g": np.float32(1.62)})
    with_hyperparams: TrainResult = train(key=key, hyperparams=cfg.hyperparams())
    return result if bool(on_the_moon.finite) else with_hyperparams.select(0)


def sweep(cfg: Config) -> jax.Array:
    keys = jax.random.split(jax.random.key(0), 8)
    hyperparams: HyperParams = cfg.hyperparams().replace(alpha=np.array([0.0, 0.1, 0.5]))
    axes = HyperParams.axes(alpha=0)
    train = jax.vmap(jax.vmap(rpojax.make_train(cfg), (0, None)), (None, axes))
    results: TrainResult = compiled(train)(keys, hyperparams)
    metrics: Metrics = results.metrics
    best: TrainState = results.select(2, 0).state
    rpojax.evaluate(cfg, best, keys[0], num_episodes=16)
    rpojax.evaluate(cfg, best, keys[0], env_params={"g": 1.62, "l": np.float32(0.5)})
    return metrics.episode_return.mean(axis=(1, 2))


def in_steps(cfg: Config) -> TrainState:
    trainer = rpojax.make_trainer(cfg)
    state = trainer.init(key=jax.random.key(0))
    state, metrics = trainer.iterate(state, hyperparams=cfg.hyperparams())
    state, metrics = trainer.run(state, num_updates=3)
    print(float(metrics.kl[-1]), metrics.replace(kl=metrics.kl_perturbed).kl)
    return state.replace(obs=state.obs)


def act(cfg: Config, state: TrainState) -> tuple[np.ndarray, jax.Array]:
    policy: rpojax.Policy = rpojax.make_policy(cfg, state)
    on_host: np.ndarray = policy(np.zeros(3, np.float32))
    sampled: jax.Array = rpojax.make_policy(cfg, state, deterministic=False)(
        jax.random.normal(jax.random.key(0), (5, 3)), key=jax.random.key(1)
    )
    return on_host, sampled


def act_with_memory(cfg: Config, state: TrainState) -> np.ndarray:
    policy: rpojax.RecurrentPolicy = rpojax.make_recurrent_policy(cfg, state)
    action, carry = policy(np.zeros(3, np.float32))
    action, carry = policy(np.zeros(3, np.float32), carry=carry, reset=np.array(False))
    return np.asarray(action)


def play(cfg: Config, state: TrainState) -> float:
    played: rpojax.Evaluation = rpojax.evaluate(cfg, state, jax.random.key(2))
    return float(played.episode_return.mean())


def seen_and_stopped(cfg: Config) -> TrainResult:
    def report(progress: rpojax.Progress) -> None:
        print(progress)

    options = rpojax.RunOptions(eval_every=20, max_seconds=3600.0)
    rpojax.fit(cfg, num_seeds=4, options=options, checkpoint_dir="runs/pendulum")
    rpojax.resume("runs/pendulum", total_timesteps=10**6, eval_every=10)
    return rpojax.fit(cfg, num_seeds=4, on_chunk=report, eval_every=20)


def own_environment() -> Env:
    def one_reset(key: jax.Array, params: Params) -> tuple[jax.Array, jax.Array]:
        position = jax.random.uniform(key, (1,))
        return position, position

    def one_step(
        key: jax.Array, state: jax.Array, action: jax.Array, params: Params
    ) -> tuple[jax.Array, TimeStep]:
        position = state + 0.1 * action
        ended = jnp.abs(position[0]) > 1.0
        reward = -jnp.square(position[0])
        return position, TimeStep(position, reward, ended, jnp.isnan(reward))

    return Env(
        name="walk",
        reset=jax.vmap(one_reset),
        step=jax.vmap(one_step),
        obs=jax.ShapeDtypeStruct((1,), jnp.float32),  # type: ignore[no-untyped-call]
        action_low=-np.ones(1, np.float32),
        action_high=np.ones(1, np.float32),
        max_episode_steps=100,
    )


def main() -> None:
    cfg = Config(env="Pendulum-v1", total_timesteps=500_000)
    own = Config(env=own_environment(), network=rpojax.NetworkConfig(cell="gru", cell_sizes=(64,)))
    state = one_seed(cfg).state
    print(sweep(cfg), in_steps(cfg), act(cfg, state), play(cfg, state), seen_and_stopped(cfg))
    print(act_with_memory(own, one_seed(own).state), cfg.replace(num_envs=4).actual_timesteps)


if __name__ == "__main__":
    main()

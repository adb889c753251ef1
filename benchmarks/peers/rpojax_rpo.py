"""rpojax's RPO, with the settings of the common work."""

from collections.abc import Callable

import jax

import rpojax
from benchmarks.peers.common import WORK, Work, serve
from benchmarks.reporting import packages_of


def build(work: Work) -> Callable[[], None]:
    """Builds the trainer; what the work does not name keeps rpojax's default."""
    config = rpojax.Config(
        env=work.env,
        env_params={"impl": "c"} if work.env.startswith("playground/") else {},
        num_envs=work.num_envs,
        num_steps=work.num_steps,
        update_epochs=work.update_epochs,
        num_minibatches=work.num_minibatches,
        total_timesteps=work.chunk_steps,
        network=rpojax.NetworkConfig(hidden_sizes=work.hidden_sizes),
        learning_rate=work.learning_rate,
        lr_schedule="constant",  # a worker trains on past the end of total_timesteps
        adam_eps=work.adam_eps,
        gamma=work.gamma,
        gae_lambda=work.gae_lambda,
        clip_eps=work.clip_eps,
        vf_coef=work.vf_coef,
        ent_coef=0.0,
        max_grad_norm=work.max_grad_norm,
        alpha=work.alpha,
    )
    trainer = rpojax.make_trainer(config)
    hyperparams = config.hyperparams()
    run = jax.jit(trainer.run, static_argnums=2, donate_argnums=0)
    state = jax.jit(trainer.init)(jax.random.key(0))

    def train_chunk() -> None:
        nonlocal state
        state, metrics = run(state, hyperparams, work.updates_per_chunk)
        jax.block_until_ready((state, metrics))

    return train_chunk


if __name__ == "__main__":
    serve("rpojax RPO", rpojax.__version__, build, packages=packages_of(WORK.env))

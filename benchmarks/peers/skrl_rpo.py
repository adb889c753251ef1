"""skrl's RPO on JAX: jitted functions called from a loop in Python."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import numpy as np
from skrl.agents.jax.rpo import RPO, RPO_CFG
from skrl.envs.wrappers.jax import Wrapper
from skrl.memories.jax import RandomMemory
from skrl.models.jax import DeterministicMixin, GaussianMixin, Model
from skrl.resources.preprocessors.jax import RunningStandardScaler
from skrl.trainers.jax import SequentialTrainer

from benchmarks.peers.common import WORK, Work, serve
from benchmarks.peers.gymnax_batch import GymnaxBatch

DIFFERENCES = (
    "no reward normalisation (skrl has none); its value preprocessor is left off",
    "observations clipped to 5, their statistics updated in the first epoch's minibatches",
    "one Adam each for actor and critic, its eps fixed at 1e-8; each clipped by its own norm",
    "value loss of the clipped prediction alone; advantages normalised over the batch",
    "no bootstrap at truncation (its default, and the faster choice)",
    "logging and checkpoints are off",
)


class GymnaxWrapper(Wrapper):
    """A batch of gymnax environments as a skrl environment; no data leaves the device."""

    def __init__(self, env: GymnaxBatch) -> None:
        super().__init__(env)
        self._obs: jax.Array | None = None

    def reset(self) -> tuple[jax.Array, dict[str, Any]]:
        """Resets once; later calls, at the start of each training, go on where it stopped."""
        if self._obs is None:
            self._obs = self._env.reset()
        return self._obs, {}

    def step(self, actions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, Any]:
        """Returns observations, rewards, terminated, truncated [num_envs, ...] and infos."""
        step = self._env.step(actions)
        self._obs = step.obs
        column = (-1, 1)
        return (
            step.obs,
            step.reward.reshape(column),
            step.terminated.reshape(column),
            step.truncated.reshape(column),
            {},
        )

    def state(self) -> None:
        """No state besides the observation."""

    def render(self) -> None:
        """Nothing to show."""

    def close(self) -> None:
        """Nothing to close."""


def torso(x: jax.Array) -> jax.Array:
    """The hidden layers; to be called inside a compact module."""
    for size in WORK.hidden_sizes:
        x = nn.tanh(nn.Dense(size)(x))
    return x


class Policy(GaussianMixin, Model):
    """The Gaussian policy with a perturbed mean, written as skrl's page on RPO shows."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: gymnasium.Space, **kwargs: Any
    ) -> None:
        Model.__init__(
            self, observation_space=observation_space, action_space=action_space, **kwargs
        )
        GaussianMixin.__init__(self)

    @nn.compact
    def __call__(self, inputs: dict[str, Any], role: str) -> tuple[jax.Array, dict[str, Any]]:
        """The perturbed mean [batch, action_dim] and the log standard deviation."""
        mean = nn.Dense(self.num_actions)(torso(inputs["observations"]))
        log_std = self.param("log_std", nn.initializers.zeros, (self.num_actions,))
        if "alpha" in inputs:  # not while the parameters are initialised
            alpha = inputs["alpha"]
            mean += jax.random.uniform(inputs["key"], mean.shape, minval=-alpha, maxval=alpha)
        return mean, {"log_std": log_std}


class Value(DeterministicMixin, Model):
    """The critic."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: gymnasium.Space, **kwargs: Any
    ) -> None:
        Model.__init__(
            self, observation_space=observation_space, action_space=action_space, **kwargs
        )
        DeterministicMixin.__init__(self)

    @nn.compact
    def __call__(self, inputs: dict[str, Any], role: str) -> tuple[jax.Array, dict[str, Any]]:
        """The value, [batch, 1]."""
        return nn.Dense(1)(torso(inputs["observations"])), {}


def build(work: Work) -> Callable[[], None]:
    """Builds the agent and a trainer whose every run is one chunk."""
    np.random.seed(0)  # noqa: NPY002 (skrl draws its minibatches from the global generator)
    env = GymnaxWrapper(GymnaxBatch(work.env, work.num_envs))
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    models: dict[str, Model] = {"policy": Policy(**spaces), "value": Value(**spaces)}
    for role, model in models.items():
        model.init_state_dict(role=role)
    agent = RPO(
        models=models,
        memory=RandomMemory(memory_size=work.num_steps, num_envs=work.num_envs),
        **spaces,
        cfg=RPO_CFG(
            alpha=work.alpha,
            rollouts=work.num_steps,
            learning_epochs=work.update_epochs,
            mini_batches=work.num_minibatches,
            discount_factor=work.gamma,
            gae_lambda=work.gae_lambda,
            learning_rate=work.learning_rate,
            observation_preprocessor=RunningStandardScaler,
            observation_preprocessor_kwargs={"size": env.observation_space},
            grad_norm_clip=work.max_grad_norm,
            ratio_clip=work.clip_eps,
            value_loss_scale=work.vf_coef,
            experiment={"write_interval": 0, "checkpoint_interval": 0},
        ),
    )
    trainer = SequentialTrainer(
        env=env,
        agents=agent,
        cfg={
            "timesteps": work.num_steps * work.updates_per_chunk,
            "headless": True,
            "disable_progressbar": True,
            "close_environment_at_exit": False,
        },
    )

    def train_chunk() -> None:
        trainer.train()
        agent.tracking_data.clear()  # it grows when nothing writes it
        jax.block_until_ready([model.state_dict.params for model in models.values()])

    return train_chunk


if __name__ == "__main__":
    serve("skrl RPO", version("skrl"), build, differences=DIFFERENCES)

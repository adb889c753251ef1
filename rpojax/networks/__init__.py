"""Actor-critic networks: the built-in ones, and any flax module of a user's own.

`NetworkConfig` describes the built-in networks. Recurrent layers follow the perceptron: "rnn",
"gru" or "lstm", any number of them, with one torso for actor and critic each, or a shared one.
Gradients flow back through `sequence_length` steps, and the carry is reset where an episode begins.
The policy takes and returns the carry:

```python
import jax
import jax.numpy as jnp
import numpy as np

import rpojax

cfg = rpojax.Config(env="Pendulum-v1", total_timesteps=30_000)
memory = rpojax.NetworkConfig(hidden_sizes=(64,), cell="gru", cell_sizes=(64,))
remembering = cfg.replace(network=memory, sequence_length=32)
state = jax.jit(rpojax.make_train(remembering))(jax.random.key(0)).state

act = rpojax.make_recurrent_policy(remembering, state)
action, carry = act(np.array([1.0, 0.0, 0.0]))  # an episode begins
action, carry = act(np.array([0.9, 0.1, 0.5]), carry)  # its second step
```

Observations may be any pytree of arrays, such as a dict. Each leaf is normalised by its own
statistics, and Discrete observations become one-hot vectors. The critic may see more than the
actor: `NetworkConfig(actor_keys=("position",), critic_keys=("position", "goal"))`.

Brax and MuJoCo Playground squash a Gaussian by tanh, whose standard deviation depends on the
observation. RPO moves the mean before the squash. `action_transform="rescale"` maps [-1, 1] onto
the bounds of the environment. The entropy is that of the squashed actions, by a quadrature where
Brax takes one sample:

```python
squashed = rpojax.NetworkConfig(
    distribution="tanh_gaussian",
    state_dependent_log_std=True,
    std_parameterization="softplus",
    log_std_min=float(np.log(0.001)),  # Brax's floor
)
train = rpojax.make_train(cfg.replace(network=squashed, action_transform="rescale"))
```

`NetworkConfig(distribution="beta")` draws actions from Beta distributions on [-1, 1] (Chou et al.
2017), so that no action is clipped. RPO moves their means, and stops short of the bounds. `log_std`
is about the logarithm of the standard deviation, which ends at that of the uniform distribution:

```python
beta = rpojax.NetworkConfig(distribution="beta", state_dependent_log_std=True)
train = rpojax.make_train(cfg.replace(network=beta, action_transform="rescale"))
```

`NetworkConfig(layer_norm=True)` normalises each hidden layer before its nonlinearity; Brax does so
after it.

**Your own network** is a flax.linen module, or a function that makes an nnx module. It maps
observations to the mean, the logarithm of the standard deviation, and the value:

```python
import flax.linen as nn
from flax import nnx


class Network(nn.Module):
    @nn.compact
    def __call__(self, obs):
        hidden = nn.silu(nn.LayerNorm()(nn.Dense(64)(obs)))
        log_std = self.param("log_std", nn.initializers.zeros, (1,))
        return nn.Dense(1)(hidden), log_std, nn.Dense(1)(hidden)


class NnxNetwork(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(3, 64, rngs=rngs)
        self.mean = nnx.Linear(64, 1, rngs=rngs)
        self.value = nnx.Linear(64, 1, rngs=rngs)
        self.log_std = nnx.Param(jnp.zeros(1))

    def __call__(self, obs):
        hidden = nnx.tanh(self.hidden(obs))
        return self.mean(hidden), self.log_std[...], self.value(hidden)


train = rpojax.make_train(cfg.replace(network=Network()))
train = rpojax.make_train(cfg.replace(network=lambda rngs: NnxNetwork(rngs)))
```

Its attribute `distribution`, if it has one, names another distribution than the Gaussian. A module
of either kind that has a method `initial_carry(batch_shape)` is recurrent. It is called with the
carry first, and returns `(carry, (mean, log_std, value))`:

```python
class Memory(nn.Module):
    def initial_carry(self, batch_shape):
        return jnp.zeros((*batch_shape, 64))

    @nn.compact
    def __call__(self, carry, obs):
        carry, hidden = nn.GRUCell(64)(carry, obs)
        log_std = self.param("log_std", nn.initializers.zeros, (1,))
        return carry, (nn.Dense(1)(hidden), log_std, nn.Dense(1)(hidden))


train = rpojax.make_train(cfg.replace(network=Memory()))
```
"""

from rpojax.networks.base import ActorCritic, Outputs
from rpojax.networks.modules import make_network

__all__ = ["ActorCritic", "Outputs", "make_network"]

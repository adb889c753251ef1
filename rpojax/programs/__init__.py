"""What users compile: the algorithm of `core` for one agent, mapped over many.

`make_train(cfg)` returns a pure function of a key, and optionally of hyperparameters and parameters
of the environment. The whole training is one XLA program:

```python
import jax
import jax.numpy as jnp

import rpojax

cfg = rpojax.Config(env="Pendulum-v1", total_timesteps=100_000)
train = rpojax.make_train(cfg)  # train(key, hyperparams=None, env_params=None)

result = jax.jit(train)(jax.random.key(0))  # one agent
keys = jax.random.split(jax.random.key(0), 8)
results = jax.jit(jax.vmap(train))(keys)  # eight agents
print(results.metrics.episode_return.shape)  # (8, cfg.num_updates)
```

Hyperparameters are traced, so one compilation serves all their values. `HyperParams.axes` names
those that have an axis:

```python
hyperparams = cfg.hyperparams().replace(alpha=jnp.array([0.0, 0.5]))
axes = rpojax.HyperParams.axes(alpha=0)  # 0 for alpha, None for all others
train_sweep = jax.jit(jax.vmap(jax.vmap(train, (0, None)), (None, axes)))
sweep = train_sweep(keys[:2], hyperparams)
print(sweep.metrics.episode_return.shape)  # (2 alphas, 2 seeds, cfg.num_updates)
```

Agents can differ in their environments too. `Env.params` has the names and default values of the
parameters that are traced:

```python
print(rpojax.envs.make("Pendulum-v1").params)  # dt, g, l, m, max_speed
train_worlds = jax.jit(jax.vmap(train, in_axes=(None, None, {"g": 0})))
worlds = train_worlds(jax.random.key(0), None, {"g": jnp.array([1.62, 9.81])})
on_earth = rpojax.evaluate(cfg, worlds.select(0).state, keys[1], env_params={"g": 9.81})
```

**All devices.** XLA runs a small program on one core. `use_all_cores()`, called before anything
else uses JAX, makes each core a device. `sharded_vmap` spreads agents over all devices, as `fit`
and the command do by themselves:

```python
results = rpojax.sharded_vmap(train)(keys)  # as jax.jit(jax.vmap(train)), on all devices
```

**How many agents at a time** a `vmap` computes is `Config.agents_at_once`. "auto" takes as many as
share the caches of a CPU core well, and on a GPU or TPU all that fit in its memory. With 1, what an
agent learns on a CPU does not depend on which agents are trained beside it: results are
bit-identical alone, among any others, and on any number of devices. Equal bits on a GPU, also those
of `resume`, need `XLA_FLAGS="--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"`.

**One big agent on several devices.** `Config.devices_per_agent=k` divides the environments and the
minibatches of an agent among k devices. Gradients, running statistics and the moments of advantages
are those of the whole batch, so that the agent learns what it learns on one device, up to the order
in which floats are added. benchmarks/README.md has the sizes from which that pays:

```py
big = cfg.replace(devices_per_agent=2)
result = jax.jit(rpojax.make_train(big))(jax.random.key(0))  # on the first two devices
results = rpojax.sharded_vmap(rpojax.make_train(big), devices_per_agent=2)(keys)  # on all
```

`make_trainer` is the same in pieces: `init`, `iterate` (one update) and `run` (several).
"""

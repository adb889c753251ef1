"""One trained agent: act, evaluate, export, render.

```python
import jax
import numpy as np

import rpojax

cfg = rpojax.Config(env="Pendulum-v1", total_timesteps=100_000)
state = jax.jit(rpojax.make_train(cfg))(jax.random.key(0)).state

act = rpojax.make_policy(cfg, state)  # mean actions, unperturbed, within the action bounds
action = act(np.array([1.0, 0.0, 0.0]))  # NumPy in, NumPy out

evaluation = rpojax.evaluate(cfg, state, jax.random.key(1), num_episodes=128)
print(evaluation.episode_return.mean())
```

Export a program that runs without rpojax, for any batch size, or plain arrays; draw an episode:

```python
rpojax.export_policy(cfg, state, "policy.stablehlo")  # for jax.export
rpojax.export_params(cfg, state, "policy.npz", part="policy")
rpojax.render_episode(cfg, state, "episode.gif", jax.random.key(2))
```

Play in Gymnasium (`pip install 'rpojax[gymnasium]'`), in any environment whose observations and
actions have the shapes and bounds of the one trained in. This gives scores and videos. Training
never happens in Gymnasium's environments:

```python
played = rpojax.evaluate_gymnasium(act, "Pendulum-v1", num_episodes=3)
print(played.episode_return)  # NumPy, f32[3]
```
"""

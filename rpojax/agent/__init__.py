"""One trained agent: act, evaluate, export, play, render, teach.

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

Draw an episode; export the policy for use without rpojax:

```python
rpojax.render_episode(cfg, state, "episode.gif", jax.random.key(2))
rpojax.export_policy(cfg, state, "policy.npz", format="numpy")  # and policy.py, for NumPy alone
rpojax.export_policy(cfg, state, "policy.onnx", format="onnx")  # pip install 'rpojax[onnx]'
rpojax.export_policy(cfg, state, "policy.stablehlo")  # for jax.export
```

Each file has normalisation, network and action bounds inside, and a contract beside it, such as
policy.onnx.json: what goes in and out, in which order, shape and unit of time. It is written only
if its actions are those of `make_policy`, on 1000 observations.

**On the machine that acts.** `rpojax play RUN` lets the exported file drive MuJoCo's C simulator at
the control period, and reports the return and how late the actions came. The same loop for a robot,
with NumPy alone, where `read_sensors` and `write_motors` are its own functions:

```py
import json
import time

import numpy as np

import policy  # policy.py, which was written beside policy.npz

act = policy.load("policy.npz")
with open("policy.npz.json") as file:
    contract = json.load(file)
period, bounds = contract["control_dt"], contract["action"]
late, carry = [], None
act({each["name"]: np.zeros(each["shape"]) for each in contract["observations"]})  # warm up

due = time.perf_counter()
for _ in range(1000):
    time.sleep(max(0.0, due - time.perf_counter()))
    obs = read_sensors()  # a dict by the contract's names, or one array
    action, carry = act(obs, carry)  # None: an episode begins
    late.append(time.perf_counter() - due)
    write_motors(action)  # in the order of bounds["actuators"], within "low" and "high"
    due += period
    if time.perf_counter() > due + period:  # do not hurry after a stop
        due = time.perf_counter()
print("p50, p99 in ms:", 1000 * np.percentile(late, [50, 99]))
print("missed:", sum(each > period for each in late))
```

`rpojax.load_policy(path)` reads any of the files in Python, and `rpojax.play(policy, env)` is the
loop for a `gymnasium.Env` or an `rpojax.envs.Env`.

**From privileged observations to those that a robot has.** A teacher is trained with all entries of
a Dict observation; a student that sees some learns from it on its own rollouts, and may be
recurrent. Then training goes on, with a critic that learns before the actor does:

```py
student = cfg.replace(network=rpojax.NetworkConfig(cell="gru", actor_keys=("angle",)))
distill = rpojax.make_distill(student, rpojax.make_policy(cfg, state))
results = jax.jit(jax.vmap(distill))(jax.random.split(jax.random.key(0), 4))
tuning = student.replace(critic_warmup=100_000, learning_rate=1e-4)
rpojax.fit(tuning, num_seeds=4, initial=results)
```

Play in Gymnasium (`pip install 'rpojax[gymnasium]'`), in any environment whose observations and
actions have the shapes and bounds of the one trained in. This gives scores and videos. Training
never happens in Gymnasium's environments:

```python
played = rpojax.evaluate_gymnasium(act, "Pendulum-v1", num_episodes=3)
print(played.episode_return)  # NumPy, f32[3]
```
"""

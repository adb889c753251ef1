"""Environments: where they come from and what they must do.

By name, with parameters if you like; `rpojax envs` lists them. The three families of physics are
extras: `pip install 'rpojax[brax,mjx,playground]'`:

```py
rpojax.Config(env="Pendulum-v1", env_params={"g": 1.62})
rpojax.Config(env="brax/ant", env_params={"backend": "spring"})
rpojax.Config(env="mujoco/Hopper-v5")
rpojax.Config(env="playground/CartpoleBalance", env_params={"episode_length": 500})
```

* **gymnax**: its five continuous tasks.
* **brax/**: any of its backends, without its wrappers, so that a time limit truncates and each
  episode has a start of its own. Brax is no longer maintained, and warns when it loads a model.
* **mjx/**: Gymnasium's MuJoCo tasks, simulated by MJX. Observations, rewards and ends are those of
  Gymnasium, and tests compare them step by step with its own simulator. Contacts of Ant differ (MJX
  orients friction directions differently), and HalfCheetah and Ant drift apart over an episode.
* **mujoco/**: the same tasks on the engine that suits the device: MuJoCo's own C engine on a CPU,
  MJX on a GPU or TPU. The C engine (`env_params={"impl": "c"}` for `mjx/` and `playground/`) is an
  operation of the compiled program, without callbacks: states are Gymnasium's to the bit, contacts
  too, and nothing of the physics is compiled by XLA. It needs a C++ compiler (or `pip install
  ziglang`) once, and keeps what it makes in `~/.cache/rpojax`. In both
  engines MuJoCo's derived constants follow changed masses, inertias and positions. In MJX these do
  not: cameras and lights that track bodies; what MuJoCo's compiler computes, such as masses and
  bounding spheres from the sizes of geoms, springs' lengths, and length ranges of muscles.
* **playground/**: MuJoCo Playground in MJX's JAX implementation, which runs everywhere;
  `env_params={"impl": "c"}` takes the C engine on a CPU, and `"warp"` MuJoCo Warp on an NVIDIA GPU,
  which is not deterministic.
  Parameters are entries of the task's configuration (`"reward_config.scales.torques"`). Vision is
  not supported. Where tasks observe `state` and `privileged_state`, an asymmetric critic is
  `NetworkConfig(actor_keys=("state",), critic_keys=("privileged_state",))`. Locomotion and
  manipulation need models of MuJoCo Menagerie: `pip install 'rpojax[robots]'` has them, and
  `env_params={"menagerie_path": "..."}` or the environment variable MUJOCO_MENAGERIE_PATH names
  another folder. `rpojax envs` lists the tasks whose robots are there, and those that you have
  registered by `dm_control_suite.register_environment`.

**Your own robot** is a MuJoCo model and a few functions of one environment:

```python
import jax.numpy as jnp

from rpojax import envs

CART = '''
<mujoco model="cart">
  <worldbody>
    <body name="cart">
      <joint name="slider" type="slide" axis="1 0 0" damping="1"/>
      <geom size="0.1" mass="1"/>
      <site name="front" pos="0.1 0 0"/>
    </body>
  </worldbody>
  <actuator><motor joint="slider" gear="5" ctrlrange="-1 1"/></actuator>
</mujoco>
'''
cart = envs.from_mjcf(
    CART,
    control_dt=0.02,
    start=envs.start_at(qpos=1.0, qvel=0.1),
    observe={
        "front": lambda data: data.site("front").xpos[:1],
        "speed": lambda data: data.joint("slider").qvel,
    },
    reward={
        "distance": (-1.0, lambda data: jnp.abs(data.qpos[0])),
        "effort": (-0.1, lambda data: jnp.sum(data.action**2)),
    },
    terminate=lambda data: jnp.abs(data.qpos[0]) > 3.0,
    max_episode_steps=100,
)
```

The model is a path, XML text, a `mujoco.MjSpec` or a `mujoco.MjModel`. `data` has MuJoCo's fields
by MuJoCo's names, and bodies, joints, sites and sensors by theirs. Each term of the reward is a
metric by its name. `remember=` keeps what the task needs between steps, such as a command or the
last action. `action=position_targets(...)` or `pd_torques(...)` makes actions targets of joints. On
a CPU MuJoCo's C engine simulates it, on other devices MJX; `impl=` chooses. Gymnasium's tasks are a
table of these arguments (`rpojax/envs/physics/gymnasium_tasks.py`), and `mjx/Ant-v5` takes another
robot by `env_params={"xml_file": "robot.xml"}`. notebooks/04_robots.ipynb trains an arm.

An environment of Brax or MuJoCo Playground that you have written as a class is taken as an
instance, as it is: `Config(env=MyTask())`, or `from_brax` and `from_playground` with an episode
length or an engine of your choice.

**Your own dynamics** are any object with gymnax's interface, of one episode at a time. Single
numbers in its `info` are metrics. `make_train` checks shapes, dtypes and bounds; `check_env` also
runs it:

```python
import jax
import jax.numpy as jnp
from gymnax.environments import spaces

import rpojax


class Homing:  # keep a point on a line near 0, for 50 steps
    name = "Homing"
    default_params = None

    def action_space(self, params):
        return spaces.Box(-1.0, 1.0, (1,))

    def reset_env(self, key, params):
        state = {"position": jax.random.uniform(key, minval=-1.0), "time": 0}
        return jnp.array([state["position"]]), state

    def step_env(self, key, state, action, params):
        position = jnp.clip(state["position"] + 0.1 * action[0], -1.0, 1.0)
        state = {"position": position, "time": state["time"] + 1}
        return jnp.array([position]), state, -jnp.abs(position), False, {}

    def is_truncated(self, state, params):  # a time limit, not a terminal state
        return state["time"] >= 50


homing = rpojax.envs.from_gymnax(Homing())
rpojax.envs.check_env(homing)
cfg = rpojax.Config(env=homing, total_timesteps=30_000)
train = rpojax.make_train(cfg)
```

Or an `Env`, the batched form: `reset(keys, params) -> (state, obs)` and `step(keys, state, action,
params) -> (state, TimeStep)`. Do not reset inside `step`: training does that, and keeps the last
observation of each episode. notebooks/03_your_own.ipynb writes one.

An environment may report metrics, such as the terms of its reward: `TimeStep(...,
metrics={"success": ...})` with the names in `Env.metrics`. Each is summed over an episode, as Brax
does, and averaged over the episodes that end in an update: `metrics.environment["success"]`, and
`environment/success` in logs and for `rpojax plot --metric`.

A step that gives NaN, infinity or a number beyond 1e15, as in a simulation that diverges, ends its
episode as a termination with a reward of 0. The metric `invalid_steps` counts such steps.

**Resets.** `Config(resets="exact")` computes a reset of its own for each new episode, in each step.
`Config(resets="pool")` draws `reset_pool` (64) initial states for each rollout, and starts each new
episode in one of them, with PRNG keys of its own. It is faster where a reset is slow. Each start
has the right distribution, but two of one rollout are the same with probability 1/64, and their
variance is 1/64 smaller on average. `"auto"`, the default, leaves the choice to the environment:
`Env.resets`, "exact" for gymnax. The wrappers that come with Brax and MuJoCo Playground start all
episodes of an environment in the one state that it was created with (Playground's by default), and
overwrite the last observation of an episode.

**Rewards** can be shaped by a pure function, before any scaling. Metrics keep the environment's
own:

```python
def shaper(reward, timestep, timesteps):  # f32[num_envs], i32[], int -> f32[num_envs]
    return reward * (0.5 + 0.5 * timestep / timesteps)


train = rpojax.make_train(cfg.replace(reward_shaper=shaper))
```

**Parameters** in `Env.params` are arguments of `reset` and `step`: agents of one program can differ
in gravity, masses or lengths (`env_params` of `train`, `fit`, `evaluate` and studies). They are the
floats of a gymnax environment's parameters; fields of the MuJoCo model by MuJoCo's names
(`gravity`, `body_mass`, `geom_friction`, `dof_damping`, ...), whole or of one body, joint, geom or
actuator (`body_mass[torso]`, `dof_damping[knee]`), of `mjx/`, `playground/` and your own; and
fields of Brax's system (`gravity`, `link.inertia.mass`, ...). What fixes a shape, a length or the
bounds of actions is not among them; `make` and `Config.env_params` set it. An `Env` of your own
declares its parameters with `params={"wind": 0.0}`; `reset` and `step` are given the values that
are changed, `{}` for none: `wind = params.get("wind", 0.0)`.

**Domain randomisation** draws them anew at every reset, for each episode on its own:

```python
def any_length(key):  # of one episode
    return {"l": jax.random.uniform(key, minval=0.5, maxval=1.5)}


pendulums = rpojax.envs.randomized(rpojax.envs.make("Pendulum-v1"), any_length)
train = rpojax.make_train(rpojax.Config(env=pendulums))
```

A function of MuJoCo Playground's form, `(model, keys) -> (model, in_axes)`, is taken as it is.

**Wrappers** take an `Env` and return one; each works on any. Their strengths are parameters in
`Env.params`, which agents can differ in, and which `randomized` and `curriculum` can change:

* actions: `action_repeat`, `action_delay`, `clip_action`, `rescale_action`;
* tasks: `random_pushes`, kicks for robots of MuJoCo; `commands`, a target that is drawn anew at
  random times;
* observations: `transform_observation`, `sensor_noise`, `sensor_delay`, `history`;
* episodes: `randomized`, and `curriculum`, whose level rises with success.

Each changes what it is put around. The usual order, from the inside out, is the one of this list:
noise is on the sensor, so that a delay and a history show the same noisy number again; a curriculum
outside of all can change the strength of each. An actor without the velocity, with noise, delay and
history, beside a critic that sees the clean state:

```python
env = rpojax.envs.make("Pendulum-v1")
env = rpojax.envs.action_delay(env, (0, 2))  # steps, drawn for each episode
env = rpojax.envs.transform_observation(env, lambda obs: {"state": obs[:2], "clean": obs})
env = rpojax.envs.sensor_noise(env, 0.05, keys=("state",))
env = rpojax.envs.history(env, 4, keys=("state",))
network = rpojax.NetworkConfig(actor_keys=("state",), critic_keys=("clean",))
cfg = rpojax.Config(env=env, network=network, total_timesteps=30_000)
train = rpojax.make_train(cfg)
result = train(jax.random.key(0), env_params={"sensor_noise": 0.2, "action_delay.most": 1.0})
```

What is learnt step by step, here against more and more gravity:

```python
def gravity(level):  # of one environment, from 0 to 1
    return {"g": 10.0 * level}


env = rpojax.envs.make("Pendulum-v1")
env = rpojax.envs.curriculum(env, gravity, raise_at=-300.0, lower_at=-900.0)
train = rpojax.make_train(rpojax.Config(env=env))
```
"""

from rpojax.envs.base import Env, Params, Rekey, Render, Reset, Resets, Step, TimeStep
from rpojax.envs.checks.conformance import check_env
from rpojax.envs.drawing import Draw, render_with
from rpojax.envs.gymnax.family import from_gymnax
from rpojax.envs.physics.actions import Action, Controls, motors, pd_torques, position_targets
from rpojax.envs.physics.brax import from_brax
from rpojax.envs.physics.data import Data
from rpojax.envs.physics.mjcf import Remember, Start, from_mjcf, start_at
from rpojax.envs.physics.playground import from_playground
from rpojax.envs.registry import make, names
from rpojax.envs.wrappers import (
    DrawParams,
    ParamsOfLevel,
    action_delay,
    action_repeat,
    clip_action,
    commands,
    curriculum,
    history,
    random_pushes,
    randomized,
    rescale_action,
    sensor_delay,
    sensor_noise,
    transform_observation,
)

__all__ = [
    "Action",
    "Controls",
    "Data",
    "Draw",
    "DrawParams",
    "Env",
    "Params",
    "ParamsOfLevel",
    "Rekey",
    "Remember",
    "Render",
    "Reset",
    "Resets",
    "Start",
    "Step",
    "TimeStep",
    "action_delay",
    "action_repeat",
    "check_env",
    "clip_action",
    "commands",
    "curriculum",
    "from_brax",
    "from_gymnax",
    "from_mjcf",
    "from_playground",
    "history",
    "make",
    "motors",
    "names",
    "pd_torques",
    "position_targets",
    "random_pushes",
    "randomized",
    "render_with",
    "rescale_action",
    "sensor_delay",
    "sensor_noise",
    "start_at",
    "transform_observation",
]

"""Runs of many agents: the host loop, its checkpoints and its directory.

`fit` runs one compiled program in chunks of updates, with logs and checkpoints between them. On one
device its result is bit-identical to `jax.jit(jax.vmap(train))(keys, hyperparams)`. On a GPU, this
and a bit-identical `resume` need the XLA flags that `rpojax.programs` names:

```python
import rpojax
from rpojax.loggers import ConsoleLogger, CSVLogger

cfg = rpojax.Config(env="Pendulum-v1", total_timesteps=100_000)
result = rpojax.fit(
    cfg, num_seeds=2, loggers=[ConsoleLogger(), CSVLogger("metrics.csv")], log_every=5
)
rpojax.plot_learning_curves(cfg, result.metrics, "learning_curve.png")
```

An agent that diverges stops at its last finite state (`result.finite`), and the others are
unaffected.

Agents may differ in hyperparameters and in traced parameters of their environment. One program
trains them all; rows, labels and files name what differs, and each agent is evaluated in its own
environment:

```python
agents = rpojax.fit(
    cfg,
    seeds=[0, 1, 0, 1],
    hyperparams=cfg.hyperparams().replace(alpha=[0.0, 0.0, 0.5, 0.5]),
    loggers=[CSVLogger("agents.csv")],  # with the columns agent, seed and alpha
)
worlds = rpojax.fit(cfg, env_params={"g": [1.62, 9.81]}, checkpoint_dir="runs/worlds")
run = rpojax.load("runs/worlds")
print(run.agents.label(0), run.evaluate().episode_return.mean(axis=1))  # env_params.g=1.62,seed=0
print(run.evaluate(env_params={"g": 9.81}).episode_return.mean(axis=1))  # both of them on Earth
```

**Save and resume.** Give `fit` a directory. Ctrl-C and SIGTERM save the run and print how to resume
it. A run that is killed loses nothing that was saved. Checkpoints are verified when they are read,
and a damaged one is skipped. One process trains in a directory; a lock left by a machine that died
is taken over two minutes after its end. Logs that lack records, such as after a full disk, get them
from the checkpoint:

```python
rpojax.fit(cfg, num_seeds=2, checkpoint_dir="runs/pendulum", eval_every=5)
resumed = rpojax.resume("runs/pendulum")  # bit-identical to a run that was never stopped

run = rpojax.load("runs/pendulum", best=True)  # each agent at its best evaluation
print(run.agents[0].seed, run.evaluate().episode_return.mean())
act = run.policy(agent=1)
```

When to log, evaluate, save and stop are options, listed by `help(rpojax.RunOptions)`: `fit(cfg,
eval_every=5)`, `resume(directory, max_seconds=3600)`, or `fit(cfg, options=RunOptions(...))`.

A checkpoint holds the policies, the training state and the history as parts. Acting, evaluating
and plotting read what they need, so that a saved policy stays usable with later versions. `resume`
needs the whole training state, and names what differs where it cannot be read.

**Start from trained agents**, with their parameters and running statistics, in another environment
of the same shapes or with other settings:

```python
tuned = rpojax.fit(cfg.replace(alpha=0.1), num_seeds=2, initial=run)
```

Loggers write to the console, CSV, JSON lines, TensorBoard and Weights & Biases, with skrl's names
of metrics; the last two need `pip install 'rpojax[tensorboard]'` or `'rpojax[wandb]'`.
"""

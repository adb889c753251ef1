"""Studies: many settings and seeds, compared with honest statistics.

`rpojax.study` trains each setting with several seeds and judges them by the interquartile mean of
their evaluations. An agent that diverged counts as the worst score. The 95 % intervals hold for all
settings together, and so for the best one too, which in part is the luckiest:

```python
import rpojax
from rpojax.studies import LogUniform

cfg = rpojax.Config(env="Pendulum-v1", total_timesteps=30_000)
found = rpojax.study(cfg, grid={"alpha": [0.0, 0.5]}, num_seeds=4, eval_episodes=8)
for row in found.summary():
    print(row.setting.label, row.score, row.low, row.high)
print(found.verdict)

searched = rpojax.study(
    cfg,
    space={"learning_rate": LogUniform(1e-4, 1e-2)},
    num_settings=4,
    sampler="sobol",
    num_seeds=2,
    eval_episodes=8,
    halving=2,  # the better half trains to twice the length
    confirm=4,  # the best settings train again with four fresh seeds, which did not choose them
)
print(searched.settings[searched.best].label, searched.confirmed.scores)
```

Settings that differ in hyperparameters, and in parameters of the environment that can be traced
(`"env_params.g"`), train in one program, over all devices. Others, such as `"network.hidden_sizes"`
and `"num_envs"`, make one program each. `configs=[...]` compares anything else. With
`directory=...` a study is saved; the same call resumes it, and the result is bit-identical.
`agents_at_once=1` makes each agent bit-identical to `make_train` alone, on a CPU.

`found.curves()`, `found.agent_rows()` and `found.rank_stability()` return the results, and
`rpojax.report` draws them. `found.report("report.html")` writes a page with pictures and sortable
tables, `write_report` that of several studies; `write_table` writes CSV and Parquet.
`found.to_optuna()` converts the settings to trials for `optuna.visualization`, and
`found.marl_eval()` to the format of marl-eval. The statistics (Agarwal et al. 2021) take any
scores:

```python
from rpojax import statistics

alpha_0, alpha_half = found.scores  # f64[settings, seeds]
print(statistics.bootstrap_interval(alpha_half))  # interquartile mean, low, high
print(statistics.probability_of_improvement(alpha_half, alpha_0).value)
```

The command reads a study from a file, and writes the page too: `rpojax study alpha.yaml`, `rpojax
study --resume studies/alpha`, `rpojax report studies/alpha`:

```yaml
# alpha.yaml
env: Pendulum-v1
total_timesteps: 200_000
study:
  grid: {alpha: [0, 0.01, 0.1, 0.3, 0.5, 1]}
  num_seeds: 16
```

Optuna's samplers and pruners work on batches that train as one program (`pip install
'rpojax[optuna]'`). Several processes share a study through its storage:

```py
import optuna

study = optuna.create_study(storage="sqlite:///study.db", study_name="a", direction="maximize")
rpojax.studies.optimize(study, cfg, {"learning_rate": LogUniform(1e-4, 1e-2)}, num_trials=64)
```

Population-based training is compiled into the training: after every generation the worst agents
copy the best ones and change their hyperparameters. `rpojax.report.plot_genealogy` draws this. The
agents of a population have ancestors in common: an interval over them says nothing of what another
population would reach. For that, train several populations, with different seeds:

```python
evolve = rpojax.PBT(every=1, hyperparams={"learning_rate": LogUniform(1e-5, 1e-2)})
result = rpojax.fit(cfg, num_seeds=8, evolve=evolve)
print(result.evolution.parents)  # [agent, generation]
```
"""

from rpojax.settings.ranges import Choice, LogUniform, Uniform, Whole
from rpojax.studies.optuna_search import optimize
from rpojax.studies.plan import Confirm, Halving
from rpojax.studies.report import write_report
from rpojax.studies.result import SettingScore, StudyResult, write_table
from rpojax.studies.runner import StudyProgress
from rpojax.studies.settings import Setting

__all__ = [
    "Choice",
    "Confirm",
    "Halving",
    "LogUniform",
    "Setting",
    "SettingScore",
    "StudyProgress",
    "StudyResult",
    "Uniform",
    "Whole",
    "optimize",
    "write_report",
    "write_table",
]

"""Settings written for other libraries, as a `Config`.

`from_skrl` takes skrl's dictionary or dataclass unchanged, and what skrl keeps elsewhere as keyword
arguments. A key without a counterpart raises a ValueError that says what to use instead.
`fit_arguments` reads what the settings say about log files and checkpoints:

```python
import rpojax

settings = {
    "rollouts": 64,
    "learning_rate_scheduler": "KLAdaptiveLR",  # a name or the class
    "state_preprocessor": "RunningStandardScaler",
    "value_preprocessor": "RunningStandardScaler",
    "experiment": {"directory": "runs", "experiment_name": "pendulum", "write_interval": 640},
}
steps = 64 * 8_000  # num_envs * skrl's timesteps
cfg = rpojax.Config.from_skrl(settings, env="Pendulum-v1", num_envs=64, total_timesteps=steps)

files = rpojax.compat.fit_arguments(settings, cfg)  # what "experiment" asks of fit
print(files.options.log_every, files.tensorboard_dir)  # 10 updates, runs/pendulum
```

`from_cleanrl` takes the arguments of CleanRL's `rpo_continuous_action.py` (its `Args`, an argparse
namespace or a dictionary) and keeps what that script does without arguments: no perturbation while
collecting, and no bootstrapping at time limits. `from_purejaxrl` takes PureJaxRL's dictionary; so
does `Config.from_dict`, which also reads the names of this library:

```python
cfg = rpojax.Config.from_dict({"LR": 3e-4, "NUM_ENVS": 64, "ENV_NAME": "Pendulum-v1"})
```

notebooks/05_from_other_libraries.ipynb has the names of all settings side by side.
"""

from rpojax.compat.skrl_experiment import FitArguments, fit_arguments
from rpojax.settings.config import Config

from_skrl = Config.from_skrl
from_cleanrl = Config.from_cleanrl
from_purejaxrl = Config.from_dict

__all__ = ["FitArguments", "fit_arguments", "from_cleanrl", "from_purejaxrl", "from_skrl"]

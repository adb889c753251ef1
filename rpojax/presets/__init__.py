"""Settings by name, with their source and, where they were tried here, their results.

Those of the paper and of CleanRL (1 x 2048 steps, perturbed in the update only, a time limit as a
termination), "dm_control" (the same with 16 x 128 steps, for tasks of MuJoCo Playground), one for
each task of gymnax, and those for the pendulums of Brax and MJX, with the returns of four to ten
agents. Where MuJoCo Playground is installed, its tuned settings of Brax's PPO are read and
translated. Few of them were tried here, with fewer environments and steps (`Preset.result`); they
have `alpha=0` until you set it. `presets.playground` says how they are translated:

```python
import rpojax

cfg = rpojax.Config.preset("Pendulum-v1", total_timesteps=100_000)
found = rpojax.Config.presets()["Pendulum-v1"]
print(found.source, found.result, found.settings)
```

`rpojax train --preset cleanrl --env Reacher-misc`: flags override a settings file, which overrides
a preset. The file may name one too (`preset: cleanrl`).
"""

from rpojax.presets.table import Preset

__all__ = ["Preset"]

"""The command `rpojax`: each subcommand is a dataclass of its flags, and callable.

```console
rpojax train --env Pendulum-v1 --alpha 0.3 --network.cell gru --eval-every 10 --run-name first
rpojax train --preset cleanrl --env Reacher-misc --num-seeds 8 --tensorboard
rpojax train --config settings.yaml --num-minibatches 16  # flags override the file
rpojax train --max-seconds 3000     # save and exit before a job's time limit
rpojax resume runs/first            # after Ctrl-C or a crash; same bits as if it never stopped
rpojax eval runs/first --best --json
rpojax eval runs/first --gymnasium Pendulum-v1 --video pendulum.gif
rpojax export runs/first --agent 2  # a program for jax.export, or --format npz
rpojax export runs/first --format numpy  # arrays and a module for NumPy alone; or --format onnx
rpojax play runs/first --format numpy --fast  # the exported file acts; without --fast in real time
rpojax render runs/first            # an episode as a GIF, or --output a.mp4
rpojax plot runs/first runs/second  # learning curves in one picture
rpojax study alpha.yaml             # compare settings, with a report; rpojax study --resume DIR
rpojax envs                         # names; rpojax envs brax for one family with all sizes
```

Every setting is a flag; `rpojax train --help` lists them. Flags override a settings file, which
overrides a preset. The directory of a run holds its settings (`settings.yaml`, which `--config`
accepts), checkpoints, `metrics.csv` and the learning curve. Compiled programs are cached in the
user's cache directory (`--no-compilation-cache` turns that off). Hyperparameters are arguments of
the program: a second start with another `--alpha` compiles nothing. `python -m rpojax` is the same
command.

User errors print one line and exit with status 2. Ctrl-C, SIGTERM and SIGHUP save the run, print
how to resume it, and exit with 130, 143 and 129. If every agent diverged, the status is 3. With
`--json`, stdout has one JSON object, and everything else goes to stderr.
"""

from rpojax.cli.command import main

__all__ = ["main"]

"""A job of several processes on this machine: `run` starts and ends them; below is what they do."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LOST_AFTER = 15  # seconds
SECONDS = 400  # for a job; two idle cores take a tenth of it
PATIENT = f"--xla_cpu_collective_call_terminate_timeout_seconds={SECONDS}"
"""XLA kills a process whose devices wait 40 seconds for one another, as on a busy machine."""


class Ended:
    """What a process has left."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.stdout, self.stderr = process.communicate(timeout=SECONDS)
        self.status = process.returncode
        self.at = time.monotonic()

    def told(self) -> Any:
        """The last line that the process has printed, as JSON."""
        assert self.status == 0, self.stderr[-3000:]
        return json.loads(self.stdout.splitlines()[-1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(commands: Sequence[Sequence[str]], quickly: bool = True) -> list[subprocess.Popen[str]]:
    """Start processes that compile quickly, or well where bits are compared."""
    environment = {**os.environ, "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {PATIENT}"}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(quickly))
    pipe = subprocess.PIPE
    return [
        subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)
        for command in commands
    ]


def end(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.kill()
        process.communicate()


def workers(number: int, devices: int, what: str, *arguments: Any) -> list[list[str]]:
    """Commands of processes that call a function below."""
    port = free_port()
    job = [str(number), str(devices), f"127.0.0.1:{port}"]
    given = json.dumps([str(each) if isinstance(each, Path) else each for each in arguments])
    return [
        [sys.executable, __file__, *job, str(process_id), what, given]
        for process_id in range(number)
    ]


def run(number: int, devices: int, what: str, *arguments: Any, quickly: bool = True) -> list[Any]:
    """What each process of a job has told."""
    processes = start(workers(number, devices, what, *arguments), quickly)
    try:
        return [Ended(process).told() for process in processes]
    finally:
        end(processes)


def digests(tree: Any) -> dict[str, str]:
    """Of the bytes of each leaf."""
    import hashlib

    from rpojax.devices.host_arrays import to_host
    from rpojax.runs.storage import written
    from rpojax.trees import leaves_by_path

    arrays = {name: written(leaf, None).array for name, leaf in leaves_by_path(tree).items()}
    return {
        name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in to_host(arrays).items()
    }


def config(**changes: Any) -> Any:
    import rpojax

    settings: dict[str, Any] = {
        "num_envs": 4,
        "num_steps": 16,
        "num_minibatches": 2,
        "update_epochs": 1,
        "total_timesteps": 12 * 64,
        "agents_at_once": 1,
    }
    return rpojax.Config(**(settings | changes))


def fit(directory: str, stop_after: int | None = None) -> Any:
    """A run with evaluations, checkpoints and a log; returns what it learnt."""
    import rpojax
    from rpojax.loggers import CSVLogger

    result = rpojax.fit(
        config(),
        num_seeds=6,  # which four devices do not divide
        hyperparams=config().hyperparams().replace(alpha=[0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        eval_every=4,
        eval_episodes=2,
        checkpoint_dir=f"{directory}/run",
        checkpoint_every=4,
        loggers=[CSVLogger(f"{directory}/metrics.csv")],
        on_chunk=lambda progress: progress.updates == stop_after,
    )
    return digests(result)


def everything(directory: str) -> Any:
    """A whole run and one that is stopped, a population, agents of two devices each, a study."""
    import rpojax

    pbt = rpojax.PBT(every=4, hyperparams={"learning_rate": rpojax.studies.LogUniform(1e-4, 1e-2)})
    return {
        "whole": fit(f"{directory}/whole"),
        "stopped": fit(f"{directory}/stopped", stop_after=8),
        "population": digests(rpojax.fit(config(), num_seeds=8, evolve=pbt)),
        "shared": digests(rpojax.fit(config(devices_per_agent=2), num_seeds=2)),
        "study": rpojax.study(
            config(), grid={"alpha": [0.0, 0.5]}, num_seeds=2, directory=f"{directory}/study"
        ).scores.tolist(),
    }


def resume(directory: str) -> Any:
    import rpojax

    return digests(rpojax.resume(f"{directory}/run"))


def errors(directory: str) -> Any:
    """The errors of a run whose second process fails, of one in a directory that is in use."""
    import jax

    import rpojax
    from rpojax.runs.lock import exclusive

    def on_chunk(progress: Any) -> None:
        if progress.updates and jax.process_index() == 1:
            raise KeyError("a mistake")

    def error_of(**arguments: Any) -> str:
        try:
            rpojax.fit(config(), num_seeds=2, **arguments)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "none"

    mistake = error_of(on_chunk=on_chunk)
    with exclusive(Path(directory)) if jax.process_index() == 0 else contextlib.nullcontext():
        in_use = error_of(checkpoint_dir=directory)
    return [mistake, in_use, error_of()]


def disagreements(directory: str) -> Any:
    """Errors of calls that differ between processes, and what works in one of them alone."""
    import jax
    import numpy as np
    import optuna

    import rpojax

    me = jax.process_index()
    short = config(total_timesteps=64)
    rates = short.hyperparams().replace(learning_rate=[(1 + me) * 1e-4, 3e-3])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searches = [
        optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=seed))
        for seed in (0, me)
    ]
    space = {"learning_rate": rpojax.studies.LogUniform(1e-4, 1e-2)}
    few = {"num_trials": 2, "batch_size": 2, "num_seeds": 2, "eval_episodes": 2, "reports": 1}

    def error_of(call: Any, *arguments: Any, **named: Any) -> str:
        try:
            call(*arguments, **named)
        except ValueError as error:
            return str(error)
        return "none"

    rpojax.fit(short, num_seeds=2, checkpoint_dir=directory)
    done = Path(directory) / "done"
    if me == 0:  # while the other process waits elsewhere
        policy = rpojax.load(directory).policy(1)
        action = policy(np.zeros(3, np.float32)).tolist()
        done.touch()
    while not done.exists():
        time.sleep(0.1)
    run = rpojax.load(directory)
    for search in searches:
        rpojax.studies.optimize(search, short, space, **few)
    return {
        "fit": error_of(rpojax.fit, short, hyperparams=rates),
        "config": error_of(rpojax.fit, config(gamma=0.9 + 0.01 * me)),
        "option": error_of(rpojax.fit, short, eval_every=1 + me),
        "resume": error_of(rpojax.resume, directory, total_timesteps=(4 + me) * 64),
        "study": error_of(rpojax.study, short, grid={"alpha": [0.0, 0.1 + me]}, num_seeds=1),
        "optimize": error_of(rpojax.studies.optimize, searches[0], short, space, num_trials=1 + me),
        "evaluate": error_of(run.evaluate, 2 + me),
        "sharded_vmap": error_of(rpojax.sharded_vmap(jax.numpy.sin), np.arange(4.0) + me),
        "alike": error_of(rpojax.sharded_vmap(jax.numpy.sin), np.arange(4.0)),
        "function": error_of(rpojax.fit, short.replace(reward_shaper=_shapers()[me])),
        "alone": action if me == 0 else [],
        "trials": [[trial.params for trial in search.trials] for search in searches],
        "values": [[trial.value for trial in search.trials] for search in searches],
    }


def _shapers() -> Any:
    return [lambda reward, timestep, timesteps: reward, lambda reward, *_: reward]


def train_for_long(directory: str) -> Any:
    """A run without an end that prints its updates."""
    import rpojax

    rpojax.fit(
        config(total_timesteps=10**9),
        num_seeds=2,
        on_chunk=lambda progress: print(progress.updates, flush=True),
        checkpoint_dir=directory,
        checkpoint_every=8,
    )


def main() -> None:
    number, devices, coordinator, process_id, what, given = sys.argv[1:]
    import jax

    import rpojax

    if number == "1":
        jax.config.update("jax_num_cpu_devices", int(devices))
    else:
        rpojax.devices.processes.use_all_cores = lambda: jax.config.update(  # one here
            "jax_num_cpu_devices", int(devices)
        )
        lost_after = LOST_AFTER if what == "train_for_long" else 60
        rpojax.use_all_machines(coordinator, int(number), int(process_id), lost_after=lost_after)
    print(json.dumps(globals()[what](*json.loads(given))))


if __name__ == "__main__":
    main()

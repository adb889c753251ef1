"""Several processes that train together, on one machine or many, connected by `jax.distributed`.

`rpojax train --distributed` joins the processes of a job of SLURM, Kubernetes or Open MPI, or of a
TPU slice; `--coordinator HOST:PORT --num-processes 2 --process-id 0` (and `1`) joins any others. In
Python, `use_all_machines()`, called right after the imports, does so; then each process calls the
same functions with the same arguments.

`rpojax train --resume-or-start` is the one command that a cluster repeats, whenever it was stopped
or killed: it starts the run, resumes it, or reports that nothing is left to train. A job for SLURM,
which is saved before its time limit, requeued and resumed, on any number of processes:

```shell
#!/bin/bash
#SBATCH --nodes=2 --ntasks-per-node=4 --cpus-per-task=8 --gpus-per-task=1 --time=1:00:00
#SBATCH --signal=TERM@120 --requeue --open-mode=append --chdir=/shared
srun rpojax train --resume-or-start --run-name cheetah --config cheetah.yaml --distributed
if [ $? -eq 143 ]; then scontrol requeue "$SLURM_JOB_ID"; fi  # 143: stopped by SIGTERM, saved
```

A job for Kubernetes, which repeats the command until its exit status is 0:

```yaml
apiVersion: batch/v1
kind: Job
metadata: {name: cheetah}
spec:
  backoffLimit: 100
  template:
    spec:
      restartPolicy: OnFailure
      terminationGracePeriodSeconds: 120
      containers:
      - name: rpojax
        image: rpojax
        command: [rpojax, train, --resume-or-start, --run-name, cheetah, --config, cheetah.yaml]
        workingDir: /shared
        volumeMounts: [{name: shared, mountPath: /shared}]
      volumes: [{name: shared, persistentVolumeClaim: {claimName: shared}}]
```

A node that died does not block the next one: its lock is taken over two minutes after it was last
renewed (`rpojax.runs.lock`), or at once with `--force`.

* Agents do not communicate while they train. After each chunk of updates, about every two seconds,
  the metrics are exchanged: 57 bytes for each agent and update, and 4 for each metric of the
  environment.
* With `agents_at_once=1` on CPUs, an agent has the same bits on any number of processes.
* The first process writes logs, draws and prints. Each writes its own devices' part of a
  checkpoint: the directory must be one that all machines see. Results are whole in each process,
  with states of NumPy arrays.
* A signal to any process saves the run and stops all of them. An error in one process ends all of
  them, each with its message. If one is killed, the others end at their next exchange, or after
  `lost_after` (60) seconds where a machine no longer responds.
* A number of agents that the devices do not divide is padded with copies. What does not fit into
  a device's memory is computed in smaller blocks of agents; if one agent at a time does not fit,
  the error says what to lower.
* `rpojax.study` works in the same way. Optuna's storage is the other way to share a search, by
  independent processes.

Inside, each array of agents is spread over the devices of all processes. What is decided on the
host (when to stop, how long a chunk is) is decided once for all: `exchanged`. Whatever has an
effect outside (files, the terminal) happens in the first. The functions here do not use
`jax.experimental.multihost_utils`: its collectives run on the devices, and wait for ever for a
process that has failed.
"""

import atexit
import contextlib
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
from jax._src import distributed  # the store of keys and values has no public name

from rpojax.devices.start import use_all_cores
from rpojax.types import PyTree
from rpojax.validation import whole_number

T = TypeVar("T")

JOIN_SECONDS = 120  # that the processes wait for each other at the start
POLL_SECONDS = 0.02  # between checks whether arrays are ready, each of which takes CPU time
ERROR_POLL_SECONDS = 0.5  # between checks for errors of the other processes
_LOST = "gloo|nccl|closed by peer|connection reset|coordination|heartbeat|unavailable"

_calls = itertools.count()  # of `fit` and the like, the same in all processes
_call: list[int] = []  # the current one; empty outside of them
_exchanges = itertools.count()  # of this call
_lost: list[str] = []  # errors from the loss of another process, which reported none itself


class ProcessError(RuntimeError):
    """Another process of the job failed or ended, so that this one cannot go on."""


def use_all_machines(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    lost_after: int = 60,
) -> int:
    """Join the processes of a job, so that JAX sees the devices of all of them.

    Call it right after the imports, in each process of the job, and then the same functions with
    the same arguments in each: `fit`, `resume`, `sharded_vmap`. On SLURM, Open MPI, Kubernetes and
    TPU pods JAX detects all arguments. On a CPU, each core becomes a device, as with
    `use_all_cores`. JAX's preemption service, which would keep SIGTERM from Python, is turned off.

    Args:
        coordinator: "host:port" of the first process, with a free port.
        num_processes: P, the number of processes in the job.
        process_id: the index of this process, 0 to P - 1.
        lost_after: seconds without a heartbeat after which a process counts as lost, such as one on
            a machine that was switched off; JAX then ends the others.

    Returns:
        The number of processes.

    Raises:
        ValueError: arguments out of range, or some of them given and the others not found.
        RuntimeError: JAX has been used already.

    If the others do not join within two minutes, JAX ends the process with a message of its own.
    """
    given = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
    if coordinator is not None and not re.fullmatch(r".+:\d{1,5}", coordinator):
        raise ValueError(f"coordinator = {coordinator!r} is not of the form host:port")
    if num_processes is not None:
        num_processes = whole_number("num_processes", num_processes)
    if process_id is not None:
        most = None if num_processes is None else num_processes - 1
        process_id = whole_number("process_id", process_id, least=0, most=most)
    lost_after = whole_number("lost_after", lost_after)
    use_all_cores()
    # It takes SIGTERM away from Python, whose handlers save the run.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator_address=coordinator,
            num_processes=num_processes,
            process_id=process_id,
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=lost_after,
            shutdown_timeout_seconds=lost_after,
        )
    except ValueError as error:
        missing = [name for name, value in given.items() if value is None]
        raise ValueError(
            f"{', '.join(missing) or 'the job'} could not be found ({error}); give coordinator, "
            "num_processes and process_id, or start the processes by SLURM, Open MPI or Kubernetes"
        ) from error
    atexit.register(_leave_at_once_if_lost)  # runs before JAX's own, which would wait for the lost
    return jax.process_count()


def several() -> bool:
    """Whether this process is one of several. Does not start JAX."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that writes, draws and prints."""
    return not several() or jax.process_index() == 0


def exchanged(value: Any, decide: Callable[[list[Any]], Any]) -> Any:
    """Send a value to the first process, and return what it decides; the same in all processes.

    Values travel through the job's key-value store, so an error in another process ends the wait.

    Args:
        value: of this process; JSON must be able to hold it.
        decide: called in the first process with the values of all, in their order; returns the
            decision, which JSON must be able to hold.

    Raises:
        ProcessError: another process failed.
    """
    if not several():
        return decide([value])
    number = next(_exchanges)
    sent, decided = f"{_scope()}sent/{number}/", f"{_scope()}decided/{number}"
    if not is_first():
        _store().key_value_set(f"{sent}{jax.process_index()}", json.dumps(value))
        return json.loads(_waited_for_key(decided))
    others = [_waited_for_key(f"{sent}{index}") for index in range(1, jax.process_count())]
    decision = decide([value, *map(json.loads, others)])
    _store().key_value_set(decided, json.dumps(decision))
    _store().key_value_delete(sent)
    _store().key_value_delete(f"{_scope()}decided/{number - 1}")  # all have read it
    return decision


def found_in_first(find: Callable[[], Any]) -> Any:
    """What the first process finds, returned in all of them.

    Args:
        find: called in the first process; JSON must be able to hold what it returns.

    Raises:
        ProcessError: another process failed.
    """
    return exchanged(find() if is_first() else None, lambda values: values[0])


def in_first(act: Callable[[], Any]) -> None:
    """Let the first process do something while the others wait."""
    if is_first():
        act()
    wait_for_all()


def wait_for_all() -> None:
    """Wait until all processes are here; ProcessError if one failed."""
    exchanged(None, lambda values: None)


@contextlib.contextmanager
def only_in_first(context: contextlib.AbstractContextManager[T]) -> Iterator[T | None]:
    """Enter a context in the first process only; the others wait until it is entered.

    Yields what the context yields, and None in the other processes.
    """
    with context if is_first() else contextlib.nullcontext() as entered:
        wait_for_all()
        yield entered


def wait_for(arrays: PyTree) -> None:
    """Wait until arrays are computed.

    It polls, with short sleeps: Python handles signals between them, but not while it waits in XLA.

    Raises:
        ProcessError: another process failed meanwhile.
    """
    leaves = jax.tree.leaves(arrays)
    next_look = time.monotonic() + ERROR_POLL_SECONDS
    while not all(leaf.is_ready() for leaf in leaves):
        time.sleep(POLL_SECONDS)
        if time.monotonic() > next_look:
            _raise_errors_of_others()
            next_look = time.monotonic() + ERROR_POLL_SECONDS


@contextlib.contextmanager
def errors_shared(alike: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
    """Let an error in one process end all of them, each with the error's message.

    All processes must enter and leave it together. Nested uses have no effect.

    Args:
        alike: errors that all processes raise together.

    Raises:
        ProcessError: another process failed, or is gone.
    """
    global _exchanges
    if _call:
        yield
        return
    _call.append(next(_calls))
    _exchanges = itertools.count()
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not (several() and re.search(_LOST, str(error), re.IGNORECASE)):
            _report_error(error)
            raise
        _raise_errors_of_others()
        raise _lost_error(error) from error
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, alike):
            _report_error(error)
        raise
    finally:
        _call.clear()


def _scope() -> str:
    """The prefix of the keys of the current call."""
    return f"rpojax/{_call[0] if _call else 'outside'}/"


def _report_error(error: BaseException) -> None:
    if several() and not isinstance(error, ProcessError):
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # the first process is gone
            _store().key_value_set(f"{_scope()}error/{jax.process_index()}", _in_words(error))


def _raise_errors_of_others() -> None:
    """Raise ProcessError with the error that another process has reported, if any has."""
    if not several():
        return
    try:
        reported = _store().key_value_dir_get(f"{_scope()}error/")
    except jax.errors.JaxRuntimeError as error:
        raise _lost_error(error) from error
    for key, message in reported:
        number = key.rpartition("/")[2]
        if number != str(jax.process_index()):
            raise ProcessError(f"process {number} of {jax.process_count()} failed: {message}")


def _waited_for_key(key: str) -> str:
    """The value of a key, as soon as another process has set it."""
    while True:
        try:
            value: str = _store().blocking_key_value_get(key, round(1000 * ERROR_POLL_SECONDS))
            return value
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
        _raise_errors_of_others()


def _lost_error(error: Exception) -> ProcessError:
    _lost.append(_in_words(error))
    return ProcessError(
        f"another of the {jax.process_count()} processes is gone ({_lost[-1]}); what was saved is "
        "kept: start all processes again, to resume"
    )


def _leave_at_once_if_lost() -> None:
    """End without waiting for processes that are gone."""
    if _lost:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _in_words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:500] if lines else type(error).__name__


def _store() -> Any:
    return distributed.global_state.client

"""The command, in a process that sends itself a signal in a phase of its work, once.

`python stopped_command.py ARGUMENTS`, in a directory where the file `phase` names the phase and the
number of the signal.
"""

import os
import sys
from pathlib import Path
from typing import Any

PHASE = Path("phase")


def stop() -> None:
    """Send the signal, if it was not sent before."""
    if PHASE.exists():
        number = int(PHASE.read_text().split()[1])
        PHASE.unlink()
        os.kill(os.getpid(), number)


def stop_in(owner: Any, name: str, call: int = 1) -> None:
    """Send the signal when a function is called for the so many-th time."""
    function, calls = getattr(owner, name), []

    def stopping(*args: Any, **arguments: Any) -> Any:
        calls.append(name)
        if len(calls) == call:
            stop()
        return function(*args, **arguments)

    setattr(owner, name, stopping)


def main() -> None:
    from rpojax.cli import main, training
    from rpojax.runs import agents, loop, storage
    from rpojax.runs.directory import RunDirectory

    phases: dict[str, tuple[Any, ...]] = {
        "before the first file": (RunDirectory, "locked"),
        "compiling": (agents, "_compile_chunk"),
        "training": (loop.HostLoop, "train_chunk", 3),
        "saving": (storage, "discard", 2),
        "evaluating": (training, "play_with_agents"),
        "drawing": (training, "plot_learning_curves"),
    }
    loop.SECONDS_PER_CHUNK = 0.0  # an update at a time
    if PHASE.exists():
        name = PHASE.read_text().split()[0].replace("-", " ")
        if name in phases:
            stop_in(*phases[name])
    main()
    stop()  # after the end


if __name__ == "__main__":
    sys.path.pop(0)  # modules of the tests
    main()

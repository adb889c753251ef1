"""Run a part of a benchmark in a process of its own: JAX keeps all that it compiles."""

import json
import subprocess
import sys
from typing import Any

from benchmarks.reporting import REPOSITORY


def printed_by(module: str, *arguments: str) -> Any:
    """The JSON that `python -m benchmarks.MODULE ARGUMENTS` prints as its last line.

    Raises:
        RuntimeError: the process failed; ends with what it wrote to stderr.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:])} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])

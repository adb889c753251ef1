"""How tests run the command: in this process, or in one of its own that a signal can stop."""

import contextlib
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rpojax.cli import main
from rpojax.cli.command import parse
from rpojax.cli.training import Train

# A shell starts background jobs with SIGINT ignored, and children inherit that.
AS_FROM_A_TERMINAL = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
COMMAND = str(Path(sys.executable).with_name("rpojax"))
TINY = (
    "--num-envs=8", "--num-steps=16", "--update-epochs=1", "--num-minibatches=2",
    "--network.hidden-sizes", "8", "--num-seeds=2", "--lr-schedule=constant",
)  # fmt: skip
UPDATES, BATCH = 31, 128
TRAIN = ("train", *TINY, "--eval-every=10", "--eval-episodes=4", "--total-timesteps=4000")


class Finished(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """What --json printed, and nothing but that."""
        assert self.status == 0, self.err
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line of a command that failed."""
        assert self.status == 2, self
        assert self.out == ""
        assert self.err.startswith("rpojax: ")
        assert self.err.count("\n") == 1
        return self.err.strip()


class Trained(NamedTuple):
    path: Path
    finished: Finished

    def copy(self, place: Path) -> Path:
        """Another directory with the same run."""
        return Path(shutil.copytree(self.path, place / "copy"))


def run(*args: str | Path) -> Finished:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(arg) for arg in args])
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Finished(status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def started(*args: str, cwd: Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process of its own, compiled fast and not well; killed if still there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"
    quick = {"XLA_FLAGS": flags, "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-c", AS_FROM_A_TERMINAL, COMMAND, *args],
        cwd=cwd,
        env=kept | quick | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process: "subprocess.Popen[str]") -> Finished:
    out, err = process.communicate(timeout=300)
    return Finished(process.returncode, out, err)


def parsed(*args: str) -> Train:
    command = parse(["train", *args])
    assert isinstance(command, Train)
    return command


def returns_in(report: dict[str, Any]) -> list[float]:
    """The mean return of each agent."""
    return [agent["mean"] for agent in report["agents"]]


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv."""
    with (path / "metrics.csv").open() as file:
        return list(csv.DictReader(file))

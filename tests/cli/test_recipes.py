"""The recipes for clusters, as their text stands in the guide, stopped in each phase of a run."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import rows_of

import rpojax
from rpojax.devices import processes

pytestmark = [pytest.mark.optimized, pytest.mark.slow]  # starts dozens of processes

HERE = Path(__file__).parent
SHELL, YAML = (
    re.search(f"```{name}\n(.*?)```", processes.__doc__, re.S).group(1)
    for name in ("shell", "yaml")
)
PHASES = (
    "before-the-first-file", "compiling", "training", "saving", "evaluating", "drawing",
    "after-the-end",
)  # fmt: skip
SETTINGS = """
env: Pendulum-v1
num_envs: 4
num_steps: 16
num_minibatches: 2
update_epochs: 1
total_timesteps: 512
network: {hidden_sizes: [8]}
num_seeds: 2
agents_at_once: 1  # the bits of an agent do not depend on the other
checkpoint_every: 2
"""
SRUN = """#!/bin/sh
export SLURM_NTASKS=1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_STEP_NODELIST=localhost
exec "$@"
"""


@pytest.fixture
def cluster(tmp_path):
    """A directory with the commands that a node has."""
    scripts = {
        "rpojax": f'#!/bin/sh\nexec {sys.executable} {HERE / "stopped_command.py"} "$@"\n',
        "srun": SRUN,
        "scontrol": '#!/bin/sh\necho "$@" >> requeued\n',
    }
    (tmp_path / "bin").mkdir()
    for name, text in scripts.items():
        script = tmp_path / "bin" / name
        script.write_text(text)
        script.chmod(0o755)
    (tmp_path / "cheetah.yaml").write_text(SETTINGS)
    return tmp_path


def run(command, place, job=""):
    environment = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
    if job:
        environment["SLURM_JOB_ID"] = job
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=400
    )


def ended_well(place):
    """The run is whole: each row once, each picture, the bits of a run that nothing stopped."""
    path = place / "runs" / "cheetah"
    assert (path / "learning_curve.png").stat().st_size > 1000
    updates = [int(row["updates"]) for row in rows_of(path)]
    assert updates == sorted(2 * list(range(1, 9)))
    assert {each.name for each in path.iterdir()} == {
        "checkpoints", "learning_curve.png", "metrics.csv", "settings.yaml"
    }  # fmt: skip
    return rpojax.load(path).metrics


@pytest.fixture(scope="module")
def whole():
    settings = yaml.safe_load(SETTINGS)
    arguments = {name: settings.pop(name) for name in ("num_seeds", "checkpoint_every")}
    return rpojax.fit(rpojax.Config.from_dict(settings), **arguments).metrics


def same(metrics, whole):
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(getattr(metrics, name), values, err_msg=name)


@pytest.mark.parametrize("phase", PHASES)
def test_slurm_requeues_a_job_that_is_terminated_until_it_is_done(cluster, whole, phase):
    (cluster / "phase").write_text(f"{phase} {signal.SIGTERM}")
    script, job = ["bash", "-c", SHELL], str(77 + PHASES.index(phase))  # JAX's port depends on it
    first = run(script, cluster, job=job)
    assert not (cluster / "phase").exists(), first.stderr
    assert "Traceback" not in first.stderr
    requeued = cluster / "requeued"
    assert requeued.exists() or phase not in ("compiling", "training", "saving")
    if requeued.exists():
        assert requeued.read_text() == f"requeue {job}\n"
        assert "rpojax: stopped" in first.stderr or phase == "after-the-end"
        requeued.unlink()
        second = run(script, cluster, job=job)
        assert second.returncode == 0, second.stderr
    assert not requeued.exists()
    same(ended_well(cluster), whole)
    again = run(script, cluster, job=job)
    assert "nothing was left to train" in again.stdout, again.stderr


@pytest.mark.parametrize("phase", PHASES)
def test_kubernetes_repeats_a_command_that_is_killed_until_it_is_done(cluster, whole, phase):
    (cluster / "phase").write_text(f"{phase} {signal.SIGKILL}")
    spec = yaml.safe_load(YAML)["spec"]["template"]["spec"]
    assert spec["restartPolicy"] == "OnFailure"
    (container,) = spec["containers"]
    statuses = []
    while not statuses or statuses[-1]:
        ended = run(container["command"], cluster)
        statuses.append(ended.returncode)
        assert "Traceback" not in ended.stderr, ended.stderr
        assert len(statuses) < 4, ended.stderr
    assert statuses == [-signal.SIGKILL, 0]
    same(ended_well(cluster), whole)

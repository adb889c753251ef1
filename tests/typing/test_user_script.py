"""A user's script passes mypy and pyright in strict mode, and mistakes in it are found."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import rpojax

ROOT = Path(__file__).parent.parent.parent
USER_SCRIPT = Path(__file__).parent / "user_script.py"

MISTAKES = """
import jax
import numpy as np

import rpojax

cfg = rpojax.Config()
train = rpojax.make_train(cfg)
train(jax.random.key(0), hyperparameters=cfg.hyperparams())
state = train(jax.random.key(0)).stat
trainer = rpojax.make_trainer(cfg)
trainer.run(trainer.init(jax.random.key(0)), updates=3)
state, metrics, more = trainer.iterate(trainer.init(jax.random.key(0)))
rpojax.make_policy(cfg, trainer.init(jax.random.key(0)))(np.zeros(3), carry=None)
rpojax.Metrics(kl=metrics.kl)
rpojax.fit(cfg, options=rpojax.RunOptions(eval_evry=20))
rpojax.resume("runs/pendulum", total_timesteps="long")
"""
LINES_WITH_MISTAKES = {9, 10, 12, 13, 14, 15, 16, 17}


def mypy(paths, tmp_path):
    """Each line of the scripts that mypy --strict finds fault with, and what it says."""
    no_settings = tmp_path / "mypy.ini"
    no_settings.write_text("[mypy]\n")
    command = ["mypy", "--strict", "--config-file", no_settings, "--cache-dir", tmp_path, *paths]
    run = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    found = [line.split(":")[:2] for line in run.stdout.splitlines() if line.count(":") > 2]
    return {(Path(file).name, int(line)) for file, line in found}, run.stdout + run.stderr


def pyright(paths, tmp_path):
    """Each line of the scripts that pyright finds fault with in strict mode, and what it says.

    basedpyright is pyright from PyPI with its own copy of Node.js.
    """
    settings = tmp_path / "pyrightconfig.json"
    include = {"include": list(map(str, paths)), "extraPaths": [str(ROOT)]}
    settings.write_text(json.dumps(include | {"typeCheckingMode": "strict"}))
    command = ["basedpyright", "--outputjson", "-p", settings, "--pythonpath", sys.executable]
    run = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    report = json.loads(run.stdout)
    assert report["summary"]["filesAnalyzed"] == len(paths), run.stdout
    errors = report["generalDiagnostics"]
    lines = {(Path(e["file"]).name, e["range"]["start"]["line"] + 1) for e in errors}
    return lines, run.stdout + run.stderr


@pytest.mark.parametrize("checker", [pytest.param(mypy, marks=pytest.mark.slow), pyright])
def test_users_script_passes_in_strict_mode_and_mistakes_are_found(checker, tmp_path):
    pytest.importorskip({mypy: "mypy", pyright: "basedpyright"}[checker])
    mistakes = tmp_path / "mistakes.py"
    mistakes.write_text(MISTAKES)
    lines, said = checker([USER_SCRIPT, mistakes], tmp_path)
    assert lines == {("mistakes.py", line) for line in LINES_WITH_MISTAKES}, said


def test_package_says_that_it_is_typed():
    assert importlib.util.find_spec("rpojax").origin == rpojax.__file__
    assert (Path(rpojax.__file__).parent / "py.typed").exists()

"""Environments, networks and functions of one's own, by their import paths."""

import json
import sys

import numpy as np
import pytest
from commands import TINY, run

import rpojax
from rpojax.cli.command import parse
from rpojax.cli.studies import read_plan

pytestmark = pytest.mark.usefixtures("programs_shared")

MODULE = """
import flax.linen as nn
import jax.numpy as jnp
import rpojax

def world(**params):
    return rpojax.envs.make("MountainCarContinuous-v0", **params)

class Net(nn.Module):
    @nn.compact
    def __call__(self, obs):
        x = nn.tanh(nn.Dense(8)(obs))
        return nn.Dense(1)(x), jnp.zeros(1), nn.Dense(1)(x)[..., 0]

net = Net()

def half(count):
    return 0.5

mirror = rpojax.Symmetry(jnp.negative, jnp.negative)

def shaper(reward, timestep, timesteps):
    return 2 * reward
"""
OWN = ("--env=my_own:world", "--network=my_own:net", "--reward-shaper=my_own:shaper")
MIRROR = ("--symmetry=my_own:mirror", "--mirror-coef=0.1")
SCHEDULES = ("--lr-schedule=my_own:half", "--alpha-schedule", "my_own:half")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with a module, which a function takes away."""
    (tmp_path / "my_own.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    _forget(tmp_path)


def _forget(place):
    (place / "my_own.py").unlink(missing_ok=True)
    sys.modules.pop("my_own", None)
    rpojax.envs.registry._kept.clear()


@pytest.mark.slow
def test_a_run_of_ones_own_objects_is_one_like_all_others(place):
    tiny = [word for word in TINY if word not in ("--network.hidden-sizes", "8")]
    train = (
        "train",
        *tiny,
        *OWN,
        *SCHEDULES,
        *MIRROR,
        "--total-timesteps=256",
        "--run-name=own",
        "--json",
    )
    trained = run(*train, "--env-params.power=0.002").report
    path = place / "runs/own"
    cfg = rpojax.load(path).cfg
    assert cfg.env == "my_own:world"
    assert cfg.network == "my_own:net"
    assert dict(cfg.env_params) == {"power": 0.002}
    again = run("train", "--config", path / "settings.yaml", "--run-name=again", "--json").report
    assert again["agents"] == trained["agents"]
    assert run("resume", path, "--total-timesteps=384", "--json").report["steps"] == 2 * 384
    assert run("eval", path, "--episodes=2", "--json").status == 0
    assert run("export", path, "--format=npz").status == 0
    _forget(place)
    (path / "metrics.csv").unlink()
    assert "'my_own:world' cannot be imported: No module named" in run("resume", path).complaint


@pytest.mark.slow
def test_plot_report_and_policies_do_not_need_the_environment(place):
    settings = {
        "env": "my_own:world", "num_envs": 4, "num_steps": 8, "num_minibatches": 2,
        "update_epochs": 1, "total_timesteps": 64, "network": {"hidden_sizes": [8]},
        "study": {"grid": {"alpha": [0, 0.5]}, "num_seeds": 1, "eval_episodes": 1},
    }  # fmt: skip
    (place / "own.json").write_text(json.dumps(settings))
    assert run("study", "own.json", "--name=own").status == 0
    _forget(place)
    assert run("report", "studies/own").status == 0
    kept = place / "studies/own/programs/000/rung_0"
    assert run("plot", kept).status == 0
    policy = rpojax.load(kept).policy(1)  # of a description of the environment
    assert policy(np.zeros(2, np.float32)).shape == (1,)
    for kind in ("npz", "numpy", "stablehlo"):
        assert run("export", kept, f"--format={kind}").status == 0
    (place / "my_own.py").write_text(MODULE)
    played = run("play", kept, "--format=numpy", "--fast", "--max-steps=2", "--json").report
    assert (played["env"], played["steps"]) == ("my_own:world", 2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--env=my_own:nothing",), "'my_own:nothing' cannot be imported: module 'my_own' has no"),
        (("--env=nowhere:world",), "'nowhere:world' cannot be imported: No module named 'nowhere'"),
        (("--network", "gru"), "--network gru is not the path of a network; give --network MOD"),
        (("--network=my_own:net", "--network.cell=gru"), "leave --network.* out"),
        (("--surrogate=my_own:missing",), "'my_own:missing' cannot be imported"),
        (("--symmetry=my_own:half",), "symmetry = 'my_own:half', which = <function half"),
    ],
)
def test_what_cannot_be_imported_is_named(place, flags, message):
    assert message in run("train", "--num-envs=4", "--num-minibatches=2", *flags).complaint


def test_paths_are_settings_of_files_too(place):
    (place / "a.yaml").write_text(
        "env: my_own:world\nnetwork: my_own:net\noptimizer: optax:lion\n"
        "study: {grid: {surrogate: [clip, my_own:loss], perturbation: ['my_own:noise']}}"
    )
    plan = read_plan(place / "a.yaml")
    assert [each.label for each in plan.settings] == [
        "surrogate=clip,perturbation=my_own:noise",
        "surrogate=my_own:loss,perturbation=my_own:noise",
    ]
    assert plan.from_record(json.loads(json.dumps(plan.record()))) == plan
    (place / "b.yaml").write_text("network: my_own:net\nenv: my_own:world")
    config = parse(["train", "--config", str(place / "b.yaml")]).config
    assert config.to_config() == rpojax.Config(env="my_own:world", network="my_own:net")

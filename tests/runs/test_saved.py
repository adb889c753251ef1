"""Runs of earlier and later versions: policies and curves are read where a training is not."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bits import assert_same_bits

import rpojax
from rpojax import Config, Metrics, fit, load, resume
from rpojax.cli import main
from rpojax.core.model import make_model
from rpojax.runs import checkpoint, checkpoint_manager
from rpojax.runs.launch import new_run
from rpojax.runs.settings import RunSettings
from rpojax.runs.warm_start import INITIAL_PARTS
from rpojax.settings.agent_table import agent_table
from rpojax.types import Array, Struct

pytestmark = pytest.mark.usefixtures("programs_shared")

SAVED = Path(__file__).parent.parent / "saved" / "run"
CFG = Config(
    total_timesteps=4 * 4 * 32, num_envs=4, num_steps=32, num_minibatches=2, update_epochs=2
)


@pytest.fixture(scope="module")
def expected():
    return json.loads((SAVED / "expected.json").read_text())


@pytest.fixture
def copy(tmp_path):
    """A copy of the committed run, without its training state."""
    shutil.copytree(SAVED, tmp_path / "run")
    shutil.rmtree(next((tmp_path / "run").glob("update_*/state")))
    return tmp_path / "run"


def test_committed_run_acts_as_it_did(copy, expected):
    run = load(copy)
    obs = np.float32(expected["observations"])
    for agent, actions in enumerate(expected["actions"]):
        np.testing.assert_allclose(run.policy(agent)(obs), actions, rtol=1e-4, atol=1e-5)
    assert [agent.hyperparams["alpha"] for agent in run.agents] == [np.float32(0.1), 0.5]
    assert run.updates.tolist() == load(copy, best=True).updates.tolist() == [4, 4]
    assert run.finite.all()
    np.testing.assert_allclose(run.metrics.entropy, expected["entropy"], rtol=1e-6)


def test_committed_run_is_plotted_evaluated_exported_and_begun_from(
    copy, expected, tmp_path, capsys
):
    main(["plot", str(copy), "--output", str(tmp_path / "curve.png")])
    assert (tmp_path / "curve.png").stat().st_size > 1000
    capsys.readouterr()
    main(["eval", str(copy), "--episodes", "2", "--json"])
    told = json.loads(capsys.readouterr().out)
    means = [agent["mean"] for agent in told["agents"]]
    np.testing.assert_allclose(means, np.mean(expected["returns"], axis=1), rtol=0.05)
    main(["export", str(copy), "--agent", "1"])
    policy = jax.export.deserialize(bytearray((copy / "policy_1.stablehlo").read_bytes()))
    actions = policy.call(np.float32(expected["observations"]))
    np.testing.assert_allclose(actions, expected["actions"][1], rtol=1e-4, atol=1e-5)
    main(["export", str(copy), "--format", "npz"])
    assert "obs_stats/mean" in np.load(copy / "params_0.npz")
    run = load(copy)
    settings = RunSettings(cfg=run.cfg, agents=agent_table(run.cfg.hyperparams(), num_seeds=2))
    begun = new_run(make_model(run.cfg), settings, (run, INITIAL_PARTS)).states.state
    assert_same_bits(begun.params, jax.tree.map(jnp.asarray, run.policies.params))


def test_its_training_is_what_cannot_be_read_without_the_state(copy):
    with pytest.raises(ValueError, match="is damaged"):
        _ = load(copy).result
    with pytest.raises(ValueError, match=r"all 1 checkpoints in .* are damaged"):
        resume(copy)


class WithOneMore(Metrics):
    """The metrics of a later version."""

    regret: Array


WithOneLess = type(
    "WithOneLess",
    (Struct,),
    {"__annotations__": {n: Array for n in Metrics.__dataclass_fields__ if n != "kl"}},
)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A whole run, and one that is half done."""
    directory = tmp_path_factory.mktemp("half")
    stopped = {"on_chunk": lambda progress: progress.updates >= 2, "checkpoint_every": 2}
    fit(CFG, 2, checkpoint_dir=directory, **stopped)
    return fit(CFG, 2), directory


def saved_again(directory, at, change):
    """The run, saved as another version would, which changes it first."""
    found = checkpoint_manager.newest(directory)
    change(found.run)
    checkpoint.save(at, found.model.env, found.run)
    return at


def test_a_metric_that_this_version_does_not_know_is_left_out_with_a_word(half, tmp_path):
    def add(run):
        run.metrics = WithOneMore(**vars(run.metrics), regret=np.ones((2, 2)))

    at = saved_again(half[1], tmp_path, add)
    np.testing.assert_array_equal(load(at).policy()(np.ones(3)), load(half[1]).policy()(np.ones(3)))
    with pytest.warns(RuntimeWarning, match=r"\.regret in its part 'history', which this version"):
        assert_same_bits(load(at).metrics, load(half[1]).metrics)
    with pytest.warns(RuntimeWarning, match=r"\.regret"):
        assert_same_bits(resume(at), half[0])


def test_a_metric_that_the_file_lacks_is_nan(half, tmp_path):
    def remove(run):
        kept = {name: values for name, values in vars(run.metrics).items() if name != "kl"}
        run.metrics = WithOneLess(**kept)

    at = saved_again(half[1], tmp_path, remove)
    assert np.isnan(load(at).metrics.kl).all()
    result = resume(at)
    assert np.isnan(result.metrics.kl[:, :2]).all()
    np.testing.assert_array_equal(result.metrics.kl[:, 2:], half[0].metrics.kl[:, 2:])
    assert_same_bits(result.replace(metrics=result.metrics.replace(kl=half[0].metrics.kl)), half[0])


@pytest.mark.slow
def test_another_state_of_the_environment_leaves_policy_and_curve_and_is_named(half, tmp_path):
    def add(run):
        state = run.states.state
        env_state = {"data": state.env_state, "warm_start": np.zeros((2, 4, 7), np.float32)}
        run.states = run.states._replace(state=state.replace(env_state=env_state))

    at = saved_again(half[1], tmp_path, add)
    run, before = load(at), load(half[1])
    np.testing.assert_array_equal(run.policy()(np.ones(3)), before.policy()(np.ones(3)))
    assert_same_bits(run.evaluate(2), before.evaluate(2))
    assert_same_bits(run.metrics, before.metrics)
    message = r"\['agents'\]\['env_state'\].* in its part 'state' is .*policy\(\).*jax "
    for read in (lambda: run.result, lambda: resume(at)):
        with pytest.raises(ValueError, match=message):
            read()


def test_a_policy_is_read_where_its_environment_cannot_be_made(half, monkeypatch):
    expected = load(half[1]).policy()(np.ones(3))
    monkeypatch.setattr(rpojax.envs, "make", None)
    run = load(half[1])
    np.testing.assert_array_equal(run.policy()(np.ones(3)), expected)
    assert run.metrics.kl.shape == (2, 2)
    with pytest.raises(TypeError):
        _ = run.model

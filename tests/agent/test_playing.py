"""Exported policies in simulators on the host: what they return, and how late they act."""

import json
import shutil
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from test_export import CFG, agent
from toys import LIMIT, make_counter

import rpojax
from rpojax import Config, NetworkConfig, export_policy, load_policy, play
from rpojax.agent import playing
from rpojax.cli import main

COUNTER = make_counter(control_dt=0.01)
SMALL = NetworkConfig(hidden_sizes=(4,))


@pytest.fixture(scope="module")
def counting(tmp_path_factory):
    """A config and the exported policy of an agent in the counter."""
    cfg = CFG.replace(env=COUNTER, network=SMALL)
    path = tmp_path_factory.mktemp("counter") / "policy.npz"
    state = agent(cfg)
    export_policy(cfg, state, path, format="numpy")
    return cfg, state, load_policy(path)


def test_an_env_is_stepped_on_the_host_as_in_its_evaluation(counting):
    cfg, state, policy = counting
    played = play(policy, COUNTER, num_episodes=3, realtime=False)
    act = rpojax.make_policy(cfg, state)
    first = jax.jit(COUNTER.reset)(jax.random.split(jax.random.key(1), 2)[:1], {})[1][0]
    obs, total = np.asarray(first), 0.0
    for _ in range(int(played.evaluation.episode_length[1])):
        action = act(obs)
        total += float(action[0])
        obs = obs + np.array([1.0, action[0]], np.float32)
    np.testing.assert_allclose(played.evaluation.episode_return[1], total, rtol=1e-4)
    assert played.evaluation.finished.all()
    assert (played.evaluation.episode_length <= LIMIT).all()
    assert len(played.lateness) == played.evaluation.episode_length.sum()


def test_programs_and_policies_that_were_not_exported_play_alike(counting, tmp_path):
    cfg, state, policy = counting
    export_policy(cfg, state, tmp_path / "policy")
    made = load_policy(tmp_path / "policy"), rpojax.make_policy(cfg, state)
    expected, *found = (
        play(each, COUNTER, realtime=False).evaluation.episode_return for each in (policy, *made)
    )
    np.testing.assert_allclose(found, [expected] * 2, rtol=1e-5)
    export_policy(cfg, state, tmp_path / "policy", deterministic=False)
    sampling = load_policy(tmp_path / "policy"), rpojax.make_policy(cfg, state, deterministic=False)
    drawn, same = (play(each, COUNTER, realtime=False).evaluation for each in sampling)
    np.testing.assert_allclose(drawn.episode_return, same.episode_return, rtol=1e-5)
    assert not np.allclose(drawn.episode_return, expected)


def test_in_real_time_steps_wait_for_their_turn(counting):
    start = time.perf_counter()
    played = play(counting[2], COUNTER, num_episodes=2)
    steps = int(played.evaluation.episode_length.sum())
    assert time.perf_counter() - start >= 0.01 * (steps - 1)
    report = played.report()
    assert report["control_dt"] == 0.01
    assert report["steps"] == steps
    assert report["lateness_ms"]["p50"] <= report["lateness_ms"]["p99"]


class Slow:
    """A policy that takes longer than a step in its third call of an episode's seven."""

    def __init__(self, policy):
        self.env, self._policy, self.calls = policy.env, policy, 0

    def __call__(self, obs, carry=None, reset=None, key=None):
        self.calls += 1
        if self.calls == 4:  # one is before the episode
            time.sleep(0.2)
        return np.array([0.5, 0.0]), {}


def test_late_actions_are_counted_and_do_not_make_all_others_late(counting):
    slow = make_counter(control_dt=0.05)
    policy = counting[2]
    policy = Slow(policy)
    policy.env = slow
    played = play(policy, slow)
    assert played.lateness[2] >= 0.2
    assert played.missed >= 1
    assert playing.Played(played.evaluation, np.array([0.02, 0.06, 0.04]), 0.05).missed == 1


def test_what_does_not_fit_the_policy_is_named(counting):
    policy = counting[2]
    other = make_counter(control_dt=0.02)
    with pytest.raises(ValueError, match=r"has control_dt = 0\.02, .* trained with 0\.01"):
        play(policy, other)
    wide = make_counter(action_high=np.array([1.0, 2.0], np.float32))
    with pytest.raises(ValueError, match=r"'Counter-v0' has actions .*; give an environment with"):
        play(policy, wide)
    long = make_counter(obs=jax.ShapeDtypeStruct((3,), np.float32))
    with pytest.raises(ValueError, match=r"has observations .*\(3,\).* of shape \(2,\)"):
        play(policy, long)
    with pytest.raises(ValueError, match="has no renderer; leave viewer and video out"):
        play(policy, COUNTER, video="a.gif")
    with pytest.raises(ValueError, match=r"'policy\.npz' is not a policy of rpojax; .*load_policy"):
        play("policy.npz", COUNTER)
    with pytest.raises(ValueError, match="env = None is no environment to play in; give a name"):
        play(policy, None)
    with pytest.raises(ValueError, match="has no viewer"):
        play(policy, COUNTER, viewer=True)
    policy = Slow(policy)
    policy.env = make_counter()
    with pytest.raises(ValueError, match=r"does not say how long a step lasts, .*realtime = False"):
        play(policy, make_counter())


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory):
    pytest.importorskip("gymnasium")
    path = tmp_path_factory.mktemp("runs") / "run"
    cfg = Config(num_envs=2, num_steps=16, num_minibatches=1, update_epochs=1, total_timesteps=32)
    rpojax.fit(cfg.replace(network=SMALL), num_seeds=2, checkpoint_dir=path)
    return path


def test_the_command_exports_and_plays_in_gymnasium(run_directory, capsys):
    flags = ["--format=numpy", "--agent=1", "--episodes=2", "--fast"]
    main(["play", str(run_directory), *flags, "--json"])
    report = json.loads(capsys.readouterr().out)
    policy = rpojax.load(run_directory).policy(1)
    expected = rpojax.evaluate_gymnasium(policy, "Pendulum-v1", num_episodes=2)
    np.testing.assert_allclose(report["episode_return"], expected.episode_return, rtol=1e-3)
    assert report["policy"] == str(run_directory / "policy_1.npz")
    assert (report["env"], report["steps"], report["control_dt"]) == ("Pendulum-v1", 400, 0.05)
    assert report["training"]["agent"] == 1
    main(["play", report["policy"], "--max-steps=3", "--fast"])
    assert "3 steps of 50 ms" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["play", str(run_directory), "--format=numpy", "--agent=7"])
    assert "agent = 7 is not in this run; give 0 to 1" in capsys.readouterr().err


def test_the_command_warns_of_what_it_does_not_play(run_directory, tmp_path, capsys):
    run = rpojax.load(run_directory)
    training = {"checkpoint": "update_000000000", "env_params": {"g": 1.62}}
    path = Path(shutil.copytree(run_directory, tmp_path / "run")) / "policy_0.npz"
    export_policy(run.cfg, run.state(), path, format="numpy", training=training)
    flags = ["--format=numpy", "--fast", "--max-steps=1"]
    main(["play", str(path.parent), *flags])
    warned = capsys.readouterr().err.splitlines()
    assert "policy_0.npz' was exported from update_000000000, and the newest" in warned[0]
    assert "trained with env_params = {'g': 1.62}, and 'Pendulum-v1' is played as" in warned[1]
    path.unlink()
    main(["play", str(path.parent), *flags, "--env=Pendulum-v1"])
    assert capsys.readouterr().err == ""


def test_the_command_plays_what_gymnasium_lacks_with_the_parameters_of_the_run(tmp_path, capsys):
    env_params = {"max_steps_in_episode": 5}
    cfg = Config(
        env="Reacher-misc", env_params=env_params, num_envs=2, num_steps=16, num_minibatches=1,
        update_epochs=1, total_timesteps=32, network=SMALL,
    )  # fmt: skip
    rpojax.fit(cfg, num_seeds=1, checkpoint_dir=tmp_path)
    main(["play", str(tmp_path), "--format=numpy", "--fast", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["training"]["env_params"] == env_params
    assert (report["env"], report["episode_length"]) == ("Reacher-misc", [5])


def test_which_environments_gymnasium_plays():
    names = ("mjx/Hopper-v5", "mujoco/Hopper-v5", "Pendulum-v1", "package:Task-v0")
    assert [playing.gymnasium_name(name) for name in names] == ["Hopper-v5"] * 2 + [*names[2:]]
    for name in ("brax/ant", "gymnax/Pendulum-v1", "my_own:world", "my.own:make", "Swimmer-misc"):
        assert playing.gymnasium_name(name) is None


def test_the_command_refuses_what_is_no_policy(tmp_path, capsys):
    path = tmp_path / "policy.npz"
    path.write_bytes(b"PK" + bytes(98))
    with pytest.raises(SystemExit):
        main(["play", str(path)])
    assert capsys.readouterr().err.startswith(f"rpojax: {str(path)!r} is not an exported policy")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "numpy"])
def test_a_pendulum_balances_in_mujoco_as_in_its_evaluation(kind, inverted, tmp_path):
    """Trained on the C engine; Gymnasium's own simulator is driven by the file."""
    pytest.importorskip("onnx" if kind == "onnx" else "numpy")
    cfg, state = inverted
    export_policy(cfg, state, tmp_path / "policy", format=kind)
    policy = load_policy(tmp_path / "policy")
    assert policy.contract["control_dt"] == pytest.approx(0.04)
    assert policy.contract["joints"] == ["slider", "hinge"]
    assert policy.contract["action"]["actuators"] == ["slide"]
    played = play(policy, policy.contract["environment"], num_episodes=8, realtime=False)
    ours = rpojax.evaluate(cfg, state, jax.random.key(5), num_episodes=64).episode_return.mean()
    print(f"{kind}: {played.evaluation.episode_return.mean():.1f}, evaluate {ours:.1f}")
    assert abs(played.evaluation.episode_return.mean() / ours - 1.0) < 0.05


@pytest.fixture(scope="module")
def inverted():
    pytest.importorskip("mujoco.batch")
    cfg = Config(
        env="mujoco/InvertedPendulum-v5",
        total_timesteps=200_000,
        num_envs=64,
        num_steps=32,
        num_minibatches=8,
        update_epochs=4,
        learning_rate=1e-3,
        alpha=0.1,
    )
    return cfg, jax.jit(rpojax.make_train(cfg))(jax.random.key(0)).state

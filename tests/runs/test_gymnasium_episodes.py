"""Trained policies in Gymnasium's environments: its own Pendulum, and small ones made here."""

import json
import sys
import types
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageSequence

import rpojax
from rpojax.cli import main
from rpojax.cli.trained import Eval
from rpojax.settings.agent_table import agent_table

gymnasium = pytest.importorskip("gymnasium")

CFG = rpojax.Config(
    num_envs=2,
    num_steps=16,
    num_minibatches=1,
    update_epochs=1,
    total_timesteps=32,
    network=rpojax.NetworkConfig(hidden_sizes=(8,)),
)
TORQUE = 0.3


class Echo(gymnasium.Env):
    """Pendulum's spaces; the reward is the action, an observation is the step count."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, obs=3, high=2.0, ends=4, broken=False, render_mode=None):
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (obs,))
        self.action_space = gymnasium.spaces.Box(-high, high, (1,))
        self.render_mode = render_mode
        self.ends, self.broken = ends, broken
        self.seeds, self.closed = [], False

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.count = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.count += 1
        reward = np.nan if self.broken and self.count == 3 else float(action[0])
        obs = np.full(3, self.count, np.float32)
        return obs, reward, self.count == self.ends, False, {}

    def render(self):
        return np.full((30, 40, 3), 20 * self.count, np.uint8)

    def close(self):
        self.closed = True


def agent(cfg):
    """A policy of a constant torque."""
    state = rpojax.make_trainer(cfg).init(jax.random.key(0))
    mean = jax.tree.map(jnp.zeros_like, state.params["mean"]) | {"bias": jnp.full(1, TORQUE)}
    return state.replace(params=state.params | {"mean": mean})


@pytest.fixture(scope="module")
def policy():
    return rpojax.make_policy(CFG, agent(CFG))


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    rpojax.fit(CFG, num_seeds=2, checkpoint_dir=path)
    return path


def test_pendulum_of_gymnasium_gives_what_its_own_steps_do(policy):
    played = rpojax.evaluate_gymnasium(policy, "Pendulum-v1", num_episodes=2, seed=5)
    env = gymnasium.make("Pendulum-v1")
    expected = []
    for seed in (5, 6):
        env.reset(seed=seed)
        action = np.array([TORQUE], np.float32)
        expected.append(sum(env.step(action)[1] for _ in range(200)))
    np.testing.assert_allclose(played.episode_return, expected, rtol=1e-5)
    np.testing.assert_array_equal(played.episode_length, 200)
    assert played.finished.all()
    assert not played.invalid.any()


def test_episodes_end_begin_with_their_own_seeds_and_leave_the_environment_open(policy):
    env = Echo()
    played = rpojax.evaluate_gymnasium(policy, env, num_episodes=3, seed=7)
    np.testing.assert_allclose(played.episode_return, 4 * TORQUE, rtol=1e-6)
    np.testing.assert_array_equal(played.episode_length, 4)
    assert env.seeds == [7, 8, 9]
    assert not env.closed


def test_limit_and_invalid_steps(policy):
    played = rpojax.evaluate_gymnasium(policy, Echo(), num_episodes=1, max_steps=2)
    assert (int(played.episode_length[0]), bool(played.finished[0])) == (2, False)
    endless = rpojax.evaluate_gymnasium(policy, Echo(ends=0), num_episodes=1)
    assert int(endless.episode_length[0]) == 1000
    broken = rpojax.evaluate_gymnasium(policy, Echo(broken=True), num_episodes=1)
    assert (int(broken.episode_length[0]), bool(broken.invalid[0])) == (3, True)
    np.testing.assert_allclose(broken.episode_return, 2 * TORQUE, rtol=1e-6)


def test_a_recurrent_policy_keeps_its_carry_and_forgets_between_episodes():
    cfg = CFG.replace(network=rpojax.NetworkConfig(hidden_sizes=(4,), cell="gru", cell_sizes=(4,)))
    state = rpojax.make_trainer(cfg).init(jax.random.key(0))
    state = state.replace(params=jax.tree.map(lambda leaf: leaf + 0.2, state.params))
    act = rpojax.make_recurrent_policy(cfg, state)
    total, carry = 0.0, None
    for count in range(4):
        action, carry = act(np.full(3, count, np.float32), carry)
        total += float(action[0])
    for policy in (act, rpojax.make_policy(cfg, state)):
        played = rpojax.evaluate_gymnasium(policy, Echo(), num_episodes=2)
        np.testing.assert_allclose(played.episode_return, total, rtol=1e-5)


def test_a_stochastic_policy_samples_anew_in_each_step_and_alike_for_the_same_seed():
    policy = rpojax.make_policy(CFG, agent(CFG), deterministic=False)
    one, same = (rpojax.evaluate_gymnasium(policy, Echo(), 2, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.episode_return, same.episode_return)
    assert one.episode_return[0] != one.episode_return[1]
    assert abs(float(one.episode_return[0]) / 4 - TORQUE) > 1e-3


def test_video_shows_the_first_episode(policy, tmp_path):
    path = tmp_path / "episode.gif"
    env = Echo(render_mode="rgb_array")
    rpojax.evaluate_gymnasium(policy, env, num_episodes=2, video=path)
    with Image.open(path) as image:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
        assert image.info["duration"] == 100
    assert len(frames) == 5
    np.testing.assert_allclose([frame[-1, -1, 0] for frame in frames], [0, 20, 40, 60, 80], atol=3)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Echo(obs=4), r"'Echo' has observations Box.*\(4,\).* 'Pendulum-v1' with .*\(3,\)"),
        (Echo(high=1.0), r"'Echo' has actions Box\(-1.0, 1.0.* 'Pendulum-v1' with 1 in \[\[-2"),
        ("CartPole-v1", r"'CartPole-v1' has observations .* trained in 'Pendulum-v1'"),
        ("MountainCar-v0", r"'MountainCar-v0' has observations"),
        ("Nothing-v0", "gymnasium cannot play 'Nothing-v0': "),
    ],
    ids=["obs", "bounds", "cartpole", "mountain_car", "unknown"],
)
def test_spaces_that_do_not_match_are_named_on_both_sides(policy, env, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        rpojax.evaluate_gymnasium(policy, env)


def test_what_an_environment_lacks_to_draw_is_named(policy, monkeypatch, tmp_path):
    def render(self):
        raise gymnasium.error.DependencyNotInstalled("pygame is not installed")

    monkeypatch.setattr(Echo, "render", render)
    env = Echo(render_mode="rgb_array")
    with pytest.raises(ValueError, match="cannot play 'Echo': pygame is not installed"):
        rpojax.evaluate_gymnasium(policy, env, video=tmp_path / "a.gif")


def test_video_of_gymnasiums_own_pendulum(policy, tmp_path):
    pytest.importorskip("pygame")
    path = tmp_path / "pendulum.gif"
    rpojax.evaluate_gymnasium(policy, "Pendulum-v1", 1, max_steps=3, video=path)
    with Image.open(path) as image:
        assert image.n_frames == 4


def test_discrete_actions_are_refused(policy):
    env = Echo()
    env.action_space = gymnasium.spaces.Discrete(3)
    with pytest.raises(ValueError, match=r"'Echo' has actions Discrete\(3\)"):
        rpojax.evaluate_gymnasium(policy, env)


def test_errors_say_what_to_do(policy, tmp_path):
    with pytest.raises(ValueError, match="is not a policy of rpojax; give what make_policy"):
        rpojax.evaluate_gymnasium(lambda obs: obs, Echo())
    with pytest.raises(ValueError, match=r"video = 'a\.avi' ends in neither \.gif nor \.mp4"):
        rpojax.evaluate_gymnasium(policy, Echo(), video="a.avi")
    with pytest.raises(ValueError, match=r'render_mode = None, .*render_mode="rgb_array"'):
        rpojax.evaluate_gymnasium(policy, Echo(), video=tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"cannot play 'no_such_module:A-v0': No module named"):
        rpojax.evaluate_gymnasium(policy, "no_such_module:A-v0")
    with pytest.raises(ValueError, match="num_episodes = 0 "):
        rpojax.evaluate_gymnasium(policy, Echo(), 0)


def test_without_gymnasium_the_error_says_what_to_install(policy, monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(ValueError, match=r"not installed; run: pip install 'rpojax\[gymnasium\]'"):
        rpojax.evaluate_gymnasium(policy, "Pendulum-v1")


def test_a_runs_agents_play(run_directory, capsys):
    run = rpojax.load(run_directory)
    expected = [
        rpojax.evaluate_gymnasium(run, "Pendulum-v1", 2, seed=1, agent=agent) for agent in (0, 1)
    ]
    by_policy = rpojax.evaluate_gymnasium(run.policy(1), "Pendulum-v1", 2, seed=1)
    np.testing.assert_array_equal(by_policy.episode_return, expected[1].episode_return)
    capsys.readouterr()
    flags = ["--gymnasium=Pendulum-v1", "--episodes=2", "--seed=1", "--json"]
    main(["eval", str(run_directory), *flags])
    report = json.loads(capsys.readouterr().out)
    assert report["gymnasium"] == "Pendulum-v1"
    for agent, played in zip(report["agents"], expected, strict=True):
        assert agent["mean"] == pytest.approx(played.episode_return.mean(), rel=1e-5)


def test_command_refuses_a_video_of_no_gymnasium(run_directory, capsys):
    with pytest.raises(SystemExit):
        main(["eval", str(run_directory), "--video=a.gif"])
    assert "video = 'a.gif' needs --gymnasium NAME" in capsys.readouterr().err


def test_seeds_of_agents_that_gymnasium_does_not_take_are_brought_into_its_range(monkeypatch):
    seeds = []

    def play(policy, name, episodes, *, seed, video):
        seeds.append(seed)
        zeros = np.zeros(episodes)
        return rpojax.Evaluation(
            episode_return=zeros, episode_length=zeros, finished=zeros, invalid=zeros, metrics={}
        )

    monkeypatch.setattr("rpojax.cli.trained.evaluate_gymnasium", play)
    agents = agent_table(CFG.hyperparams(), seeds=[5, 2**32 - 1])
    run = types.SimpleNamespace(agents=agents, policy=lambda *_, **__: None)
    Eval(directory=Path())._in_gymnasium(run, "Pendulum-v1")
    assert seeds == [5, 2**31 - 1]

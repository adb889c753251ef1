"""MuJoCo Playground's settings of Brax's PPO, translated."""

import math

import pytest

import rpojax
from rpojax.presets import playground

pytest.importorskip("mujoco_playground")


@pytest.fixture(scope="module")
def upstream():
    from mujoco_playground.config import dm_control_suite_params

    return dm_control_suite_params.brax_ppo_config("CheetahRun")


def test_every_task_with_settings_has_a_preset_that_is_a_config():
    presets = rpojax.Config.presets()
    names = [name for name in presets if name.startswith("playground/")]
    assert len(names) > 40
    for name in names:
        cfg = rpojax.Config.preset(name)
        assert cfg.env == name
        assert rpojax.Config.from_dict(cfg.to_dict()) == cfg


def test_an_update_has_the_samples_and_steps_of_brax(upstream):
    cfg = rpojax.Config.preset("playground/CheetahRun")
    unrolls = upstream.batch_size * upstream.num_minibatches
    assert cfg.batch_size == unrolls * upstream.unroll_length
    assert cfg.minibatch_size == upstream.batch_size * upstream.unroll_length
    assert cfg.num_envs == upstream.num_envs
    assert cfg.advantage_horizon == upstream.unroll_length  # where advantages are cut
    assert (cfg.num_envs, cfg.num_steps, cfg.num_updates) == (2048, 480, 61)
    assert cfg.update_epochs == upstream.num_updates_per_batch
    assert cfg.total_timesteps == upstream.num_timesteps


def test_settings_mean_what_they_mean_to_brax(upstream):
    cfg = rpojax.Config.preset("playground/CheetahRun")
    assert cfg.reward_scale == upstream.reward_scaling
    assert not cfg.normalize_rewards
    assert (cfg.clip_eps, cfg.alpha, cfg.max_grad_norm) == (0.3, 0.0, 0.0)
    assert (cfg.gamma, cfg.ent_coef) == (upstream.discounting, upstream.entropy_cost)
    network = cfg.network
    assert (network.hidden_sizes, network.critic_hidden_sizes) == ((32,) * 4, (256,) * 5)
    assert network.activation == "silu"
    assert network.distribution == "tanh_gaussian"
    std_at_zero = math.log(2.0) + math.exp(network.log_std_min)  # softplus(0) and the floor
    assert math.isclose(math.exp(network.log_std_init), std_at_zero)


def test_every_preset_keeps_the_environments_and_the_cut_of_brax():
    for task in playground.tasks():
        upstream, cfg = playground._upstream(task), rpojax.Config.preset(f"playground/{task}")
        assert cfg.num_envs == upstream["num_envs"], task
        assert (cfg.advantage_horizon or cfg.num_steps) == upstream["unroll_length"], task
        samples = upstream["batch_size"] * upstream["num_minibatches"] * upstream["unroll_length"]
        assert cfg.batch_size == samples, task


def test_presets_that_were_tried_say_with_what():
    found = rpojax.Config.presets()
    tried = {name for name, preset in found.items() if "/" in name and preset.result}
    of_playground = {name for name in tried if name.startswith("playground/")}
    assert of_playground == {f"playground/{task}" for task in playground.RESULTS}
    assert all("num_envs = 32 and impl = 'c'" in found[name].result for name in of_playground)


def test_a_task_may_have_its_own_clip_and_an_asymmetric_critic():
    cfg = rpojax.Config.preset("playground/G1JoystickFlatTerrain")
    assert (cfg.clip_eps, cfg.max_grad_norm) == (0.2, 1.0)
    assert cfg.network.actor_keys == ("state",)
    assert cfg.network.critic_keys == ("privileged_state",)
    spot = rpojax.Config.preset("playground/SpotFlatTerrainJoystick").network
    assert spot.actor_keys == spot.critic_keys == ("state",)


def test_actions_that_brax_repeats_are_repeated_and_counted_once(monkeypatch, upstream):
    repeated = dict(upstream.to_dict()) | {"action_repeat": 4}
    monkeypatch.setattr(playground, "_upstream", lambda task: repeated)
    settings = playground.translated("CheetahRun")
    assert settings["env_params"] == {"action_repeat": 4}
    assert settings["total_timesteps"] == upstream.num_timesteps // 4

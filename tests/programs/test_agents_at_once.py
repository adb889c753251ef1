"""The rule behind `agents_at_once`."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from toys import make_counter

from rpojax import Config, NetworkConfig
from rpojax.core.model import make_model
from rpojax.programs import agents_at_once as rule


def at_once(width=32, envs=16, **changes):
    network = NetworkConfig(hidden_sizes=(width, width))
    cfg = Config(num_envs=envs, num_steps=32, num_minibatches=8, network=network, **changes)
    return rule.agents_at_once(make_model(cfg), 1)


def on_cpu(width, envs, threads=1, cache=2**21, **changes):
    network = NetworkConfig(hidden_sizes=(width, width))
    cfg = Config(num_envs=envs, num_steps=32, num_minibatches=8, network=network, **changes)
    return rule.most_on_cpu(make_model(cfg), cache, threads)


def test_all_and_numbers_are_taken_as_they_are():
    assert at_once(agents_at_once="all") is None
    assert at_once(agents_at_once=5) == 5


def test_small_agents_are_computed_together_and_large_ones_alone():
    assert on_cpu(32, 1) > on_cpu(32, 16) > on_cpu(64, 16) > on_cpu(64, 64) == 1
    assert on_cpu(64, 2048) == 1


def test_a_larger_cache_holds_more_agents():
    assert on_cpu(32, 16, cache=2**22) == pytest.approx(2 * on_cpu(32, 16), abs=1)


def test_large_networks_on_small_minibatches_are_computed_a_few_at_a_time():
    assert on_cpu(256, 16) == rule.MOST_LARGE_AGENTS
    assert on_cpu(256, 256) == 1


def test_threads_of_one_device_share_large_agents_and_are_spared_for_small_ones():
    assert on_cpu(128, 64, threads=2) > on_cpu(128, 64) == 1
    assert on_cpu(64, 1, threads=2) < on_cpu(64, 1)
    assert on_cpu(64, 2048, threads=2) == 1


def test_physics_in_jax_is_computed_for_many_environments_at_a_time():
    physics = make_counter(most_at_once=512)
    assert on_cpu(64, 64) == on_cpu(64, 64, env=make_counter()) == 1
    assert on_cpu(64, 64, env=physics) == 8
    assert on_cpu(64, 1024, env=physics) == 1
    assert on_cpu(32, 1, cache=2**30, env=physics) > 512  # small gradient steps wish for more


@pytest.mark.parametrize("threads", [1, 2])
def test_networks_without_parameters_are_computed_together(threads):
    import flax.linen as nn

    class Fixed(nn.Module):
        def __call__(self, obs):
            return obs[..., :1], jnp.zeros(1), obs[..., 0]

    cfg = Config(num_envs=1, num_steps=32, num_minibatches=8, network=Fixed())
    assert rule.most_on_cpu(make_model(cfg), 2**21, threads) > 1


def test_accelerators_take_as_many_as_their_memory_holds(monkeypatch):
    device = SimpleNamespace(platform="gpu", memory_stats=lambda: {"bytes_limit": 2**30})
    monkeypatch.setattr(rule.jax, "local_devices", lambda: [device])
    few = at_once(envs=2048)
    many = at_once(envs=16)
    assert 1 < few < many
    device.memory_stats = lambda: None
    assert at_once() is None


def test_second_level_cache_is_a_size():
    assert 2**16 <= rule.second_level_cache() <= 2**28


@pytest.mark.parametrize("files", [{}, {"level": "3\n"}, {"level": "2\n", "size": "much\n"}])
def test_a_megabyte_is_assumed_where_the_system_does_not_tell(files, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(rule, "Path", lambda _: tmp_path)
    assert rule.second_level_cache() == rule.USUAL_CACHE


def test_cache_size_is_read(tmp_path, monkeypatch):
    (tmp_path / "level").write_text("2\n")
    (tmp_path / "size").write_text("512K\n")
    monkeypatch.setattr(rule, "Path", lambda _: tmp_path)
    assert rule.second_level_cache() == 2**19


def test_devices_in_use_are_those_of_shard_map():
    seen = []

    def function(values):
        seen.append(rule.devices_in_use())
        return values

    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.sharding.AbstractMesh((3,), ("agents",), axis_types=auto)
    spec = jax.sharding.PartitionSpec("agents")
    values = jax.ShapeDtypeStruct((6,), "float32")
    jax.eval_shape(jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec), values)
    jax.eval_shape(function, values)
    assert seen == [3, 1]


def test_devices_that_share_an_agent_compute_side_by_side(monkeypatch):
    seen = []
    monkeypatch.setattr(rule, "agents_at_once", lambda model, devices: seen.append(devices))
    cfg = Config(num_envs=16, num_steps=32, num_minibatches=8, devices_per_agent=2)
    agents = rule.agents_mapped(make_model(cfg), lambda values: values)
    jax.eval_shape(jax.vmap(agents), jax.ShapeDtypeStruct((3,), "float32"))
    assert seen == [2]

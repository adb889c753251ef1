"""Names, objects, and what cannot be made."""

import dataclasses
import pickle
import subprocess
import sys
import types

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from toys import make_counter

import rpojax
from rpojax import envs
from rpojax.envs import registry
from rpojax.envs.gymnax.family import NAMES


class Half:
    """A half of gymnax's interface."""

    def reset_env(self, key, params):
        return jnp.zeros(1), jnp.int32(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: envs.make("Pendulum-v0"), "unknown environment 'Pendulum-v0'; .*'Pendulum-v1'"),
        (
            lambda: envs.make("pendulum"),
            "unknown environment 'pendulum'; did you mean 'Pendulum-v1'",
        ),
        (lambda: envs.make("MountainCarContinous-v0"), "did you mean 'MountainCarContinuous-v0'"),
        (lambda: envs.make("zzz"), "unknown environment 'zzz'; known: .*Pendulum-v1"),
        (lambda: envs.make("CartPole-v1"), "'CartPole-v1' .*Discrete.* continuous.*Pendulum-v1"),
        (lambda: envs.make("MNISTBandit-bsuite"), "'MNISTBandit-bsuite' .*continuous"),
        (lambda: envs.make(gymnax.make("Catch-bsuite")[0]), "'Catch-bsuite' .*Discrete"),
        (
            lambda: envs.make("Pendulum-v1", max_torq=3.0),
            "parameter of Pendulum-v1 'max_torq'; did you mean 'max_torque'",
        ),
        (lambda: envs.make(3), "env = 3 is no environment; give a name, .*interface of gymnax"),
        (lambda: envs.make(gymnasium.make("Pendulum-v1")), "Gymnasium's .* not written in JAX"),
        (lambda: envs.make(Half()), "has no step_env, .*Half was taken .* gymnax's interface"),
        (lambda: envs.make(gymnax.make("Pendulum-v1")[0], g=9.0), "'g': 9.0.*by name only"),
        (lambda: envs.make(make_counter(), g=9.0), "by name only; set them on the object"),
    ],
    ids=lambda value: "" if callable(value) else value[:40],
)
def test_environment_that_cannot_be_made_is_refused_with_the_remedy(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_env_is_passed_through_as_it_is():
    env = make_counter()
    assert envs.make(env) is env
    assert hash(env) == hash(env)
    assert env != make_counter()


@pytest.mark.parametrize("name", NAMES)
def test_family_prefix_names_the_same_environment(name):
    prefixed, short = envs.make(f"gymnax/{name}"), envs.make(name)
    assert prefixed.name == short.name == name
    assert prefixed.obs == short.obs


def test_parameters_reach_a_prefixed_name():
    assert envs.make("gymnax/Pendulum-v1", max_steps_in_episode=9).max_episode_steps == 9


@pytest.mark.parametrize(
    "name", ["HalfCheetah-v5", "isaac/ant", "zzz", "gymnax/zzz", "Pendulum-v0", ""]
)
def test_unknown_name_lists_what_can_be_trained_in(name):
    with pytest.raises(ValueError, match=f"unknown environment {name!r}") as error:
        envs.make(name)
    message = str(error.value)
    assert ", ".join(NAMES) in message
    assert "CartPole" not in message
    assert "not written in JAX, such as Gymnasium's and Isaac's, cannot be trained in" in message


def test_names_of_gymnasium_are_suggested_with_their_prefix_in_a_base_install(monkeypatch):
    monkeypatch.setattr(registry, "_is_installed", lambda package: package == "gymnax")
    message = "did you mean 'mjx/HalfCheetah-v5'.*named mjx/...: run pip install 'rpojax\\[mjx\\]'"
    with pytest.raises(ValueError, match=message):
        envs.make("HalfCheetah-v5")


def test_packages_of_families_are_imported_when_they_are_used():
    program = """
import sys, rpojax.envs as envs
assert not {"gymnax", "mujoco", "brax", "mujoco_playground"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def family(packages):
    """An adapter module whose only environment is the counter."""

    def make(name, **params):
        return make_counter(name=name, **params)

    return types.SimpleNamespace(
        PACKAGES=packages,
        EXTRA="toys",
        SLOW_TO_MAKE=False,
        names=lambda: ("counter",),
        is_known=lambda name: name == "counter",
        make=make,
    )


@pytest.fixture
def families(monkeypatch):
    """Two families beside gymnax, and no more: one is installed, the other is not."""
    for name in set(registry.FAMILIES) - {"gymnax"}:
        monkeypatch.delitem(registry.FAMILIES, name)
    for name, packages in {"here": ("sys", "json.decoder"), "away": ("sys", "absent.part")}.items():
        monkeypatch.setitem(sys.modules, f"adapter_of_{name}", family(packages))
        monkeypatch.setitem(registry.FAMILIES, name, f"adapter_of_{name}")


@pytest.mark.usefixtures("families")
def test_names_of_a_family_have_its_prefix():
    assert envs.names() == [*NAMES, "here/counter"]
    env = envs.make("here/counter", max_episode_steps=7)
    assert (env.name, env.max_episode_steps) == ("counter", 7)
    assert envs.make("here/counter").action_dim == env.action_dim


@pytest.mark.usefixtures("families")
def test_family_that_is_not_installed_is_refused_with_the_extra():
    with pytest.raises(ValueError, match=r"'away/counter' needs absent\.part, not") as error:
        envs.make("away/counter")
    assert str(error.value).endswith("run: pip install 'rpojax[toys]'")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("families")
def test_unknown_name_tells_of_the_other_families():
    with pytest.raises(ValueError, match=r"; did you mean 'here/counter'\? Known: Pend") as error:
        envs.make("counter")
    message = str(error.value)
    assert "More are named here/...: see `rpojax envs`. " in message
    assert "More are named away/...: run pip install 'rpojax[toys]'. " in message
    with pytest.raises(ValueError, match=r"nown: here/counter\. More are named gym"):
        envs.make("here/walker")


@dataclasses.dataclass
class Unhashable:
    """A dataclass with a list: it has no hash, and equals others of the same fields."""

    sizes: list

    name = "Unhashable"
    default_params = None

    def action_space(self, params):
        return spaces.Box(-1.0, 1.0, (1,))

    def reset_env(self, key, params):
        return jnp.zeros(self.sizes), jnp.int32(0)

    def step_env(self, key, state, action, params):
        return jnp.zeros(self.sizes), state + 1, action[0], state >= 2, {}


@pytest.mark.slow
def test_unhashable_object_trains_and_is_evaluated_once_it_is_made():
    env = envs.make(Unhashable([2]))
    cfg = rpojax.Config(env=env, num_envs=2, num_steps=4, num_minibatches=1, total_timesteps=16)
    result = rpojax.fit(cfg, eval_every=8, eval_episodes=2)
    assert bool(result.finite.all())
    stats = rpojax.evaluate(cfg, result.select(0).state, jax.random.key(0), num_episodes=2)
    np.testing.assert_array_equal(stats.episode_length, [3, 3])


def test_environments_made_by_name_can_be_pickled_and_so_can_their_configs():
    moon = envs.make("Pendulum-v1", g=1.62)
    copy = pickle.loads(pickle.dumps(rpojax.Config(env=moon))).env
    keys = jax.random.split(jax.random.key(0), 2)
    state, _ = moon.reset(keys, {})
    action = jnp.ones((2, 1), jnp.float32)
    jax.tree.map(
        np.testing.assert_array_equal,
        copy.step(keys, state, action, {}),
        moon.step(keys, state, action, {}),
    )


def test_changed_environments_are_not_taken_for_the_named_one():
    changed = dataclasses.replace(envs.make("Pendulum-v1"), step=lambda *args: None)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError), match="local object"):
        pickle.dumps(changed)


def test_the_same_name_and_parameters_give_the_same_environment():
    assert envs.make("Pendulum-v1", g=9.0, m=2.0) is envs.make("Pendulum-v1", m=2.0, g=9.0)
    assert envs.make("Pendulum-v1", g=9.0) is not envs.make("Pendulum-v1", g=8.0)
    assert envs.make("Pendulum-v1", g=9) is not envs.make("Pendulum-v1", g=9.0)  # not traceable


def test_an_environment_made_inside_of_a_jit_is_none_of_the_program():
    def first_obs(key):
        return envs.make("Pendulum-v1", max_speed=7.0).reset(key[None], {})[1]

    traced = jax.jit(first_obs)(jax.random.key(0))
    np.testing.assert_allclose(first_obs(jax.random.key(0)), traced, rtol=1e-6)


def test_parameters_that_are_arrays_are_made_anew():
    heavy = {"m": jnp.float32(2.0)}
    assert envs.make("Pendulum-v1", **heavy) is not envs.make("Pendulum-v1", **heavy)


def test_the_last_environments_are_kept():
    first = envs.make("Pendulum-v1", g=1.0)
    for count in range(registry.ENVS_KEPT):
        assert envs.make("Pendulum-v1", g=1.0) is first
        envs.make("Pendulum-v1", g=2.0 + count)
    for count in range(registry.ENVS_KEPT):
        envs.make("Pendulum-v1", g=2.0 + count)
    assert len(registry._kept) == registry.ENVS_KEPT
    assert envs.make("Pendulum-v1", g=1.0) is not first

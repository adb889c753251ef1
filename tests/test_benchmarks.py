"""Benchmarks can be started, the parts of an update that they time, the order of measurements."""

import importlib
import pkgutil

import jax
import pytest

import benchmarks
import rpojax
from benchmarks.memory import pendulum_without_velocity
from benchmarks.roofline import make_parts
from benchmarks.timing import in_turn


def test_each_part_of_an_update_can_be_traced():
    cfg = rpojax.Config(
        lr_schedule="constant",
        num_envs=4,
        num_steps=8,
        num_minibatches=2,
        update_epochs=2,
        total_timesteps=10**6,
    )
    names = set()

    def parts():  # nothing is compiled: states are abstract here, too
        for name, (function, arguments) in make_parts(cfg).items():
            jax.eval_shape(function, *arguments)
            names.add(name)

    jax.eval_shape(parts)
    assert {"iteration", "roofline", "rollout", "update"} < names


def test_every_other_round_goes_backwards():
    order = []
    measures = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    assert in_turn(measures, 3) == {"a": [1, 4, 5], "b": [2, 3, 6]}
    assert "".join(order) == "abbaab"


MODULES = [
    module.name
    for module in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")
    if not module.name.startswith(("benchmarks.peers", "benchmarks.rpo.__main__"))
]


@pytest.mark.parametrize("name", MODULES)
def test_what_benchmarks_import_exists(name):
    importlib.import_module(name)


def test_the_environment_without_velocity_is_sound():
    rpojax.envs.check_env(pendulum_without_velocity())

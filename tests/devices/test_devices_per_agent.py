"""One agent on several devices learns what it learns on one, up to the order of float additions."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import shared_agents
from job import PATIENT

import rpojax

TOLERANCE = 5e-5
"""Of |a - b| / (1 + |a|), in all metrics of 20 updates, parameters and statistics. Most differ by
1e-6, and by 1e-5 where the rate adapts to the KL; Pendulum amplifies what the addition of floats in
another order begins."""

# The programs run for milliseconds: compiling them well takes longer.
QUICKLY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a process with four devices found."""
    done = subprocess.run(
        [sys.executable, shared_agents.__file__, tmp_path_factory.mktemp("runs")],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
        env={**os.environ, "XLA_FLAGS": f"{QUICKLY} {PATIENT}"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("devices", shared_agents.DEVICES)
@pytest.mark.parametrize("case", shared_agents.CASES)
@pytest.mark.slow
def test_several_devices_learn_what_one_learns(told, case, devices):
    """What all of them have stays equal to the bit."""
    found = told[case][str(devices)]
    assert found["distance"].keys() == {"metrics", "params", "statistics", "learning_rate"}
    assert max(found["distance"].values()) < TOLERANCE, found["distance"]
    assert found["copies_agree"]
    assert found["devices"] == devices
    assert found["share"] == shared_agents.BASE.num_envs // devices


@pytest.mark.slow
def test_the_cases_do_what_they_are_for(told):
    """The adaptive rate goes both ways, and the threshold ends some updates and not others."""
    assert {-1.0, 1.0} <= set(told["batch, kl_adaptive"]["rates"])
    limit = shared_agents.CASES["none, kl_threshold, shaper, warm-up"].kl_threshold
    kl = np.asarray(told["none, kl_threshold, shaper, warm-up"]["kl"])
    assert (kl > 0.5 * limit).any()
    assert (kl < 0.5 * limit).any()


@pytest.mark.parametrize(
    "way", ["fit", "vmap", "sharded_vmap", "in turn", "resumed on 1", "resumed on 4"]
)
@pytest.mark.slow
def test_agents_and_their_environments_are_spread_over_a_mesh(told, way):
    """Three agents on 2 x 2 devices, so that one place is filled with a copy."""
    assert max(told["many"][way].values()) < TOLERANCE


@pytest.mark.slow
def test_a_run_resumes_with_the_same_bits_on_as_many_devices(told):
    assert max(told["many"]["resumed on None"].values()) == 0.0
    assert [told["many"][f"then on {number}"] for number in (None, 1, 4)] == [2, 1, 4]


@pytest.mark.slow
def test_evaluations_are_those_of_one_device(told):
    ours, theirs = np.asarray(told["many"]["returns"])
    assert ours.shape == (2, 3)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


@pytest.mark.slow
def test_a_population_evolves_in_the_same_way(told):
    ours, theirs = told["evolved"]["parents"]
    assert ours == theirs
    assert ours != [[agent] * 3 for agent in range(6)]
    assert max(told["evolved"]["distance"].values()) < TOLERANCE


@pytest.mark.slow
def test_training_in_steps_is_the_same(told):
    ours, theirs = told["in steps"]["kl"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    assert max(told["in steps"]["distance"].values()) < TOLERANCE


@pytest.mark.slow
def test_divergence_on_one_device_stops_the_agent_on_all(told):
    assert told["diverged"] == {"finite": [False], "named": True}


def test_too_few_devices_are_an_error_that_names_the_remedy():
    cfg = shared_agents.BASE.replace(devices_per_agent=2)
    message = r"devices_per_agent = 2 is more than JAX has here, 1 of 'cpu'; .*use_all_cores\(\)"
    for make in (rpojax.make_train, rpojax.make_trainer, rpojax.fit):
        with pytest.raises(ValueError, match=message):
            make(cfg)


def test_devices_that_make_no_groups_are_an_error():
    message = "devices_per_agent = 2 does not divide the 1 devices .* devices_per_agent = 1"
    with pytest.raises(ValueError, match=message):
        rpojax.sharded_vmap(lambda x: x, devices_per_agent=2)


@pytest.mark.slow
def test_sharded_vmap_that_was_not_told_is_an_error(told):
    assert told["not told"].startswith("devices_per_agent = 2 does not agree with the mesh")
    assert told["not told"].endswith("give sharded_vmap(..., devices_per_agent=2)")

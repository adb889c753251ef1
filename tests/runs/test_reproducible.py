"""`agents_at_once=1`: an agent's bits do not depend on its company, its place or the devices."""

import json
import subprocess
import sys
import warnings

import jax
import pytest
import reproducible

import rpojax

pytestmark = [pytest.mark.slow, pytest.mark.optimized]


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def elsewhere(run_directory):
    """Digests of agents trained in a process with three devices, by way."""
    done = subprocess.run(
        [sys.executable, reproducible.__file__, run_directory],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone():
    """Digests of each agent, trained by itself in this process with one device."""
    found = {}
    for kind in reproducible.NETWORKS:
        train, hyperparams = (
            jax.jit(rpojax.make_train(reproducible.config(kind))),
            reproducible.config(kind).hyperparams(),
        )
        agents = zip(reproducible.keys(), reproducible.alphas(), strict=True)
        found[kind] = [
            reproducible.digest(train(key, hyperparams.replace(alpha=alpha)))
            for key, alpha in agents
        ]
        assert len(set(found[kind])) == 8
    return found


@pytest.mark.parametrize("way", reproducible.ways(), ids=str)
def test_an_agent_learns_the_same_bits_in_any_company(elsewhere, alone, way):
    kind, count, _ = way
    assert elsewhere[str(way)] == alone[kind][:count]


def test_fit_agrees_with_make_train(elsewhere, alone):
    assert elsewhere["fit"] == alone["perceptron"][:3]


def test_resumed_on_another_number_of_devices_it_is_the_same(elsewhere, run_directory):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none of another number of devices
        resumed = rpojax.resume(run_directory)
    assert reproducible.digests(resumed) == elsewhere["fit"]

"""Agents over several devices: a subprocess of its own, whose CPU is several of them."""

import json
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

import rpojax

SCRIPT = """
    import json, warnings
    import jax
    jax.config.update("jax_num_cpu_devices", 3)
    import jax.numpy as jnp, numpy as np
    import rpojax
    warnings.simplefilter("error")
    cfg = rpojax.Config(
        num_envs=4, num_steps=16, num_minibatches=2, update_epochs=2, total_timesteps=192,
    )
    train = rpojax.make_train(cfg)
    keys = jnp.stack([jax.random.key(seed) for seed in range(4)])
    axes = rpojax.HyperParams.axes(alpha=0)
    hyperparams = cfg.hyperparams().replace(alpha=jnp.linspace(0.0, 1.0, 4))
    together = jax.jit(jax.vmap(train, (0, axes)))(keys, hyperparams)
    ragged = rpojax.sharded_vmap(train, (0, axes))(keys, hyperparams)  # 4 agents on 3 devices
    even = rpojax.sharded_vmap(train, (0, axes))(
        keys[:3], hyperparams.replace(alpha=hyperparams.alpha[:3])
    )
    fitted = rpojax.fit(cfg, num_seeds=4, seed=0, hyperparams=hyperparams)
    without_elements = rpojax.sharded_vmap(lambda x, y: (x + y.sum(), y))
    empty = without_elements(jnp.ones(3), jnp.ones((3, 2, 0)))

    def distance(a, b):
        assert a.shape == b.shape, (a.shape, b.shape)
        return float(jnp.abs(np.asarray(a) - np.asarray(b)).max())

    print(json.dumps({
        "devices": len(even.state.update_count.sharding.device_set),
        "even": distance(even.metrics.policy_loss, together.metrics.policy_loss[:3]),
        "ragged": distance(ragged.metrics.policy_loss, together.metrics.policy_loss),
        "fit": distance(fitted.metrics.policy_loss, together.metrics.policy_loss),
        "fit_agents": fitted.state.update_count.shape[0],
        "empty": [leaf.shape for leaf in empty],
        "finite": bool(fitted.finite.all() and ragged.finite.all()),
    }))
"""


@pytest.fixture(scope="module")
def told():
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_agents_are_spread_over_all_devices(told):
    assert told["devices"] == 3


@pytest.mark.parametrize("case", ["even", "ragged", "fit"])
def test_agents_learn_the_same_wherever_they_are(told, case):
    assert told[case] < 1e-4


def test_copies_that_fill_up_a_row_are_dropped(told):
    assert told["fit_agents"] == 4
    assert told["finite"]


def test_arrays_without_elements_are_spread_too(told):
    """MuJoCo's states have them, and jaxlib 0.11.2 crashes on them in a `shard_map`."""
    assert told["empty"] == [[3], [3, 2, 0]]


def test_one_device_is_plain_vmap():
    double = rpojax.sharded_vmap(lambda x, y: 2 * x + y, (0, None), devices=jax.devices()[:1])
    np.testing.assert_array_equal(double(np.arange(5), 1), 2 * np.arange(5) + 1)


def test_other_axes_are_refused():
    with pytest.raises(ValueError, match="move it to the front"):
        rpojax.sharded_vmap(lambda x: x, in_axes=1)


@pytest.mark.parametrize(
    ("in_axes", "message"),
    [
        (0, r"shapes \(5,\) in argument 0, \(3, 2\) in argument 1/a, .*give them first axes of"),
        ((0, {"a": None, "b": 0}), r"\(\) in argument 1/b"),
        (None, "there are none"),
    ],
)
def test_mapped_arrays_have_one_length(in_axes, message):
    function = rpojax.sharded_vmap(lambda x, y: x, in_axes, devices=jax.devices()[:1])
    with pytest.raises(ValueError, match=message):
        function(np.arange(5), {"a": np.ones((3, 2)), "b": np.ones(())})


def test_all_cores_come_too_late_once_jax_is_used():
    code = "import jax, rpojax; jax.numpy.zeros(1) + 1; rpojax.use_all_cores()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "right after the imports" in run.stderr


def test_all_cores_become_devices():
    code = (
        "import os, jax, rpojax; cores = rpojax.use_all_cores(); "
        "assert cores == len(jax.devices('cpu')) == len(os.sched_getaffinity(0))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

"""Eight agents of their own seeds and alphas, trained one at a time; run, on three devices.

`python reproducible.py DIRECTORY` prints the digests of agents by the way they were trained,
and leaves a run of three of them in DIRECTORY, stopped on its way.
"""

import hashlib
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

import rpojax

NETWORKS = {
    "perceptron": rpojax.NetworkConfig(hidden_sizes=(16, 16)),
    "lstm": rpojax.NetworkConfig(hidden_sizes=(16,), cell="lstm", cell_sizes=(8,)),
}
AXES = rpojax.HyperParams.axes(alpha=0)


def config(kind):
    return rpojax.Config(
        num_envs=4,
        num_steps=16,
        num_minibatches=2,
        update_epochs=2,
        total_timesteps=256,
        network=NETWORKS[kind],
        agents_at_once=1,
    )


def keys():
    return jax.vmap(jax.random.key)(jnp.arange(8))


def alphas():
    return jnp.linspace(0.0, 1.0, 8)


def digest(tree):
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        found.update(np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes())
    return found.hexdigest()


def digests(result):
    return [digest(result.select(agent)) for agent in range(len(result.finite))]


def trained_together(kind, count, devices):
    """Digests of the first agents, by jit and vmap or spread over several devices."""
    train = rpojax.make_train(config(kind))
    hyperparams = config(kind).hyperparams().replace(alpha=alphas()[:count])
    if devices == 1:
        mapped = jax.jit(jax.vmap(train, (0, AXES)))
    else:
        mapped = rpojax.sharded_vmap(train, (0, AXES), devices=jax.devices()[:devices])
    return digests(mapped(keys()[:count], hyperparams))


def fitted(**arguments):
    """`fit` of the first three agents."""
    cfg = config("perceptron")
    hyperparams = cfg.hyperparams().replace(alpha=alphas()[:3])
    return rpojax.fit(cfg, seeds=[0, 1, 2], hyperparams=hyperparams, **arguments)


def ways():
    """Kind of network, number of agents, number of devices; each is a program to compile."""
    counts = [(1, 1), (1, 3), (2, 2), (3, 2), (8, 1), (8, 3)]
    perceptrons = [("perceptron", *count) for count in counts]
    return [*perceptrons, ("lstm", 3, 1), ("lstm", 8, 3)]


def main():
    jax.config.update("jax_num_cpu_devices", 3)
    found = {str(way): trained_together(*way) for way in ways()}
    found["fit"] = digests(fitted())
    fitted(
        checkpoint_dir=sys.argv[1],
        checkpoint_every=1,
        on_chunk=lambda progress: progress.updates >= 2,
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()

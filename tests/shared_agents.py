"""Agents that several devices share, in a process whose CPU is four of them.

`python shared_agents.py DIRECTORY` prints how far they are from agents on one device.
"""

import dataclasses
import json
import shutil
import sys
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import rpojax

UPDATES = 20
BASE = rpojax.Config(
    num_envs=12,
    num_steps=16,
    num_minibatches=2,
    update_epochs=2,
    total_timesteps=UPDATES * 12 * 16,
    network=rpojax.NetworkConfig(hidden_sizes=(16, 16)),
)


def less_the_mean(reward, timestep, timesteps):
    """A shaper that looks at all environments."""
    return reward - jnp.mean(reward)


CASES = {
    "minibatch": BASE.replace(normalize_values=True),
    "batch, kl_adaptive": BASE.replace(
        advantage_normalization="batch",
        lr_schedule="kl_adaptive",
        learning_rate=1e-3,
        kl_target=1e-5,
    ),
    "none, kl_threshold, shaper, warm-up": BASE.replace(
        advantage_normalization="none",
        kl_threshold=1e-6,
        reward_shaper=less_the_mean,
        random_timesteps=2 * BASE.batch_size,
    ),
    "gru, pool": BASE.replace(
        network=rpojax.NetworkConfig(hidden_sizes=(16,), cell="gru", cell_sizes=(8,)),
        sequence_length=8,
        resets="pool",
        reset_pool=8,
    ),
}
DEVICES = (2, 3)
SHORT = BASE.replace(total_timesteps=6 * BASE.batch_size)
EVOLVE = rpojax.PBT(
    every=2,
    hyperparams={"learning_rate": rpojax.studies.LogUniform(1e-4, 1e-3)},
    resample=0.5,
    eval_episodes=2,  # no episode ends in so few steps of training
)


def learnt(result):
    """Metrics, parameters and statistics: what the devices of an agent agree on."""
    state = result.state
    stats = {"obs": state.obs_stats, "reward": state.reward_stats, "value": state.value_stats}
    moments = {
        name: (found.mean, found.var, found.count)
        for name, found in stats.items()
        if found is not None
    }
    return {
        "metrics": result.metrics,
        "params": state.params,
        "statistics": moments,
        "learning_rate": state.learning_rate,
    }


def distance(a, b):
    """By part of `learnt`: the largest |a - b| / (1 + |a|)."""
    parts = learnt(a), learnt(b)
    return {name: max(gaps(*(part[name] for part in parts))) for name in parts[0]}


def gaps(a, b):
    """Of each leaf."""
    for x, y in zip(jax.tree.leaves(known(a)), jax.tree.leaves(known(b)), strict=True):
        yield float(np.max(np.abs(x - y) / (1.0 + np.abs(x))))


def known(tree):
    """As numpy arrays; -1 for the mean over no episodes."""
    return jax.tree.map(lambda leaf: np.nan_to_num(np.asarray(leaf), nan=-1.0), tree)


def copies_agree(result):
    """Whether each device has the same bits of what all of them have."""
    leaves = jax.tree.leaves(learnt(result))
    return all(
        np.array_equal(shard.data, leaf.addressable_shards[0].data, equal_nan=True)
        for leaf in leaves
        for shard in leaf.addressable_shards
    )


def compare(cfg):
    """An agent on one device, and on several."""
    key = jax.random.key(0)
    alone = jax.jit(rpojax.make_train(cfg))(key)
    found = {
        "rates": np.unique(np.sign(np.diff(alone.metrics.learning_rate))).tolist(),
        "kl": np.asarray(alone.metrics.kl).tolist(),
    }
    for number in DEVICES:
        shared = jax.jit(rpojax.make_train(cfg.replace(devices_per_agent=number)))(key)
        found[str(number)] = {
            "distance": distance(alone, shared),
            "copies_agree": copies_agree(shared),
            "devices": len(shared.state.obs.sharding.device_set),
            "share": shared.state.obs.addressable_shards[0].data.shape[0],
        }
    return found


def fitted(cfg, **arguments):
    """`fit` of three agents, and the returns of their evaluations."""
    returns = []

    def keep(progress):
        if progress.evaluation_return is not None:
            returns.append(progress.evaluation_return.tolist())

    arguments = {"num_seeds": 3, "eval_every": 3, "eval_episodes": 2, **arguments}
    return rpojax.fit(cfg, on_chunk=keep, **arguments), returns


def many(directory):
    """Three agents on a mesh of 2 x 2 devices, against `vmap` on one device."""
    cfg = SHORT.replace(devices_per_agent=2)
    train, in_turn = (rpojax.make_train(cfg.replace(agents_at_once=n)) for n in ("all", 1))
    keys = jax.vmap(jax.random.key)(jnp.arange(3))
    alone = jax.jit(jax.vmap(rpojax.make_train(SHORT)))(keys)
    shared, returns = fitted(
        cfg, checkpoint_dir=directory / "run", checkpoint_every=3, keep_checkpoints=9
    )
    found = {
        "fit": distance(alone, shared),
        "vmap": distance(alone, jax.jit(jax.vmap(train))(keys)),
        "sharded_vmap": distance(alone, rpojax.sharded_vmap(train, devices_per_agent=2)(keys)),
        "in turn": distance(alone, rpojax.sharded_vmap(in_turn, devices_per_agent=2)(keys)),
        "returns": [returns, fitted(SHORT)[1]],
    }
    shutil.rmtree(directory / "run" / "update_000000006")
    for number in (None, 1, 4):
        copy = directory / f"resumed on {number}"
        shutil.copytree(directory / "run", copy)
        resumed = rpojax.resume(copy, devices_per_agent=number)
        found[copy.name] = distance(shared, resumed)
        found[f"then on {number}"] = rpojax.load(copy).cfg.devices_per_agent
    return found


def evolved():
    """A population on a mesh of 2 x 2 devices, and on four devices apart."""
    apart, shared = (
        rpojax.fit(SHORT.replace(devices_per_agent=number), num_seeds=6, evolve=EVOLVE)
        for number in (1, 2)
    )
    return {
        "distance": distance(apart, shared),
        "parents": [np.asarray(run.evolution.parents).tolist() for run in (apart, shared)],
    }


def in_steps():
    """`make_trainer` against `make_train`."""
    cfg = SHORT.replace(devices_per_agent=2)
    trainer = rpojax.make_trainer(cfg)
    state = jax.jit(trainer.init)(jax.random.key(0))
    iterate = jax.jit(trainer.iterate)
    kl = []
    for _ in range(3):
        state, metrics = iterate(state)
        kl.append(float(metrics.kl))
    run_on, _ = jax.jit(trainer.run, static_argnums=2)(state, None, 3)
    whole = jax.jit(rpojax.make_train(SHORT))(jax.random.key(0))
    return {
        "kl": [kl, np.asarray(whole.metrics.kl[:3]).tolist()],
        "distance": distance(dataclasses.replace(whole, state=run_on), whole),
    }


def nan_for_one_env(reward, timestep, timesteps):
    """A shaper that breaks the last environment in the second update."""
    broken = (timestep >= SHORT.num_steps) & (jnp.arange(reward.shape[0]) == reward.shape[0] - 1)
    return jnp.where(broken, jnp.nan, reward)


def diverged():
    """What `fit` says of an agent that meets NaN on one of two devices."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cfg = SHORT.replace(devices_per_agent=2, reward_shaper=nan_for_one_env)
        result = rpojax.fit(cfg)
    texts = [str(warning.message) for warning in caught]
    return {
        "finite": result.finite.tolist(),
        "named": any("diverged in update 2" in text and "in: reward" in text for text in texts),
    }


def not_told():
    """The error of `sharded_vmap` without the number of devices."""
    train = rpojax.make_train(SHORT.replace(devices_per_agent=2))
    try:
        rpojax.sharded_vmap(train)(jax.random.split(jax.random.key(0), 4))
    except ValueError as error:
        return str(error)


def main():
    jax.config.update("jax_num_cpu_devices", 4)
    found = {name: compare(cfg) for name, cfg in CASES.items()}
    found["many"] = many(Path(sys.argv[1]))
    found["evolved"] = evolved()
    found["in steps"] = in_steps()
    found["diverged"] = diverged()
    found["not told"] = not_told()
    print(json.dumps(found))


if __name__ == "__main__":
    main()

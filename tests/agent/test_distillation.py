"""Students of trained teachers, and what goes on from them: a critic that learns first."""

import dataclasses

import jax
import numpy as np
import pytest
from bits import assert_same_bits

import rpojax
from rpojax import Config, NetworkConfig


def split_pendulum() -> rpojax.envs.Env:
    """Pendulum whose observation has the angle and the angular velocity as two entries."""
    env = rpojax.envs.make("Pendulum-v1")

    def split(obs):
        return {"angle": obs[..., :2], "velocity": obs[..., 2:]}

    def reset(keys, params):
        state, obs = env.reset(keys, params)
        return state, split(obs)

    def step(keys, state, action, params):
        state, timestep = env.step(keys, state, action, params)
        return state, timestep._replace(obs=split(timestep.obs))

    obs = jax.eval_shape(split, env.obs)
    return dataclasses.replace(env, name="SplitPendulum", reset=reset, step=step, obs=obs)


ENV = split_pendulum()
TEACHER = Config(env=ENV, total_timesteps=300_000, learning_rate=1e-3, update_epochs=5)
STUDENT = Config(
    env=ENV,
    total_timesteps=40 * 64 * 100,
    num_steps=100,
    sequence_length=50,
    num_minibatches=8,
    update_epochs=4,
    learning_rate=2e-3,
    network=NetworkConfig(hidden_sizes=(64,), cell="gru", cell_sizes=(64,), actor_keys=("angle",)),
)
FINE_TUNING = STUDENT.replace(
    total_timesteps=15 * 64 * 100, critic_warmup=6 * 64 * 100, learning_rate=3e-4, alpha=0.1
)


def returns(cfg, states, episodes=64):
    """Mean return of each agent of [N, ...]."""
    key = jax.random.key(99)
    played = jax.vmap(lambda state: rpojax.evaluate(cfg, state, key, episodes))(states)
    return np.asarray(played.episode_return.mean(axis=1))


def distilled(num_seeds, seed=0, fine_tuning=FINE_TUNING):
    """Returns of a teacher, untrained students, students [N], and while they are tuned [N, n]."""
    teacher = jax.jit(rpojax.make_train(TEACHER))(jax.random.key(seed)).state
    keys = jax.random.split(jax.random.key(seed + 1), num_seeds)
    distill = rpojax.make_distill(STUDENT, rpojax.make_policy(TEACHER, teacher))
    students = jax.jit(jax.vmap(distill))(keys)
    untrained = jax.jit(jax.vmap(rpojax.make_trainer(STUDENT).init))(keys)
    evaluated = []

    def note(progress):
        if progress.evaluation_return is not None:
            evaluated.append(progress.evaluation_return)

    evaluations = {"eval_every": 1, "eval_episodes": 64, "on_chunk": note}
    rpojax.fit(fine_tuning, num_seeds, initial=students, **evaluations)
    return {
        "teacher": returns(TEACHER, jax.tree.map(lambda leaf: leaf[None], teacher))[0],
        "random": returns(STUDENT, untrained).mean(),
        "students": returns(STUDENT, students.state),
        "tuned": np.stack(evaluated, axis=1),
        "kl": np.asarray(students.metrics.kl),
    }


@pytest.mark.optimized
@pytest.mark.slow
def test_a_student_without_velocities_is_as_good_as_its_teacher_and_stays_so():
    found = distilled(2)
    improvement = (found["students"] - found["random"]) / (found["teacher"] - found["random"])
    kept = (found["tuned"].min(axis=1) - found["random"]) / (found["students"] - found["random"])
    print(found, improvement, kept)
    assert (improvement >= 0.95).all(), found
    assert (kept >= 0.95).all(), found


def tiny(cfg, **changes):
    sizes = {"num_envs": 4, "num_steps": 8, "num_minibatches": 2, "update_epochs": 2}
    network = dataclasses.replace(cfg.network, hidden_sizes=(8,), cell_sizes=(4,))
    cfg = cfg.replace(sequence_length=None, **sizes, network=network)
    return cfg.replace(total_timesteps=3 * cfg.batch_size, critic_warmup=0).replace(**changes)


def imitating(network, teacher, **changes):
    """The result of a student that begins with the parameters of `key(7)`."""
    cfg = tiny(TEACHER.replace(network=network), vf_coef=0.0, normalize_observations=False)
    state = jax.jit(rpojax.make_trainer(cfg).init)(jax.random.key(7))
    act = rpojax.make_policy(cfg, state.replace(params=teacher(state.params)))
    student = cfg.replace(perturb_rollouts=False, **changes)
    return rpojax.make_distill(student, act)(jax.random.key(7))


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    """The labels of a recurrent teacher are those of the same steps, across rollouts too."""
    same = imitating(NetworkConfig(cell="gru"), lambda params: params)
    np.testing.assert_allclose(same.metrics.kl, 0.0, atol=1e-4)


def test_kl_to_the_teacher_falls():
    def biased(params):
        return params | {"mean": jax.tree.map(lambda leaf: leaf + 0.3, params["mean"])}

    longer = {"total_timesteps": 30 * 32, "learning_rate": 1e-2}
    learnt = imitating(NetworkConfig(), biased, **longer)
    assert learnt.metrics.kl[-1] < 0.3 * learnt.metrics.kl[0]
    assert bool(learnt.finite)


def test_what_cannot_be_imitated_is_refused():
    teacher_cfg = tiny(TEACHER)
    teacher = jax.eval_shape(lambda: rpojax.make_trainer(teacher_cfg).init(jax.random.key(0)))
    act = rpojax.make_policy(teacher_cfg, teacher)
    student = tiny(STUDENT)
    other = dataclasses.replace(student.network, distribution="beta")
    for changes, message in (
        (
            {"env": "Pendulum-v1", "network": NetworkConfig()},
            "trained with the observations {'angle'",
        ),
        ({"network": other}, "distribution = 'beta' of the student is 'gaussian' of its teacher"),
        ({"action_transform": "rescale"}, "action_transform = 'rescale' of the student is 'clip'"),
        ({"lr_schedule": "kl_adaptive"}, "the KL of a distillation is the distance to the teacher"),
        ({"devices_per_agent": 2}, "devices_per_agent = 2 cannot be used in a distillation"),
    ):
        with pytest.raises(ValueError, match=message):
            rpojax.make_distill(student.replace(**changes), act)
    with pytest.raises(ValueError, match="is not a policy of rpojax"):
        rpojax.make_distill(student, lambda obs: obs)


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "shared"), [("adamw", True), ("muon", False)])
def test_a_warm_up_of_the_critic_leaves_the_policy_to_the_bit(optimizer, shared):
    network = NetworkConfig(hidden_sizes=(8,), shared_torso=shared)
    cfg = tiny(TEACHER.replace(network=network), optimizer=optimizer, weight_decay=0.1)
    cfg = cfg.replace(critic_warmup=2 * cfg.batch_size)
    trainer = rpojax.make_trainer(cfg)
    states = [jax.jit(trainer.init)(jax.random.key(0))]
    iterate = jax.jit(trainer.iterate)
    for _ in range(3):
        states.append(iterate(states[-1])[0])
    policy = {key for key in states[0].params if not key.startswith(("critic", "value"))}
    for after in states[1:3]:
        assert_same_bits(after.obs_stats, states[1].obs_stats)  # of the first rollout
        for key in policy:
            assert_same_bits(after.params[key], states[0].params[key])
        assert not np.array_equal(after.params["value"]["bias"], states[0].params["value"]["bias"])
    assert not np.array_equal(
        states[3].params["mean"]["kernel"], states[0].params["mean"]["kernel"]
    )

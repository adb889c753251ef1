"""The programs of a run against `make_train`, to the bit: chunks, resumed runs, many agents.

The programs differ, so they are compiled with all optimizations, as for users.
"""

import csv
import logging
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bits import assert_same_bits
from stopped_runs import stopped_after

from rpojax import Config, HyperParams, NetworkConfig, fit, load, make_train, resume
from rpojax.loggers import CSVLogger
from rpojax.runs import agents, checkpoint, checkpoint_manager, loop
from rpojax.settings.agent_table import agent_table

pytestmark = pytest.mark.optimized

ALPHAS, SEEDS = (0.0, 0.3, 0.5), (4, 9)
IDENTITIES = [(alpha, seed) for alpha in ALPHAS for seed in SEEDS]
# 12 x 32 steps: Pendulum's episodes of 200 end within the run, and not in every update.
CFG = Config(
    total_timesteps=12 * 4 * 32, num_envs=4, num_steps=32, num_minibatches=2, update_epochs=2
)
KEYS = jnp.stack([jax.random.key(seed) for _, seed in IDENTITIES])
HYPERPARAMS = jax.tree.map(lambda leaf: jnp.full(6, leaf), CFG.hyperparams()).replace(
    alpha=[alpha for alpha, _ in IDENTITIES]
)
COMPILING = "Compiling jit(train_agents)"


def vmapped(cfg: Config, num_seeds: int, seed: int, hyperparams: HyperParams | None = None):
    """What `fit` is to be bit-identical to: hyperparameters [N] as arguments of one program."""
    table = agent_table(cfg.hyperparams(), hyperparams, num_seeds=num_seeds, seed=seed)
    return jax.jit(jax.vmap(make_train(cfg)))(table.keys(), table.hyperparams)


class Messages(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record):
        self.texts.append(record.getMessage())


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three alphas by two seeds in one run: its directory, its result, what JAX logged."""
    place, messages = tmp_path_factory.mktemp("study"), Messages()
    logging.getLogger("jax").addHandler(messages)
    try:
        with jax.log_compiles():
            result = fit(
                CFG,
                seeds=[seed for _, seed in IDENTITIES],
                hyperparams=HYPERPARAMS,
                checkpoint_dir=place / "checkpoints",
                checkpoint_every=1,
                keep_checkpoints=20,
                eval_every=4,
                eval_episodes=2,
                loggers=[CSVLogger(place / "metrics.csv")],
            )
    finally:
        logging.getLogger("jax").removeHandler(messages)
    return place, result, messages.texts


@pytest.fixture(scope="module")
def vmapped_train():
    return jax.jit(jax.vmap(make_train(CFG)))


def rows_of(place):
    with (place / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_program_trains_them_all(study):
    assert len([text for text in study[2] if text.startswith(COMPILING)]) == 1


@pytest.mark.slow
def test_result_is_bit_identical_to_the_vmapped_train(study, vmapped_train):
    assert_same_bits(study[1], vmapped_train(KEYS, HYPERPARAMS))


def test_each_agent_is_bit_identical_to_that_agent_alone(study, vmapped_train):
    """Alone at the same batch layout: a batch of copies of it."""
    for agent in range(len(IDENTITIES)):
        keys, hyperparams = jax.tree.map(
            lambda leaf, agent=agent: jnp.broadcast_to(leaf[agent], leaf.shape), (KEYS, HYPERPARAMS)
        )
        alone = vmapped_train(keys, hyperparams)
        assert_same_bits(study[1].select(agent), alone.select(agent))


def test_resumed_they_are_bit_identical_and_their_files_too(study, tmp_path):
    place, result, _ = study
    at = tmp_path / "run"
    shutil.copytree(place, at)
    for path in checkpoint_manager.checkpoint_paths(at / "checkpoints")[5:]:
        shutil.rmtree(path)
    resumed = resume(at, loggers=[CSVLogger(at / "metrics.csv")])
    assert_same_bits(resumed, result)
    timed = {"steps_per_second"}
    ours, theirs = (
        [{name: row[name] for name in row.keys() - timed} for row in rows_of(directory)]
        for directory in (at, place)
    )
    assert ours == theirs
    assert_same_bits(*(load(directory, best=True).result for directory in (at, place)))


def test_rows_of_the_csv_name_alpha_and_seed(study):
    rows = rows_of(study[0])
    assert len(rows) == 6 * CFG.num_updates
    assert list(rows[0])[:3] == ["agent", "seed", "alpha"]
    named = {(int(row["agent"]), float(row["alpha"]), int(row["seed"])) for row in rows}
    assert named == {(agent, *identity) for agent, identity in enumerate(IDENTITIES)}


def test_best_is_chosen_for_each_agent(study):
    run = load(study[0], best=True)
    for agent in range(len(IDENTITIES)):
        evaluated = [
            (float(row["evaluation_return"]), int(row["updates"]))
            for row in rows_of(study[0])
            if row["agent"] == str(agent) and row["evaluation_return"]
        ]
        assert [updates for _, updates in evaluated] == [4, 8, 12]
        assert run.updates[agent] == max(evaluated)[1]
        assert int(run.state(agent).update_count) == run.updates[agent]


@pytest.mark.slow
def test_chunks_of_any_length_need_one_program_and_give_the_same(monkeypatch, caplog):
    cfg = CFG.replace(total_timesteps=5 * CFG.batch_size)
    monkeypatch.setattr(loop, "SECONDS_PER_CHUNK", 3600.0)
    results = []
    for longest, expected in ((2, [1, 2, 2]), (256, [1, 4])):
        monkeypatch.setattr(agents, "LONGEST_CHUNK", longest)
        updates: list[int] = []
        caplog.clear()
        with jax.log_compiles():
            results.append(fit(cfg, 3, on_chunk=lambda done: updates.append(done.updates)))  # noqa: B023
        assert np.diff(updates).tolist() == expected
        assert len([text for text in caplog.messages if text.startswith(COMPILING)]) == 1
    assert_same_bits(*results)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_seeds", "changes"),
    [
        (1, {}),
        (3, {"normalize_values": True, "lr_schedule": "kl_adaptive", "kl_threshold": 0.05}),
        (
            3,
            {
                "network": NetworkConfig(hidden_sizes=(8,), cell="lstm", cell_sizes=(8,)),
                "sequence_length": 16,
                "normalize_values": True,
                "lr_schedule": "kl_adaptive",
            },
        ),
        (
            3,
            {
                "normalize_observations": False,
                "normalize_rewards": False,
                "random_timesteps": 128,
                "learning_starts": 256,
                "network": NetworkConfig(shared_torso=True, hidden_sizes=(16,), activation="relu"),
                "lr_schedule": "constant",
            },
        ),
    ],
    ids=["one agent", "all normalisers, kl_adaptive", "LSTM", "no normalisers, warm-up"],
)
def test_whole_and_resumed_runs_are_those_of_the_vmapped_train(num_seeds, changes, tmp_path):
    cfg, directory = CFG.replace(**changes), tmp_path / "whole"
    saved = {"checkpoint_dir": directory, "checkpoint_every": 1, "keep_checkpoints": 13}
    result = fit(cfg, num_seeds, seed=5, **saved)
    assert_same_bits(result, vmapped(cfg, num_seeds, seed=5))
    for cut in (0, 6, 11):
        at = stopped_after(directory, cut, tmp_path / str(cut))
        seen = []
        assert_same_bits(resume(at, on_chunk=seen.append), result)
        assert seen[0].updates == cut
        assert seen[-1].steps == num_seeds * cfg.actual_timesteps
        assert checkpoint_manager.newest(at).run.updates == 12


def nan_for_the_unlucky(reward, timestep, timesteps):
    """NaN in the third update, for the agents whose environments go badly then."""
    return jnp.where((timestep == 150) & (jnp.mean(reward) < -6.5), jnp.nan, reward)


@pytest.mark.slow
def test_diverged_agent_keeps_its_last_finite_state_and_the_others_are_unaffected(tmp_path):
    cfg = CFG.replace(
        num_envs=8, num_steps=64, total_timesteps=5 * 8 * 64, reward_shaper=nan_for_the_unlucky
    )
    expected = vmapped(cfg, 4, seed=0)
    finite = np.asarray(expected.finite)
    assert finite.any()
    assert not finite.all(), "choose another threshold: some are to diverge and some are not"
    with pytest.warns(RuntimeWarning) as warned:
        result = fit(
            cfg, 4, seed=0, checkpoint_dir=tmp_path, checkpoint_every=1, keep_checkpoints=9
        )
    assert sorted(str(each.message) for each in warned) == [
        f"agent {agent} (seed={agent}) diverged in update 3, where NaN or infinity appeared first "
        "in: reward; it keeps its state after update 2, and is trained no further"
        for agent in np.flatnonzero(~finite)
    ]
    np.testing.assert_array_equal(result.finite, finite)
    before = checkpoint.read(checkpoint_manager.checkpoint_paths(tmp_path)[2], cfg).run
    assert before.updates == 2
    assert before.finite.all()
    for seed in range(4):
        if finite[seed]:
            assert_same_bits(result.select(seed), expected.select(seed))
        else:
            select = jax.tree.map(lambda leaf, seed=seed: leaf[seed], before.states.state)
            assert_same_bits(result.select(seed).state, select)
            assert int(result.state.update_count[seed]) == 2
            losses = np.asarray(result.metrics.policy_loss[seed])
            np.testing.assert_array_equal(np.isnan(losses), [False, False, True, True, True])
    last = checkpoint_manager.newest(tmp_path, cfg).run
    np.testing.assert_array_equal(last.finite, finite)
    assert_same_bits(resume(tmp_path, cfg=cfg), result)


@pytest.mark.slow
def test_each_agent_has_the_parameters_of_its_own_environment():
    cfg = CFG.replace(
        total_timesteps=3 * CFG.batch_size,
        env_params={"max_steps_in_episode": 10},
        agents_at_once=1,
    )
    gravities = [1.62, 9.81, 20.0]
    together = fit(cfg, seeds=[0, 0, 0], env_params={"g": gravities, "m": 1.5})
    train = jax.jit(make_train(cfg))
    for index, g in enumerate(gravities):
        alone = train(jax.random.key(0), None, {"g": g, "m": 1.5})
        assert_same_bits(together.select(index).state, alone.state)
        assert_same_bits(together.select(index).metrics, alone.metrics)


def test_agents_may_share_a_seed_or_hyperparameters_and_not_both():
    with pytest.raises(
        ValueError, match="agents 0 and 2 have the same hyperparameters, the same env"
    ):
        fit(CFG, seeds=[0, 1, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": [0, 2**32]}, r"seeds = 4294967296 is .*4294967295"),
        ({"seeds": [0, -1]}, "seeds = -1"),
        ({"seeds": [[0], [1]]}, r"seeds = \[0\] is not allowed; give a whole number"),
        ({"seeds": []}, "is not a list of whole numbers"),
        ({"seeds": 3}, "is not a list of whole numbers"),
        ({"seed": 2**32 - 1, "num_seeds": 2}, "seed = 4294967295 is"),
        ({"num_seeds": 10**9}, "num_seeds = 1000000000 is"),
        ({"seeds": [1, 2], "num_seeds": 3}, r"disagree \(num_seeds: 3, seeds: 2\)"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(CFG, **arguments)

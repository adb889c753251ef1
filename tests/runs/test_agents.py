"""Agents with hyperparameters of their own, side by side: one program, each as if it were alone."""

import contextlib
import csv
import io
import logging
import shutil

import jax
import jax.numpy as jnp
import pytest
from bits import assert_same_bits

from rpojax import Config, fit, load, make_train, resume
from rpojax.cli import main
from rpojax.loggers import CSVLogger
from rpojax.runs import checkpoint_manager

pytestmark = pytest.mark.optimized

ALPHAS, SEEDS = (0.0, 0.3, 0.5), (4, 9)
IDENTITIES = [(alpha, seed) for alpha in ALPHAS for seed in SEEDS]
# 12 x 32 steps: Pendulum's episodes of 200 end within the run.
CFG = Config(total_timesteps=12 * 4 * 32, num_envs=4, num_steps=32, num_minibatches=2)
KEYS = jnp.stack([jax.random.key(seed) for _, seed in IDENTITIES])
HYPERPARAMS = jax.tree.map(lambda leaf: jnp.full(6, leaf), CFG.hyperparams()).replace(
    alpha=[alpha for alpha, _ in IDENTITIES]
)


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
    assert len([text for text in study[2] if text.startswith("Compiling jit(train_agents)")]) == 1


def test_result_is_bit_identical_to_the_vmapped_train(study, vmapped_train):
    assert_same_bits(study[1], vmapped_train(KEYS, HYPERPARAMS))


@pytest.mark.parametrize("agent", range(len(IDENTITIES)))
def test_each_agent_is_bit_identical_to_that_agent_alone(study, vmapped_train, agent):
    """Alone at the same batch layout: a batch of copies of it."""
    keys, hyperparams = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[agent], leaf.shape), (KEYS, HYPERPARAMS)
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


def test_table_names_alpha_and_seed(study, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(["eval", str(study[0]), "--episodes=2"])
    lines = [
        line.replace("│", " ").replace("┃", " ").split() for line in out.getvalue().split("\n")
    ]
    assert ["agent", "alpha", "seed"] in [words[:3] for words in lines]
    rows = [words[:3] for words in lines if words and words[0].isdigit() and len(words) > 4]
    assert rows == [[str(n), str(alpha), str(seed)] for n, (alpha, seed) in enumerate(IDENTITIES)]
    groups = [words[:3] for words in lines if words[1:3] == ["2", "seeds"]]
    assert groups == [[str(alpha), "2", "seeds"] for alpha in ALPHAS]


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
        ({"seeds": [0, [1]]}, "seeds = .* is not allowed; give a whole number"),
        ({"seeds": 3}, "is not a list of whole numbers"),
        ({"seed": 2**32}, "seed = 4294967296 is"),
        ({"seed": 2**32 - 1, "num_seeds": 2}, "seed = 4294967295 is"),
        ({"num_seeds": 10**9}, "num_seeds = 1000000000 is"),
        ({"seeds": [1, 2], "num_seeds": 3}, r"disagree \(num_seeds: 3, seeds: 2\)"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(CFG, **arguments)

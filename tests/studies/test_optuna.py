"""Searches by Optuna, in batches that train together."""

import os
import sqlite3
import subprocess
import sys
import warnings

import pytest
from small_study import CFG, SMALL

from rpojax.studies import Choice, LogUniform, Uniform, Whole, optimize

optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.WARNING)

pytestmark = pytest.mark.usefixtures("programs_shared")

SPACE = {"learning_rate": LogUniform(1e-4, 1e-2), "alpha": Uniform(0.0, 1.0)}
FEW = {**SMALL, "reports": 2}
ALONE = {**FEW, "num_seeds": 4}  # as many agents in one trial as FEW has in two
FINISHED = optuna.trial.TrialState.COMPLETE
PRUNED = optuna.trial.TrialState.PRUNED
FAILED = optuna.trial.TrialState.FAIL


def new_study(**arguments):
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(direction="maximize", sampler=sampler, **arguments)


@pytest.mark.slow
def test_trials_are_proposed_and_told_in_batches():
    study = new_study(pruner=optuna.pruners.NopPruner())
    sizes = []
    optimize(
        study,
        CFG,
        SPACE,
        num_trials=5,
        batch_size=3,
        on_progress=lambda progress: sizes.append(progress.settings),
        **FEW,
    )
    assert set(sizes) == {3, 2}
    assert [trial.state for trial in study.trials] == [FINISHED] * 5
    for trial in study.trials:
        assert set(trial.intermediate_values) == {0}
        assert 1e-4 <= trial.params["learning_rate"] <= 1e-2
    assert len({trial.params["alpha"] for trial in study.trials}) == 5


@pytest.mark.slow
def test_pruner_ends_trials_early():
    study = new_study(pruner=optuna.pruners.PercentilePruner(50.0, n_startup_trials=1))
    optimize(study, CFG, SPACE, num_trials=8, batch_size=4, **FEW)
    states = [trial.state for trial in study.trials]
    assert states.count(PRUNED) > 0
    assert states.count(FINISHED) > 0
    assert states.count(PRUNED) + states.count(FINISHED) == 8


def test_proposals_that_repeat_are_trained_once():
    study = new_study(pruner=optuna.pruners.NopPruner())
    sizes = []
    optimize(
        study,
        CFG,
        {"alpha": Choice((0.5,)), "num_steps": Whole(8, 8)},
        num_trials=3,
        batch_size=3,
        on_progress=lambda progress: sizes.append(progress.settings),
        **ALONE,
    )
    assert set(sizes) == {1}
    assert len({trial.value for trial in study.trials}) == 1


def test_trials_of_a_batch_that_fails_are_told_so():
    study = new_study()

    def fail(progress):
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        optimize(study, CFG, SPACE, num_trials=2, batch_size=2, on_progress=fail, **FEW)
    assert [trial.state for trial in study.trials] == [FAILED] * 2


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        ({"alpah": Uniform(0.0, 1.0)}, {}, "unknown setting 'alpah'"),
        ({"num_minibatches": Choice((5,))}, {}, "not divisible by num_minibatches = 5"),
        (SPACE, {"num_seeds": 0}, "num_seeds = 0"),
    ],
)
def test_trials_that_cannot_be_run_are_told_so(space, arguments, message):
    study = new_study()
    with pytest.raises(ValueError, match=message):
        optimize(study, CFG, space, num_trials=2, batch_size=2, **(FEW | arguments))
    assert [trial.state for trial in study.trials] == [FAILED] * 2


def test_a_sampler_that_has_tried_its_whole_grid_ends_the_search():
    sampler = optuna.samplers.GridSampler({"alpha": [0.0, 0.5]})
    study = optuna.create_study(direction="maximize", sampler=sampler)
    space = {"alpha": Uniform(0.0, 1.0)}
    optimize(study, CFG, space, num_trials=5, batch_size=2, **FEW)
    assert [trial.state for trial in study.trials] == [FINISHED] * 2


def test_options_that_a_storage_cannot_hold_are_refused_before_a_trial_is_made():
    study = new_study()
    space = {"network.hidden_sizes": Choice(((32, 32), (16,)))}
    with pytest.raises(ValueError, match=r"has the option \(32, 32\), which Optuna cannot save"):
        optimize(study, CFG, space, num_trials=2, **FEW)
    assert not study.trials


@pytest.mark.parametrize("method", ["before_trial", "sample_relative", "sample_independent"])
def test_trials_whose_sampler_raises_have_failed(method, monkeypatch):
    study = new_study()

    def fail(*_, **__):
        raise RuntimeError("no point")

    monkeypatch.setattr(study.sampler, method, fail)
    with pytest.raises(RuntimeError, match="no point"):
        optimize(study, CFG, SPACE, num_trials=2, **FEW)
    assert [trial.state for trial in study.trials] == [FAILED]


@pytest.mark.parametrize("space", [[1], 3])
def test_a_space_is_a_dictionary(space):
    with pytest.raises(ValueError, match=r"space = .* is not a dictionary; give values by setting"):
        optimize(new_study(), CFG, space, num_trials=1)


def test_a_trial_whose_agents_all_diverged_has_failed():
    study = new_study(pruner=optuna.pruners.NopPruner())
    rates = {"learning_rate": Choice((3e38,))}
    optimize(study, CFG, rates, num_trials=1, **ALONE)
    assert [trial.state for trial in study.trials] == [FAILED]


SAMPLERS = {
    "BruteForceSampler": {},
    "CmaEsSampler": {},
    "GPSampler": {"n_startup_trials": 1},
    "GridSampler": {"search_space": {"alpha": [0.0, 0.5], "learning_rate": [1e-3]}},
    "NSGAIIISampler": {"population_size": 2},
    "NSGAIISampler": {"population_size": 2},
    "PartialFixedSampler": {
        "fixed_params": {"alpha": 0.5},
        "base_sampler": optuna.samplers.RandomSampler(seed=0),
    },
    "QMCSampler": {},
    "RandomSampler": {},
    "TPESampler": {"n_startup_trials": 1},
}
PRUNERS = {
    "HyperbandPruner": {"min_resource": 1, "max_resource": 2},
    "MedianPruner": {"n_startup_trials": 1},
    "NopPruner": {},
    "PatientPruner": {"wrapped_pruner": None, "patience": 1},
    "PercentilePruner": {"percentile": 50.0, "n_startup_trials": 1},
    "SuccessiveHalvingPruner": {},
    "ThresholdPruner": {"upper": 1e6},
    "WilcoxonPruner": {},
}
DISCRETE = {"alpha": Choice((0.0, 0.5)), "learning_rate": Choice((1e-3,))}
NEEDS = {"CmaEsSampler": "cmaes", "GPSampler": "torch"}


def all_of(module, base):
    found = {name: getattr(module, name) for name in module.__all__}
    return {
        name
        for name, each in found.items()
        if isinstance(each, type) and issubclass(each, base) and not name.startswith("Base")
    }


def test_all_samplers_and_pruners_are_tried_below():
    assert all_of(optuna.samplers, optuna.samplers.BaseSampler) == set(SAMPLERS)
    assert all_of(optuna.pruners, optuna.pruners.BasePruner) == set(PRUNERS)


def states_after(study, space=SPACE, trials=4):
    optimize(study, CFG, space, num_trials=trials, batch_size=2, **FEW)
    return [trial.state for trial in study.get_trials()]


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_each_sampler_of_optuna_ends_all_of_its_trials(name):
    pytest.importorskip(NEEDS.get(name, "optuna"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optuna's, of what is experimental
        sampler = getattr(optuna.samplers, name)(**SAMPLERS[name])
        study = optuna.create_study(direction="maximize", sampler=sampler)
        ends_by_itself = name in ("BruteForceSampler", "GridSampler")
        states = states_after(study, DISCRETE if ends_by_itself else SPACE)
    assert states == [FINISHED] * (2 if ends_by_itself else 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRUNERS)
def test_each_pruner_of_optuna_ends_all_of_its_trials(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = new_study(pruner=getattr(optuna.pruners, name)(**PRUNERS[name]))
        states = states_after(study)
    assert len(states) == 4
    assert set(states) <= {FINISHED, PRUNED}
    assert FINISHED in states


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_each_storage_keeps_trials_for_the_next_call(kind, tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    if kind == "journal":
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log"))
        storage = optuna.storages.JournalStorage(backend)
    for trials in (2, 4):
        study = optuna.create_study(
            storage=storage, study_name="kept", direction="maximize", load_if_exists=True
        )
        states = states_after(study, trials=2)
        assert len(states) == trials
        assert set(states) <= {FINISHED, PRUNED}


WORKER = """
import sys
import time
import optuna
from rpojax import Config, NetworkConfig
from rpojax.studies import LogUniform, optimize
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(
    storage=sys.argv[1], study_name="shared", load_if_exists=True, direction="maximize",
    sampler=optuna.samplers.TPESampler(seed=int(sys.argv[2]), constant_liar=True),
)
cfg = Config(
    env="MountainCarContinuous-v0", num_envs=4, num_steps=8, num_minibatches=2, update_epochs=1,
    total_timesteps=64, network=NetworkConfig(hidden_sizes=(8,)),
)
space = {"learning_rate": LogUniform(1e-4, 1e-2)}
optimize(study, cfg, space, num_trials=4, batch_size=2, num_seeds=1, eval_episodes=1, reports=1)
"""


@pytest.mark.slow
def test_two_processes_share_a_study_by_its_storage(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.create_study(storage=storage, study_name="shared", direction="maximize")
    quickly = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compiled, as above
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, storage, str(seed)], env=quickly)
        for seed in (1, 2)
    ]
    try:
        assert [worker.wait(timeout=600) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    study = optuna.load_study(storage=storage, study_name="shared")
    assert [trial.state for trial in study.trials] == [FINISHED] * 8
    assert sorted(trial.number for trial in study.trials) == list(range(8))


def test_study_of_several_objectives_is_refused():
    study = optuna.create_study(directions=["maximize", "minimize"])
    with pytest.raises(ValueError, match="2 objectives; give one"):
        optimize(study, CFG, SPACE, num_trials=1)


def test_trials_of_a_process_that_was_killed_are_failed_and_tried_again(tmp_path):
    file = tmp_path / "study.db"
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{file}",
        heartbeat_interval=1,
        heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
    )
    study = new_study(storage=storage)
    killed = study.ask()
    killed.suggest_float("alpha", 0.0, 1.0)
    storage.record_heartbeat(killed._trial_id)
    with sqlite3.connect(file) as database:
        database.execute("UPDATE trial_heartbeats SET heartbeat = '2000-01-01 00:00:00'")
    database.close()
    optimize(study, CFG, SPACE, num_trials=1, **ALONE)
    assert [trial.state for trial in study.trials] == [FAILED, FINISHED]
    assert study.trials[1].params["alpha"] == killed.params["alpha"]
    assert storage._get_stale_trial_ids(study._study_id) == []

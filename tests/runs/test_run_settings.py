import json

import numpy as np
import pytest

from rpojax import PBT, Config, RunOptions
from rpojax.runs.settings import RunSettings, settings_from_record, settings_to_record
from rpojax.settings.agent_table import agent_table
from rpojax.settings.declared import settings_of
from rpojax.settings.run_options import OF_ONE_CALL

CFG = Config(total_timesteps=10_000, num_envs=8, num_steps=16, num_minibatches=4)


MASSES = np.asarray([[1.0, 0.1]], np.float32)


def recorded(**changes):
    hyperparams = CFG.hyperparams().replace(alpha=[0.1, 0.1, 1 / 3])
    agents = agent_table(
        CFG.hyperparams(), hyperparams, env_params={"m": MASSES}, seeds=[4, 2**32 - 1, 4]
    )
    settings = RunSettings(cfg=CFG, agents=agents, eval_every=2, **changes)
    return json.loads(json.dumps(settings_to_record(settings)))


def test_record_comes_back_with_the_agents():
    settings = settings_from_record(recorded())
    assert settings.cfg == CFG
    assert settings.eval_every == 2
    assert settings.agents.seeds == (4, 2**32 - 1, 4)
    alpha = settings.agents.hyperparams.alpha
    np.testing.assert_array_equal(alpha, np.asarray([0.1, 0.1, 1 / 3], np.float32))
    np.testing.assert_array_equal(settings.agents.env_params["m"], MASSES.repeat(3, axis=0))
    assert settings_to_record(settings) == recorded()


@pytest.mark.parametrize("name", sorted(set(recorded()) - {"cfg", "seeds"}))
def test_setting_that_the_record_lacks_has_its_default(name):
    record = recorded()
    del record[name]
    if name == "hyperparams":  # without them the agents 0 and 2 are the same
        record["seeds"] = [0, 1, 2]
        assert settings_from_record(record).agents.differing == ()
    elif name == "env_params":
        assert settings_from_record(record).agents.env_params == {}
    else:
        default = RunSettings.__dataclass_fields__[name].default
        assert getattr(settings_from_record(record), name) == default


def test_setting_of_a_newer_version_is_refused_by_name():
    with pytest.raises(ValueError, match=r"settings warp, which .* does not know; use the version"):
        settings_from_record(recorded() | {"warp": 1})


@pytest.mark.parametrize("name", ["cfg", "seeds"])
def test_record_without_what_every_version_writes_is_refused(name):
    record = recorded()
    del record[name]
    with pytest.raises(ValueError, match=f"has no {name}; use the version that recorded it"):
        settings_from_record(record)


@pytest.mark.parametrize("name", ["log_every", "eval_every", "checkpoint_every"])
def test_counts_that_may_be_zero(name):
    assert getattr(settings_from_record(recorded() | {name: 0}), name) == 0
    with pytest.raises(ValueError, match=f"{name} = -1 is not allowed; give a whole number"):
        settings_from_record(recorded() | {name: -1})


def test_checkpoints_by_default_come_after_a_tenth_of_the_run():
    def interval(cfg, **options):
        agents = agent_table(cfg.hyperparams(), num_seeds=4)
        return RunSettings(cfg=cfg, agents=agents, **options).checkpoint_interval

    assert interval(CFG) == 8
    assert interval(CFG.replace(total_timesteps=128)) == 1
    assert interval(CFG, evolve=PBT(every=3)) == 9, "whole generations"
    assert interval(CFG, checkpoint_every=0) == 0


def test_options_of_one_call_are_not_recorded():
    agents = agent_table(CFG.hyperparams(), num_seeds=1)
    record = settings_to_record(RunSettings(cfg=CFG, agents=agents, max_seconds=9.0))
    assert settings_from_record(record).max_seconds is None
    assert set(OF_ONE_CALL) == set(settings_of(RunOptions)) - set(record)

"""The options of a run, which `fit`, `resume` and the command take."""

import pytest

import rpojax
from rpojax import Config, RunOptions
from rpojax.settings.declared import settings_of

pytestmark = pytest.mark.usefixtures("programs_shared")

CFG = Config(total_timesteps=4 * 32, num_envs=4, num_steps=8, num_minibatches=4, update_epochs=1)


def test_numbers_are_checked_and_converted():
    assert RunOptions(eval_every=1e2).eval_every == 100
    assert RunOptions().replace(max_seconds=3).max_seconds == 3.0
    for name in settings_of(RunOptions):
        with pytest.raises(ValueError, match=f"^{name} = 'x' is not"):
            RunOptions(**{name: "x"})


def test_docstring_names_each_option_with_its_default():
    assert "eval_episodes: Episodes of each agent in an evaluation. At least 1. Default: 64." in (
        RunOptions.__doc__
    )
    for name in settings_of(RunOptions):
        assert f"    {name}: " in RunOptions.__doc__


@pytest.mark.slow
def test_options_as_an_object_and_one_by_one_are_the_same(tmp_path):
    def recorded(place, **options):
        """Of a run that stops before its first update."""
        rpojax.fit(CFG, checkpoint_dir=place, on_chunk=lambda progress: True, **options)
        return rpojax.load(place).settings

    options = RunOptions(eval_every=2, eval_episodes=3)
    given = recorded(tmp_path / "a", options=options, keep_checkpoints=2)
    assert (given.eval_every, given.eval_episodes, given.keep_checkpoints) == (2, 3, 2)
    one_by_one = recorded(tmp_path / "b", eval_every=2, eval_episodes=3, keep_checkpoints=2)
    assert all(getattr(given, name) == getattr(one_by_one, name) for name in vars(options))
    rpojax.resume(tmp_path / "a", eval_every=4, max_seconds=0.0)
    resumed = rpojax.load(tmp_path / "a").settings
    assert (resumed.eval_every, resumed.eval_episodes) == (4, 3)


@pytest.mark.parametrize(
    ("call", "name", "message"),
    [
        (rpojax.fit, "eval_evry", "unknown argument of fit 'eval_evry'; did you mean 'eval_every'"),
        (rpojax.fit, "num_seed", "unknown argument of fit 'num_seed'; did you mean 'num_seeds'"),
        (rpojax.fit, "changes", "unknown argument of fit 'changes'"),
        (rpojax.resume, "on_chunks", "unknown argument of resume 'on_chunks'; did you mean 'on_"),
        (rpojax.resume, "log_every", "log_every = None is not allowed"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(call, name, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        call(CFG if call is rpojax.fit else tmp_path, **{name: None})


def test_options_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"options = 3 are not rpojax.RunOptions"):
        rpojax.fit(CFG, options=3)

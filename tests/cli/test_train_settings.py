"""A settings file and `--env-params.NAME` as settings of `rpojax train`."""

import pytest

import rpojax
from rpojax.cli import main
from rpojax.cli.parsing import parse
from rpojax.cli.train_settings import take_env_params


def train(*args):
    return parse(["train", *args])


@pytest.fixture
def file(tmp_path):
    """Writes a YAML file and returns its path."""

    def write(text):
        path = tmp_path / "settings.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("names", [("num_seeds", "seed"), ("NUM_SEEDS", "SEED")])
def test_a_file_may_hold_the_seeds_and_flags_win_over_them(file, names):
    path = file(f"{names[0]}: 3\n{names[1]}: 7\n")
    command = train(f"--config={path}")
    assert (command.num_seeds, command.seed) == (3, 7)
    command = train(f"--config={path}", "--seed=1")
    assert (command.num_seeds, command.seed) == (3, 1)


def test_seeds_that_are_given_twice_are_refused(file):
    path = file("num_seeds: 2\nNUM_SEEDS: 3\n")
    with pytest.raises(ValueError, match="and 'NUM_SEEDS' both set num_seeds; give one"):
        train(f"--config={path}")


def test_environment_parameters_come_from_file_and_flags(file):
    path = file("env_params: {g: 5, max_steps_in_episode: 10}\n")
    command = train(f"--config={path}", "--env-params.g", "1.62", "--env-params.m=2")
    cfg = command.config.to_config()
    assert dict(cfg.env_params) == {"g": 1.62, "m": 2, "max_steps_in_episode": 10}
    assert train("--env-params.g=1.62").config.to_config() == rpojax.Config(env_params={"g": 1.62})
    assert train().config.to_config() == rpojax.Config()


def test_environment_parameters_are_those_of_the_environment():
    cfg = rpojax.Config(env_params={"h": 1})
    with pytest.raises(ValueError, match="'h'"):
        rpojax.make_train(cfg)
    with pytest.raises(ValueError, match="an environment given by name only"):
        rpojax.make_train(rpojax.Config(env=rpojax.envs.make("Pendulum-v1"), env_params={"g": 1}))


def test_values_of_environment_parameters_are_read_as_what_they_look_like():
    flags = ("a=1", "b=1.5", "c=true", "d=False", "e=text", "f=1e3", "g-h=-2")
    words, params = take_env_params(["train", *(f"--env-params.{flag}" for flag in flags), "-x"])
    assert words == ["train", "-x"]
    expected = {"a": 1, "b": 1.5, "c": True, "d": False, "e": "text", "f": 1000.0, "g_h": -2}
    assert params == expected
    assert [type(value) for value in params.values()] == [
        type(value) for value in expected.values()
    ]


@pytest.mark.parametrize("args", [["--env-params.g"], ["--env-params.", "3"]])
def test_environment_parameter_without_name_or_value_is_refused(args):
    with pytest.raises(ValueError, match="has no value; give --env-params"):
        take_env_params(args)


def test_environment_parameters_of_another_command_are_refused():
    with pytest.raises(ValueError, match=r"--env-params\.g is a flag of rpojax train"):
        parse(["envs", "--env-params.g", "3"])


def test_an_error_names_the_file_only_for_what_the_file_sets(file):
    path = file("LR: -1\ngamma: 0.9\n")
    with pytest.raises(ValueError, match=rf"^{path}: learning_rate = -1 .* set by 'LR'\)$"):
        train(f"--config={path}")
    with pytest.raises(ValueError, match=r"^alpha = -1 "):
        train(f"--config={path}", "--learning-rate=0.1", "--alpha=-1")


@pytest.mark.parametrize("text", ["num_minibatches: 7", "NUM_MINIBATCHES: 7"])
def test_an_error_of_settings_that_do_not_fit_names_the_files_key(file, text):
    path = file(text)
    with pytest.raises(ValueError, match=rf"^{path}: .* set by '{text.split(':')[0]}'\)$"):
        train(f"--config={path}")


def test_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"rpojax {rpojax.__version__}\n"

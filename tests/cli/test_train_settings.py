"""A settings file and `--env-params.NAME` as settings of `rpojax train`."""

import pytest
from commands import parsed, run

import rpojax
from rpojax import Config
from rpojax.cli import main
from rpojax.cli.command import parse
from rpojax.cli.train_settings import take_env_params


@pytest.fixture
def file(tmp_path):
    """Writes a YAML file and returns its path."""

    def write(text):
        path = tmp_path / "settings.yaml"
        path.write_text(text)
        return path

    return write


def test_settings_come_from_a_file_and_flags_win_over_it(file):
    path = file("learning_rate: 3e-4\nnum_envs: 128\nnetwork: {hidden_sizes: [8], cell: gru}\n")
    settings = {"learning_rate": 3e-4, "num_envs": 128}
    network = {"hidden_sizes": [8], "cell": "gru"}
    plain = parsed(f"--config={path}").config.to_config()
    assert plain == Config.from_dict({**settings, "network": network})
    changed = parsed("--network.cell=lstm", "--num-envs", "64", f"--config={path}", "--seed=3")
    assert changed.seed == 3
    settings |= {"num_envs": 64, "network": {**network, "cell": "lstm"}}
    assert changed.config.to_config() == Config.from_dict(settings)


def test_a_file_may_leave_to_flags_what_it_needs(file):
    path = file("total_timesteps: 1e2\nLR: 1e-3  # as PureJaxRL calls it\n")
    few = parsed(f"--config={path}", "--num-envs=2", "--num-steps=32").config.to_config()
    assert (few.total_timesteps, few.learning_rate) == (100, 1e-3)
    assert "total_timesteps = 100 is less" in run("train", f"--config={path}").complaint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_env: 4", "settings.yaml: unknown setting 'num_env'; did you mean 'num_envs'?"),
        ("network: {cel: gru}", "unknown setting of the network 'cel'"),
        ("network: {cell: gruu}", "cell = 'gruu' is not known"),
        ("num_envs: many", "num_envs = 'many' is not allowed; give a whole number"),
        ("lr_schedule: cosine", "lr_schedule = 'cosine' is not known"),
        ("num_envs: [", "cannot be read as YAML"),
        ("LR: -1", "settings.yaml: learning_rate = -1 is out of range"),
        ("LR: -1", "(learning_rate is set by 'LR')"),
        ("ACTIVATION: sine", "(activation is set by 'ACTIVATION')"),
        ("NUM_MINIBATCHES: 7", "num_minibatches is set by 'NUM_MINIBATCHES'"),
        ("num_seeds: 0", "settings.yaml: num_seeds = 0 is not allowed"),
        ("SEED: x", "settings.yaml: SEED = 'x' is not allowed"),
        ("log_every: -1", "settings.yaml: log_every = -1 is not allowed"),
        ("env_params: 3", "env_params = 3 is not a dictionary"),
        ("env_params: {h: 3}", "'h'"),
    ],
)
def test_errors_in_settings_files_are_one_line(text, message, file, tmp_path):
    arguments = (f"--config={file(text)}", f"--output-dir={tmp_path}/runs")
    assert message in run("train", *arguments).complaint
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("names", [("num_seeds", "seed"), ("NUM_SEEDS", "SEED")])
def test_a_file_may_hold_the_seeds_and_flags_win_over_them(file, names):
    path = file(f"{names[0]}: 3\n{names[1]}: 7\n")
    command = parsed(f"--config={path}")
    assert (command.num_seeds, command.seed) == (3, 7)
    command = parsed(f"--config={path}", "--seed=1")
    assert (command.num_seeds, command.seed) == (3, 1)


def test_seeds_that_are_given_twice_are_refused(file):
    path = file("num_seeds: 2\nNUM_SEEDS: 3\n")
    with pytest.raises(ValueError, match="and 'NUM_SEEDS' both set num_seeds; give one"):
        parsed(f"--config={path}")


def test_environment_parameters_come_from_file_and_flags(file):
    path = file("env_params: {g: 5, max_steps_in_episode: 10}\n")
    command = parsed(f"--config={path}", "--env-params.g", "1.62", "--env-params.m=2")
    cfg = command.config.to_config()
    assert dict(cfg.env_params) == {"g": 1.62, "m": 2, "max_steps_in_episode": 10}
    assert parsed("--env-params.g=1.62").config.to_config() == rpojax.Config(env_params={"g": 1.62})
    assert parsed().config.to_config() == rpojax.Config()


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


@pytest.mark.parametrize(
    "args", [["--env-params.g"], ["--env-params.", "3"], ["--env-params.g", "--alpha=0.3"]]
)
def test_environment_parameter_without_name_or_value_is_refused(args):
    with pytest.raises(ValueError, match="has no value; give --env-params"):
        take_env_params(args)


def test_environment_parameters_of_another_command_are_refused():
    with pytest.raises(ValueError, match=r"--env-params\.g is a flag of rpojax train"):
        parse(["envs", "--env-params.g", "3"])


def test_an_error_names_the_file_only_for_what_the_file_sets(file):
    path = file("LR: -1\ngamma: 0.9\n")
    with pytest.raises(ValueError, match=rf"^{path}: learning_rate = -1 .* set by 'LR'\)$"):
        parsed(f"--config={path}")
    with pytest.raises(ValueError, match=r"^alpha = -1 "):
        parsed(f"--config={path}", "--learning-rate=0.1", "--alpha=-1")


@pytest.mark.parametrize("text", ["num_minibatches: 7", "NUM_MINIBATCHES: 7"])
def test_an_error_of_settings_that_do_not_fit_names_the_files_key(file, text):
    path = file(text)
    with pytest.raises(ValueError, match=rf"^{path}: .* set by '{text.split(':')[0]}'\)$"):
        parsed(f"--config={path}")


def test_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"rpojax {rpojax.__version__}\n"

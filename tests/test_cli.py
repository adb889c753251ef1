import csv
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from rpojax import Config, Metrics, NetworkConfig, envs
from rpojax.cli import ConfigFlags, Train, _on_one_line, _parse, main

COMMAND = str(Path(sys.executable).with_name("rpojax"))
TINY = [
    "--num-envs=8", "--num-steps=16", "--update-epochs=1", "--num-minibatches=2",
    "--network.hidden-sizes", "8", "--num-seeds=2",
]  # fmt: skip
NOT_ON_THE_COMMAND_LINE = {"reward_shaper"}  # takes a function and nothing else


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *args],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def parsed(*args: str) -> Train:
    command = _parse(["train", *args])
    assert isinstance(command, Train)
    return command


def test_train_prints_a_table_and_saves_picture_and_metrics(tmp_path):
    finished = run("train", "--total-timesteps=4000", "--run-name=tiny", *TINY, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    assert "4,000 steps are not whole updates of 128; each seed trains for 3,968" in finished.stdout
    for text in ("end of training", "128 evaluation episodes", "2 of 2", " ± ", "steps/s"):
        assert text in finished.stdout

    curve, table = Path("runs/tiny/learning_curve.png"), Path("runs/tiny/metrics.csv")
    assert finished.stdout.splitlines()[-2:] == [str(curve), str(table)]
    pixels = matplotlib.image.imread(tmp_path / curve)
    assert pixels.shape[:2] == (600, 1050)
    assert pixels.std() > 0.05
    with (tmp_path / table).open() as file:
        rows = list(csv.DictReader(file))
    metrics = [field.name for field in dataclasses.fields(Metrics)]
    assert list(rows[0]) == ["seed", "steps", *metrics]
    assert [row["steps"] for row in rows] == 2 * [str(128 * n) for n in range(1, 32)]
    assert {row["seed"] for row in rows} == {"0", "1"}
    assert [row["episode_count"] for row in rows[:31]].count("8") == 2  # 496 steps, 200 an episode
    assert all(row["grad_norm"] != "nan" for row in rows)

    again = run("train", "--total-timesteps=4000", "--run-name=tiny", *TINY, cwd=tmp_path)
    assert again.returncode == 2
    assert "File exists" in again.stderr


def test_without_a_name_the_directory_tells_environment_and_time(tmp_path):
    command = parsed(f"--output-dir={tmp_path}", "--env=MountainCarContinuous-v0")
    directory = command._directory(command.config.to_config())
    assert directory.parent == tmp_path
    name, date, time = directory.name.replace("_", " ").replace("-v0", "").replace("-", " ").split()
    assert (name, len(date), len(time)) == ("MountainCarContinuous", 8, 6)


def test_every_plain_setting_is_a_flag():
    default = ConfigFlags()
    for field in dataclasses.fields(Config):
        if field.name in NOT_ON_THE_COMMAND_LINE | {"network"}:
            continue
        value, words = other_value(field.name, getattr(default, field.name))
        assert getattr(parsed(*words).config, field.name) == value
    for field in dataclasses.fields(NetworkConfig):
        value, words = other_value(f"network.{field.name}", getattr(default.network, field.name))
        assert getattr(parsed(*words).config.network, field.name) == value


def other_value(name: str, default: object) -> tuple[object, list[str]]:
    """Another value than the default, and the words that ask for it."""
    flag = "--" + name.replace("_", "-")
    texts = {
        "env": "Swimmer-misc",
        "lr_schedule": "constant",
        "advantage_normalization": "batch",
        "action_transform": "rescale",
        "network.activation": "relu",
    }
    match default:
        case bool():
            *groups, last = flag[2:].split(".")
            switch = last if not default else f"no-{last}"
            return not default, ["--" + ".".join([*groups, switch])]
        case int() | float():
            return default + 1, [flag, str(default + 1)]
        case tuple():
            return (5, 6, 7), [flag, "5", "6", "7"]
        case str():
            return texts[name], [flag, texts[name]]
    raise AssertionError(f"{name} = {default!r}: give it a flag, or name it where it has none")


def test_each_flag_has_the_help_text_of_its_field(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--alpha FLOAT Half-width of the uniform perturbation of the policy's mean" in text
    assert "--network.hidden-sizes [INT [INT ...]] Widths of the hidden layers." in text
    assert "`rpojax envs` lists them" in text
    assert "nnx" not in text
    assert "reward-shaper" not in text
    for field in dataclasses.fields(Config):
        if field.name not in NOT_ON_THE_COMMAND_LINE | {"network"}:
            assert f"--{field.name.replace('_', '-')} " in text.replace(",", " ")


def test_no_flags_are_the_configs_defaults():
    assert parsed().config.to_config() == Config()
    assert (parsed().num_seeds, parsed().seed) == (4, 0)


def test_whole_numbers_may_be_written_as_config_takes_them():
    assert parsed("--total-timesteps", "1e6").config.total_timesteps == 1_000_000
    assert parsed("--total-timesteps", "1_000_000").config.total_timesteps == 1_000_000
    assert parsed("--seed", str(2**60 + 1)).seed == 2**60 + 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Expected one of {train, envs}."),
        (["trian"], "Available subcommands: train, envs"),
        (["train", "--num-env", "3"], "Perhaps you meant: --num-envs"),
        (["train", "--num-envs", "x"], "--num-envs: 'x' is not a whole number"),
        (["train", "--num-envs", "7.5"], "--num-envs: '7.5' is not a whole number"),
        (["train", "--lr-schedule", "cosine"], "'constant', 'linear', 'kl_adaptive'"),
        (["train", "--reward-shaper", "x"], "Unrecognized options: --reward-shaper"),
        (["train", "--network.log-std-init", "9"], "rpojax: log_std_init = 9 is out of range"),
        (["train", "--alpha", "-1"], "rpojax: alpha = -1 is out of range"),
        (["train", "--num-minibatches", "31"], "the nearest that divides it"),
        (["train", "--total-timesteps", "100"], "give total_timesteps of at least 8192"),
        (["train", "--env", "Pendlum"], "did you mean 'Pendulum-v1'?"),
        (["train", "--num-seeds", "0"], "num_seeds = 0 is not allowed"),
    ],
)
def test_what_the_user_has_to_change_is_told_on_one_line(
    args, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("rpojax: ")
    assert message in error
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    "box",
    [
        "╭─ Value error ──╮\n│ Error parsing  │\n│ --seed: no.    │\n│ ────────────── │\n"
        "│ For full helptext, see │\n╰────────────────╯\n",
        " Value error \n ------------ \n  Error parsing --seed: \n  no. \n  -----\n"
        "  For full helptext, see\n \n",
        "\x1b[31m╭─ Value error ╮\n│ Error parsing --seed: no. │\n╰──────╯\x1b[0m\n",
    ],
)
def test_a_box_of_any_terminal_becomes_one_line(box):
    assert _on_one_line(box) == "Error parsing --seed: no."


def test_a_bad_flag_ends_the_process_with_status_2_and_no_traceback(tmp_path):
    finished = run("train", "--gamma", "1.5", cwd=tmp_path)
    assert finished.returncode == 2
    assert (
        finished.stderr == "rpojax: gamma = 1.5 is out of range; give a finite number in [0, 1]\n"
    )
    assert finished.stdout == ""


def test_envs_lists_the_names(capsys):
    main(["envs"])
    assert capsys.readouterr().out.split() == envs.names()


def test_the_parser_imports_nothing_that_is_slow():
    program = "import sys, rpojax.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    assert "rpojax.cli" in loaded.split()
    assert not {"gymnax", "matplotlib", "seaborn", "pandas", "orbax"} & set(loaded.split())

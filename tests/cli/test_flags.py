"""Flags and settings files of `rpojax train`, and errors that users make."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import pytest
from commands import parsed, run

from rpojax import Config, NetworkConfig, RunOptions
from rpojax.cli import main
from rpojax.cli.command import _unboxed, parse
from rpojax.cli.flags import ConfigFlags, JaxFlags

NOT_ON_THE_COMMAND_LINE = {"reward_shaper", "symmetry", "env_params"}  # --env-params.NAME


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
    assert parsed("--agents-at-once", "1").config.agents_at_once == 1


def other_value(name: str, default: object) -> tuple[object, list[str]]:
    """Another value than the default, and the words that ask for it."""
    flag = "--" + name.replace("_", "-")
    texts = {
        "env": "Swimmer-misc",
        "lr_schedule": "constant",
        "alpha_schedule": "linear",
        "advantage_normalization": "batch",
        "action_transform": "rescale",
        "resets": "pool",
        "surrogate": "spo",
        "perturbation": "gaussian",
        "optimizer": "adamw",
        "agents_at_once": "all",
        "network.activation": "relu",
        "network.dtype": "bfloat16",
        "network.cell": "gru",
        "network.distribution": "tanh_gaussian",
        "network.std_parameterization": "softplus",
        "sequence_length": "8",
        "advantage_horizon": "8",
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
        case None if name.endswith("_sizes"):
            return (5, 6, 7), [flag, "5", "6", "7"]
        case None if name.endswith("_keys"):
            return ("angle", "speed"), [flag, "angle", "speed"]
        case None:
            text = texts[name]
            return int(text) if text.isdigit() else text, [flag, text]
    raise AssertionError(f"{name} = {default!r}: give it a flag, or name it where it has none")


def test_each_flag_has_the_help_text_of_its_field(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--alpha FLOAT Half-width of the perturbation of the policy's mean" in text
    assert "--network.hidden-sizes [INT [INT ...]] Widths of the perceptron's hidden" in text
    assert "`rpojax envs` lists them" in text
    assert "nnx" not in text
    for field in dataclasses.fields(Config):
        if field.name not in NOT_ON_THE_COMMAND_LINE | {"network"}:
            assert f"--{field.name.replace('_', '-')} " in text.replace(",", " ")


def test_every_option_of_a_run_is_a_flag_of_train_and_of_resume(tmp_path):
    path = tmp_path / "settings.yaml"
    for name, default in vars(RunOptions()).items():
        flag, value = "--" + name.replace("_", "-"), 7 if default is None else default + 1
        changed = RunOptions(**{name: value})
        assert parsed(flag, str(value)).run == changed
        path.write_text(f"{name}: {value}")
        assert parsed(f"--config={path}").run == changed
        assert parse(["resume", "runs/x", flag, str(value)]).run == {name: value}
    path.write_text("EVAL_EVERY: 3\nlog_every: 4")
    assert parsed(f"--config={path}", "--log-every=5").run == RunOptions(eval_every=3, log_every=5)
    assert parse(["resume", "runs/x"]).run == {}


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
        ([], "Expected one of {train, resume, study, report, eval, export, play"),
        (
            ["trian"],
            "Available subcommands: train, resume, study, report, eval, export, play",
        ),
        (["train", "--num-env", "3"], "Perhaps you meant: --num-envs"),
        (["train", "--num-envs", "x"], "--num-envs: 'x' is not a whole number"),
        (["train", "--num-envs", "7.5"], "--num-envs: '7.5' is not a whole number"),
        (["train", "--lr-schedule", "cosine"], "'constant', 'linear', 'kl_adaptive'"),
        (["train", "--reward-shaper", "x"], "reward_shaper = 'x' is not callable; give a function"),
        (["train", "--network.log-std-init", "9"], "rpojax: log_std_init = 9 is out of range"),
        (
            ["train", "--network.cell", "gruu"],
            "invalid choice 'gruu' for argument '--network.cell'",
        ),
        (["train", "--alpha", "-1"], "rpojax: alpha = -1 is out of range"),
        (["train", "--num-minibatches", "31"], "the nearest that divides it"),
        (["train", "--total-timesteps", "100"], "give total_timesteps of at least 8192"),
        (["train", "--sequence-length", "8"], "sequence_length = 8 is for recurrent networks"),
        (["train", "--network.actor-keys", "angle"], "actor_keys"),
        (["train", "--env", "Pendlum"], "did you mean 'Pendulum-v1'?"),
        (["train", "--num-seeds", "0"], "num_seeds = 0 is not allowed"),
        (["train", "--seed", "-1"], "seed = -1 is not allowed"),
        (["train", "--keep-checkpoints", "0"], "rpojax: keep_checkpoints = 0 is not allowed"),
        (["train", "--device", "abacus"], "device = 'abacus' is not available, JAX runs on"),
        (["train", "--output-dir", "file"], "output_dir = 'file' is a file; give a directory"),
        (["train", "--output-dir", ".", "--run-name", "file"], "'file' is a file"),
        (["resume"], "DIR"),
        (["resume", "nowhere"], "'nowhere' is not a directory; give the directory of a run"),
        (["resume", "."], "'.' holds no checkpoint; give the directory of a run"),
        (["eval", "nowhere"], "'nowhere' is not a directory"),
        (["eval", "file"], "'file' is not a directory"),
        (["eval", "\x1b[31mred\x07"], r"\x1b[31mred\x07"),  # as one line that can be printed
        (["export", "."], "'.' holds no checkpoint"),
        (["render", "."], "'.' holds no checkpoint"),
        (["plot", "."], "'.' holds no checkpoint"),
        (["plot"], "no directories are given"),
    ],
)
def test_user_errors_print_one_line(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    complaint = run(*args).complaint
    assert message in complaint
    assert complaint.isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_running_out_of_memory_prints_one_line(monkeypatch):
    def out_of_memory() -> None:
        raise jax.errors.JaxRuntimeError(
            "INTERNAL: Error dispatching computation: Out of memory allocating 24000000000 bytes."
        )

    monkeypatch.setattr("rpojax.cli.command.parse", lambda args: out_of_memory)
    assert run("train").complaint == (
        "rpojax: out of memory while allocating 24000000000 bytes; give fewer agents, a smaller "
        "num_envs or num_steps, or a smaller agents_at_once"
    )


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    def fault() -> None:
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr("rpojax.cli.command.parse", lambda args: fault)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        main(["train"])


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
    assert _unboxed(box) == "Error parsing --seed: no."


@pytest.fixture
def _jax_settings_restored():
    names = [
        "jax_platforms",
        "jax_enable_compilation_cache",
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
    ]
    before = {name: jax.config.values[name] for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.usefixtures("_jax_settings_restored")
def test_where_compiled_programs_are_kept(tmp_path, monkeypatch):
    def kept(**flags: Any) -> tuple[str | None, float]:
        JaxFlags(**flags).start_jax()
        values = jax.config.values
        return (
            values["jax_compilation_cache_dir"] if values["jax_enable_compilation_cache"] else None,
            values["jax_persistent_cache_min_compile_time_secs"],
        )

    directory, least = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    jax.config.update(directory, None)
    jax.config.update(least, 1.0)  # JAX's own
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert kept() == (str(tmp_path / ".cache" / "rpojax" / "xla"), 0.0)

    jax.config.update(directory, None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert kept() == (str(tmp_path / "caches" / "rpojax" / "xla"), 0.0)

    jax.config.update(directory, "/mine")  # what JAX_COMPILATION_CACHE_DIR does
    jax.config.update(least, 0.5)
    assert kept() == ("/mine", 0.5)

    jax.config.update(directory, None)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="compiled programs are not kept: .*Not a directory"):
        assert kept()[0] is None

    assert kept(compilation_cache=False)[0] is None
    assert jax.config.values["jax_enable_compilation_cache"] is False


@pytest.mark.usefixtures("_jax_settings_restored")
def test_a_device_that_is_there_is_taken():
    JaxFlags(device=jax.default_backend()).start_jax()

import contextlib
import csv
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import matplotlib.image
import numpy as np
import pytest

import rpojax
from rpojax import Config, NetworkConfig, loggers
from rpojax.cli import main
from rpojax.cli.flags import ConfigFlags, JaxFlags
from rpojax.cli.parsing import _on_one_line, parse
from rpojax.cli.training import Train
from rpojax.runs import checkpoint, checkpoint_manager
from rpojax.runs import directory as run_directory
from rpojax.runs.directory import RunDirectory

pytestmark = pytest.mark.usefixtures("compiled_quickly")

# A shell starts background jobs with SIGINT ignored, and children inherit that.
AS_FROM_A_TERMINAL = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
COMMAND = str(Path(sys.executable).with_name("rpojax"))
TINY = (
    "--num-envs=8", "--num-steps=16", "--update-epochs=1", "--num-minibatches=2",
    "--network.hidden-sizes", "8", "--num-seeds=2", "--lr-schedule=constant",
)  # fmt: skip
UPDATES, BATCH = 31, 128
TRAIN = ("train", *TINY, "--eval-every=10", "--eval-episodes=4", "--total-timesteps=4000")
NOT_ON_THE_COMMAND_LINE = {"reward_shaper", "env_params"}  # a function; --env-params.NAME


class Finished(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """What --json printed, and nothing but that."""
        assert self.status == 0, self.err
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line of a command that failed."""
        assert self.status == 2, self
        assert self.out == ""
        assert self.err.startswith("rpojax: ")
        assert self.err.count("\n") == 1
        return self.err.strip()


def run(*args: str | Path) -> Finished:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(arg) for arg in args])
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Finished(status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def started(*args: str, cwd: Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process of its own, compiled fast and not well; killed if still there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    quick = {"XLA_FLAGS": "--xla_backend_optimization_level=0", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-c", AS_FROM_A_TERMINAL, COMMAND, *args],
        cwd=cwd,
        env=kept | quick | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process: "subprocess.Popen[str]") -> Finished:
    out, err = process.communicate(timeout=300)
    return Finished(process.returncode, out, err)


def parsed(*args: str) -> Train:
    command = parse(["train", *args])
    assert isinstance(command, Train)
    return command


@pytest.fixture(scope="module", autouse=True)
def _devices_are_fixed():
    """So that the command cannot change how many other tests see."""
    jax.devices()


class Trained(NamedTuple):
    path: Path
    finished: Finished

    def copy(self, place: Path) -> Path:
        """Another directory with the same run."""
        return Path(shutil.copytree(self.path, place / "copy"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    """A run that the tests below look at and leave as it is."""
    place = tmp_path_factory.mktemp("runs")
    arguments = (f"--output-dir={place}", "--run-name=tiny", "--tensorboard", "--json")
    return Trained(place / "tiny", run(*TRAIN, *arguments))


def returns_in(report: dict[str, Any]) -> list[float]:
    """The mean return of each agent."""
    return [agent["mean"] for agent in report["agents"]]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_train_prints_one_json_object_and_the_rest_on_stderr(trained):
    report = trained.finished.report
    assert report["run_directory"] == str(trained.path)
    assert (report["env"], report["episodes"]) == ("Pendulum-v1", 128)
    assert [agent["seed"] for agent in report["agents"]] == [0, 1]
    assert all(agent["finite"] for agent in report["agents"])
    assert all(-2000.0 < value < 0.0 for value in returns_in(report))
    (group,) = report["groups"]
    assert group["mean"] == pytest.approx(np.mean(returns_in(report)))
    assert group["std"] == pytest.approx(np.std(returns_in(report)))
    assert report["steps"] == 2 * UPDATES * BATCH
    assert report["steps_per_second"] == pytest.approx(report["steps"] / report["seconds"])
    assert report["setup_seconds"] > 0
    assert report["compile_seconds"] > 0
    told = trained.finished.err
    assert "4,000 steps are not whole updates of 128; each agent trains for 3,968" in told
    for text in ("end of training", "128 evaluation", "2 of 2", " ± ", "steps/s", "compiled in"):
        assert text in told


def test_train_leaves_its_files_in_the_run_directory(trained):
    files = trained.finished.report["files"]
    names = {
        "settings.yaml", "checkpoints", "metrics.csv", "learning_curve.png", "tensorboard",
    }  # fmt: skip
    assert {Path(path).name for path in files.values()} == names
    assert {path.name for path in trained.path.iterdir()} == names
    assert {Path(path).parent for path in files.values()} == {trained.path}

    rows = rows_of(trained.path / "metrics.csv")
    settings = checkpoint_manager.recorded_settings(trained.path / "checkpoints")
    assert tuple(rows[0]) == loggers.columns(settings.agents)
    for seed in ("0", "1"):
        of_seed = [row for row in rows if row["seed"] == seed]
        assert [int(row["steps"]) for row in of_seed] == [BATCH * (n + 1) for n in range(UPDATES)]
        assert [row["episode_count"] for row in of_seed].count("8.0") == 2  # 496 steps, 200 each
        evaluated = [int(row["updates"]) for row in of_seed if row["evaluation_return"]]
        assert evaluated == [10, 20, 30, 31]
    pixels = matplotlib.image.imread(trained.path / "learning_curve.png")
    assert pixels.shape[:2] == (600, 1050)
    assert pixels.std() > 0.05
    assert list((trained.path / "tensorboard" / "seed=1").glob(loggers.charts.EVENT_FILES))
    saved = [
        path.name for path in checkpoint_manager.checkpoint_paths(trained.path / "checkpoints")
    ]
    assert saved[-3:] == ["update_000000027", "update_000000030", "update_000000031"]


def test_settings_of_a_run_start_it_again(trained):
    path = trained.path / "settings.yaml"
    again = parsed(f"--config={path}")
    recorded = checkpoint_manager.recorded_settings(trained.path / "checkpoints")
    assert again.config.to_config() == recorded.cfg
    assert tuple(range(again.seed, again.seed + again.num_seeds)) == recorded.agents.seeds
    changed = parsed(f"--config={path}", "--alpha=0.25", "--num-seeds=7")
    assert changed.config.to_config() == recorded.cfg.replace(alpha=0.25)
    assert changed.num_seeds == 7


def test_eval_of_the_newest_checkpoint_gives_what_training_ended_with(trained):
    report = run("eval", trained.path, "--json").report
    trained_report = trained.finished.report
    for name in ("env", "episodes", "agents", "groups", "steps"):
        assert report[name] == trained_report[name], name
    assert report["checkpoint"].endswith("update_000000031")
    assert (report["seed"], report["stochastic"]) == (None, False)


def test_eval_has_its_episodes_its_seed_and_its_noise(trained):
    def returns(*flags: str) -> list[float]:
        return returns_in(run("eval", trained.path, "--episodes=4", "--json", *flags).report)

    default = returns()
    assert default == returns()
    assert returns("--seed=1") == returns("--seed=1") != default
    assert default != returns("--stochastic")


def test_eval_of_the_best_checkpoint(trained):
    report = run("eval", trained.path, "--best", "--episodes=4", "--json").report
    rows = rows_of(trained.path / "metrics.csv")
    best = []
    for agent in ("0", "1"):
        evaluated = [r for r in rows if r["agent"] == agent and r["evaluation_return"]]
        best.append(int(max(evaluated, key=lambda r: float(r["evaluation_return"]))["updates"]))
    assert report["checkpoint"].endswith("update_000000031")
    assert report["steps"] == sum(best) * BATCH


def test_eval_prints_a_table(trained):
    finished = run("eval", trained.path, "--episodes=4")
    assert (finished.status, finished.err) == (0, "")
    assert "after 3,968 steps of each agent" in finished.out
    assert "return, 4" in finished.out


def test_resume_of_a_finished_run_reports_it_again(trained, tmp_path):
    path = trained.copy(tmp_path)
    (path / "learning_curve.png").unlink()
    finished = run("resume", path)
    assert (finished.status, finished.err) == (0, "")
    assert "nothing was left to train" in finished.out
    assert "2 of 2" in finished.out
    names = (
        "settings.yaml", "checkpoints", "metrics.csv", "learning_curve.png", "tensorboard",
    )  # fmt: skip
    files = [str(path / name) for name in names]
    assert finished.out.splitlines()[-5:] == files
    assert all(Path(file).exists() for file in files)


def test_resume_to_a_later_end_is_a_run_of_that_length(trained, tmp_path):
    path = trained.copy(tmp_path)
    resumed = run("resume", path, "--total-timesteps=5000", "--json").report
    straight = run(
        *TRAIN, "--total-timesteps=5000", f"--output-dir={tmp_path}", "--run-name=x", "--json"
    ).report
    for name in ("agents", "groups", "steps"):
        assert resumed[name] == straight[name], name
    assert (path / "settings.yaml").read_text() == (tmp_path / "x" / "settings.yaml").read_text()
    timed = {"steps_per_second", "evaluation_return"}  # the end of the first run was evaluated
    ours, theirs = (
        [{name: row[name] for name in row.keys() - timed} for row in rows_of(place / "metrics.csv")]
        for place in (path, tmp_path / "x")
    )
    assert ours == theirs
    events = sorted((path / "tensorboard").glob(loggers.charts.EVENT_FILES))
    assert len(events) == 2, "the resumed run continues in TensorBoard"


def test_export_writes_the_policy_of_one_agent(trained, tmp_path):
    place = tmp_path / "policy.stablehlo"
    finished = run("export", trained.path, "--agent=1", f"--output={place}")
    assert (finished.status, finished.out.split()) == (0, [str(place)])
    policy = jax.export.deserialize(bytearray(place.read_bytes()))
    found = rpojax.load(trained.path)
    obs = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 4.0]], np.float32)
    actions = []
    for index in (0, 1):
        actions.append(rpojax.make_policy(found.cfg, found.state(index))(obs))
    np.testing.assert_allclose(policy.call(obs), actions[1], rtol=1e-5)
    assert not np.allclose(actions[0], actions[1])


def test_export_writes_parameters_into_the_run_directory(trained, tmp_path):
    path = trained.copy(tmp_path)
    written = {}
    for part in ("all", "policy", "value"):
        finished = run("export", path, "--format=npz", f"--part={part}")
        assert finished.status == 0, finished.err
        file = Path(finished.out.strip())
        assert file.parent == path
        written[part] = set(np.load(file))
    assert "params/mean/kernel" in written["policy"] - written["value"]
    assert "params/value/kernel" in written["value"] - written["policy"]
    assert written["all"] == written["policy"] | written["value"]


def test_a_stochastic_export_wants_a_key(trained, tmp_path):
    place = tmp_path / "policy.stablehlo"
    assert run("export", trained.path, "--stochastic", f"--output={place}").status == 0
    policy = jax.export.deserialize(bytearray(place.read_bytes()))
    obs = np.zeros((1, 3), np.float32)
    first, second = (policy.call(obs, jax.random.key(seed)) for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_render_writes_an_episode_with_its_last_state(trained, tmp_path):
    from PIL import Image

    place = tmp_path / "episode.gif"
    finished = run("render", trained.path, "--max-steps=5", f"--output={place}")
    assert (finished.status, finished.out.split()) == (0, [str(place)])
    with Image.open(place) as picture:
        assert (picture.format, getattr(picture, "n_frames", 1)) == (
            "GIF",
            6,
        )  # with the last state


def test_plot_draws_runs_from_their_metrics_or_their_checkpoints(trained, tmp_path):
    path = trained.copy(tmp_path)
    pictures = [tmp_path / name for name in ("logged.png", "saved.png", "both.png")]
    assert run("plot", path, f"--output={pictures[0]}").out.split() == [str(pictures[0])]
    (path / "metrics.csv").unlink()
    assert run("plot", path, f"--output={pictures[1]}").status == 0
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    assert run("plot", path, trained.path, f"--output={pictures[2]}").status == 0
    assert matplotlib.image.imread(pictures[2]).shape[:2] == (600, 1200)
    assert pictures[2].read_bytes() != pictures[0].read_bytes()


def test_plot_labels_runs_by_name_or_by_path_where_names_are_alike(trained, tmp_path, monkeypatch):
    seen: list[tuple[list[str], str, str]] = []
    monkeypatch.setattr(
        "rpojax.cli.views.plot_curves",
        lambda curves, path, ylabel, title: seen.append((list(curves), ylabel, title)),
    )
    twin = shutil.copytree(trained.path, tmp_path / "tiny")
    other = trained.copy(tmp_path)
    assert run("plot", trained.path, other, "--metric=evaluation_return").status == 0
    assert run("plot", trained.path, twin, trained.path).status == 0
    assert seen == [
        (["tiny", "copy"], "evaluation return", "Pendulum-v1"),
        ([str(trained.path), str(twin)], "episode return", "Pendulum-v1"),
    ]


def test_existing_run_directory_is_refused_with_the_remedy(trained):
    before = sorted(trained.path.rglob("*"))
    again = run(*TRAIN, f"--output-dir={trained.path.parent}", "--run-name=tiny")
    assert "exists already; resume it with `rpojax resume" in again.complaint
    assert "--overwrite" in again.complaint
    assert sorted(trained.path.rglob("*")) == before


def test_overwrite_replaces_the_run_and_leaves_other_files(trained, tmp_path):
    path = trained.copy(tmp_path)
    (path / "notes.txt").write_text("mine")
    arguments = (*TRAIN, f"--output-dir={tmp_path}", "--run-name=copy", "--overwrite")

    saved = sorted(path.rglob("*"))
    assert "num_seeds = 0" in run(*arguments, "--num-seeds=0").complaint
    assert "unknown environment" in run(*arguments, "--env=Pendlum").complaint
    assert sorted(path.rglob("*")) == saved, "a run that cannot start removes nothing"

    report = run(*arguments, "--seed=1", "--json").report
    assert returns_in(report) != returns_in(trained.finished.report)
    assert (path / "notes.txt").read_text() == "mine"
    assert not (path / "tensorboard").exists()
    assert len(rows_of(path / "metrics.csv")) == 2 * UPDATES


def test_a_disk_that_is_full_from_the_start_leaves_no_directory(tmp_path, monkeypatch):
    def write(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(f"checkpoint {path} could not be written: No space left on device")

    monkeypatch.setattr(checkpoint.storage, "write", write)
    finished = run(*TRAIN, f"--output-dir={tmp_path}", "--run-name=x")
    assert finished.complaint.endswith("No space left on device")
    assert not (tmp_path / "x").exists()


def test_a_disk_that_is_full_at_the_end_costs_the_picture_alone(trained, tmp_path, monkeypatch):
    path = trained.copy(tmp_path)

    def draw(cfg: Config, metrics: rpojax.Metrics, place: Path, **_: Any) -> None:
        raise OSError(f"{str(place)!r} could not be written: No space left on device")

    monkeypatch.setattr("rpojax.cli.training.plot_learning_curves", draw)
    finished = run("resume", path, "--json")
    assert finished.status == 2
    assert json.loads(finished.out)["agents"] == trained.finished.report["agents"]
    line = finished.err.splitlines()[-1]
    assert line.startswith("rpojax: ")
    assert "learning_curve.png" in line


def test_a_damaged_checkpoint_is_skipped_with_a_warning_of_one_line(trained, tmp_path):
    path = trained.copy(tmp_path)
    newest = checkpoint_manager.checkpoint_paths(path / "checkpoints")
    shutil.rmtree(newest[-1] / "arrays")
    finished = run("eval", path, "--episodes=4", "--json")
    assert finished.report["checkpoint"] == str(newest[-2])
    warning = finished.err.splitlines()[0]
    assert warning.startswith("rpojax: warning: ")
    assert warning.endswith("trying the one before")

    for damaged in newest:
        shutil.rmtree(damaged / "record")
    for command in ("eval", "resume"):
        finished = run(command, path)
        assert finished.status == 2
        assert "start a new run" in finished.err.splitlines()[-1]


def test_without_a_name_the_directory_tells_environment_and_time(tmp_path):
    command = parsed(f"--output-dir={tmp_path}", "--env=MountainCarContinuous-v0")
    made = [command._run_directory(command.config.to_config()).path for _ in range(3)]
    assert len(set(made)) == 3, "also within a second"
    for path in made:
        assert path.parent == tmp_path
        assert re.fullmatch(r"MountainCarContinuous-v0_\d{8}-\d{6}(-\d+)?", path.name)


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "."])
def test_a_run_name_does_not_leave_the_output_directory(name, tmp_path):
    finished = run(*TRAIN, f"--output-dir={tmp_path}/runs", f"--run-name={name}")
    assert f"run_name = {name!r} is not the name of a directory" in finished.complaint
    assert not list(tmp_path.iterdir())


def test_charts_of_a_resumed_run_continue(tmp_path, monkeypatch):
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(run_directory, "WandbLogger", lambda **given: made.append(given))
    directory = RunDirectory(tmp_path)
    assert len(directory.loggers(tensorboard=False, wandb="walks")) == 2
    directory.metrics_csv.touch()
    directory.metrics_jsonl.touch()
    assert len(directory.loggers_again()) == 3
    assert made[0] == made[1]
    assert made[0].keys() == {"project", "name", "id", "dir"}
    assert (made[0]["project"], made[0]["name"]) == ("walks", tmp_path.name)


def test_a_missing_extra_is_told_of_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    finished = run(*TRAIN, f"--output-dir={tmp_path}", "--run-name=x", "--tensorboard")
    assert "pip install 'rpojax[tensorboard]'" in finished.complaint
    assert not list(tmp_path.iterdir())


SETTINGS = {"learning_rate": 3e-4, "num_envs": 128, "network": {"hidden_sizes": [8], "cell": "gru"}}
FILES = {
    "settings.yaml": "learning_rate: 3e-4\nnum_envs: 128\n"
    "network: {hidden_sizes: [8], cell: gru}\n",
    "settings.toml": "learning_rate = 3e-4\nnum_envs = 128\n[network]\nhidden_sizes = [8]\n"
    'cell = "gru"\n',
    "settings.json": json.dumps(SETTINGS),
}


@pytest.mark.parametrize("name", FILES)
def test_settings_come_from_a_file_and_flags_win_over_it(name, tmp_path):
    path = tmp_path / name
    path.write_text(FILES[name])
    assert parsed(f"--config={path}").config.to_config() == Config.from_dict(SETTINGS)
    words = ("--network.cell=lstm", "--num-envs", "64", f"--config={path}", "--seed=3")
    changed = parsed(*words)
    assert changed.seed == 3
    assert changed.config.to_config() == Config.from_dict(
        SETTINGS | {"num_envs": 64, "network": {"hidden_sizes": [8], "cell": "lstm"}}
    )


def test_a_file_may_leave_to_flags_what_it_needs(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("total_timesteps: 1e2\nLR: 1e-3  # as PureJaxRL calls it\n")
    few = parsed(f"--config={path}", "--num-envs=2", "--num-steps=32").config.to_config()
    assert (few.total_timesteps, few.learning_rate) == (100, 1e-3)
    assert "total_timesteps = 100 is less" in run("train", f"--config={path}").complaint


def test_an_empty_file_changes_nothing(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("# nothing yet\n")
    assert parsed(f"--config={path}").config.to_config() == Config()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "num_env: 4", "a.yaml: unknown setting 'num_env'; did you mean 'num_envs'?"),
        ("a.yaml", "network: {cel: gru}", "unknown setting of the network 'cel'"),
        ("a.yaml", "network: {cell: gruu}", "cell = 'gruu' is not known"),
        ("a.yaml", "num_envs: many", "num_envs = 'many' is not allowed; give a whole number"),
        ("a.yaml", "lr_schedule: cosine", "lr_schedule = 'cosine' is not known"),
        ("a.yaml", "num_envs: [", "cannot be read as YAML"),
        ("a.yaml", "- 1", "settings must be names with their values"),
        ("a.yaml", "network: 5", "network must be names with their values"),
        ("a.toml", "num_envs 4", "cannot be read as TOML"),
        ("a.toml", "\udcff", "cannot be read as TOML"),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.txt", "", "give a file that ends in one of .yaml, .yml, .toml, .json"),
        ("a.yaml", None, "a.yaml' does not exist; give the path of a settings file"),
        ("a.yaml", "alpha: 1\nalpha: 2", "'alpha' is given twice"),
        ("a.yaml", "network: {cell: gru, cell: rnn}", "'cell' is given twice"),
        ("a.json", '{"alpha": 1, "alpha": 2}', "'alpha' is given twice"),
        ("a.toml", "alpha = 1\nalpha = 2", "cannot be read as TOML"),
        ("a.yaml", "alpha: &a 1\ngamma: *a", "line 2 has an alias"),
        ("a.yaml", "alpha: " + "[" * 5000, "nested too deeply"),
        ("a.json", '{"alpha": ' + "[" * 100_000, "nested too deeply"),
        ("a.toml", "alpha = " + "[" * 5000, "nested too deeply"),
        ("a.yaml", "LR: -1", "a.yaml: learning_rate = -1 is out of range"),
        ("a.yaml", "LR: -1", "(learning_rate is set by 'LR')"),
        ("a.yaml", "ACTIVATION: sine", "(activation is set by 'ACTIVATION')"),
        ("a.yaml", "NUM_MINIBATCHES: 7", "num_minibatches is set by 'NUM_MINIBATCHES'"),
        ("a.yaml", "num_seeds: 0", "a.yaml: num_seeds = 0 is not allowed"),
        ("a.yaml", "SEED: x", "a.yaml: SEED = 'x' is not allowed"),
        ("a.yaml", "env_params: 3", "env_params = 3 is not a dictionary"),
        ("a.yaml", "env_params: {h: 3}", "'h'"),
    ],
)
def test_errors_in_settings_files_are_one_line(name, text, message, tmp_path):
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    assert message in run("train", f"--config={path}", f"--output-dir={tmp_path}/runs").complaint
    assert not (tmp_path / "runs").exists()


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


def test_agents_at_once_may_be_a_number():
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
        "agents_at_once": "all",
        "network.activation": "relu",
        "network.dtype": "bfloat16",
        "network.cell": "gru",
        "network.distribution": "tanh_gaussian",
        "network.std_parameterization": "softplus",
        "sequence_length": "8",
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
    assert "--alpha FLOAT Half-width of the uniform perturbation of the policy's mean" in text
    assert "--network.hidden-sizes [INT [INT ...]] Widths of the perceptron's hidden" in text
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
        ([], "Expected one of {train, resume, study, report, eval, export, render, plot, envs}."),
        (
            ["trian"],
            "Available subcommands: train, resume, study, report, eval, export, render",
        ),
        (["train", "--num-env", "3"], "Perhaps you meant: --num-envs"),
        (["train", "--num-envs", "x"], "--num-envs: 'x' is not a whole number"),
        (["train", "--num-envs", "7.5"], "--num-envs: '7.5' is not a whole number"),
        (["train", "--lr-schedule", "cosine"], "'constant', 'linear', 'kl_adaptive'"),
        (["train", "--reward-shaper", "x"], "Unrecognized options: --reward-shaper"),
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
        (["train", "--keep-checkpoints", "0"], "keep_checkpoints = 0 is not allowed"),
        (["train", "--device", "abacus"], "device = 'abacus' is not available, JAX runs on"),
        (["train", "--output-dir", "file"], "output_dir = 'file' is a file; give a directory"),
        (["train", "--output-dir", ".", "--run-name", "file"], "'file' is a file"),
        (["resume"], "DIR"),
        (["resume", "nowhere"], "'nowhere' is not a directory; give the directory of a run"),
        (["resume", "."], "'.' holds no checkpoint; give the directory of a run"),
        (["eval", "nowhere"], "'nowhere' is not a directory"),
        (["eval", "file"], "'file' is not a directory"),
        (["export", "."], "'.' holds no checkpoint"),
        (["render", "."], "'.' holds no checkpoint"),
        (["plot", "."], "'.' holds no checkpoint"),
        (["plot"], "no directories are given"),
    ],
)
def test_user_errors_print_one_line(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert message in run(*args).complaint
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["resume", "--total-timesteps=1000"], "total_timesteps = 1000 is less than the 3968"),
        (["resume", "--total-timesteps=5000", "--devices-per-agent=64"], "devices_per_agent = 64"),
        (["eval", "--episodes=0"], "episodes = 0 is not allowed"),
        (["eval", "--seed=-1"], "seed = -1 is not allowed"),
        (["export", "--agent=2"], "agent = 2 is not in this run; give 0 to 1"),
        (["export", "--agent=-1"], "agent = -1 is not allowed"),
        (["export", "--format=onnx"], "'stablehlo', 'npz'"),
        (["export", "--part=value"], "part = 'value' picks parameters"),
        (["export", "--format=npz", "--stochastic"], "leave --stochastic out"),
        (["export", "--output=no/where"], "No such file or directory"),
        (["render", "--output=a.png"], "does not end in .gif"),
        (["render", "--max-steps=0"], "max_steps = 0 is not allowed"),
        (["plot", "--metric=episode_returns"], "did you mean 'episode_return'?"),
        (["plot", "--output=a.gfi"], "'gfi' is not supported"),
    ],
)
def test_user_errors_about_a_run_print_one_line(args, message, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in run(*args, trained.path).complaint
    assert not list(tmp_path.iterdir())


def test_the_best_of_a_run_without_evaluations_is_refused(tmp_path):
    arguments = ("--total-timesteps=256", f"--output-dir={tmp_path}", "--run-name=x")
    assert run("train", *TINY, *arguments).status == 0
    complaint = run("eval", tmp_path / "x", "--best").complaint
    assert "holds no evaluated agents; train with eval_every" in complaint


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
    assert _on_one_line(box) == "Error parsing --seed: no."


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


class Stopped(NamedTuple):
    path: Path
    finished: Finished
    programs: set[str]  # in the compilation cache


LONG = 10**8
SIGNALS = {"first run": signal.SIGINT, "second run": signal.SIGTERM}


def another(name: str, value: float) -> float:
    """Another value of a hyperparameter, in its range."""
    return 0.9 * value if value else 0.1


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> list[Stopped]:
    """Two runs, each in a process of its own that is stopped by a signal.

    They have the same settings and different values of every hyperparameter.
    """
    place = tmp_path_factory.mktemp("stopped")
    caches = place / "caches"
    hyperparams = [
        f"--{name.replace('_', '-')}={another(name, getattr(Config(), name))}"
        for name in vars(Config().hyperparams())
    ]
    assert len(hyperparams) == 12
    runs = []
    for (name, number), flags in zip(SIGNALS.items(), ([], hyperparams), strict=True):
        path = place / "runs" / name
        arguments = (
            "train", *TINY, f"--total-timesteps={LONG}", "--checkpoint-every=0", "--eval-every=5",
            "--eval-episodes=2", f"--run-name={name}", *flags,
        )  # fmt: skip
        with started(*arguments, cwd=place, XDG_CACHE_HOME=str(caches)) as process:
            for _ in range(3000):  # until it trains
                with contextlib.suppress(OSError):
                    if len(rows_of(path / "metrics.csv")) > 20:
                        break
                assert process.poll() is None, process.communicate()
                time.sleep(0.1)
            process.send_signal(number)
            finished = finish(process)
        programs = {entry.name for entry in (caches / "rpojax" / "xla").iterdir()}
        runs.append(Stopped(path, finished, programs))
    return runs


def test_other_hyperparameters_compile_nothing_anew(stopped):
    first, second = stopped
    one, other = (
        checkpoint_manager.recorded_settings(stop.path / "checkpoints") for stop in stopped
    )
    for name, values in vars(one.agents.hyperparams).items():
        assert (values != getattr(other.agents.hyperparams, name)).all(), name
    assert any("_advance" in name for name in first.programs)
    # But for the copies of the metrics, which are as long as the run was when it was stopped.
    new = {name for name in second.programs - first.programs if not name.startswith("jit_stage-")}
    assert not new


def test_a_signal_saves_and_says_how_to_resume(stopped):
    for path, finished, _ in stopped:
        assert finished.status == 128 + SIGNALS[path.name]
        saved = RunDirectory(path).updates_saved
        assert saved is not None
        assert saved > 10
        assert finished.err.splitlines()[-1] == (
            f"rpojax: stopped, saved up to update {saved} of {LONG // BATCH}; "
            f"resume with `rpojax resume 'runs/{path.name}'`"
        )
        assert int(rows_of(path / "metrics.csv")[-1]["updates"]) == saved
        assert "Traceback" not in finished.err
        assert not (path / "checkpoints" / "run.lock").exists()


def test_python_m_is_the_command_and_the_parser_imports_nothing_that_is_slow():
    program = (
        "import runpy, sys; sys.argv[1:] = ['--version']; "
        "runpy.run_module('rpojax', run_name='__main__', alter_sys=True); print(*sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    version, loaded = printed.splitlines()
    assert version == f"rpojax {rpojax.__version__}"
    assert "rpojax.cli" in loaded.split()
    assert not {"gymnax", "matplotlib", "seaborn", "pandas"} & set(loaded.split())

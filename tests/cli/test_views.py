"""`rpojax plot` and `rpojax envs`."""

import dataclasses
import json
import shutil

import matplotlib.image
import numpy as np
import pytest
from commands import run

from rpojax import Config, Metrics
from rpojax.cli.views import Envs, Plot
from rpojax.envs import registry
from rpojax.loggers import CSVLogger, LogRecord
from rpojax.settings.agent_table import AgentTable, agent_table

CFG = Config()
ALIKE = agent_table(CFG.hyperparams(), num_seeds=2)
SWEEP = agent_table(
    CFG.hyperparams(), CFG.hyperparams().replace(alpha=[0.0, 0.0, 0.1, 0.1]), seeds=[0, 1, 0, 1]
)


def logged(directory, agents: AgentTable):
    """A directory with the metrics of a run, and nothing else."""
    logger = CSVLogger(directory / "metrics.csv")
    logger.start(CFG, agents, updates=0)
    for update in (1, 2):
        values = np.full(len(agents), update, np.float32)
        metrics = Metrics.filled(values)
        logger.log(LogRecord(update, update * CFG.batch_size, metrics, 1.0, None))
    logger.close()
    return directory


def test_a_run_has_a_curve_for_each_set_of_hyperparameters(tmp_path, monkeypatch):
    labels = []
    monkeypatch.setattr(
        "rpojax.cli.views.plot_curves", lambda curves, *_, **__: labels.extend(curves)
    )
    runs = logged(tmp_path / "plain", ALIKE), logged(tmp_path / "sweep", SWEEP)
    Plot(directories=runs)()
    assert labels == ["plain", "sweep: alpha=0", "sweep: alpha=0.1"]


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


@pytest.fixture
def _families(monkeypatch):
    """gymnax and two families more: one of which is not installed, and one that cannot be made."""
    missing = {"gymnax": None, "broken": None, "away": "pip install 'rpojax[away]'"}
    known = {"gymnax": ("Pendulum-v1", "Reacher-misc"), "broken": ("Pendulum-v9",), "away": ()}
    monkeypatch.setattr(registry, "FAMILIES", dict.fromkeys(missing, "rpojax.envs.gymnax.family"))
    monkeypatch.setattr(registry, "how_to_install", missing.get)
    monkeypatch.setattr(registry, "names_of", known.get)
    make = registry.make

    def with_parts(name):
        env = make(name)
        parts = {"a": env.obs, "b": {"c": env.obs}}
        return dataclasses.replace(env, obs=parts) if name == "Reacher-misc" else env

    monkeypatch.setattr("rpojax.envs.make", with_parts)


@pytest.mark.usefixtures("_families")
def test_envs_lists_sizes_and_what_is_not_installed(capsys):
    Envs()()
    pendulum, reacher, broken, away = capsys.readouterr().out.splitlines()
    assert pendulum == "Pendulum-v1         observation [3], actions [1]"
    assert reacher == "Reacher-misc        observation a [8], b/c [8], actions [2]"
    assert broken.startswith("broken/Pendulum-v9  cannot be made: unknown environment")
    assert away == "away/... is not installed: pip install 'rpojax[away]'"

    Envs(json=True)()
    report = json.loads(capsys.readouterr().out)
    assert report["not_installed"] == {"away": "pip install 'rpojax[away]'"}
    environments = report["environments"]
    assert environments["Pendulum-v1"] == {"obs": [3], "actions": 1}
    assert environments["Reacher-misc"] == {"obs": {"a": [8], "b/c": [8]}, "actions": 2}
    assert environments["broken/Pendulum-v9"]["error"].startswith("unknown environment")


@pytest.mark.usefixtures("_families")
def test_envs_makes_what_is_slow_to_make_only_where_it_is_asked_for(capsys, monkeypatch):
    monkeypatch.setattr(registry, "is_slow_to_make", lambda family: family == "broken")
    Envs()()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Pendulum-v1   observation [3], actions [1]"
    assert lines[2] == "broken/Pendulum-v9"
    assert lines[3] == "broken/...: `rpojax envs broken` makes them to show their sizes"
    Envs(json=True)()
    environments = json.loads(capsys.readouterr().out)["environments"]
    assert environments["broken/Pendulum-v9"] is None
    assert environments["Pendulum-v1"] == {"obs": [3], "actions": 1}
    Envs(patterns=("broken",))()
    assert "cannot be made" in capsys.readouterr().out


@pytest.mark.usefixtures("_families")
def test_envs_lists_what_matches(capsys):
    def listed(*patterns):
        Envs(patterns=patterns)()
        return [line.split()[0] for line in capsys.readouterr().out.splitlines()]

    assert listed("Pend*") == ["Pendulum-v1", "broken/Pendulum-v9"]
    assert listed("gymnax") == ["Pendulum-v1", "Reacher-misc"]
    assert listed("gymnax/R*", "away") == ["Reacher-misc", "away/..."]
    with pytest.raises(ValueError, match="no environment matches brax; `rpojax envs` lists all"):
        listed("brax")


def test_a_run_whose_config_no_file_can_hold_is_drawn_without_a_title(tmp_path, monkeypatch):
    """Its metrics.csv has all that is drawn."""
    titles = []
    monkeypatch.setattr(
        "rpojax.cli.views.plot_curves", lambda *_, title, **__: titles.append(title)
    )

    def refuse(directory):
        raise ValueError("the run's config holds objects")

    monkeypatch.setattr("rpojax.cli.views.recorded_settings", refuse)
    run = logged(tmp_path / "shaped", ALIKE)
    (run / "checkpoints" / "update_000000002").mkdir(parents=True)
    Plot(directories=(run,))()
    assert titles == [""]

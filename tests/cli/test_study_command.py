"""`rpojax study` and `rpojax report`."""

import json
import shutil

import jax
import pytest

from rpojax import Config
from rpojax.cli.command import main
from rpojax.cli.studies import read_plan
from rpojax.statistics.text import duration

FILE = """
env: MountainCarContinuous-v0
env_params: {max_steps_in_episode: 15}
NUM_ENVS: 4
num_steps: 8
num_minibatches: 2
update_epochs: 1
total_timesteps: 96
network: {hidden_sizes: [8]}
agents_at_once: 1  # the settings of small_study.py, whose programs are in the cache
study:
  num_seeds: 2
  eval_episodes: 2
  grid: {alpha: [0, 0.5]}
  space: {learning_rate: {log_uniform: [1e-4, 1e-2]}}
  num_settings: 2
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command in a directory of its own; returns stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    jax.devices()  # fixed from here on: the command shall not change them for other tests

    def call(*words):
        main(words)
        return capsys.readouterr()

    return call


def refused(call, capsys, *words):
    with pytest.raises(SystemExit) as stop:
        call(*words)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_study_from_a_file_to_the_report(run, capsys, tmp_path):
    (tmp_path / "small.yaml").write_text(FILE)
    printed = run("study", "small.yaml", "--name", "first").out
    assert "interquartile mean of evaluation return over 2 seeds" in printed
    assert printed.count("100 %") == 4
    files = {path.name for path in (tmp_path / "studies" / "first").iterdir()}
    assert {"report.html", "settings.csv", "agents.csv", "curves.csv", "study.json"} <= files
    agents = (tmp_path / "studies" / "first" / "agents.csv").read_text()

    again = run("study", "small.yaml", "--name", "first", "--json")
    assert "nothing was left to train" in again.err
    found = json.loads(again.out)
    assert len(found["settings"]) == 4
    assert {"alpha", "learning_rate", "score", "low", "high"} <= set(found["settings"][0])

    resumed = run("study", "--resume", "studies/first").out
    assert "nothing was left to train" in resumed
    assert (tmp_path / "studies" / "first" / "agents.csv").read_text() == agents

    written = (tmp_path / "studies" / "first" / "agents.csv").stat().st_mtime_ns
    assert run("report", "studies/first", "--output", "page.html").out == "page.html\n"
    assert (tmp_path / "studies" / "first" / "agents.csv").stat().st_mtime_ns == written
    page = (tmp_path / "page.html").read_text()
    assert "Settings compared" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")

    shutil.rmtree(next((tmp_path / "studies" / "first" / "programs").iterdir()))
    assert "is not finished; go on with" in refused(run, capsys, "report", "studies/first")

    (tmp_path / "small.yaml").write_text(FILE.replace("num_seeds: 2", "num_seeds: 3"))
    message = refused(run, capsys, "study", "small.yaml", "--name", "first")
    assert "holds another study: num_seeds = 3 where the study has 2" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha: 0.5", "a.yaml: there is no section 'study'"),
        ("study: [1]", "a.yaml: [1] is no mapping in section 'study'; give one"),
        ("study: {grids: {}}", "a.yaml: unknown key of the section 'study': 'grids'; did you mean"),
        ("study: {grid: {alfa: [1]}}", "a.yaml: unknown setting 'alfa'; did you mean 'alpha'"),
        ("study: {grid: {alpha: [-1]}}", "a.yaml: alpha = -1 is out of range"),
        ("study: {grid: {alpha: [1]}, num_seeds: 0}", "a.yaml: num_seeds = 0 is not allowed"),
        ("alfa: 1\nstudy: {num_seeds: 1}", "a.yaml: unknown setting 'alfa'"),
        ("NUM_SEEDS: 1\nstudy: {seed: 1}", "a.yaml: NUM_SEEDS is one for all settings; give it"),
        (
            "study: {space: {alpha: {low: 0, high: 1}}, num_settings: 2}",
            "or, in a file, {uniform: [low, high]}",
        ),
        ("study: {space: {alpha: {normal: [0, 1]}}, num_settings: 2}", "'normal' is not known"),
        ("study: {halving: {factor: 1}, num_seeds: 1}", "halving.factor = 1"),
    ],
)
def test_errors_in_the_file_are_one_line(run, capsys, tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    printed = refused(run, capsys, "study", "a.yaml")
    assert message in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "studies").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("study",), "give a FILE to start a study from, or --resume DIR"),
        (("study", "a.yaml", "--resume", "b"), "give a FILE"),
        (("study", "missing.yaml"), "does not exist"),
        (("study", "--resume", "nowhere"), "holds no study"),
        (("study", "a.yaml", "--name", "../b"), "is not the name of a directory"),
        (("report",), "no directories are given"),
        (("report", "nowhere"), "holds no study"),
    ],
)
def test_errors_in_the_arguments_are_one_line(run, capsys, tmp_path, words, message):
    (tmp_path / "a.yaml").write_text(FILE)
    printed = refused(run, capsys, *words)
    assert message in printed
    assert printed.count("\n") == 1


def test_report_of_an_unfinished_study_says_how_to_go_on(run, capsys, tmp_path):
    from rpojax.studies.directory import StudyDirectory

    (tmp_path / "a.yaml").write_text(FILE)
    place = tmp_path / "begun [1]"
    StudyDirectory(place).begin(read_plan(tmp_path / "a.yaml"))
    before = sorted(tmp_path.rglob("*"))
    message = refused(run, capsys, "report", place.name)
    assert f"is not finished; go on with `rpojax study --resume '{place}'`" in message
    assert sorted(tmp_path.rglob("*")) == before


def test_file_may_name_a_preset(tmp_path):
    (tmp_path / "a.yaml").write_text("preset: cleanrl\nstudy: {grid: {alpha: [0, 1]}}")
    plan = read_plan(tmp_path / "a.yaml")
    assert [setting.cfg for setting in plan.settings] == [
        Config.preset("cleanrl", alpha=alpha) for alpha in (0.0, 1.0)
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(44.6, "45 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 5 min")]
)
def test_duration_in_words(seconds, text):
    assert duration(seconds) == text

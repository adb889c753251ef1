"""The page of a study, from results that were made up: nothing is trained."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from rpojax import Config, Metrics, TrainResult
from rpojax.studies import StudyResult, report, write_report
from rpojax.studies.api import make_plan
from rpojax.studies.progress_bar import settings_table
from rpojax.studies.scores import by_setting

CFG = Config(num_envs=4, num_steps=8, num_minibatches=2, total_timesteps=4 * 8 * 4)


def result_of(returns, finite=None, **arguments) -> StudyResult:
    """A study whose settings have episode returns [K, S, 4], and the last one as scores.

    Returns [K, S] are those of all updates.
    """
    returns = np.asarray(returns, np.float32)
    if returns.ndim == 2:
        returns = returns[..., np.newaxis].repeat(CFG.num_updates, axis=-1)
    finite = np.ones(returns.shape[:2], bool) if finite is None else np.asarray(finite)
    plan = make_plan(CFG, num_seeds=returns.shape[1], **arguments)
    metrics = Metrics.filled(returns.reshape(-1, returns.shape[-1]))
    trained = TrainResult(state=None, metrics=metrics, finite=finite.ravel())
    scores = metrics.episode_return[:, -1].astype(np.float64)
    members = range(len(plan.settings))
    return StudyResult(plan, tuple(by_setting(members, 0, trained, scores, 90.0)))


def test_the_setting_with_the_lowest_score_is_the_best_of_a_minimization(tmp_path):
    alphas = (0.0, 0.5, 1.0)
    configs = [{"alpha": alpha, "gamma": 0.9 + alpha / 20} for alpha in alphas]
    study = result_of([[alpha] * 2 for alpha in alphas], configs=configs, direction="minimize")
    study.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "that of the best setting (alpha=0,gamma=0.9) has a better score" in page
    descriptions = re.findall(r'aria-label="([^"]*)"', page)
    of_sweep = [f"evaluation return by {name}" for name in ("alpha", "gamma")]
    assert descriptions[2:-1] == of_sweep


def test_two_studies_on_a_page_have_their_names_before_their_sections(tmp_path):
    studies = {name: result_of([[1.0, 1.0]]) for name in ("one", "two")}
    write_report(studies, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    heads = re.findall("<h2>(.*?)</h2>", page)
    assert heads[:3] == ["one: Verdict", "one: Settings compared", "one: Pictures"]
    assert heads[-2:] == ["two: Settings in common", "Versions and devices of this report"]


def test_the_first_screen_says_what_was_trained_and_columns_have_equal_decimals(tmp_path):
    scores = [[-1161.4, -1160.0, -1150.0], [-84.562, -90.0, -80.123456]]
    study = result_of(scores, grid={"alpha": [0.0, 0.5]})
    write_report(study, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    first = page[page.index("<h2>Verdict") : page.index("<h2>Settings compared")]
    what = ("Pendulum-v1", "128 environment steps of each", "6: 2 settings with 3 seeds")
    for text in (*what, "1 min 30 s, without compilation and evaluation"):
        assert text in first
    table = page[page.index("<h2>Settings compared") : page.index("<h2>Pictures")]
    cells = re.findall(r'data-value="-[^>]*>(.*?)</td>', table)
    assert cells[:3] == ["-85", "-103", "-67"]
    assert not [cell for cell in cells if "." in cell]
    titles = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert titles[0] == "Episode return while training"
    assert len(titles) == page.count("<svg")


def test_settings_are_shown_from_the_best_to_the_worst_with_the_digits_that_intervals_carry():
    scores = [[-1161.4, -1160.0, -1150.0], [-84.562, -90.0, -80.123456]]
    study = result_of(scores, grid={"alpha": [0.0, 0.5]})
    lines = repr(study).splitlines()
    assert lines[0].startswith("StudyResult: 2 settings, 3 seeds of each; maximize evaluation ret")
    assert lines[1] == "  alpha=0.5: -85 (-103 to -67)"
    cells = re.findall("<t[hd]>(.*?)</t[hd]>", study._repr_html_())
    assert cells[:5] == ["setting", "score", "95 % interval", "finite", "trained"]
    assert cells[5:10] == ["alpha=0.5", "-85", "-103 to -67", "3 of 3", "100 %"]
    table = settings_table("study", study)
    assert [next(iter(column.cells)) for column in table.columns] == ["0.5", *cells[6:10]]


def test_the_verdict_says_who_chose_the_best_and_what_is_worse(tmp_path):
    rng = np.random.default_rng(0)
    scores = rng.normal([[0.0], [0.1], [-50.0]], size=(3, 8))
    grid = {"alpha": [0.0, 0.3, 0.5]}
    study = result_of(scores, grid=grid)
    best, other = ("0.3", "0") if study.best == 1 else ("0", "0.3")
    assert f"Best of 3 settings: alpha={best}, with evaluation return " in study.verdict
    assert "The seeds that chose it also score it" in study.verdict
    assert study.verdict.endswith(f"Worse: alpha=0.5. Cannot be told apart from it: alpha={other}.")
    write_report(study, tmp_path / "report.html")
    assert "The seeds that chose it also score it" in (tmp_path / "report.html").read_text()
    low = result_of(-scores, grid=grid, direction="minimize")
    assert "Worse: alpha=0.5." in low.verdict
    few = result_of(scores[:, :4], grid=grid)
    assert "up to 9 % of them miss the truth" in few.verdict
    assert "miss the truth" not in study.verdict


def test_a_verdict_with_fresh_seeds_is_about_these():
    chosen = [[1.0, 1.1, 0.9, 1.05], [0.0, 0.1, -0.1, 0.05]]
    fresh = [[0.5, 0.6, 0.4, 0.55], [90.0, 90.1, 89.9, 90.05]]
    first, second = (result_of(scores, grid={"alpha": [0.0, 0.5]}) for scores in (chosen, fresh))
    study = dataclasses.replace(first, confirmed=second)
    assert study.verdict.startswith(
        "Best of 2 settings: alpha=0, with evaluation return 0.525 (95 % interval "
    )
    assert "These seeds are not those that chose it. Better: alpha=0.5." in study.verdict


def test_fractions_of_a_short_halving_are_those_that_were_trained():
    """A third of four updates is one update, and thus a quarter."""
    study = result_of(np.ones((3, 1)), grid={"alpha": [0.0, 0.3, 0.5]}, halving=3)
    *stopped, last = study.trained
    metrics = jax.tree.map(lambda leaf: leaf[:, :1], last.result.metrics)
    result = dataclasses.replace(last.result, metrics=metrics)
    short = [each._replace(result=result) for each in stopped]
    halved = StudyResult(study.plan, (*short, last._replace(rung=1)))
    assert study.plan.updates_at(CFG, 0) == 1
    assert halved.fractions.tolist() == [0.25, 0.25, 1.0]
    assert halved.at_end == [2]


def test_a_study_becomes_one_of_optuna():
    optuna = pytest.importorskip("optuna")
    configs = [
        {"learning_rate": rate, "num_envs": envs, "network.hidden_sizes": [envs]}
        for rate, envs in ((1e-4, 4), (1e-3, 8), (1e-2, 4))
    ]
    scores = [[1.0] * 2, [3.0] * 2, [2.0] * 2]
    found = result_of(scores, configs=configs).to_optuna()
    assert found.best_trial.params == {
        "learning_rate": 1e-3, "num_envs": 8, "network.hidden_sizes": "[8]",
    }  # fmt: skip
    assert found.best_trial.user_attrs["label"].startswith("num_envs=8,")
    assert [trial.value for trial in found.trials] == [1.0, 3.0, 2.0]
    distributions = found.trials[0].distributions
    assert distributions["learning_rate"] == optuna.distributions.FloatDistribution(
        1e-4, 1e-2, log=True
    )
    minimized = result_of(scores, configs=configs, direction="minimize").to_optuna()
    assert minimized.best_value == 1.0


def test_export_for_marl_eval_fills_gaps_and_leaves_out_settings_that_stopped():
    returns = np.full((2, 2, 4), np.nan)
    returns[0, 0], returns[0, 1, 1:3] = [1.0, 2.0, 3.0, 4.0], [5.0, 7.0]
    study = result_of(returns, grid={"alpha": [0.0, 0.5]})
    (runs,) = study.marl_eval().values()
    run = runs["Pendulum-v1"]["alpha=0"]["seed_1"]
    assert [run[f"step_{n}"]["return"] for n in range(4)] == [[5.0], [5.0], [7.0], [7.0]]
    stopped, at_end = study.trained
    trained = stopped, at_end._replace(rung=1)
    halved = StudyResult(dataclasses.replace(study.plan, halving=2), trained)
    assert list(halved.marl_eval()["gymnax"]["Pendulum-v1"]) == ["alpha=0.5"]


def test_agents_that_diverge_count_with_the_lowest_return_in_areas_and_curves():
    returns = np.full((2, 4, 4), -1000.0)
    returns[0, :, 0], returns[0, :, 1:] = -100.0, np.nan  # all diverge in the second update
    returns[1, 0] = np.nan  # one diverges at once
    returns[1, 1], returns[1, 2, :2] = np.nan, -2000.0  # another has no episode that ends
    finite = [[False] * 4, [False, True, True, True]]
    study = result_of(returns, finite, grid={"alpha": [0.0, 0.5]})
    early, late = study.counted_returns(0), study.counted_returns(1)
    assert early["worst"] == late["worst"] == -2000.0
    np.testing.assert_array_equal(late["curves"], returns[1, [0, 2, 3]])
    areas = {row.setting.label: row.area for row in study.summary()}
    assert areas["alpha=0"] == (-100 - 2000) / 2 / 3 - 2000 * 2 / 3
    assert areas["alpha=0.5"] == np.mean([-2000.0, -1500.0, -1000.0])
    curves = report._curves(study, "episode_return", [0, 1])
    np.testing.assert_array_equal(curves["alpha=0"][1].value, [-100.0, -2000.0, -2000.0, -2000.0])

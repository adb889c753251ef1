"""The tables of `python -m benchmarks.rpo`: which cells they have, and how agents are summed up."""

import re

import numpy as np
import pytest
from scipy import stats

from benchmarks.reporting import REPOSITORY
from benchmarks.rpo import pictures, records, report
from benchmarks.rpo.__main__ import main
from benchmarks.rpo.cells import TABLES, cells_of
from benchmarks.rpo.groups import Group
from benchmarks.rpo.published import Published, published_for
from benchmarks.rpo.training import Trained
from rpojax.statistics import Estimate

README = (REPOSITORY / "benchmarks/README.md").read_text()
TABLES_MD = (REPOSITORY / "benchmarks/results/rpo/tables.md").read_text()
PAIR = re.compile(r"(-?[\d.]*\d) ± ([\d.]*\d)")
WORDS = {"above", "below", "overlap", "not apart"}


def agent(**changes):
    row = {
        "environment": "Pendulum-v1",
        "variant": "RPO 0.5",
        "alpha": 0.5,
        "perturb_rollouts": False,
        "time_limit_bootstrap": False,
        "num_envs": 1,
        "num_steps": 2048,
        "seed": 0,
        "steps": 299_008,
        "evaluation_return": -150.0,
        "training_return": -160.0,
        "action_std": 1.0,
        "finite": True,
    }
    return row | changes


def test_no_two_cells_are_trained_in_the_same_directory():
    names = [cell.name for table in TABLES for cell in cells_of(table)]
    assert len(names) == len(set(names))


def test_strict_settings_are_those_of_cleanrl_and_the_parallel_ones_differ_in_the_rollout_alone():
    (strict,) = cells_of("cleanrl", 1_000_000, ["Pendulum-v1"])
    assert (strict.cfg.num_envs, strict.cfg.num_steps) == (1, 2048)
    cell = next(cell for cell in cells_of("ablation", 1_000_000) if cell.cfg.env == "Pendulum-v1")
    assert cell.cfg == strict.cfg.replace(num_envs=16, num_steps=128)


def test_steps_and_environments_can_be_chosen():
    cells = cells_of("dm_control", 8_000_000, ["playground/PointMass"])
    assert {cell.cfg.env for cell in cells} == {"playground/PointMass"}
    assert {cell.cfg.total_timesteps for cell in cells} == {8_000_000}
    with pytest.raises(SystemExit, match=r"'PointMass' is not in dm_control; give some of"):
        cells_of("dm_control", None, ["PointMass"])


def test_a_cell_is_missing_until_all_of_its_alphas_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "DIRECTORY", tmp_path)
    (cell,) = cells_of("cleanrl", 299_008, ["Pendulum-v1"])
    path = records.agents_csv("cleanrl")
    for alpha, complete in ((0.5, False), (0.0, True)):
        assert not records.has(records.read(path), cell)
        records.add("cleanrl", Trained([agent(alpha=alpha)], [{"seed": 0}]), {})
        assert records.has(records.read(path), cell) is complete
    assert records.read(path)[0] == agent()


def test_an_agent_that_diverged_counts_as_the_worst_of_its_environment():
    rows = [agent(), agent(seed=1, evaluation_return=-100.0, finite=False)]
    rows += [agent(alpha=0.0, seed=seed, evaluation_return=-400.0) for seed in range(2)]
    line = report.agents_table(rows).splitlines()[2]
    assert "| RPO 0.5 | -160 ± 0.00 | -151 ± 3.73 | -275 ± 125 |" in line
    assert "| -400 |" in line


def test_rpo_and_ppo_are_compared_with_intervals():
    env = "playground/PendulumSwingup"
    rows = [agent(environment=env, seed=s, training_return=700.0 + s) for s in range(10)]
    rows += [
        agent(environment=env, variant="PPO", alpha=0.0, seed=s, training_return=9.0)
        for s in range(10)
    ]
    header, _, line, _, counts = report.comparison(rows).splitlines()
    assert header.endswith("| CleanRL: PPO | ours | CleanRL: RPO 0.5 | ours |")
    assert line.startswith("| PendulumSwingup | 0.3M | 704 ± 2.87 [70")
    assert "| 9.00 ± 0.00 [9.00, 9.00] | above | 1.00 [1.00, 1.00] | 472 ± 385 | below |" in line
    assert line.endswith("| 774 ± 21.0 | below |")
    assert counts == "Ours against CleanRL's. PPO: 0 above, 1 below, 0 not apart; " + (
        "RPO 0.5: 0 above, 1 below, 0 not apart."
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(1.0, 2.0, "below"), (2.5, 9.0, "overlap"), (4.0, 5.0, "above")]
)
def test_words_follow_from_intervals(low, high, expected):
    other = Estimate(2.5, 2.1, 3.0, 0.95)
    assert report.verdict(Estimate((low + high) / 2, low, high, 0.95), other) == expected


@pytest.mark.parametrize(
    ("shift", "expected"), [(-3.0, "below"), (0.5, "not apart"), (3.0, "above")]
)
def test_a_verdict_on_a_published_score_is_welchs_test(shift, expected):
    theirs, ours = np.random.default_rng(0).normal([[0.0], [shift]], [[1.0], [2.0]], (2, 10))
    p = stats.ttest_ind(ours, theirs, equal_var=False).pvalue
    assert (p < 0.05) == (expected != "not apart")
    assert Published(theirs.mean(), theirs.std()).verdict(ours) == expected


@pytest.mark.slow
def test_a_trial_of_a_table(capsys):
    main(["gymnax", "--quick"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[-4:]] == [
        *["Pendulum-v1"] * 2,
        *["MountainCarContinuous-v0"] * 2,
    ]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_what_the_readme_says_of_two_means_follows_from_the_tables():
    """A row has the two verdicts of its task, and nothing where intervals overlap."""
    rows = [cells(line) for line in TABLES_MD.splitlines() if WORDS & set(cells(line))]
    found = {
        (row[0].removesuffix("-v5"), row[1]): (next(c for c in row if c in WORDS), row[-1])
        for row in rows
    }
    lines = [line for line in README.splitlines() if line.startswith("|")]
    quoted = [cells(line) for line in lines if (line.count("±"), line.count("|")) == (4, 9)]
    assert len(quoted) > 10
    for name, steps, _, _, against_ppo, _, _, against_published in quoted:
        verdicts = found[name.split()[0].rstrip(","), steps]
        assert (against_ppo or "overlap", against_published or "not apart") == verdicts


@pytest.mark.parametrize("path", ["README.md", "benchmarks/README.md"])
def test_means_that_are_quoted_are_those_of_the_tables(path):
    text = (REPOSITORY / path).read_text()
    text = text.partition("## Results\n" if path == "README.md" else "## RPO and PPO\n")[2]
    text = text.partition("\n## ")[0]
    pairs = [(float(a), float(b)) for a, b in PAIR.findall(TABLES_MD)]
    quoted = PAIR.findall(text)
    assert quoted
    for numbers in quoted:
        ulps = [10.0 ** -len(number.partition(".")[2]) for number in numbers]
        assert any(
            all(abs(float(n) - p) <= 0.51 * u for n, p, u in zip(numbers, pair, ulps, strict=True))
            for pair in pairs
        ), numbers


CURVE = {"total_steps": 299_008, "steps": 2048, "episode_return": 1.0}


def test_published_figures_stand_beside_what_was_trained_alike():
    task = ("playground/PointMass", 2_000_000)
    assert published_for(Group(*task, False, False, 0.5)).mean == 653.73
    assert published_for(Group(*task, False, True, 0.0)).mean == 534.23  # alpha 0 perturbs nowhere
    assert published_for(Group(*task, False, True, 0.5)) is None
    assert published_for(Group(*task, True, False, 0.5)) is None
    assert published_for(Group(*task, False, False, 0.25)) is None


def test_a_picture_of_the_ablation_has_a_panel_for_each_factor_with_alphas_in_the_same_order():
    rows = [
        agent(alpha=alpha, perturb_rollouts=perturbed, time_limit_bootstrap=bootstrap) | CURVE
        for perturbed, alphas in ((False, (0.0, 0.1, 0.5)), (True, (0.1, 0.5)))
        for bootstrap in (False, True)
        for alpha in alphas
    ]
    found = pictures.factor_panels(pictures.longest(rows))
    assert list(found) == [
        f"Pendulum-v1: {limit}, {where}"
        for limit in ("termination", "bootstrapped")
        for where in ("update only", "rollout too")
    ]
    for groups in found.values():
        assert [group.alpha for group in groups] == [0.0, 0.1, 0.5]


def test_each_environment_is_drawn_with_its_longest_training(tmp_path):
    rows = [
        agent(alpha=alpha, seed=seed, perturb_rollouts=alpha > 0) | CURVE | {"total_steps": total}
        for alpha in (0.0, 0.5)
        for total in (299_008, 999_424)
        for seed in range(2)
    ]
    assert {group.steps for group in pictures.longest(rows)} == {999_424}
    for table in ("cleanrl", "ablation"):
        pictures.draw(table, rows, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "cleanrl.png",
        "ablation.png",
        "ablation-action_std.png",
    }

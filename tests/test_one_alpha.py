"""`python -m benchmarks.one_alpha`: its variants, and how they are judged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rpojax
from benchmarks import one_alpha
from benchmarks.reporting import REPOSITORY
from benchmarks.rpo import records
from rpojax.studies.api import make_plan


def test_coloured_noise_is_standard_normal_and_has_its_spectrum():
    noise = np.asarray(one_alpha.coloured(jax.random.key(0), (128, 4000, 1)), np.float64)[..., 0]
    assert abs(noise.mean()) < 0.01
    np.testing.assert_allclose(noise.std(axis=1), 1.0, atol=0.05)
    power = np.square(np.abs(np.fft.rfft(noise, axis=0))).mean(axis=1)[1:-1]
    slope = np.polyfit(np.log(np.arange(1, len(power) + 1)), np.log(power), 1)[0]
    assert slope == pytest.approx(-one_alpha.COLOUR, abs=0.02)


def test_perturbations_follow_the_policys_standard_deviation():
    log_std = jnp.log(jnp.asarray([0.1, 0.25, 0.5]))
    mean, amount = jnp.zeros(3), jnp.full(3, 0.5)
    np.testing.assert_allclose(
        one_alpha.in_stds(mean, log_std, amount), [0.05, 0.125, 0.25], rtol=1e-6
    )
    shifts = one_alpha.topped_up(mean, log_std, amount)
    variance = jnp.square(shifts) / 3.0 + jnp.exp(2.0 * log_std)  # of a uniform shift, and its own
    np.testing.assert_allclose(variance, [1 / 12, 1 / 12, 0.25], rtol=1e-5)


def test_alpha_is_zero_from_the_middle_on():
    factors = [float(one_alpha.halfway(jnp.asarray(count))) for count in (0, 122, 244, 245, 488)]
    np.testing.assert_allclose(factors, [1.0, 0.5, 0.0, 0.0, 0.0], atol=2e-3)


def test_every_variant_is_a_setting_of_its_own():
    cfg = rpojax.Config.preset("dm_control", env="Pendulum-v1")
    labels = [label for group in one_alpha.GROUPS.values() for label in group.variants]
    assert len(labels) == len({*labels})
    assert {*one_alpha.FIXED} <= {*labels}
    for group in one_alpha.GROUPS.values():
        plan = make_plan(cfg, configs=dict(group.variants))
        assert [setting.label for setting in plan.settings] == [*group.variants]


def agents(task, variant, scores, first_seed=0):
    return [
        {
            "environment": task,
            "variant": variant,
            "seed": first_seed + index,
            "evaluation_return": score,
            "untrained_return": -100.0,
            "finite": np.isfinite(score),
            "core_seconds": 60.0,
        }
        for index, score in enumerate(scores)
    ]


def test_scores_are_shares_of_what_the_best_fixed_alpha_gains():
    rows = [row for name in one_alpha.FIXED for row in agents("a/Task-v5", name, [0.0] * 4)]
    rows += agents("a/Task-v5", "alpha 0.5", [100.0] * 4, first_seed=4)
    rows += agents("a/Task-v5", "0.5 to 0", [100.0, 100.0, 100.0, np.nan])
    rows += agents("a/Other", "0.5 to 0", [1.0] * 4)  # whose fixed alphas are missing
    scores = one_alpha.normalized(rows)
    assert scores.keys() == {"a/Task-v5"}
    # the interquartile mean of four 0 and four 100 is 50, and all begin at -100
    np.testing.assert_allclose(scores["a/Task-v5"]["alpha 0.5"], [2 / 3] * 4 + [200 / 150] * 4)
    np.testing.assert_allclose(scores["a/Task-v5"]["0.5 to 0"], [4 / 3] * 3 + [2 / 3])
    line = one_alpha.table(rows).splitlines()[-1]
    assert line.startswith("| 0.5 to 0 | 1.33 [")
    assert line.endswith("| 1.33 | 1 of 1 | 0 | 1.33 |")
    assert one_alpha.table(rows).splitlines()[2].endswith("| 0.67 | 0 of 1 | 1 | 0.67 |")


def test_the_picture_has_a_panel_for_all_tasks_and_one_for_each():
    rows = [
        row for name in one_alpha.FIXED for row in agents("a/Task-v5", name, [0.0, 50.0, 100.0])
    ]
    rows += agents("a/Task-v5", "0.5 to 0", [100.0] * 3)
    panels = [axes for axes in one_alpha.draw(rows).axes if axes.axison]
    assert [axes.get_title() for axes in panels] == ["all tasks", "Task"]
    for axes in panels:
        points = [line for line in axes.lines if line.get_marker() == "o"]
        # the interquartile mean of a fixed alpha is 50, which is 150 above the beginning
        np.testing.assert_allclose([line.get_xdata()[0] for line in points], [1.0] * 4 + [4 / 3])


def test_a_group_is_missing_until_all_of_its_agents_are_there():
    rows = agents("Task", "alpha 0.5, SPO", [0.0] * 5)
    assert one_alpha.has(rows, "Task", "spo", range(5))
    assert not one_alpha.has(rows, "Task", "spo", range(6))
    assert not one_alpha.has(rows, "Task", "spo", range(100, 105))
    assert not one_alpha.has(rows, "Other", "spo", range(5))


def test_a_group_has_lost_where_each_variant_is_hopeless_in_a_task():
    rows = [
        row
        for task in ("a/One", "a/Two")
        for name in one_alpha.FIXED
        for row in agents(task, name, [0.0] * 5)
    ]
    first, second = one_alpha.GROUPS["std"].variants
    rows += agents("a/One", first, [-50.0] * 5) + agents("a/One", second, [0.0] * 5)
    assert not one_alpha.has_lost(rows, "std", range(5))
    rows += agents("a/Two", first, [0.0] * 5) + agents("a/Two", second, [-50.0] * 4 + [50.0])
    assert not one_alpha.has_lost(rows, "std", range(5))  # the interval reaches 0.9
    rows[-5:] = agents("a/Two", second, [-50.0] * 5)
    assert one_alpha.has_lost(rows, "std", range(5))
    assert not one_alpha.has_lost(rows, "std", range(100, 105))


def test_the_tables_of_the_readme_are_those_of_the_csv():
    readme = (REPOSITORY / "benchmarks/README.md").read_text()
    for rows in one_alpha.sets_of_seeds(records.read(one_alpha.CSV)):
        assert one_alpha.table(rows) in readme


def test_the_report_has_each_set_of_seeds_and_its_cost():
    rows = [row for name in one_alpha.FIXED for row in agents("a/Task-v5", name, [0.0, 100.0])]
    again = [row | {"seed": row["seed"] + 100, "core_seconds": np.nan} for row in rows]
    environment = dict.fromkeys(("device", "cores", "date", "commit", "versions"), "")
    first, _, second, *_ = one_alpha.report([row | environment for row in rows + again]).split(
        "\n\n"
    )
    assert first == "Seeds from 0, 2 of each: 1 core minutes."
    assert second == "Seeds from 100, 2 of each: at least 0 core minutes."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shedule"], "shedule: give some of schedule, half"),
        (["--first-seed", "10"], "--first-seed: give a multiple of 100"),
    ],
)
def test_arguments_that_do_not_exist_are_errors(arguments, message, capsys):
    with pytest.raises(SystemExit):
        one_alpha.main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_trial_of_some_groups(capsys, monkeypatch):
    monkeypatch.setattr(one_alpha, "TASKS", ("Pendulum-v1", "MountainCarContinuous-v0"))
    one_alpha.main(["schedule", "target", "--quick"])
    head, _, *lines = capsys.readouterr().out.splitlines()[-9:]
    assert head.endswith("| Pendulum-v1 | MountainCarContinuous-v0 |")
    variants = [*one_alpha.GROUPS["schedule"].variants, *one_alpha.GROUPS["target"].variants]
    assert [line.split("|")[1].strip() for line in lines] == variants

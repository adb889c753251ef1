"""One setting of the perturbation for twelve tasks, which would make a choice of alpha needless.

    python -m benchmarks.one_alpha               # all variants, in all tasks, that the CSV lacks
    python -m benchmarks.one_alpha schedule spo  # some groups of variants
    python -m benchmarks.one_alpha schedule --first-seed 100 --agents 10  # with fresh seeds
    python -m benchmarks.one_alpha report        # the tables and the picture, of what is there

Alpha 0.5 helps where exploration is hard and fails where precision counts, where 0.01 is right. The
twelve tasks were chosen before any training: six of dm_control whose physics is cheap, and six of
Gymnasium, in all of which but Walker2d the published score of 0.5 is below that of PPO. All train
with CleanRL's settings, 16 environments x 128 steps in place of 1 x 2048, perturbed in the update
only unless a variant says otherwise.

A score is the mean return of 128 episodes with mean actions. It is normalised for each task: 0 is
the return at the start of training, and 1 the best of the fixed alphas 0 (PPO), 0.01, 0.1 and 0.5,
by the interquartile mean over its agents. A variant that reaches 0.95 in each task needs no choice.
The best of four is in part the luckiest, which makes the comparison slightly too hard. A variant is
surely below a score in a task where the whole 95 % interval of its agents is; a group whose
variants are each surely below 0.9 in some task is not trained in those that follow. The tasks and
variants were fixed before any training but for `half`, added when lines to the end reached 0.94 and
0.89 in Reacher; so that only fresh seeds judge it.

Trainings are saved on the way in runs/one_alpha: the same command goes on after Ctrl-C or a kill.
With --quick, two agents train in two tasks for a few updates: a trial, which is not kept.
"""

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import rpojax
from benchmarks.reporting import (
    REPOSITORY,
    RESULTS,
    environment_info,
    git_commit,
    packages_of,
    provenance,
    write_csv,
)
from benchmarks.rpo import records
from benchmarks.rpo.cells import EPISODES
from benchmarks.rpo.report import floors_of, interval_in_words, scores_of
from benchmarks.rpo.training import Clock, short_number
from rpojax.core.model import DISTRIBUTIONS
from rpojax.runs.records import means_over_updates
from rpojax.statistics import bootstrap_interval, interquartile_mean
from rpojax.studies.scores import metrics_at_end, metrics_between

TASKS = (
    "playground/PendulumSwingup",
    "playground/CartpoleSwingup",
    "playground/CartpoleBalance",
    "playground/PointMass",
    "playground/AcrobotSwingup",
    "playground/ReacherEasy",
    "mujoco/InvertedDoublePendulum-v5",
    "mujoco/Reacher-v5",
    "mujoco/Swimmer-v5",
    "mujoco/Hopper-v5",
    "mujoco/HalfCheetah-v5",
    "mujoco/Walker2d-v5",
)
STEPS, AGENTS = 1_000_000, 5
BATCH = rpojax.Config.preset("dm_control").batch_size  # steps of an update
FIXED = ("alpha 0", "alpha 0.01", "alpha 0.1", "alpha 0.5")
ENOUGH = 0.95  # of the best fixed alpha
HOPELESS = 0.9  # the same, in one task of twelve
BEGINNING = 1 / 40  # the share of a training whose return is that of an untrained agent
COLOUR = 0.5
SEEDS_OF_A_SET = 100  # at most; fresh seeds begin at a multiple of it
CSV = RESULTS / "one_alpha.csv"
RUNS = REPOSITORY / "runs" / "one_alpha"
Row = dict[str, Any]


class Group(NamedTuple):
    """Variants that train together, and functions of the Gaussian distribution that they change."""

    variants: Mapping[str, Mapping[str, Any]]  # changes of the config by label
    gaussian: Mapping[str, Callable[..., Any]] = {}


def coloured(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Normal noise whose power falls with frequency by f^-0.5 along the first axis, f32[shape].

    Each number is from N(0, 1), and neighbours in time are correlated, as in Hollenstein et al.
    (2023), Colored Noise in PPO, arXiv 2312.11091. Each rollout draws a sequence of its own.
    """
    length = shape[0]
    frequencies = np.maximum(np.fft.rfftfreq(length), 1.0 / length)
    spectrum = np.fft.rfft(np.eye(length), axis=0) * frequencies[:, None] ** (-COLOUR / 2.0)
    mixing = np.fft.irfft(spectrum, length, axis=0)
    mixing /= np.linalg.norm(mixing, axis=1, keepdims=True)
    white = jax.random.normal(key, shape, jnp.float32)
    return jnp.tensordot(jnp.asarray(mixing, jnp.float32), white, 1)


def in_stds(mean: jax.Array, log_std: jax.Array, amount: jax.Array) -> jax.Array:
    """A perturbation in proportion to the policy's standard deviation."""
    return mean + amount * jax.lax.stop_gradient(jnp.exp(log_std))


def topped_up(mean: jax.Array, log_std: jax.Array, amount: jax.Array) -> jax.Array:
    """Perturbed only by what a dimension's standard deviation lacks to that of U(-0.5, 0.5).

    The alpha of each dimension follows from a target: the perturbed action has at least that
    standard deviation, and so a least entropy.
    """
    variance = jax.lax.stop_gradient(jnp.exp(2.0 * log_std))
    return mean + amount * jnp.sqrt(jnp.maximum(1.0 - 12.0 * variance, 0.0))


def halfway(updates: jax.Array) -> jax.Array:
    """A factor on alpha that falls from 1 to 0 in the first half of STEPS, and stays there."""
    return jnp.maximum(1.0 - updates / (STEPS / BATCH / 2.0), 0.0)


GROUPS = {
    "schedule": Group(  # one program: a constant alpha is a line that ends where it begins
        {
            name: {"alpha_schedule": "linear", "alpha": begin, "alpha_end": end}
            for name, begin, end in (
                ("alpha 0", 0.0, 0.0),
                ("alpha 0.01", 0.01, 0.01),
                ("alpha 0.1", 0.1, 0.1),
                ("alpha 0.5", 0.5, 0.5),
                ("0.5 to 0", 0.5, 0.0),
                ("0.5 to 0.05", 0.5, 0.05),
            )
        }
    ),
    "half": Group({"0.5 to 0 at half": {"alpha": 0.5, "alpha_schedule": halfway}}),
    "std": Group(
        {"0.5 standard deviations": {"alpha": 0.5}, "1 standard deviation": {"alpha": 1.0}},
        {"shifted": in_stds},
    ),
    "target": Group({"topped up to U(-0.5, 0.5)": {"alpha": 0.5}}, {"shifted": topped_up}),
    "rollout": Group(
        {
            f"{name}, rollout too": {
                "perturb_rollouts": True,
                "alpha_schedule": "linear",
                "alpha": 0.5,
                "alpha_end": end,
            }
            for name, end in (("alpha 0.5", 0.5), ("0.5 to 0", 0.0))
        }
    ),
    "gaussian": Group({"alpha 0.5, Gaussian": {"alpha": 0.5, "perturbation": "gaussian"}}),
    "spo": Group({"alpha 0.5, SPO": {"alpha": 0.5, "surrogate": "spo"}}),
    "beta": Group({"alpha 0.5, Beta": {"alpha": 0.5, "network.distribution": "beta"}}),
    "coloured": Group(
        {
            "alpha 0, coloured noise": {"alpha": 0.0},
            "alpha 0.5, coloured noise": {"alpha": 0.5},
        },
        {"noise": coloured},
    ),
}


@contextlib.contextmanager
def _gaussian_with(functions: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Programs that are traced meanwhile have other functions of the Gaussian distribution."""
    before = DISTRIBUTIONS["gaussian"]
    DISTRIBUTIONS["gaussian"] = before._replace(**functions)
    try:
        yield
    finally:
        DISTRIBUTIONS["gaussian"] = before


def train(
    task: str, name: str, steps: int, first_seed: int, agents: int, place: Path = RUNS
) -> list[Row]:
    """Train a group of variants in a task, or go on where that stopped; a row for each agent."""
    group = GROUPS[name]
    physics = {"env_params": {"impl": "jax"}} if task.startswith("playground/") else {}
    cfg = rpojax.Config.preset("dm_control", env=task, total_timesteps=steps, **physics)
    directory = place / f"{task.replace('/', '-')}-{name}-{steps}-{first_seed}"
    clock = Clock(directory.name)
    with _gaussian_with(group.gaussian):
        study = rpojax.study(
            cfg,
            configs=dict(group.variants),
            num_seeds=agents,
            seed=first_seed,
            eval_episodes=EPISODES["others"],
            directory=directory,
            on_progress=clock,
        )
    costs = clock.costs()
    rows = []
    for index, setting in enumerate(study.settings):
        metrics = study.result(index).metrics
        updates = metrics.episode_return.shape[1]
        first_ends = np.argmax((np.asarray(metrics.episode_count) > 0).any(axis=0))
        beginning = metrics_between(metrics, 0, max(round(BEGINNING * updates), 1 + first_ends))
        returns = {
            "evaluation_return": study.scores[index],
            "training_return": metrics_at_end(metrics).episode_return,
            "untrained_return": means_over_updates(beginning).episode_return,
            "action_std": metrics.action_std[:, -1],
        }
        rows += [
            {
                "environment": task,
                "variant": setting.label,
                "seed": first_seed + agent,
                "steps": setting.cfg.actual_timesteps,
                **{key: short_number(values[agent]) for key, values in returns.items()},
                "finite": bool(study.finite[index, agent]),
                **{key: short_number(value) for key, value in costs.items()},
            }
            for agent in range(agents)
        ]
    return rows


def has(rows: Sequence[Row], task: str, name: str, seeds: range) -> bool:
    """Whether rows hold all agents of a group of variants in a task."""
    there = {(row["variant"], row["seed"]) for row in rows if row["environment"] == task}
    return all((variant, seed) in there for variant in GROUPS[name].variants for seed in seeds)


def normalized(rows: Sequence[Row]) -> dict[str, dict[str, np.ndarray]]:
    """Scores f64[agents] by task and variant, of the tasks that have all of the fixed alphas."""
    floors = floors_of(rows, "evaluation_return")
    found: dict[str, dict[str, np.ndarray]] = {}
    for task in dict.fromkeys(row["environment"] for row in rows):
        of_task: dict[str, list[Row]] = {}
        for row in rows:
            if row["environment"] == task:
                of_task.setdefault(row["variant"], []).append(row)
        if not {*FIXED} <= of_task.keys():
            continue
        scores = {
            variant: scores_of(members, "evaluation_return", floors[task])
            for variant, members in of_task.items()
        }
        zero = float(np.nanmean([row["untrained_return"] for row in of_task["alpha 0"]]))
        one = max(float(interquartile_mean(scores[variant])) for variant in FIXED)
        found[task] = {name: (values - zero) / (one - zero) for name, values in scores.items()}
    return found


def short_name(task: str) -> str:
    """A task without its family and version."""
    return task.rpartition("/")[2].removesuffix("-v5")


def is_surely_below(scores: np.ndarray, score: float) -> bool:
    """Whether the whole 95 % interval of the agents of a task is below a score."""
    return float(bootstrap_interval(scores, method="expanded").high) < score


def has_lost(rows: Sequence[Row], name: str, seeds: range) -> bool:
    """Whether each variant of a group is hopeless in one of the tasks that rows hold."""
    scores = normalized([row for row in rows if row["seed"] in seeds])
    return all(
        any(
            is_surely_below(found[variant], HOPELESS)
            for found in scores.values()
            if variant in found
        )
        for variant in GROUPS[name].variants
    )


def table(rows: Sequence[Row]) -> str:
    """A line for each variant, in Markdown: all tasks together, and each by itself."""
    scores = normalized(rows)
    variants = list(dict.fromkeys(name for of_task in scores.values() for name in of_task))
    tasks = [short_name(task) for task in scores]
    lines = [
        f"| | all tasks | worst task | at {ENOUGH} | surely below | {' | '.join(tasks)} |",
        "|---|" + "---|" * (4 + len(tasks)),
    ]
    for variant in variants:
        known = {task: found[variant] for task, found in scores.items() if variant in found}
        each = {task: float(interquartile_mean(values)) for task, values in known.items()}
        together = bootstrap_interval(known, method="expanded")
        cells = [
            variant,
            interval_in_words(together),
            f"{min(each.values()):.2f}",
            f"{sum(value >= ENOUGH for value in each.values())} of {len(each)}",
            f"{sum(is_surely_below(values, ENOUGH) for values in known.values())}",
            *(f"{each[task]:.2f}" if task in each else "" for task in scores),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(rows: Sequence[Row]) -> Figure:
    """A panel for all tasks and one for each: a point and an interval for each variant."""
    scores = normalized(rows)
    variants = list(dict.fromkeys(name for of_task in scores.values() for name in of_task))
    figure = Figure(figsize=(15.0, 0.9 + 0.5 * len(variants)), dpi=80, layout="constrained")
    panels = figure.subplots(2, -(-(1 + len(scores)) // 2), sharex=True, sharey=True).ravel()
    for axes in panels[1 + len(scores) :]:
        axes.set_axis_off()
    for axes, task in zip(panels, (None, *scores), strict=False):
        for place, variant in enumerate(variants):
            found = {name: of[variant] for name, of in scores.items() if variant in of}
            if task is not None and task not in found:
                continue
            estimate = bootstrap_interval(found if task is None else found[task], method="expanded")
            color = "#000000" if variant in FIXED else "#0072b2"
            axes.plot([estimate.low, estimate.high], [place, place], color=color, alpha=0.4)
            axes.plot(estimate.value, place, "o", color=color, markersize=4)
        axes.axvline(ENOUGH, linestyle=":", color="#595959")
        axes.set_title("all tasks" if task is None else short_name(task), fontsize="medium")
        axes.set_yticks(range(len(variants)), variants)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylim(len(variants) - 0.5, -0.5)
    panels[0].set_xlim(-0.1, 1.8)
    figure.supxlabel(
        "interquartile mean of the agents and its 95 % interval; 1 is the best fixed alpha, "
        f"dotted {ENOUGH}",
        fontsize="medium",
    )
    return figure


def sets_of_seeds(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows by the set that their seed belongs to."""
    found: dict[int, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["seed"] // SEEDS_OF_A_SET):
        found.setdefault(row["seed"] // SEEDS_OF_A_SET, []).append(row)
    return [*found.values()]


def report(rows: Sequence[Row]) -> str:
    """The table of each set of seeds, and where it comes from."""
    parts = []
    for members in sets_of_seeds(rows):
        first = members[0]["seed"] // SEEDS_OF_A_SET * SEEDS_OF_A_SET
        agents = len({row["seed"] for row in members})
        cells = {(row["environment"], row["core_seconds"]) for row in members}
        seconds = np.array([each for _, each in cells])
        least = "at least " if np.isnan(seconds).any() else ""  # where nothing was left to train
        cost = f"{least}{np.nansum(seconds) / 60:.0f} core minutes"
        parts.append(f"Seeds from {first}, {agents} of each: {cost}.\n\n{table(members)}")
    return "\n\n".join([*parts, provenance(rows)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("groups", nargs="*", metavar="group", help=f"{', '.join(GROUPS)}; report")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--first-seed", type=int, default=0, help=f"a multiple of {SEEDS_OF_A_SET}")
    parser.add_argument("--agents", type=int, default=AGENTS, help="of each variant")
    parser.add_argument("--quick", action="store_true", help="a trial of two agents")
    args = parser.parse_args(arguments)
    if args.groups == ["report"]:
        rows = records.read(CSV)
        draw(sets_of_seeds(rows)[0]).savefig(CSV.with_suffix(".png"))
        print(report(rows))
        return
    if unknown := {*args.groups} - {*GROUPS}:
        parser.error(f"{', '.join(sorted(unknown))}: give some of {', '.join(GROUPS)}, or report")
    if args.first_seed % SEEDS_OF_A_SET or args.agents > SEEDS_OF_A_SET:
        parser.error(f"--first-seed: give a multiple of {SEEDS_OF_A_SET}, and fewer --agents")
    groups = args.groups or [*GROUPS]
    if args.quick:
        with tempfile.TemporaryDirectory() as place:
            rows = [
                row
                for task in TASKS[:2]
                for name in groups
                for row in train(task, name, 2**15, 0, 2, Path(place))
            ]
        print(table(rows))
        return
    rpojax.use_all_cores()
    commit = git_commit()  # of the code that is loaded now
    for name in groups:
        for task in args.tasks:
            seeds = range(args.first_seed, args.first_seed + args.agents)
            there = records.read(CSV)
            if has(there, task, name, seeds) or has_lost(there, name, seeds):
                continue
            info = environment_info(packages_of(task))
            try:
                rows = train(task, name, STEPS, args.first_seed, args.agents)
            except rpojax.TrainingInterrupted as stop:
                parser.exit(128 + stop.signal_number, "stopped; the same command goes on\n")
            columns = info.as_row() | {"commit": commit}
            write_csv(CSV, records.read(CSV) + [{**row, **columns} for row in rows])


if __name__ == "__main__":
    main()

"""Tables of what is in the CSV files, and its pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.reporting import provenance
from benchmarks.rpo import records
from benchmarks.rpo.cells import AGENTS, EPISODES, TABLES
from benchmarks.rpo.groups import Row, groups_of
from benchmarks.rpo.pictures import draw
from benchmarks.rpo.published import PUBLISHED, Published, published_for
from rpojax.statistics import (
    Estimate,
    bootstrap_interval,
    make_scores,
    mean,
    probability_of_improvement,
)

COMPARISON = (
    "Training returns: mean ± standard deviation, and the 95 % bootstrap interval of the mean. "
    'Against PPO, "above" and "below": the intervals are apart. Against CleanRL\'s ten seeds: '
    "Welch's t-test of the means, p < 0.05. P(RPO > PPO): the probability that an agent of RPO is "
    "better than an agent of PPO."
)
VERDICTS = ("above", "below", "not apart")
COMPARED = ("dm_control", "mujoco", "cleanrl")


def write_report() -> Path:
    """Write the tables of all CSV files into tables.md, and a picture of each.

    Returns:
        The path of tables.md.
    """
    parts = [
        "# RPO and PPO\n\nMade by `python -m benchmarks.rpo report` of the CSV files beside it. "
        f"{AGENTS} agents each. Training: mean return of the episodes that end in the last tenth "
        "of the updates, with the stochastic policy, as CleanRL publishes it after 8M steps. "
        f"Evaluation: mean actions, {EPISODES['others']} episodes of each agent, "
        f"{EPISODES['gymnax']} in gymnax's tasks. IQM: interquartile mean with its 95 % bootstrap "
        "interval."
    ]
    for table in TABLES:
        rows = records.read(records.agents_csv(table))
        if rows:
            parts.append(f"## {table}\n\n{provenance(rows)}. {cost(rows)}\n\n{agents_table(rows)}")
            if table in COMPARED:
                parts.append(f"{COMPARISON}\n\n{comparison(rows)}")
            parts.append(f"![learning curves]({table}.png)")
            if table == "ablation":
                parts.append(f"![standard deviation of the policy]({table}-action_std.png)")
            draw(table, records.read(records.curves_csv(table)), records.DIRECTORY)
    path = records.DIRECTORY / "tables.md"
    path.write_text("\n\n".join(parts) + "\n")
    return path


def comparison(rows: Sequence[Row]) -> str:
    """A line for each environment and length: training returns beside those of CleanRL.

    Returns are mean ± standard deviation, and the 95 % interval of the mean. P(RPO > PPO) is the
    probability that an agent of RPO, perturbed in the update only, is better than an agent of PPO.
    """
    groups = groups_of(rows)
    variants = list(dict.fromkeys(group.variant for group in groups))
    lines = [
        f"| | steps | {' | '.join(variants)} | RPO 0.5 against PPO | P(RPO > PPO) "
        "| CleanRL: PPO | ours | CleanRL: RPO 0.5 | ours |",
        "|---|---|" + "---|" * (len(variants) + 6),
    ]
    floors = floors_of(rows, "training_return")
    against: dict[str, list[str]] = {"PPO": [], "RPO 0.5": []}
    for name, steps in dict.fromkeys((group.environment, group.steps) for group in groups):
        scores = {
            group.variant: scores_of(members, "training_return", floors[name])
            for group, members in groups.items()
            if (group.environment, group.steps) == (name, steps)
        }
        means = {
            variant: bootstrap_interval(of_variant, mean, method="expanded")
            for variant, of_variant in scores.items()
        }
        cells = [name.rpartition("/")[2], f"{steps / 1e6:.2g}M"]
        cells += [
            f"{mean_and_std(scores[variant])} {interval_only(means[variant])}"
            if variant in scores
            else ""
            for variant in variants
        ]
        cells += ["", ""]
        if {"RPO 0.5", "PPO"} <= scores.keys():
            better = probability_of_improvement(scores["RPO 0.5"], scores["PPO"], method="expanded")
            cells[-2:] = verdict(means["RPO 0.5"], means["PPO"]), interval_in_words(better)
        for variant, alpha in (("PPO", 0.0), ("RPO 0.5", 0.5)):
            published = PUBLISHED.get((name, alpha))
            known = published is not None and variant in scores
            against[variant].append(published.verdict(scores[variant]) if known else "")
            cells += [in_words(published), against[variant][-1]]
        lines.append(f"| {' | '.join(cells)} |")
    counts = [
        f"{variant}: {', '.join(f'{found.count(word)} {word}' for word in VERDICTS)}"
        for variant, found in against.items()
    ]
    return "\n".join(lines) + f"\n\nOurs against CleanRL's. {'; '.join(counts)}."


def verdict(estimate: Estimate, other: Estimate) -> str:
    """Where the interval of an estimate lies: "above" or "below" another one, or they "overlap"."""
    if estimate.low > other.high:
        return "above"
    return "below" if estimate.high < other.low else "overlap"


def interval_only(estimate: Estimate) -> str:
    """The interval of an estimate."""
    return f"[{short(estimate.low)}, {short(estimate.high)}]"


def interval_in_words(estimate: Estimate) -> str:
    """An estimate and its interval."""
    return f"{short(estimate.value)} {interval_only(estimate)}"


def mean_and_std(scores: np.ndarray) -> str:
    """Of agents, in words."""
    return in_words(Published(float(scores.mean()), float(scores.std())))


def in_words(score: Published | None) -> str:
    """Mean and standard deviation; nothing where nothing is published."""
    return "" if score is None else f"{short(score.mean)} ± {short(score.std)}"


def agents_table(rows: Sequence[Row]) -> str:
    """A line for each setting, in Markdown."""
    lines = [
        "| environment | steps | time limit | | training | CleanRL | evaluation | evaluation, IQM "
        "| worst agent | std of the policy |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    floors = {name: floors_of(rows, name) for name in ("training_return", "evaluation_return")}
    for group, members in groups_of(rows).items():
        training, evaluation = (
            scores_of(members, name, floor[group.environment]) for name, floor in floors.items()
        )
        estimate = bootstrap_interval(evaluation, method="expanded")
        cells = [
            group.environment.removeprefix("playground/"),
            f"{group.steps / 1e6:.2g}M",
            "bootstrapped" if group.time_limit_bootstrap else "termination",
            group.variant,
            mean_and_std(training),
            in_words(published_for(group)),
            mean_and_std(evaluation),
            interval_in_words(estimate),
            short(evaluation.min()),
            f"{np.mean([row['action_std'] for row in members]):.2f}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def short(value: ArrayLike) -> str:
    """Whole numbers from a hundred on, three digits below."""
    value = float(np.asarray(value))
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def floors_of(rows: Sequence[Row], name: str) -> dict[str, float]:
    """The lowest score in each environment: that of an agent that diverged."""
    floors: dict[str, float] = {}
    for row in rows:
        if row["finite"]:
            environment = row["environment"]
            floors[environment] = min(row[name], floors.get(environment, np.inf))
    return floors


def scores_of(rows: Sequence[Row], name: str, floor: float) -> np.ndarray:
    """The scores of agents, f64[N]."""
    finite = [row["finite"] for row in rows]
    return make_scores([row[name] for row in rows], finite=finite, worst=floor).values[:, 0]


def cost(rows: Sequence[Row]) -> str:
    """How many agents, and what they took where all of it is known."""
    cells = {
        (
            row["environment"],
            row["steps"],
            row["perturb_rollouts"],
            row["time_limit_bootstrap"],
        ): row["core_seconds"]
        for row in rows
    }
    known = [seconds for seconds in cells.values() if not np.isnan(seconds)]  # of one process
    took = f" in {sum(known) / 60:.0f} core minutes" if len(known) == len(cells) else ""
    return f"{len(rows)} agents{took}."

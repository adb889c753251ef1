"""Results as tables for a terminal, and as values for JSON."""

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions, ConsoleRenderable, Group, RenderResult
from rich.markup import escape
from rich.table import Table

from rpojax.agent.evaluation import Evaluation
from rpojax.runs.trained_run import TrainedRun
from rpojax.settings.agent_table import ENV_PARAMS, AgentTable
from rpojax.settings.config import Config
from rpojax.statistics.nan import last_ignoring_nan, mean_ignoring_nan, std_ignoring_nan
from rpojax.statistics.text import mean_and_std, plus_minus_sign
from rpojax.types import TrainResult


def results_table(
    agents: AgentTable, result: TrainResult | TrainedRun, evaluation: Evaluation, title: str
) -> ConsoleRenderable:
    """The results of N agents, and of each group of several agents that share hyperparameters.

    A group's means are over its finite agents: one that has diverged does not count as a result.
    If the environment has metrics of its own, a second table shows them for each group.

    Args:
        agents: of the run, N of them.
        result: of all agents, with their axis first.
        evaluation: of E episodes of each agent, [N, E].
        title: above the table.

    Returns:
        A table for `rich`, which has "+-" for "±" on a console whose encoding cannot hold it.
    """
    trained = last_ignoring_nan(result.metrics.episode_return)
    episodes = np.asarray(evaluation.episode_return, np.float64)
    finite = np.asarray(result.finite)
    diverged = diverged_at(result)
    differing = agents.differing
    groups = [members for members in agents.groups.values() if len(members) > 1]

    def build(sign: str) -> ConsoleRenderable:
        caption = (
            f"mean {sign} standard deviation: of an agent over its episodes, of several agents "
            "over those that are finite"
        )
        table = Table(
            title=escape(title), caption=caption, title_justify="left", caption_justify="left"
        )
        for name in ("agent", *differing, "seed"):
            table.add_column(name)
        table.add_column("return, end of training", justify="right")
        table.add_column(f"return, {episodes.shape[1]} evaluation episodes", justify="right")
        table.add_column("finite", justify="right")
        for index in range(len(agents)):
            table.add_row(
                str(index),
                *map(str, agents.identity(index).values()),
                mean_and_std(trained[index : index + 1], ".1f", sign),
                mean_and_std(episodes[index], ".1f", sign),
                "yes" if finite[index] else f"[bold red]{_divergence(diverged[index])}[/]",
                end_section=index == len(agents) - 1,
            )
        for members in groups:
            counted = [index for index in members if finite[index]]
            first = agents.identity(members[0])
            table.add_row(
                "all" if len(members) == len(agents) else "",
                *(str(first[name]) for name in differing),
                f"{len(members)} seeds",
                mean_and_std(trained[counted], ".1f", sign),
                mean_and_std(episodes[counted].mean(axis=1), ".1f", sign),
                f"{len(counted)} of {len(members)}",
            )
        own = _environment_metrics(agents, result, evaluation, sign)
        return Group(table, own) if own.row_count else table

    return _ForEncoding(build)


def _environment_metrics(
    agents: AgentTable, result: TrainResult | TrainedRun, evaluation: Evaluation, sign: str
) -> Table:
    """A row for each metric of the environment, with the means over the agents of each group."""
    finite = np.asarray(result.finite)
    table = Table(title="environment, sums over an episode", title_justify="left")
    table.add_column("metric")
    for label in agents.groups:
        of_group = f", {label}" if label else ""
        table.add_column(f"end of training{of_group}", justify="right")
        table.add_column(f"evaluation{of_group}", justify="right")
    for name, values in result.metrics.environment.items():
        if name not in evaluation.metrics:  # one by Gymnasium has returns only
            continue
        trained = last_ignoring_nan(values)
        evaluated = np.asarray(evaluation.metrics[name], np.float64).mean(axis=1)
        cells = []
        for members in agents.groups.values():
            counted = [index for index in members if finite[index]]
            cells += [mean_and_std(each[counted], ".3g", sign) for each in (trained, evaluated)]
        table.add_row(escape(name), *cells)
    return table


def evaluation_report(
    cfg: Config, agents: AgentTable, result: TrainResult | TrainedRun, evaluation: Evaluation
) -> dict[str, Any]:
    """What was evaluated and what came out, for JSON.

    "agents" has an entry for each of N agents, with its mean return over the episodes, their
    standard deviation, and the means of the environment's own metrics. "groups" has an entry for
    each set of hyperparameters, with mean and standard deviation over its finite agents; NaN
    without any.

    Args:
        cfg: what the agents were trained with.
        agents: of the run, N of them.
        result: of all agents, with their axis first.
        evaluation: of E episodes of each agent, [N, E].
    """
    returns = np.asarray(evaluation.episode_return, np.float64)
    means, finite = returns.mean(axis=1), np.asarray(result.finite)
    diverged = diverged_at(result)

    def differences(index: int) -> dict[str, dict[str, float]]:
        """The numbers in which the agents differ."""
        own: dict[str, dict[str, float]] = {"hyperparams": {}, "env_params": {}}
        values = agents.identity(index)
        for name in agents.differing:
            kind = "env_params" if name.startswith(ENV_PARAMS) else "hyperparams"
            own[kind][name.removeprefix(ENV_PARAMS)] = values[name]
        return own

    def group(members: list[int]) -> dict[str, Any]:
        counted = [index for index in members if finite[index]]
        return {
            **differences(members[0]),
            "agents": members,
            "mean": float(mean_ignoring_nan(means[counted])),
            "std": float(std_ignoring_nan(means[counted])),
            "finite": len(counted),  # how many agents count
        }

    return {
        "env": str(cfg.env),
        "episodes": returns.shape[1],  # of each agent
        "agents": [
            {
                "agent": index,
                "seed": agents.seeds[index],
                **differences(index),
                "mean": float(means[index]),
                "std": float(returns[index].std()),
                "metrics": {
                    name: float(np.mean(values[index]))
                    for name, values in evaluation.metrics.items()
                },
                "finite": bool(finite[index]),
                "diverged_at": diverged[index],  # update, from 1; None while finite
            }
            for index in range(len(agents))
        ],
        "groups": [group(members) for members in agents.groups.values()],
    }


def diverged_at(result: TrainResult | TrainedRun) -> list[int | None]:
    """The update, from 1, in which each of N agents of a `fit` diverged.

    `fit` stops an agent before an update that gives NaN or infinity, and the agent's metrics are
    NaN from that update on, or until `evolve` replaces it: 1 means that the agent was never
    trained. None for an agent that is finite, and for one that was not trained by `fit` and has all
    its metrics.
    """
    known = ~np.isnan(np.asarray(result.metrics.learning_rate))  # always a number while training
    return [
        None if finite or row.all() else int(np.flatnonzero(row).max(initial=-1)) + 2
        for finite, row in zip(np.asarray(result.finite), known, strict=True)
    ]


def _divergence(update: int | None) -> str:
    if update is None:
        return "no"
    return "no, never trained" if update == 1 else f"no, since update {update}"


class _ForEncoding:
    """A table with the plus-minus sign that the console's encoding can show."""

    def __init__(self, build: Callable[[str], ConsoleRenderable]) -> None:
        self._build = build

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._build(plus_minus_sign(console.encoding))

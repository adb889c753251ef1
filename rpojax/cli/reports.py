"""What subcommands report: an evaluation of all agents as JSON, and why they stopped."""

import json
import math
import signal
from typing import Any

import numpy as np

from rpojax.agent.evaluation import Evaluation
from rpojax.report.tables import diverged_at
from rpojax.runs.trained_run import TrainedRun
from rpojax.settings.agent_table import ENV_PARAMS, AgentTable
from rpojax.settings.config import Config
from rpojax.statistics.nan import mean_ignoring_nan, std_ignoring_nan
from rpojax.types import TrainResult


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


def with_message(stop: KeyboardInterrupt, message: str) -> KeyboardInterrupt:
    """An interruption with another message and the same signal, which gives the exit status."""
    explained = KeyboardInterrupt(message)
    explained.signal_number = getattr(stop, "signal_number", signal.SIGINT)  # type: ignore[attr-defined]
    return explained


def print_json(report: dict[str, Any]) -> None:
    """One JSON object on stdout; NaN and infinity, which JSON lacks, as null."""
    print(json.dumps(_finite(report), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""What subcommands tell of agents: an evaluation of all of them, and JSON."""

import json
import math
from typing import Any

import jax
import numpy as np

from rpojax.agent.evaluation import Evaluation, evaluate
from rpojax.config import Config
from rpojax.devices import sharded_vmap
from rpojax.types import TrainResult, TrainState
from rpojax.validation import whole_number

EVALUATION_STREAM = 0x636C69  # what the evaluation's key is folded with


def evaluate_agents(
    cfg: Config, state: TrainState, seed: int, episodes: int, deterministic: bool = True
) -> Evaluation:
    """Episodes [S, N] of agents [S, ...], spread over all devices; all play the same ones.

    Args:
        cfg: what they were trained with.
        state: of all agents.
        seed: what the episodes follow from, at least 0.
        episodes: N.
        deterministic: True for mean actions, False for samples of the policy.

    Raises:
        ValueError: a number out of range.
    """
    episodes = whole_number("episodes", episodes)
    key = jax.random.key(whole_number("seed", seed, least=0))
    evaluate_all = sharded_vmap(
        lambda state, key: evaluate(cfg, state, key, episodes, deterministic), (0, None)
    )
    return evaluate_all(state, jax.random.fold_in(key, EVALUATION_STREAM))


def evaluation_report(cfg: Config, result: TrainResult, evaluation: Evaluation) -> dict[str, Any]:
    """What was evaluated and what came out, for JSON; S seeds, N episodes of each."""
    returns = np.asarray(evaluation.episode_return, np.float64)
    of_seeds = returns.mean(axis=1)
    return {
        "env": str(cfg.env),
        "episodes": returns.shape[1],
        "returns": of_seeds.tolist(),  # mean of each seed
        "mean": float(of_seeds.mean()),
        "std": float(of_seeds.std()),  # over seeds
        "finite": np.asarray(result.finite).tolist(),
    }


def print_json(report: dict[str, Any]) -> None:
    """One JSON object on stdout; NaN and infinity, which JSON lacks, as null."""
    print(json.dumps(_finite(report), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

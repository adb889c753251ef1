"""Action bounds and what an untrained policy can reach of them."""

import warnings

import numpy as np

from rpojax.envs.base import Env

INITIAL_REACH = 3.0
"""An untrained policy acts around 0 with a standard deviation of about 1: this is three of them."""


def warn_unreachable_actions(env: Env, transform: str, squashed: bool = False) -> None:
    """Warn where the policy cannot reach what lies within the bounds.

    With bounds such as [300, 500] and `action_transform = "clip"` each sampled action of an
    untrained policy is clipped to 300. The environment then sees one constant action, and there is
    nothing to learn from. Actions that tanh has squashed never leave [-1, 1].

    Args:
        env: with the bounds.
        transform: `Config.action_transform`; only "clip" can cause this.
        squashed: whether actions are squashed into [-1, 1].
    """
    if squashed:
        policy = "a policy squashed by tanh stays within [-1, 1] and cannot reach"
        out_of_reach = _beyond(env.action_low, 1.0) | _beyond(env.action_high, 1.0)
    else:
        policy = "an untrained policy samples actions around 0 and cannot reach"
        out_of_reach = (env.action_low > INITIAL_REACH) | (env.action_high < -INITIAL_REACH)
    if transform == "clip" and out_of_reach.any():
        dimensions = np.flatnonzero(out_of_reach).tolist()
        warnings.warn(
            f"environment {env.name!r}: {policy} the bounds of the action dimensions {dimensions}, "
            f"[{env.action_low[out_of_reach]}, {env.action_high[out_of_reach]}]; set "
            "action_transform = 'rescale', which maps [-1, 1] onto the bounds",
            stacklevel=2,
        )


def _beyond(bound: np.ndarray, reach: float) -> np.ndarray:
    """Where a bound is finite and out of reach, bool[A]."""
    return np.isfinite(bound) & (np.abs(bound) > reach)

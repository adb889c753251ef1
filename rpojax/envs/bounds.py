"""Action bounds and what an untrained policy can reach of them."""

import warnings

import numpy as np

from rpojax.envs.base import Env

INITIAL_REACH = 3.0
"""An untrained policy acts around 0 with a standard deviation of about 1: this is three of them."""


def warn_unreachable_actions(env: Env, transform: str) -> None:
    """Warn where clipping turns every action of an untrained policy into the same bound.

    With bounds such as [300, 500] and `action_transform = "clip"` each sampled action is clipped
    to 300. The environment then sees one constant action, and there is nothing to learn from.

    Args:
        env: with the bounds.
        transform: `Config.action_transform`; only "clip" can cause this.
    """
    out_of_reach = (env.action_low > INITIAL_REACH) | (env.action_high < -INITIAL_REACH)
    if transform == "clip" and out_of_reach.any():
        dimensions = np.flatnonzero(out_of_reach).tolist()
        warnings.warn(
            f"environment {env.name!r}: an untrained policy samples actions around 0 and cannot "
            f"reach the bounds of the action dimensions {dimensions}, "
            f"[{env.action_low[out_of_reach]}, {env.action_high[out_of_reach]}]; set "
            "action_transform = 'rescale', which maps [-1, 1] onto the bounds",
            stacklevel=2,
        )

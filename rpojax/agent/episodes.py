"""How long an episode of a trained agent may take."""

from rpojax.envs import Env
from rpojax.settings.sizes import MOST
from rpojax.validation import whole_number

DEFAULT_EPISODE_LIMIT = 1000
"""Steps of an episode where neither the caller nor the environment sets a limit."""


def episode_limit(env: Env, max_steps: int | None) -> int:
    """After how many steps to stop an episode.

    Args:
        env: whose own limit holds unless the caller sets one.
        max_steps: the caller's limit, or None.

    Raises:
        ValueError: `max_steps` is not a whole number of at least 1 that int32 holds.
    """
    if max_steps is not None:
        return whole_number("max_steps", max_steps, most=MOST)
    return min(env.max_episode_steps or DEFAULT_EPISODE_LIMIT, MOST)

"""Environments made of others: each takes an `Env` and returns one. `rpojax.envs` has the guide."""

from rpojax.envs.wrappers.actions import action_delay, action_repeat, clip_action, rescale_action
from rpojax.envs.wrappers.episodes import (
    DrawParams,
    ParamsOfLevel,
    curriculum,
    randomized,
    with_time_limit,
)
from rpojax.envs.wrappers.observations import (
    history,
    sensor_delay,
    sensor_noise,
    transform_observation,
)
from rpojax.envs.wrappers.tasks import commands, random_pushes

__all__ = [
    "DrawParams",
    "ParamsOfLevel",
    "action_delay",
    "action_repeat",
    "clip_action",
    "commands",
    "curriculum",
    "history",
    "random_pushes",
    "randomized",
    "rescale_action",
    "sensor_delay",
    "sensor_noise",
    "transform_observation",
    "with_time_limit",
]

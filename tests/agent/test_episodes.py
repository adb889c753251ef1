"""How long an episode may take where the environment sets no limit."""

import dataclasses

import pytest

import rpojax
from rpojax.agent.episodes import DEFAULT_EPISODE_LIMIT, episode_limit

ENV = rpojax.envs.make("Pendulum-v1")
ENDLESS = dataclasses.replace(ENV, max_episode_steps=None)


@pytest.mark.parametrize(
    ("env", "max_steps", "limit"),
    [
        (ENV, None, 200),
        (ENV, 7, 7),
        (ENV, 300, 300),
        (ENDLESS, 7, 7),
        (ENDLESS, None, DEFAULT_EPISODE_LIMIT),
        (dataclasses.replace(ENV, max_episode_steps=2**63), None, 2**31 - 1),
    ],
)
def test_the_callers_limit_comes_before_the_environments(env, max_steps, limit):
    assert episode_limit(env, max_steps) == limit


@pytest.mark.parametrize("value", [0, -3, 1.5, "many", 10**10])
def test_a_limit_that_is_no_positive_whole_number_is_refused(value):
    with pytest.raises(ValueError, match=r"max_steps = .* whole number of 1 to 2147483647"):
        episode_limit(ENV, value)

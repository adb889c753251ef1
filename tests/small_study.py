"""A small study, for the tests of studies: the same settings share their compiled programs."""

from rpojax import Config, NetworkConfig

CFG = Config(
    env="MountainCarContinuous-v0",
    env_params={"max_steps_in_episode": 15},  # the first episodes end in the second update of three
    num_envs=4,
    num_steps=8,
    num_minibatches=2,
    update_epochs=1,
    total_timesteps=4 * 8 * 3,
    network=NetworkConfig(hidden_sizes=(8,)),
    agents_at_once=1,
)
SMALL = {"num_seeds": 2, "eval_episodes": 2}


def tables(directory) -> list[bytes]:
    names = ("agents.csv", "settings.csv", "curves.csv")
    return [(directory / name).read_bytes() for name in names]

"""From what a config names to an `Env`."""

from typing import Any

from rpojax.envs.base import Env


def make(env: Any, **params: Any) -> Env:
    """The `Env` for a name, for an object with gymnax's interface, or for an `Env` itself.

    Args:
        env: such as "Pendulum-v1" (gymnax).
        params: for a name only: the environment's own parameters, such as `g=9.81`.

    Raises:
        ValueError: an unknown name (with the nearest), discrete actions, or not an environment.
    """
    if isinstance(env, Env):
        made = env
    else:
        from rpojax.envs import gymnax as adapter  # gymnax takes seconds to import

        if isinstance(env, str):
            return adapter.make(env, **params)
        made = adapter.from_gymnax(env)
    if params:
        raise ValueError(
            f"params = {params!r} can change an environment given by name only; set them on the "
            "object instead"
        )
    return made


def from_gymnax(env: Any, params: Any = None, name: str | None = None) -> Env:
    """The `Env` for an object with gymnax's interface and its parameters."""
    from rpojax.envs import gymnax as adapter

    return adapter.from_gymnax(env, params, name)


def names() -> list[str]:
    """Names of the environments that come with the installed packages and can be trained in."""
    from rpojax.envs import gymnax as adapter

    return list(adapter.CONTINUOUS)

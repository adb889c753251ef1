"""Presets by name: the table's own, and MuJoCo Playground's where it is installed."""

import importlib.util

from rpojax.presets.playground import PREFIX, RESULTS, SOURCE, tasks, translated
from rpojax.presets.table import TABLE, Preset
from rpojax.validation import check_known, show


def presets() -> dict[str, Preset]:
    """All presets by name; see `Config.presets`."""
    return {name: preset(name) for name in names()}


def preset(name: str) -> Preset:
    """One preset; ValueError for an unknown name, with the nearest known one."""
    if not isinstance(name, str):
        raise ValueError(f"preset = {show(name)} is not a name; give one of Config.presets()")
    if name in TABLE:
        return TABLE[name]
    if name.startswith(PREFIX) and not _has_playground():
        raise ValueError(
            f"preset {name!r} is read from mujoco_playground, which is not installed; run: "
            "pip install 'rpojax[playground]'"
        )
    check_known(name, names(), "preset")
    task = name.removeprefix(PREFIX)
    result = RESULTS.get(task)
    if result is not None:
        result += ", with num_envs = 32 and impl = 'c'; CPU, jax 0.10.2, 2026-11-30"
    return Preset(translated(task), SOURCE, result)


def names() -> list[str]:
    """The names of all presets."""
    return [*TABLE, *(PREFIX + task for task in (tasks() if _has_playground() else ()))]


def _has_playground() -> bool:
    return importlib.util.find_spec("mujoco_playground") is not None

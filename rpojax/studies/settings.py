"""What a study compares: settings, each a base config with some changes."""

import itertools
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rpojax import envs
from rpojax.settings.config import Config
from rpojax.settings.declared import settings_of
from rpojax.settings.hyperparams import HyperParams
from rpojax.settings.network_config import NetworkConfig
from rpojax.settings.plain import fields_to_plain, objects_in, to_plain
from rpojax.settings.ranges import Range, check_range
from rpojax.studies.space import Sampler, draw_distinct
from rpojax.validation import as_mapping, as_sequence, check_known, show

Changes = Mapping[str, Any]


class Setting(NamedTuple):
    """A config under comparison, and how it differs from the others."""

    label: str  # such as "alpha=0.3,network.hidden_sizes=64x64"; "" where there is one only
    changes: dict[str, Any]  # plain values by the names of `with_changes`; objects as descriptions
    cfg: Config


def with_changes(cfg: Config, changes: Changes) -> Config:
    """A config with some settings changed.

    Args:
        cfg: the base.
        changes: by name: a field of `Config`; "network.hidden_sizes" and the like for a field of
            `NetworkConfig`; "env_params.g" and the like for a parameter of the environment.

    Raises:
        ValueError: an unknown name, with the nearest; a value that is not allowed.
    """
    own: dict[str, Any] = {}
    network: dict[str, Any] = {}
    params: dict[str, Any] = {}
    for name, value in changes.items():
        head, dot, field = name.partition(".")
        if dot and head == "network":
            check_known(field, settings_of(NetworkConfig), "setting of the network")
            network[field] = value
        elif dot and head == "env_params":
            params[field] = value
        else:
            check_known(name, settings_of(Config), "setting")
            own[name] = value
    if network:
        base = own.get("network", cfg.network)
        if not isinstance(base, NetworkConfig):
            raise ValueError(
                f"network.{next(iter(network))} changes the built-in network, and network is "
                f"{show(base)}; give networks as the values of 'network'"
            )
        own["network"] = NetworkConfig(**{**vars(base), **network})
    if params:
        own["env_params"] = {**dict(own.get("env_params", cfg.env_params)), **params}
    return cfg.replace(**own)


def grid_and_space(
    cfg: Config,
    grid: Mapping[str, Sequence[Any]] | None,
    space: Mapping[str, Any] | None,
    num_settings: int | None,
    sampler: Sampler,
    seed: int,
) -> list[Setting]:
    """Each point of a grid with each draw from a space; the base alone where neither is given.

    Raises:
        ValueError: unknown names, values that are not allowed, names that are in both, values that
            are given twice, or a number of draws without a space and the reverse.
    """
    grid = {name: _values(name, values) for name, values in (named_values("grid", grid)).items()}
    ranges: dict[str, Range] = {
        name: check_range(name, given) for name, given in named_values("space", space).items()
    }
    both = sorted(set(grid) & set(ranges))
    if both:
        raise ValueError(f"{', '.join(both)} is in grid and in space; leave it in one of them")
    if bool(ranges) != (num_settings is not None):
        raise ValueError(
            f"num_settings = {num_settings} says how many points to draw from space = "
            f"{show(space)}; give both, or neither"
        )
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    draws: list[dict[str, Any]] = [{}]
    if num_settings is not None:
        draws = draw_distinct(ranges, num_settings, sampler, seed)
    return labelled(
        [(change, with_changes(cfg, change)) for p in points for d in draws for change in [p | d]]
    )


def given_configs(
    base: Config, configs: Sequence[Config | Changes] | Mapping[str, Config | Changes]
) -> list[Setting]:
    """Settings given as a list, with labels from the user or made of their differences.

    Args:
        base: that dictionaries of changes change.
        configs: each a config, or changes as of `with_changes`; or such by label.
    """
    named = as_mapping(configs)
    given = list(named.values()) if named is not None else as_sequence(configs)
    if not given:
        raise ValueError(
            f"configs = {show(configs)} is not a list of configs; give [rpojax.Config(...), ...], "
            "or a dictionary of them by label"
        )
    items = [
        each if isinstance(each, Config) else with_changes(base, named_values("configs", each))
        for each in given
    ]
    plain = [_by_name(fields_to_plain(cfg)) for cfg in items]
    names = {name: None for each in plain for name in each}
    differing = [n for n in names if any(each.get(n) != plain[0].get(n) for each in plain)]
    changes = [{name: each.get(name) for name in differing} for each in plain]
    return labelled(list(zip(changes, items, strict=True)), None if named is None else list(named))


def labelled(
    changed: Sequence[tuple[Changes, Config]], labels: Sequence[Any] | None = None
) -> list[Setting]:
    """Settings with labels, the given ones or those of their changes.

    Raises:
        ValueError: two settings or two labels are the same.
    """
    configs = [cfg for _, cfg in changed]
    changes = [{n: _described(value) for n, value in each.items()} for each, _ in changed]
    if labels is None:
        labels = [label_of(each) for each in changes]
        if len(set(labels)) < len(labels):
            labels = [label_of(each, in_full=True) for each in changes]
    labels = [str(label) for label in labels]
    twice = _first_repeated(configs)
    if twice is not None:
        raise ValueError(
            f"settings {twice[0]} and {twice[1]} are the same ({labels[twice[1]] or 'no changes'}"
            "); give each value once"
        )
    twice = _first_repeated(labels)
    if twice is not None:
        raise ValueError(
            f"settings {twice[0]} and {twice[1]} have the label {labels[twice[0]]!r} both; give "
            "configs as a dictionary, by labels that tell them apart"
        )
    return [Setting(*each) for each in zip(labels, changes, configs, strict=True)]


def label_of(changes: Changes, in_full: bool = False) -> str:
    """Changes as a label: "alpha=0.3,network.hidden_sizes=64x64".

    Args:
        changes: plain.
        in_full: whether to write all digits of numbers, not six.
    """
    return ",".join(f"{name}={_in_words(value, in_full)}" for name, value in changes.items())


def _in_words(value: Any, in_full: bool) -> str:
    if isinstance(value, float):
        return repr(value) if in_full else f"{value:.6g}"
    if isinstance(value, list):
        return "x".join(_in_words(item, in_full) for item in value) or "none"
    return value if isinstance(value, str) else show(value)


def _described(value: Any) -> Any:
    """A setting as a plain value; an object as its description alone."""
    plain = to_plain(value)
    return objects_in(plain).get("", plain)


def _first_repeated(values: Sequence[Hashable]) -> tuple[int, int] | None:
    """The indices of the first value that is there twice."""
    first: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        if first.setdefault(value, index) != index:
            return first[value], index
    return None


def program_config(cfg: Config, traced: Collection[str] = ()) -> Config:
    """The config that settings of one program share; they differ in the program's arguments.

    Args:
        cfg: of one of the settings.
        traced: parameters of its environment that are arguments too, besides hyperparameters.
    """
    defaults = Config()
    params = {name: value for name, value in cfg.env_params if name not in traced}
    return cfg.replace(
        env_params=params, **{name: getattr(defaults, name) for name in settings_of(HyperParams)}
    )


def traced_params(settings: Sequence[Setting]) -> dict[Any, list[str]]:
    """Parameters that differ between settings of one environment and can be arguments of a program.

    Returns:
        Their names by `Config.env`, for environments that have any.
    """
    of_env: dict[Any, list[Config]] = {}
    for setting in settings:
        of_env.setdefault(setting.cfg.env, []).append(setting.cfg)
    traced = {}
    for env, configs in of_env.items():
        given = [dict(cfg.env_params) for cfg in configs]
        names = dict.fromkeys(name for params in given for name in params)
        differing = [n for n in names if any(params.get(n) != given[0].get(n) for params in given)]
        if differing:
            known = envs.make(env, **given[0]).params
            traced[env] = [name for name in differing if name in known]
    return traced


def params_of_settings(configs: Sequence[Config], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The values of some parameters of the environment in each of K configs, f32[K, ...] by name.

    A config that does not set a parameter has the environment's own value.
    """
    if not names:
        return {}
    given = [dict(cfg.env_params) for cfg in configs]
    program = program_config(configs[0], names)
    own = envs.make(program.env, **dict(program.env_params)).params
    return {
        name: np.asarray([params.get(name, own[name]) for params in given], np.float32)
        for name in names
    }


def _values(name: str, values: Any) -> list[Any]:
    items = as_sequence(values)
    if not items:
        raise ValueError(f"grid[{name!r}] = {show(values)} is not a list of values; give e.g. [1]")
    return items


def named_values(name: str, given: Any) -> dict[str, Any]:
    """Values by the names of settings, {} for None; ValueError for what is no such dictionary."""
    mapping = {} if given is None else as_mapping(given)
    if mapping is None:
        raise ValueError(f"{name} = {show(given)} is not a dictionary; give values by setting")
    for key in mapping:
        if not isinstance(key, str):
            raise ValueError(f"{name} has the key {show(key)}; give names of settings as text")
    return mapping


def _by_name(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings of a config by the names that `with_changes` takes."""
    named = {}
    for name, value in plain.items():
        nested = name in ("network", "env_params") and isinstance(value, Mapping)
        if nested and not objects_in(value):
            named.update({f"{name}.{field}": each for field, each in value.items()})
        else:
            named[name] = value
    return named

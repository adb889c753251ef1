"""What a study compares: settings, each a base config with some changes."""

import itertools
import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from rpojax import envs
from rpojax.settings.config import Config
from rpojax.settings.declared import settings_of
from rpojax.settings.hyperparams import HyperParams
from rpojax.settings.network_config import NetworkConfig
from rpojax.settings.plain import fields_to_plain, objects_in, to_plain
from rpojax.settings.ranges import Range, check_range, points_at
from rpojax.validation import (
    as_mapping,
    as_sequence,
    check_choice,
    check_known,
    show,
    whole_number,
)

Changes: TypeAlias = Mapping[str, Any]
Sampler: TypeAlias = Literal["random", "sobol"]
MOST_SETTINGS = 10_000
TIMES_DRAWN = (1, 8, 64)  # as many points as are wanted, until enough of them are different


class Setting(NamedTuple):
    """A config under comparison, and how it differs from the others."""

    label: str  # such as "alpha=0.3,network.hidden_sizes=64x64"; "" where there is one only
    changes: dict[str, Any]  # plain values by the names of `with_changes`; objects as descriptions
    cfg: Config

    @property
    def cells(self) -> dict[str, Any]:
        """`changes` for a table: text for all but None, numbers and booleans."""
        return {
            name: value if isinstance(value, bool | int | float | str | None) else str(value)
            for name, value in self.changes.items()
        }


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
        if name.startswith("network."):
            field = name.removeprefix("network.")
            check_known(field, settings_of(NetworkConfig), "setting of the network")
            network[field] = value
        elif name.startswith("env_params."):
            params[name.removeprefix("env_params.")] = value
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
    values: dict[str, list[Any]] = {}
    for name, each in named_values("grid", grid).items():
        values[name] = as_sequence(each) or []
        if not values[name]:
            raise ValueError(
                f"grid[{name!r}] = {show(each)} is not a list of values; give e.g. [1]"
            )
    ranges = ranges_of(space)
    both = sorted(set(values) & set(ranges))
    if both:
        raise ValueError(f"{', '.join(both)} is in grid and in space; leave it in one of them")
    if bool(ranges) != (num_settings is not None):
        raise ValueError(
            f"num_settings = {num_settings} says how many points to draw from space = "
            f"{show(space)}; give both, or neither"
        )
    count = 1 if num_settings is None else whole_number("num_settings", num_settings)
    points = math.prod(map(len, values.values())) * count
    if points > MOST_SETTINGS:
        raise ValueError(
            f"grid and space have {points:,} settings together; give at most {MOST_SETTINGS:,}, or "
            "search with rpojax.studies.optimize"
        )
    draws = draw_distinct(ranges, count, sampler, seed) if ranges else [{}]
    changes = [
        dict(zip(values, point, strict=True)) | drawn
        for point in itertools.product(*values.values())
        for drawn in draws
    ]
    return labelled([(each, with_changes(cfg, each)) for each in changes])


def draw(
    space: Mapping[str, Range], count: int, sampler: Sampler = "random", seed: int = 0
) -> list[dict[str, Any]]:
    """`count` points of a space, a value for each setting.

    "random" points are independent of each other. "sobol" is a scrambled Sobol sequence, which
    covers the space more evenly (Owen 1998, scipy.stats.qmc), best with a power of two.
    """
    check_choice("sampler", sampler, get_args(Sampler))
    if sampler == "sobol":
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(space), rng=np.random.default_rng(seed))
        # Whole powers of two keep the sequence balanced; the rest of the last one is left out.
        positions = sequence.random_base2(max(0, math.ceil(math.log2(count))))[:count]
    else:
        positions = np.random.default_rng(seed).random((count, len(space)))
    return points_at(space, positions)


def draw_distinct(
    space: Mapping[str, Range], count: int, sampler: Sampler = "random", seed: int = 0
) -> list[dict[str, Any]]:
    """The first points of `draw` that are all different; ValueError if the space has fewer."""
    distinct: dict[str, dict[str, Any]] = {}
    for factor in TIMES_DRAWN:
        for point in draw(space, factor * count, sampler, seed):
            distinct.setdefault(repr(point), point)
        if len(distinct) >= count:
            return list(distinct.values())[:count]
    raise ValueError(
        f"num_settings = {count} is more than the {len(distinct)} different points of the space; "
        "give at most that, or wider ranges"
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
    differing = _differing(plain)
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
    for label in labels:
        if not label.isprintable():  # nor can every file hold it
            raise ValueError(f"the label {show(label)} has characters that cannot be printed")
    for first, second in _repeated(configs):
        raise ValueError(
            f"settings {first} and {second} are the same ({labels[second] or 'no changes'}); give "
            "each value once"
        )
    for first, second in _repeated(labels):
        raise ValueError(
            f"settings {first} and {second} have the label {labels[first]!r} both; give configs as "
            "a dictionary, by labels that tell them apart"
        )
    return [Setting(*each) for each in zip(labels, changes, configs, strict=True)]


def label_of(changes: Changes, in_full: bool = False) -> str:
    """Plain changes as a label, "alpha=0.3,network.hidden_sizes=64x64", with six digits or all."""
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


def first_of_each(values: Sequence[Hashable]) -> list[int]:
    """For each value the index of the first one that is the same."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(value, index) for index, value in enumerate(values)]


def _repeated(values: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Each value that was there before: the indices of the first one and of this one."""
    return [(at, index) for index, at in enumerate(first_of_each(values)) if at != index]


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
        differing = _differing(given)
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


def named_values(name: str, given: Any) -> dict[str, Any]:
    """Values by the names of settings, {} for None; ValueError for what is no such dictionary."""
    mapping = {} if given is None else as_mapping(given)
    if mapping is None:
        raise ValueError(f"{name} = {show(given)} is not a dictionary; give values by setting")
    for key in mapping:
        if not isinstance(key, str):
            raise ValueError(f"{name} has the key {show(key)}; give names of settings as text")
    return mapping


def ranges_of(space: Mapping[str, Any] | None) -> dict[str, Range]:
    """The ranges of a space, checked."""
    return {name: check_range(name, each) for name, each in named_values("space", space).items()}


def _differing(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names whose values are not the same in all mappings."""
    names = dict.fromkeys(name for each in mappings for name in each)
    return [n for n in names if any(each.get(n) != mappings[0].get(n) for each in mappings)]


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

"""Random settings: `Config` raises nothing but ValueError, a settings file exits with status 2.

RPOJAX_FUZZ_EXAMPLES sets the number of examples, such as 10000 for a thorough run.
"""

import collections
import contextlib
import dataclasses
import datetime
import io
import json
import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rpojax import Config, NetworkConfig, RunOptions
from rpojax.cli import main
from rpojax.cli.train_settings import read_settings
from rpojax.cli.training import Train
from rpojax.settings.files import load_settings_file

EXAMPLES = int(os.environ.get("RPOJAX_FUZZ_EXAMPLES", "0"))
IN_ALL = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]


def examples(default):
    return settings(
        max_examples=EXAMPLES or default,
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        suppress_health_check=IN_ALL,
    )


@dataclasses.dataclass
class Unhashable:
    values: list


class Hostile:
    """Raises whenever it is looked at."""

    def __repr__(self):
        raise RuntimeError("no text")

    def __array__(self, *args, **kwargs):
        raise RuntimeError("no array")

    def __index__(self):
        raise RuntimeError("no int")


ENDLESS: list = []
ENDLESS.append(ENDLESS)
ODD = [
    Hostile(),
    Unhashable([1]),
    object(),
    ENDLESS,
    jax.random.key(0),
    jax.random.split(jax.random.key(0), 2),
    jnp.ones(3),
    jnp.bfloat16(0.5),
    np.array(["a"]),
    np.array([1, "a"], object),
    np.datetime64("2020-01-01"),
    np.ma.masked,
    np.longdouble(0.5),
    datetime.date(2020, 1, 1),
    10**5000,
    -(10**400),
    1e-46,
    1e39,
    -0.0,
    1 + 2j,
    NetworkConfig,
    Config,
    len,
    max,
    lambda: 0,
    lambda reward, timestep, timesteps: reward,
    [1, [2, 3]],
    collections.UserDict(g=1),
    bytearray(b"1"),
    range(3),
    {1, 2},
    ...,
]
# Built once, so that hypothesis shows them by position where they have no repr.
odd = st.integers(0, len(ODD) - 1).map(ODD.__getitem__)
whole = st.one_of(
    st.integers(),
    st.integers(0, 5).map(lambda power: 2**power),
    st.integers(0, 20).map(lambda power: 10**power),
    st.integers(-3, 40),
)
plain = st.one_of(
    st.none(),
    st.booleans(),
    whole,
    st.floats(),
    st.floats(0.0, 1.0),
    st.text(max_size=8),
    st.sampled_from(["tanh", "gru", "linear", "batch", "clip", "none", "Pendulum-v1", "float32"]),
)
nested = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
numpy_scalars = st.one_of(
    whole.filter(lambda number: abs(number) < 2**62).map(np.int64),
    st.floats(width=32).map(np.float32),
    st.booleans().map(np.bool_),
    st.floats().map(np.array),
)
values = plain | nested | numpy_scalars | odd
FIELDS = [field.name for field in dataclasses.fields(Config)]
NETWORK_FIELDS = [field.name for field in dataclasses.fields(NetworkConfig)]
network_settings = st.dictionaries(st.sampled_from(NETWORK_FIELDS), values, max_size=3)
SIZES = {"num_envs": 4, "num_steps": 8, "num_minibatches": 2, "total_timesteps": 320}


@examples(600)
@given(st.dictionaries(st.sampled_from(FIELDS), values, max_size=4), st.booleans())
def test_config_raises_nothing_but_value_errors(fields, is_small):
    try:
        cfg = Config(**(SIZES | fields if is_small else fields))
    except ValueError:
        return
    assert cfg == cfg.replace()
    assert hash(cfg) == hash(cfg.replace())
    for name, value in vars(cfg).items():
        if isinstance(value, np.generic | np.ndarray | jax.Array):
            assert name in ("env", "network", "reward_shaper", "lr_schedule")
        if isinstance(value, float):
            assert math.isfinite(value)
    assert 0 < cfg.num_updates < 2**31


@examples(300)
@given(network_settings)
def test_network_settings_raise_nothing_but_value_errors(fields):
    with contextlib.suppress(ValueError):
        assert Config(network=fields, **SIZES).network == NetworkConfig(**fields)


@examples(300)
@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), values, max_size=4))
def test_dictionaries_raise_nothing_but_value_errors(fields):
    with contextlib.suppress(ValueError):
        Config.from_dict(fields)
    with contextlib.suppress(ValueError):
        Config.from_skrl(fields)


KEYS = [*FIELDS, *map(str.upper, FIELDS), "LR", "ACTIVATION", "seed", "num_seeds", "NORMALIZE_ENV"]
KEYS += vars(RunOptions())
file_settings = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), nested, max_size=4)
file_settings |= st.fixed_dictionaries(
    {"network": st.dictionaries(st.sampled_from(NETWORK_FIELDS), nested, max_size=3)}
)
FRAGMENTS = ["alpha", "network", ": ", "\n", "- ", "[", "]", "{", "}", ",", "=", '"', "'", "1e-3"]
FRAGMENTS += ["&a", "*a", "!!set", "!!timestamp", "? ", "|", ">", "#", "---", "<<", "0x", "_", "~"]
fragments = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=12).map("".join)
texts = st.one_of(
    st.tuples(st.sampled_from([".yaml", ".json", ".toml"]), fragments),
    st.tuples(st.just(".yaml"), file_settings.map(lambda given: yaml.safe_dump(given))),
    st.tuples(st.just(".json"), file_settings.map(json.dumps)),
)


@examples(300)
@given(texts)
def test_settings_files_raise_nothing_but_value_errors(tmp_path, file):
    suffix, text = file
    path = tmp_path / f"settings{suffix}"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with contextlib.suppress(ValueError):
        load_settings_file(path)
        read_settings(path, None).defaults.config.to_config()


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_trained():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Train, "__call__", lambda self: self.config.to_config())
        yield


def status_of(*args):
    """The exit status of the command; user errors print one line."""
    status, output, error = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
        try:
            main(args)
        except SystemExit as stop:
            status = stop.code or 0
    if status:
        assert output.getvalue() == ""
        assert error.getvalue().startswith("rpojax: ")
        assert error.getvalue().count("\n") == 1
    return status


@examples(25)
@given(texts)
def test_command_exits_with_status_2_for_wrong_files(tmp_path, file):
    suffix, text = file
    path = tmp_path / f"settings{suffix}"
    path.write_bytes(text.encode(errors="surrogatepass"))
    assert status_of("train", f"--config={path}") in (0, 2)


FLAGS = [f"--{name.replace('_', '-')}" for name in (*FIELDS, "config", "seed", "env-params.g", "x")]
FLAGS += [f"--network.{name.replace('_', '-')}" for name in NETWORK_FIELDS]
FLAGS += ["--help", "--version", "--", "-", "--no-normalize-values", "--network.no-shared-torso"]
words = st.one_of(
    st.sampled_from(FLAGS),
    st.tuples(st.sampled_from(FLAGS), plain).map(lambda pair: f"{pair[0]}={pair[1]}"),
    plain.map(str),
)
arguments = st.lists(words, max_size=5)


@examples(25)
@given(arguments)
def test_command_exits_with_status_2_for_wrong_arguments(tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    assert status_of("train", *args) in (0, 2)

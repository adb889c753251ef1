"""The contract of an exported policy: what it takes, what it returns, and where it comes from.

A JSON object, beside each exported file and inside of those for NumPy and ONNX:

    "observations"  name, shape and dtype of each, in order; if normalised, mean, std and clip. An
                    observation that is one array is called "obs", an entry of nested dicts such as
                    "arm/position"
    "carry"         of a recurrent policy: name, shape and dtype of each array, and "initial", its
                    value where an episode begins
    "action"        shape and bounds, null for none; the actuators' names, where a robot has them
    "deterministic" false for a StableHLO program that samples, and takes a PRNG key as well
    "control_dt"    seconds from one action to the next, null if not known
    "joints"        names of a robot's joints, in the order of its positions
    "layers"        of built-in networks, in the order in which `numpy_policy.forward` computes them
    "proof"         the largest difference from `make_policy`, and over how many observations
    "training", "versions", "commit"

"input" and "output" are names in an ONNX model.
"""

import json
import math
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import jax
import numpy as np

from rpojax.core.model import Model
from rpojax.core.normalize import EPSILON
from rpojax.envs.base import Env
from rpojax.envs.description import described_env
from rpojax.networks.torsos import recurrent_layers, torsos_of
from rpojax.settings.network_config import NetworkConfig
from rpojax.settings.values import ActionTransform
from rpojax.trees import leaves_by_path
from rpojax.types import PyTree, RunningStats, TrainState
from rpojax.validation import first_line, show
from rpojax.version import __version__

Kind: TypeAlias = Literal["stablehlo", "onnx", "numpy"]
FORMAT = "rpojax policy 1"
MOST_BYTES = 2**22
"""Of a contract that is read. Statistics of a picture of 200 x 200 RGB pixels have less."""

_REQUIRED = (
    "format", "kind", "environment", "observations", "carry", "action", "deterministic",
    "control_dt",
)  # fmt: skip
_CARRIED = {"rnn": ("h",), "gru": ("h",), "lstm": ("c", "h")}


def make_contract(
    model: Model,
    state: TrainState,
    kind: Kind,
    deterministic: bool,
    training: Mapping[str, Any],
    layered: bool,
) -> dict[str, Any]:
    """The contract of one agent's policy, without "proof".

    Args:
        model, state: the agent.
        kind: of the file.
        deterministic: whether it takes mean actions.
        training: what to say of its training, as values for JSON.
        layered: whether the file holds layers of the built-in network, and takes only what its
            actor sees; otherwise it takes all observations and the whole carry.
    """
    cfg, env, network = model
    spec, stats = env.obs, state.obs_stats and mean_and_std(state.obs_stats)
    layers: dict[str, Any] = {}
    if layered:
        layers = {"layers": _layers(cfg.network, cfg.action_transform)}
        spec, stats = (
            actors_part(model, spec),
            stats and {name: actors_part(model, tree) for name, tree in stats.items()},
        )
        carry = [
            _array(f"{layer['name']}/{part}", (layer["size"],), np.float32)
            for layer in layers["layers"]
            for part in _CARRIED.get(layer["kind"], ())
        ]
    else:
        initial = named(network.initial_carry((1,)), "carry")
        carry = [_array(name, leaf.shape[1:], leaf.dtype) for name, leaf in initial.items()]
        for each, leaf in zip(carry, initial.values(), strict=True):
            if np.any(leaf):
                each["initial"] = np.asarray(leaf[0], np.float64).tolist()
    observations = [_array(name, leaf.shape, leaf.dtype) for name, leaf in named(spec).items()]
    if stats:
        means, stds = named(stats["mean"]), named(stats["std"])
        for each in observations:
            numbers = (np.asarray(x[each["name"]], np.float64).tolist() for x in (means, stds))
            each["mean"], each["std"] = numbers
            each["clip"] = cfg.observation_clip
    above = "" if isinstance(spec, jax.ShapeDtypeStruct) else "obs/"
    for each in observations:
        each["input"] = f"{above}{each['name']}"
    for each in carry:
        each["input"], each["output"] = (f"{way}/{each['name']}" for way in ("carry", "next_carry"))
    return {
        "format": FORMAT,
        "kind": kind,
        "environment": cfg.env if isinstance(cfg.env, str) else env.name,
        "observations": observations,
        "carry": carry,
        "action": _array("action", (env.action_dim,), np.float32)
        | {"low": _finite(env.action_low), "high": _finite(env.action_high)}
        | {"actuators": list(env.actuators), "output": "action"},
        "deterministic": deterministic,
        "control_dt": env.control_dt,
        "max_episode_steps": env.max_episode_steps,
        "joints": list(env.joints),
        **layers,
        "training": _plain(training),
        "versions": {"rpojax": __version__, "jax": jax.__version__, "numpy": np.__version__},
        "commit": _commit(),
    }


def policy_arrays(model: Model, state: TrainState) -> dict[str, np.ndarray]:
    """What the layers of a built-in network name, f32[...] each."""
    layers = _layers(model.cfg.network, model.cfg.action_transform)
    modules = {layer["name"]: state.params[layer["name"]] for layer in layers if "name" in layer}
    arrays = leaves_by_path(modules, simple=True)
    if state.obs_stats is not None:
        for kind, tree in mean_and_std(state.obs_stats).items():
            leaves = named(actors_part(model, tree))
            arrays |= {f"obs_{kind}/{name}": leaf for name, leaf in leaves.items()}
    arrays |= {"action_low": model.env.action_low, "action_high": model.env.action_high}
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}


def named(
    tree: PyTree, alone: str = "obs", is_leaf: Callable[[Any], bool] | None = None
) -> dict[str, Any]:
    """Leaves by name, such as "arm/position" in nested dicts; a single array is called `alone`."""
    leaves = leaves_by_path(tree, simple=True, is_leaf=is_leaf)
    return {path or alone: leaf for path, leaf in leaves.items()}


def actors_part(model: Model, obs: PyTree) -> PyTree:
    """The entries of an observation, or of a tree like it, that a built-in actor sees."""
    keys = model.cfg.network.actor_keys
    return obs if keys is None else {key: obs[key] for key in keys}


def mean_and_std(stats: RunningStats) -> dict[str, PyTree]:
    """The statistics by which values are normalised, as NumPy arrays."""
    std = jax.tree.map(lambda var: np.sqrt(np.asarray(var) + np.float32(EPSILON)), stats.var)
    return {"mean": stats.mean, "std": std}


def described(contract: Mapping[str, Any]) -> Env:
    """The environment that a policy acts in, without its dynamics; observations by their names."""
    spec = {each["name"]: [each["shape"], each["dtype"]] for each in contract["observations"]}
    bounds = {
        f"action_{end}": [
            math.copysign(math.inf, sign) if bound is None else bound
            for bound in contract["action"][end]
        ]
        for end, sign in (("low", -1.0), ("high", 1.0))
    }
    env = described_env(
        {
            "name": contract["environment"],
            "obs": spec["obs"] if list(spec) == ["obs"] else spec,
            "metrics": (),
            "max_episode_steps": contract.get("max_episode_steps"),
            "control_dt": contract["control_dt"],
            **bounds,
        }
    )
    assert env is not None
    return env


def contract_path(path: Path) -> Path:
    """The contract beside an exported file: "policy.onnx" has "policy.onnx.json"."""
    return path.with_name(f"{path.name}.json")


def to_text(contract: Mapping[str, Any]) -> str:
    """The contract as JSON, with each innermost list or object in one line."""
    text = json.dumps(contract, indent=2, allow_nan=False)
    return re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda found: " ".join(found[0].split()), text)


class ContractError(ValueError):
    """A text that is no contract, or a contract that another one contradicts."""


def from_text(text: str, source: Path) -> dict[str, Any]:
    """The contract in a text that was found in `source`; ContractError where it is none."""
    try:
        contract: dict[str, Any] = json.loads(text) if len(text) <= MOST_BYTES else {}
        missing = sorted(set(_REQUIRED) - set(contract))
        if not missing and contract["format"] == FORMAT:
            described(contract)
            return contract
        problem = f"it has no {missing}" if missing else f"its format is {contract['format']!r}"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        problem = f"{type(error).__name__}: {first_line(error)}"
    raise ContractError(
        f"{str(source)!r} holds no contract {FORMAT!r} ({problem}); give a file that "
        "rpojax.export_policy or `rpojax export` of this version has written"
    )


def require_same(
    contract: Mapping[str, Any], path: Path, other: Mapping[str, Any], beside: Path
) -> None:
    """ContractError unless two contracts name the same arrays, in one order and of one shape."""
    for section in ("observations", "carry", "action"):
        inside, outside = (
            [
                (each["name"], each["shape"], each["dtype"])
                for each in (part if isinstance(part, list) else [part])
            ]
            for part in (contract[section], other[section])
        )
        if inside != outside:
            raise ContractError(
                f"{str(path)!r} has {section} {inside}, and {beside.name} beside it {outside}; "
                "export the policy again, or move the file without the contract"
            )


def _layers(network: NetworkConfig, transform: ActionTransform) -> list[dict[str, Any]]:
    """What a policy computes after its observations are normalised and joined, in order."""
    torso = torsos_of(network)[0]
    layers: list[dict[str, Any]] = []
    for index, size in enumerate(torso.hidden_sizes):
        layers.append({"kind": "dense", "name": f"{torso.name}_{index}", "size": size})
        if network.layer_norm:
            layers.append({"kind": "layer_norm", "name": f"{torso.name}_norm_{index}"})
        layers.append({"kind": network.activation})
    for name, size in recurrent_layers(network, torso.name):
        layers.append({"kind": network.cell, "name": name, "size": size})
    layers.append({"kind": "dense", "name": "mean"})
    squash = {"gaussian": [], "tanh_gaussian": ["tanh"], "beta": ["tanh_half"]}
    last = [*squash[network.distribution], *(["rescale"] if transform == "rescale" else []), "clip"]
    return [*layers, *({"kind": kind} for kind in last)]


def _array(name: str, shape: tuple[int, ...], dtype: Any) -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "dtype": str(np.dtype(dtype))}


def _plain(training: Mapping[str, Any]) -> dict[str, Any]:
    """The values for JSON, with numbers in place of arrays; ValueError where JSON lacks one."""
    try:
        text = json.dumps(dict(training), allow_nan=False, default=lambda array: array.tolist())
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"training = {show(training)} cannot be written as JSON ({first_line(error)}); give a "
            'dict of text, finite numbers and lists, such as {"return": 950.0}'
        ) from None
    plain: dict[str, Any] = json.loads(text)
    return plain


def _finite(bounds: np.ndarray) -> list[float | None]:
    return [float(bound) if np.isfinite(bound) else None for bound in bounds]


def _commit() -> str | None:
    """The Git commit of the working directory, with "-dirty" where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None

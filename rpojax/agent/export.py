"""A trained agent in files: its policy as a program, its parameters as arrays.

`export_policy` writes StableHLO that any later JAX can call, an ONNX model, or arrays with a module
that needs NumPy only; `export_params` writes the numbers alone.
"""

import inspect
import io
import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import jax
import numpy as np
from jax import export

from rpojax.agent import numpy_policy
from rpojax.agent.contract import (
    Kind,
    contract_path,
    make_contract,
    mean_and_std,
    policy_arrays,
    to_text,
)
from rpojax.agent.exported import open_bytes
from rpojax.agent.inputs import check_state
from rpojax.agent.onnx_graph import model_of_module, recorded_model, with_contract
from rpojax.agent.policy import policy_for
from rpojax.agent.proof import prove
from rpojax.core.model import Model, make_model, params_used
from rpojax.files import replaced, require_regular, write_text
from rpojax.settings.config import Config
from rpojax.settings.network_config import NetworkConfig
from rpojax.trees import batched, leaves_by_path
from rpojax.types import PyTree, TrainState
from rpojax.validation import check_choice, show

Platform: TypeAlias = Literal["cpu", "cuda", "rocm", "tpu"]
Part: TypeAlias = Literal["all", "policy", "value"]
PLATFORMS: tuple[Platform, ...] = ("cpu", "cuda", "tpu")
_PLATFORMS = {"cpu": {"cpu"}, "gpu": {"cuda", "rocm"}, "tpu": {"tpu"}}
Encode: TypeAlias = Callable[[dict[str, Any]], bytes]
"""The bytes of a file, with this contract inside of it if its format has a place for one."""


def export_policy(
    cfg: Config,
    state: TrainState,
    path: str | Path,
    *,
    format: Kind = "stablehlo",
    deterministic: bool = True,
    platforms: Sequence[Platform] = PLATFORMS,
    training: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write one agent's policy for use elsewhere, for any batch size.

    The file holds what `make_policy` does: normalisation, network and action bounds, with the
    numbers inside, and no perturbation. Its contract is written beside it, as JSON: "policy.onnx"
    has "policy.onnx.json"; see `rpojax.agent.contract`. Before anything is written, the file's
    actions are compared with those of `make_policy` on 1000 observations (a StableHLO program only
    where one of its platforms is that of this process).

    "onnx" is a model for ONNX Runtime and others, of opset 18. Inputs are the observations as the
    environment gives them, [batch, *shape], called "obs" or, of a Dict, "obs/<key>"; those that the
    actor does not see are left out. The output is "action", f32[batch, A]. A recurrent policy has
    inputs "carry/..." and outputs "next_carry/..."; where an episode begins, the carry is 0. The
    contract is in the metadata, under "rpojax.contract". Networks of a user's own are translated by
    the package jax2onnx.

    "numpy" writes arrays and, beside them, a module of a hundred lines that needs NumPy only:

        import policy  # policy.py

        act = policy.load("policy.npz")
        action, carry = act(obs)

    `load_policy` reads both, and "stablehlo", which is a program for `jax.export`. That is loaded
    without rpojax, where jax and flatbuffers are installed:

        import pathlib
        import jax.export

        program = jax.export.deserialize(bytearray(pathlib.Path(path).read_bytes()))
        act = jax.jit(program.call)
        action = act(obs)  # obs [batch, *obs.shape] -> f32[batch, A]
        action = act(obs, jax.random.key(0))  # a stochastic policy

    A recurrent program takes a carry too, with a flag for each observation at which an episode
    begins, where the carry is ignored:

        import numpy as np

        shapes = jax.tree.unflatten(program.in_tree, program.in_avals)[0][1]
        carry = jax.tree.map(lambda leaf: np.zeros((batch, *leaf.shape[1:]), leaf.dtype), shapes)
        action, carry = act(obs, carry, reset)  # reset bool[batch]; then a key if stochastic

    JAX promises that programs load for six months of its releases at least; keep a checkpoint for
    longer.

    Args:
        cfg: what the agent was trained with.
        state: of one agent; take one of many with `TrainResult.select`.
        path: of the file; one that exists is replaced, and so is its contract.
        format: "stablehlo", "onnx" or "numpy".
        deterministic: True for the mean action, False for a sample, by a typed key: StableHLO only.
        platforms: on which a StableHLO program should run.
        training: what the contract should say of the training, such as {"return": 950.0}; values
            for JSON, or arrays of numbers.

    Returns:
        The contract.

    Raises:
        ValueError: `state` is not one that `make_policy` takes; an unknown format or platform, or
            none; a stochastic policy in another format than StableHLO; a network of a user's own in
            NumPy; a network whose program depends on the batch size; observations in a container
            that the format cannot describe (dicts it can); actions that differ from those of
            `make_policy` by more than 1e-4 of their range, or 2e-2 with dtype="bfloat16"; a
            `training` that JSON cannot hold; a package that is not installed.
    """
    model = make_model(cfg)
    return write_policy(model, state, Path(path), format, deterministic, platforms, training)


def write_policy(
    model: Model,
    state: TrainState,
    path: Path,
    format: Kind,
    deterministic: bool = True,
    platforms: Sequence[Platform] = PLATFORMS,
    training: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """`export_policy` for a model, whose environment may be a description."""
    check_choice("format", format, get_args(Kind))
    check_state(model, state)
    if format != "stablehlo" and not deterministic:
        raise ValueError(
            f"deterministic = False needs random numbers, which format = {format!r} does not have; "
            "give format = 'stablehlo', or deterministic = True"
        )
    cfg = model.cfg
    builtin = isinstance(cfg.network, NetworkConfig)
    layered = builtin and format != "stablehlo"
    contract = make_contract(model, state, format, deterministic, training or {}, layered)
    if format == "stablehlo":
        encode = _stablehlo(model, state, deterministic, platforms)
    elif format == "onnx":
        encode = _onnx(model, state, contract)
    elif builtin:
        encode = _numpy(policy_arrays(model, state))
    else:
        raise ValueError(
            f"network = {show(cfg.network)} cannot be exported to NumPy, as its code is in JAX; "
            "give format = 'onnx' or 'stablehlo', or export_params for its arrays"
        )
    module = Path(inspect.getfile(numpy_policy)) if format == "numpy" else None
    if module is not None:
        _check_free(path.with_suffix(".py"), path, module)
    key = None if deterministic else jax.random.key(0)
    policy = open_bytes(format, encode(contract), contract)
    runs_here = format != "stablehlo" or _PLATFORMS[jax.default_backend()] & set(platforms)
    contract["proof"] = prove(model, state, policy, key) if runs_here else None
    text = to_text(contract)
    with replaced(path) as draft:
        draft.write_bytes(encode(contract))
    write_text(contract_path(path), text + "\n")
    if module is not None:
        with replaced(path.with_suffix(".py")) as draft:
            shutil.copyfile(module, draft)
    return contract


def _check_free(place: Path, path: Path, module: Path) -> None:
    """ValueError where a file that is not `module` has the place of its copy."""
    first = module.read_text(encoding="utf-8").partition("\n")[0]
    require_regular(place)
    if place == path or (place.exists() and not place.read_bytes().startswith(first.encode())):
        raise ValueError(
            f"path = {str(path)!r} puts a module for NumPy into {str(place)!r}, where another file "
            "is; give another name"
        )


def _numpy(arrays: Mapping[str, np.ndarray]) -> Encode:
    def encode(contract: dict[str, Any]) -> bytes:
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, contract=np.asarray(to_text(contract)), **arrays)
        return file.getvalue()

    return encode


def _onnx(model: Model, state: TrainState, contract: dict[str, Any]) -> Encode:
    if "layers" in contract:
        made = recorded_model(contract, policy_arrays(model, state))
    else:
        made = model_of_module(model, state, contract)
    return lambda contract: with_contract(made, to_text(contract))


def _stablehlo(
    model: Model, state: TrainState, deterministic: bool, platforms: Sequence[Platform]
) -> Encode:
    if isinstance(platforms, str) or not platforms:
        raise ValueError(
            f"platforms = {platforms!r} is not a list of platforms; give one or more of "
            f"{', '.join(map(repr, get_args(Platform)))}, such as ('cpu',)"
        )
    for platform in platforms:
        check_choice("platforms", platform, get_args(Platform))
    env, network = model.env, model.network
    act = policy_for(model, state, deterministic)
    batch = export.symbolic_shape("batch")[0]
    inputs: list[PyTree] = [batched(env.obs, batch)]
    if network.recurrent:
        carry = jax.eval_shape(lambda: network.initial_carry((1,)))
        carry = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), carry)
        inputs += [batched(carry, batch), jax.ShapeDtypeStruct((batch,), bool)]
    if not deterministic:
        inputs.append(jax.eval_shape(lambda: jax.random.key(0)))
    try:
        exported = export.export(jax.jit(act), platforms=list(platforms))(*inputs)
    except jax.errors.InconclusiveDimensionOperation as error:
        raise ValueError(
            f"network = {model.cfg.network!r} cannot be exported for any batch size; make it "
            f"independent of the number of observations ({error})"
        ) from error
    try:
        program = bytes(exported.serialize())
    except ValueError as error:
        raise ValueError(
            f"the observations of {env.name!r} or the carry of the network cannot be exported; "
            f"give each as an array or as dicts, lists and tuples of arrays ({error})"
        ) from error
    return lambda contract: program


def export_params(
    cfg: Config, state: TrainState, path: str | Path, part: Part = "all"
) -> dict[str, np.ndarray]:
    """Write one agent's parameters, and what else its outputs need, as a NumPy `.npz` file.

    Names are paths, joined by "/":

        params/<module>/<name>          parameters, as the network calls them
        obs_stats/mean, obs_stats/std   of observations, if they are normalised; leaf by leaf
        observation_clip                bound on normalised observations, likewise
        action_low, action_high         bounds of the environment, f32[A]
        action_transform                "clip" or "rescale"
        distribution                    "gaussian"; "tanh_gaussian", where the action is tanh(mean);
                                        or "beta", where it is tanh(mean / 2)
        value_stats/mean, .../std       of returns, if the critic predicts standardised ones

    and, of a `NetworkConfig`, its fields

        activation                      of hidden layers
        std_parameterization            "exp" or "softplus", from `log_std` to standard deviations
        log_std_min, log_std_max        bounds of their logarithm
        actor_keys, critic_keys         entries of a Dict observation, if they are chosen

    The architecture of a network of your own is not in the file; keep its code.

    The mean action of the default network, from a file of the part "policy":

        p = np.load(path)
        hidden = (obs - p["obs_stats/mean"]) / p["obs_stats/std"]
        hidden = np.clip(hidden, -p["observation_clip"], p["observation_clip"])
        for layer in ("params/actor_0", "params/actor_1"):
            hidden = np.tanh(hidden @ p[f"{layer}/kernel"] + p[f"{layer}/bias"])
        mean = hidden @ p["params/mean/kernel"] + p["params/mean/bias"]
        action = np.clip(mean, p["action_low"], p["action_high"])

    and its standard deviation, before the clip:

        std = np.exp(np.clip(p["params/log_std"], p["log_std_min"], p["log_std_max"]))

    Args:
        cfg: what the agent was trained with.
        state: of one agent; take one of many with `TrainResult.select`.
        path: of the file; one that exists is replaced.
        part: "all"; "policy", what the mean and the standard deviation are made of; or "value".
            Parameters that both use, of a shared torso say, are in both.

    Returns:
        The arrays by name, as written.

    Raises:
        ValueError: `state` is not one that `make_policy` takes, or an unknown part.
    """
    return write_params(make_model(cfg), state, Path(path), part)


def write_params(model: Model, state: TrainState, path: Path, part: Part) -> dict[str, np.ndarray]:
    """`export_params` for a model, whose environment may be a description."""
    check_choice("part", part, get_args(Part))
    check_state(model, state)
    cfg = model.cfg
    arrays = leaves_by_path({"params": state.params}, simple=True)
    if part != "all":
        used = jax.tree.leaves(params_used(model, part))
        arrays = dict(itertools.compress(arrays.items(), used))
    if state.obs_stats is not None:
        arrays |= leaves_by_path({"obs_stats": mean_and_std(state.obs_stats)}, simple=True)
        arrays["observation_clip"] = np.asarray(cfg.observation_clip, np.float32)
    if part != "value":
        env = model.env
        arrays |= {"action_low": env.action_low, "action_high": env.action_high}
        arrays["action_transform"] = np.asarray(cfg.action_transform)
        arrays["distribution"] = np.asarray(model.network.distribution)
    if part != "policy" and state.value_stats is not None:
        arrays |= leaves_by_path({"value_stats": mean_and_std(state.value_stats)}, simple=True)
    if isinstance(cfg.network, NetworkConfig):
        arrays |= _settings(cfg.network, part)
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    # np.savez adds a suffix to names that lack it.
    with replaced(path) as draft, draft.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return arrays


def _settings(network: NetworkConfig, part: Part) -> dict[str, np.ndarray]:
    """Fields of the built-in network that the outputs of a part depend on."""
    settings: dict[str, Any] = {"activation": network.activation}
    if part != "value":
        settings |= {
            "std_parameterization": network.std_parameterization,
            "log_std_min": np.float32(network.log_std_min),
            "log_std_max": np.float32(network.log_std_max),
            "actor_keys": network.actor_keys,
        }
    if part != "policy":
        settings["critic_keys"] = network.critic_keys
    return {name: np.asarray(value) for name, value in settings.items() if value is not None}

"""A policy that rpojax has trained, in NumPy alone.

    policy = load("policy.npz")
    action, carry = policy(obs)  # an episode begins
    action, carry = policy(obs, carry)  # its next step; the carry is {} without memory

The file has arrays, and in "contract" a JSON object: what the policy takes and returns, and its
layers. `forward` is all that is computed. To port a policy, port what its layers name.
"""

import json
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # f32[...]
Arrays: TypeAlias = dict[str, Any]


def sigmoid(x: Array) -> Array:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def softplus(x: Array) -> Array:
    return np.maximum(x, 0.0) + np.log(1.0 + np.exp(-np.abs(x)))


def elu(x: Array, scale: float = 1.0, alpha: float = 1.0) -> Array:
    return scale * (np.maximum(x, 0.0) + alpha * (np.exp(np.minimum(x, 0.0)) - 1.0))


ACTIVATIONS: dict[str, Any] = {
    "tanh": np.tanh,
    "tanh_half": lambda x: np.tanh(0.5 * x),
    "relu": lambda x: np.maximum(x, 0.0),
    "elu": elu,
    "selu": lambda x: elu(x, 1.050700987, 1.673263242),
    "gelu": lambda x: 0.5 * x * (1.0 + np.tanh(0.7978845608 * (x + 0.044715 * x * x * x))),
    "silu": lambda x: x * sigmoid(x),
    "leaky_relu": lambda x: np.maximum(x, 0.01 * x),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "sigmoid": sigmoid,
    "softplus": softplus,
    "soft_sign": lambda x: x / (1.0 + np.abs(x)),
}


def layer_norm(p: Arrays, x: Array) -> Array:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return centred / np.sqrt(variance + 1e-6) * p["scale"] + p["bias"]


def cell(kind: str, p: Arrays, x: Array, carry: Arrays) -> Arrays:
    x, hidden = x @ p["input"] + p["bias"], carry["h"] @ p["hidden"]
    if kind == "rnn":
        return {"h": np.tanh(x + hidden)}
    if kind == "gru":
        (x_r, x_z, x_n), (h_r, h_z, h_n) = (np.split(each, 3, axis=-1) for each in (x, hidden))
        new = np.tanh(x_n + sigmoid(x_r + h_r) * (h_n + p["hidden_bias"]))
        update = sigmoid(x_z + h_z)
        return {"h": (1.0 - update) * new + update * carry["h"]}
    write, keep, new, read = np.split(x + hidden, 4, axis=-1)  # of an LSTM
    c = sigmoid(keep) * carry["c"] + sigmoid(write) * np.tanh(new)
    return {"c": c, "h": sigmoid(read) * np.tanh(c)}


def below(tree: Arrays, path: str) -> Arrays:
    return {name[len(path) + 1 :]: x for name, x in tree.items() if name.startswith(f"{path}/")}


def forward(contract: Any, arrays: Arrays, obs: Arrays, carry: Arrays) -> tuple[Array, Arrays]:
    """The action and the next carry, from arrays by name, [..., *shape]."""
    parts, carry = [], dict(carry)
    for each in contract["observations"]:
        x = obs[each["name"]].astype(np.float32)
        axes = x.shape[: x.ndim - len(each["shape"])]
        if "clip" in each:
            x = (x - arrays[f"obs_mean/{each['name']}"]) / arrays[f"obs_std/{each['name']}"]
            x = np.clip(x, -each["clip"], each["clip"])
        parts.append(x.reshape(*axes, -1))
    x, low, high = np.concatenate(parts, axis=-1), arrays["action_low"], arrays["action_high"]
    for layer in contract["layers"]:
        kind, p = layer["kind"], below(arrays, layer.get("name", ""))
        if kind == "dense":
            x = x @ p["kernel"] + p["bias"]
        elif kind == "layer_norm":
            x = layer_norm(p, x)
        elif kind in ("rnn", "gru", "lstm"):
            after = cell(kind, p, x, below(carry, layer["name"]))
            carry.update({f"{layer['name']}/{name}": value for name, value in after.items()})
            x = after["h"]
        elif kind == "rescale":  # from [-1, 1] onto the bounds
            x = low + (high - low) * 0.5 * (x + 1.0)
        elif kind == "clip":
            x = np.clip(x, low, high)
        else:
            x = ACTIVATIONS[kind](x)
    return x, carry


def load(path: Any) -> Any:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    contract = json.loads(str(arrays.pop("contract")))

    def policy(obs: Any, carry: Any = None) -> tuple[Array, Arrays]:
        obs = obs if isinstance(obs, dict) else {"obs": obs}
        obs, axes = {name: np.asarray(x) for name, x in obs.items()}, ()
        for each in contract["observations"]:
            name, shape = each["name"], tuple(each["shape"])
            axes = obs[name].shape[: obs[name].ndim - len(shape)]
            if obs[name].shape != axes + shape:
                raise ValueError(f"{name} has the shape {obs[name].shape}; give (..., *{shape})")
        for each in contract["carry"] if not carry else ():
            carry = (carry or {}) | {each["name"]: np.zeros((*axes, *each["shape"]), np.float32)}
        return forward(contract, arrays, obs, carry or {})

    return policy

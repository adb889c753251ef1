"""MuJoCo's C engine as functions that JAX can jit, vmap and save in its compilation cache.

`engine.cc` is compiled when a simulator is first made, with the system's C++ compiler, into the
user's cache directory. On a CPU it computes MuJoCo's own steps, in float64, to the bit; MJX is the
engine for GPUs and TPUs.
"""

import ctypes
import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rpojax.types import Array
from rpojax.validation import check_known

SOURCE = Path(__file__).with_suffix(".cc")
TARGET = "rpojax_mujoco"
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-O2", "-std=c++17", "-shared", "-fPIC")
CALLBACKS = ("passive", "control", "contactfilter", "sensor", "act_dyn", "act_gain", "act_bias")


class Advance(Protocol):
    """Advances one simulation; `vmap` maps it."""

    def __call__(
        self,
        row: Array,
        inputs: Mapping[str, Array],
        params: Mapping[str, Array],
        /,
        substeps: int = 0,
        contact_forces: bool = False,
    ) -> tuple[Array, dict[str, Array]]:
        """Return the new row and the fields.

        Args:
            row: uint32[n] the simulation.
            inputs: f32 arrays to write into `mujoco.MjData` first, such as ctrl, or qpos and qvel.
            params: fields of the model that differ from its own, by name. Derived constants follow
                them, as by `mj_setConst`.
            substeps: how many times to call `mj_step`; 0 for `mj_forward`, -1 for neither: the
                inputs are written into the row, and the fields have no meaning.
            contact_forces: whether to compute `cfrc_ext`, which MuJoCo leaves out of a step.
        """


class Simulator(NamedTuple):
    """A model's simulations.

    A row, uint32[n], is the whole state of one, to the bit. Fields are those of `mujoco.MjData` by
    name, f32 in MuJoCo's shapes. They are NaN where MuJoCo has found the state invalid (NaN,
    infinity, too many contacts) and may have reset it.
    """

    row: np.ndarray  # uint32[n] MuJoCo's default state
    advance: Advance


def make_simulator(model: Any, fields: Sequence[str], params: Sequence[str] = ()) -> Simulator:
    """The simulations of a model on the C engine.

    Args:
        model: a `mujoco.MjModel`; it is copied.
        fields: of `mujoco.MjData` to return, such as "qpos" and "xpos".
        params: fields of the model that may be changed, such as "body_mass" and "opt.gravity".

    Raises:
        ValueError: JAX does not compute on a CPU; MuJoCo has no such field, or its physics calls a
            Python function.
        RuntimeError: there is no C++ compiler, or it fails.
    """
    import mujoco

    if (platform := jax.default_backend()) != "cpu":
        raise ValueError(
            f'impl = "c" is MuJoCo\'s C engine, which needs a CPU, and JAX computes on a '
            f'{platform}; choose impl = "jax", or set JAX_PLATFORMS=cpu'
        )
    for name in CALLBACKS:
        if getattr(mujoco, f"get_mjcb_{name}")() is not None:
            raise ValueError(
                f"mjcb_{name} is a Python function, which the C engine cannot call from its "
                f'threads; remove it with mujoco.set_mjcb_{name}(None), or choose impl = "jax"'
            )
    example = mujoco.MjData(model)
    shapes = {name: np.shape(_field(example, name)) for name in fields}
    key, default = _registered(model, tuple(fields), tuple(params), example)
    defaults = {name: np.asarray(_field(model, name), np.float32) for name in params}

    def advance(
        row: Array,
        inputs: Mapping[str, Array],
        given: Mapping[str, Array],
        substeps: int = 0,
        contact_forces: bool = False,
    ) -> tuple[Array, dict[str, Array]]:
        for name in given:
            check_known(name, params, "parameter of the model")
        values = [jnp.asarray(value, jnp.float32) for value in inputs.values()]
        if given:  # without, nothing is copied for each simulation
            values += [
                jnp.asarray(given.get(name, value), jnp.float32) for name, value in defaults.items()
            ]
        for name, value in inputs.items():
            chex.assert_shape(value, _field(example, name).shape)
        outputs = [
            jax.ShapeDtypeStruct(row.shape, jnp.uint32),
            *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes.values()),
        ]
        row, *found = jax.ffi.ffi_call(TARGET, outputs, vmap_method="broadcast_all")(
            row,
            *values,
            engine=key,
            inputs=",".join(inputs),
            substeps=np.int64(substeps),
            with_contact_forces=np.int64(contact_forces),
        )
        return row, dict(zip(shapes, found, strict=True))

    return Simulator(default, advance)


def _field(owner: Any, name: str) -> np.ndarray:
    """A field of a model or of its data by a dotted name; ValueError if there is none."""
    try:
        return np.asarray(functools.reduce(getattr, name.split("."), owner))
    except AttributeError:
        kind = type(owner).__name__
        raise ValueError(f"{name!r} is not a field of mujoco.{kind}; give one of those") from None


def _registered(
    model: Any, fields: tuple[str, ...], params: tuple[str, ...], example: Any
) -> tuple[str, np.ndarray]:
    """The name of an engine in the library, and the row of its default state.

    The name is a digest of the model, so that a program in the compilation cache holds no address.
    """
    import mujoco

    binary = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, binary)
    names = ",".join(fields), ",".join(params)
    key = hashlib.sha256(binary.tobytes() + repr(names).encode()).hexdigest()
    status = library().rpojax_register(
        key.encode(),
        binary.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(binary.size),
        *(text.encode() for text in names),
    )
    if status:
        raise ValueError(
            f"MuJoCo {mujoco.__version__} does not give the fields {', '.join(fields)} or does not "
            f"take the parameters {', '.join(params) or '(none)'}; leave out those that are not "
            "arrays of numbers"
        )
    state = mujoco.mjtState.mjSTATE_INTEGRATION
    row = np.zeros(mujoco.mj_stateSize(model, state))
    mujoco.mj_getState(model, example, row, state)
    return key, row.view(np.uint32)


@functools.cache
def library() -> ctypes.CDLL:
    """The compiled engine, known to JAX; it is compiled where it is not in the cache directory."""
    path = cache_directory() / f"engine-{_digest()}.so"
    if not path.exists():
        _compile(path)
    loaded = ctypes.CDLL(str(path))
    capsule = jax.ffi.pycapsule(loaded.rpojax_mujoco)
    jax.ffi.register_ffi_target(TARGET, capsule, platform="cpu")
    return loaded


def cache_directory() -> Path:
    """Where compiled engines are kept: in XDG_CACHE_HOME, or in ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "rpojax"


def _digest() -> str:
    """What a compiled engine depends on: its source and the versions of what it is linked with."""
    import jaxlib
    import mujoco

    made_of = SOURCE.read_text(), jaxlib.__version__, mujoco.__version__, mujoco.__file__, *FLAGS
    return hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]


def _compile(path: Path) -> None:
    """Compile the engine to `path`, in one step: another process sees all of it or nothing."""
    import mujoco

    folder = Path(mujoco.__file__).parent
    (shared,) = folder.glob("libmujoco.so.*") or folder.glob("libmujoco.*.dylib")
    includes = ("-isystem", jax.ffi.include_dir(), "-isystem", str(folder / "include"))
    links = (f"-L{folder}", f"-l:{shared.name}", f"-Wl,-rpath,{folder}")
    if sys.platform == "darwin":
        links = (str(shared), f"-Wl,-rpath,{folder}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        place = tempfile.mkdtemp(dir=path.parent)
    except OSError as error:
        raise RuntimeError(
            f"MuJoCo's C engine cannot be compiled into {str(path.parent)!r} ({error}); set "
            "XDG_CACHE_HOME to a directory that can be written"
        ) from None
    try:
        made = Path(place) / path.name
        command = [*_compiler(), *FLAGS, *includes, str(SOURCE), *links, "-o", str(made)]
        run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if run.returncode:
            errors = [line for line in run.stderr.splitlines() if "error" in line] or [run.stderr]
            raise RuntimeError(
                f"{command[0]!r} failed to compile MuJoCo's C engine: {errors[0].strip()}; install "
                'a compiler for C++17, such as g++ 9 or newer, or choose impl = "jax"'
            )
        made.replace(path)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _compiler() -> list[str]:
    """The command of a C++ compiler: of CXX, of the system, or of the package ziglang."""
    if os.environ.get("CXX"):
        return os.environ["CXX"].split()
    for name in COMPILERS:
        if shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++"]
    raise RuntimeError(
        "MuJoCo's C engine needs a C++ compiler, and there is none; install g++ or clang, or run "
        '`pip install ziglang`, or choose impl = "jax"'
    )

"""Contexts in which code of other packages is called, while environments are made and traced."""

import contextlib
import importlib
import io
import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp

MJX = ("mujoco.mjx._src.scan", "body_tree")
BRAX = ("brax.scan", "tree")

_LOGGER = logging.getLogger("rpojax.mujoco")
tracing_lock = threading.RLock()  # held while modules or environments are changed for a trace


def concrete_values() -> AbstractContextManager[None]:
    """While it lasts, JAX computes values at once, even while a caller is being traced.

    Outside of a trace JAX does so anyway. There, `jax.ensure_compile_time_eval` would also evaluate
    functions under `jit` operation by operation: MJX then compiles 650 tiny programs for a model.
    """
    if isinstance(jnp.zeros(()), jax.core.Tracer):
        return jax.ensure_compile_time_eval()
    return contextlib.nullcontext()


@contextlib.contextmanager
def standard_numpy() -> Iterator[None]:
    """JAX's default rank and dtype promotion, on which environments rely; also a decorator."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@contextlib.contextmanager
def bounds_of_clip() -> Iterator[None]:
    """While it lasts, `jnp.clip` also takes its bounds as `a_min` and `a_max`.

    JAX 0.10 has removed these names, which Brax's fluids (swimmer) and some of Playground's tasks
    of manipulation use. One thread traces at a time.
    """
    with tracing_lock:
        plain = jnp.clip

        def clip(*args: Any, **bounds: Any) -> Any:
            return plain(*args, **{name.removeprefix("a_"): bounds[name] for name in bounds})

        with replaced(jnp, "clip", clip):
            yield


@contextlib.contextmanager
def no_log_file() -> Iterator[None]:
    """While it lasts, MuJoCo's warnings go to the logger `rpojax.mujoco`, at the level INFO.

    MuJoCo appends them to MUJOCO_LOG.TXT in the working directory otherwise, those about models
    that it ships too. A handler that the user has set stays. Also a decorator.
    """
    import mujoco

    if mujoco.get_mju_user_warning() is not None:
        yield
        return
    mujoco.set_mju_user_warning(_LOGGER.info)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)


def nothing_printed() -> AbstractContextManager[Any]:
    """While it lasts, prints are dropped: MJX prints, when it is imported, that there is no Warp.

    The message would precede the JSON that a command prints.
    """
    return contextlib.redirect_stdout(io.StringIO())


@contextlib.contextmanager
def levels_kept_apart(*scans: tuple[str, str]) -> Iterator[None]:
    """While it lasts, physics is traced with a barrier between the levels of a tree of bodies.

    XLA's CPU backend fuses each level into those that follow it, and recomputes it for each of
    their elements: the cost grows exponentially with depth. On MJX, the ten levels of Gymnasium's
    Pusher take 70 ms for one environment; with barriers, 7 us. In Brax's generalized backend, its
    Pusher compiles twice as fast. Values are the same. One thread traces at a time. Also a
    decorator.

    Args:
        scans: functions that walk such a tree, as module and name: `MJX`, `BRAX`.
    """
    with tracing_lock, contextlib.ExitStack() as stack:
        for module_name, name in scans:
            module = importlib.import_module(module_name)
            stack.enter_context(replaced(module, name, _with_barriers(getattr(module, name))))
        yield


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """While it lasts, an attribute has another value."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _with_barriers(scan: Any) -> Any:
    def with_barriers(model: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        def of_level(*inputs: Any) -> Any:
            return jax.lax.optimization_barrier(function(*inputs))

        return scan(model, of_level, *args, **kwargs)

    return with_barriers

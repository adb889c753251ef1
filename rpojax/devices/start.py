"""What is set up before JAX computes, by users and by the command."""

import contextlib
import os
import sys
import warnings
from pathlib import Path

import jax

JAX_MIN_COMPILE_SECONDS = 1.0  # JAX's default: programs that compile faster are not kept


def use_all_cores() -> int:
    """Let JAX see each core of the CPU as a device; call it before any other use of JAX.

    XLA runs a program of small arrays on one core, so that vmapped agents leave the others idle.
    With a device for each core, `sharded_vmap` trains as many agents at a time. Where JAX has
    another platform as its default (a GPU), that one's devices stay the default.

    Returns:
        The number of cores.

    Raises:
        RuntimeError: JAX has been used already, and its devices cannot change any more.
    """
    cores = usable_cores()
    try:
        jax.config.update("jax_num_cpu_devices", cores)
    except RuntimeError as error:
        raise RuntimeError(
            "use_all_cores() comes too late: JAX has been used, and its devices are fixed; call "
            "it right after the imports"
        ) from error
    return cores


def usable_cores() -> int:
    """Cores that this process may run on."""
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available else os.cpu_count() or 1


def keep_compiled_programs() -> None:
    """Keep programs in the user's directory for caches, unless JAX knows another already."""
    if jax.config.values["jax_compilation_cache_dir"] is None:
        caches = os.environ.get("XDG_CACHE_HOME", "")  # of the XDG Base Directory Specification
        try:
            home = Path(caches) if os.path.isabs(caches) else Path.home() / ".cache"
            directory = home / "rpojax" / "xla"
            directory.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError) as error:
            warnings.warn(f"compiled programs are not kept: {error}", RuntimeWarning, stacklevel=2)
            return
        jax.config.update("jax_compilation_cache_dir", str(directory))
    least = "jax_persistent_cache_min_compile_time_secs"
    if jax.config.values[least] == JAX_MIN_COMPILE_SECONDS:
        jax.config.update(least, 0.0)


def require_device(device: str | None) -> None:
    """Raise ValueError unless JAX runs on that kind of device, or on any for None."""
    try:
        usual = jax.devices()
    except (RuntimeError, AssertionError) as error:  # the type depends on what is missing
        asked = jax.config.values["jax_platforms"]
        raise ValueError(
            f"JAX finds no device to run on, with JAX_PLATFORMS = {asked!r}; install JAX for that "
            f"device, or unset the variable ({type(error).__name__}: {error})"
        ) from error
    with contextlib.suppress(RuntimeError):
        if device is None or jax.devices(device)[0] in usual:
            return
    raise ValueError(
        f"device = {device!r} is not available, JAX runs on {usual[0].platform!r}; leave it out, "
        "or install JAX for that device"
    )


def keep_stdout_for_python() -> None:
    """Let what C++ code prints go to stderr: the transport between CPUs says how it connects."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(stdout, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)

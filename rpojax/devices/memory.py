"""How much of a device's memory a compiled program needs, and how much there is."""

import contextlib
import os
import re
from collections.abc import Iterator

import jax

REMEDY = "give fewer agents, a smaller num_envs or num_steps, or a smaller agents_at_once"


def bytes_needed(program: jax.stages.Compiled) -> int | None:
    """Bytes on each device while the program runs; None if XLA does not report it."""
    analysis = program.memory_analysis()
    if analysis is None:
        return None
    return int(
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        + analysis.temp_size_in_bytes
        - analysis.alias_size_in_bytes
    )


def bytes_available(device: jax.Device) -> int | None:
    """Bytes that programs may use on a device; None if the device does not report it.

    CPU devices have equal shares of the machine's memory.
    """
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit")
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not a POSIX system
        return None
    return total // len(device.client.local_devices())


def in_words(size: int) -> str:
    """A number of bytes in megabytes or gigabytes."""
    return f"{size / 2**30:,.1f} GB" if size >= 2**30 else f"{size / 2**20:,.1f} MB"


@contextlib.contextmanager
def out_of_memory_explained() -> Iterator[None]:
    """Turn XLA's error for a full memory into a MemoryError that says what to lower."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not re.search("RESOURCE_EXHAUSTED|out of memory", str(error), re.IGNORECASE):
            raise
        size = re.search(r"allocating \S+ ?[a-z]*", str(error), re.IGNORECASE)
        while_what = f" while {size[0]}" if size else ""
        raise MemoryError(f"out of memory{while_what}; {REMEDY}") from error

"""What programs need, what devices have, and what is said where it is too little."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from rpojax.devices import memory
from rpojax.devices.memory import bytes_available, bytes_needed, in_words, out_of_memory_explained

pytestmark = pytest.mark.optimized


def test_bytes_needed_are_arguments_results_and_what_is_between():
    program = jax.jit(lambda x: (x @ x.T).sum(0)).lower(jnp.ones((256, 8))).compile()
    least = 4 * (256 * 8 + 256)
    assert least <= bytes_needed(program) <= least + 4 * 2 * 256 * 256 + 4096


def test_donated_arguments_count_once():
    def needed(**options):
        return bytes_needed(jax.jit(lambda x: x + 1, **options).lower(jnp.ones(2**20)).compile())

    assert needed(donate_argnums=0) == needed() - 4 * 2**20


def test_a_program_that_tells_nothing_needs_nobody_knows_what():
    assert bytes_needed(SimpleNamespace(memory_analysis=lambda: None)) is None


def test_a_cpu_has_its_share_of_the_memory_and_a_gpu_its_limit(monkeypatch):
    cpu = jax.devices("cpu")[0]
    whole = bytes_available(cpu) * len(jax.devices("cpu"))
    assert 2**28 < whole < 2**50
    gpu = SimpleNamespace(platform="gpu", memory_stats=lambda: {"bytes_limit": 5})
    assert bytes_available(gpu) == 5
    gpu.memory_stats = lambda: None
    assert bytes_available(gpu) is None
    monkeypatch.delattr(memory.os, "sysconf")
    assert bytes_available(cpu) is None


def test_sizes_in_words():
    sizes = [in_words(size) for size in (2**19, 2**30, 3 * 2**40)]
    assert sizes == ["0.5 MB", "1.0 GB", "3,072.0 GB"]


def test_a_full_memory_is_explained_and_other_errors_pass():
    with (
        pytest.raises(MemoryError, match="while allocating 24 bytes; give fewer agents, a smaller"),
        out_of_memory_explained(),
    ):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 24 bytes.")
    with pytest.raises(jax.errors.JaxRuntimeError), out_of_memory_explained():
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

import functools
import gc
import os
import signal
from pathlib import Path

import jax
import pytest
from jax._src import compiler  # no public setting reaches every compilation

# Programs that several tests, or processes that they start, compile are compiled once, also across
# runs.
CACHE = os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".jax_cache")
)
LEAST_SECONDS = os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", float(LEAST_SECONDS))
jax.config.update("jax_default_matmul_precision", "float32")  # not TF32, on a GPU

FUSION_EMITTERS = "xla_cpu_use_fusion_emitters"  # XLA compiles for longer, and programs run faster
XLA_FLAGS = os.environ.get("XLA_FLAGS", "")
FAST_ONLY = pytest.StashKey[bool]()
MOST_MAPS = 20_000  # mapped regions of memory; Linux allows a process 65,530

# A shell starts background jobs with these ignored; the tests of signals need what Python does.
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        _is_interrupt = _number is signal.SIGINT
        signal.signal(_number, signal.default_int_handler if _is_interrupt else signal.SIG_DFL)


def _is_marked(item, name):
    return item.get_closest_marker(name) is not None


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: _is_marked(item, "optimized"))  # not in turns


_overrides = {}  # of XLA's options
_get_compile_options = compiler.get_compile_options


def _with_overrides(*args, **kwargs):
    options = _get_compile_options(*args, **kwargs)
    options.env_option_overrides = [*options.env_option_overrides, *_overrides.items()]
    return options


compiler.get_compile_options = _with_overrides


@functools.cache
def _has_fusion_emitters():
    """Options come and go with versions of XLA. Also reads XLA_FLAGS, once for this process."""
    try:
        jax.jit(lambda x: x + 1).lower(0).compile({FUSION_EMITTERS: False})
    except jax.errors.JaxRuntimeError:
        return False
    return True


def pytest_collection_finish(session):
    """Where slow tests are among those that run, all keep the emitters, and so the same bits."""
    session.config.stash[FAST_ONLY] = not any(_is_marked(item, "slow") for item in session.items)


@pytest.hookimpl(tryfirst=True)  # before the fixtures of the test
def pytest_runtest_setup(item):
    """Most programs take longer to be optimized than to run: XLA does it for `optimized` alone."""
    quickly = not _is_marked(item, "optimized")
    if jax.config.values["jax_disable_most_optimizations"] != quickly:
        jax.config.update("jax_disable_most_optimizations", quickly)
        _overrides.clear()
        flags = XLA_FLAGS
        if quickly and item.config.stash[FAST_ONLY] and _has_fusion_emitters():
            _overrides[FUSION_EMITTERS] = False
            flags += f" --{FUSION_EMITTERS}=false"
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(quickly))  # of child processes
        os.environ["XLA_FLAGS"] = flags
        jax.clear_caches()


def pytest_runtest_teardown(item, nextitem):
    """Let go of programs between modules: XLA crashes where it can map no more memory for them."""
    maps = Path("/proc/self/maps")
    if nextitem is None or nextitem.path == item.path or not maps.exists():
        return
    if maps.read_text().count("\n") > MOST_MAPS:
        _PROGRAMS.clear()
        jax.clear_caches()
        gc.collect()


@pytest.fixture(autouse=True)
def _rank_promotion_raises():
    """Our own maths never broadcasts silently; gymnax's may, at its own risk."""
    with jax.numpy_rank_promotion("raise"):
        yield


_PROGRAMS = {}


@pytest.fixture(scope="module")
def programs_shared():
    """Runs with the same config share the program that trains; with the same seeds, all programs.

    For tests of what surrounds the programs, which take longer to compile than all else there.
    """
    from rpojax.runs import agents, loop

    def once(compile_, arguments_of):
        def compiled_once(model, settings, states):
            quickly = jax.config.values["jax_disable_most_optimizations"]
            key = (compile_, settings.cfg, settings.evolve, quickly, *arguments_of(settings))
            key += (agents.bytes_available, *settings.agents.env_params)  # as it is patched
            if key not in _PROGRAMS:
                _PROGRAMS[key] = compile_(model, settings, states)
            return _PROGRAMS[key]

        return compiled_once

    def of_training(settings):  # the evolution of a population depends on its first seed
        return len(settings.agents), settings.evolve and settings.agents.seeds

    def of_all(settings):
        return settings.eval_episodes, settings.agents.seeds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agents, "_compile_chunk", once(agents._compile_chunk, of_training))
        patch.setattr(loop, "compile_programs", once(loop.compile_programs, of_all))
        yield

import os
from pathlib import Path

import jax
import pytest

# Programs that several tests compile are compiled once, also across runs.
CACHE = Path(os.environ.get("RPOJAX_TEST_CACHE", Path(__file__).parent.parent / ".jax_cache"))
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(autouse=True)
def _rank_promotion_raises():
    """Our own maths never broadcasts silently; gymnax's may, at its own risk."""
    with jax.numpy_rank_promotion("raise"):
        yield

import jax
import pytest
from commands import TRAIN, Trained, run


@pytest.fixture(scope="session", autouse=True)
def _devices_are_fixed():
    """So that the command cannot change how many other tests see."""
    jax.devices()


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    """A run that tests look at and leave as it is; compiled as in `compiled_quickly`."""
    place = tmp_path_factory.mktemp("runs")
    arguments = (f"--output-dir={place}", "--run-name=tiny", "--tensorboard", "--json")
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    finished = run(*TRAIN, *arguments)
    jax.config.update("jax_disable_most_optimizations", before)
    return Trained(place / "tiny", finished)

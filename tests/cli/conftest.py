import jax
import pytest
from commands import TRAIN, Trained, run


@pytest.fixture(scope="session", autouse=True)
def _devices_are_fixed():
    """So that the command cannot change how many other tests see."""
    jax.devices()


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    """A run that tests look at and leave as it is."""
    place = tmp_path_factory.mktemp("runs")
    arguments = (f"--output-dir={place}", "--run-name=tiny", "--tensorboard", "--json")
    return Trained(place / "tiny", run(*TRAIN, *arguments))

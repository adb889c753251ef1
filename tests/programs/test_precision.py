"""When TF32 is warned of."""

import warnings
from types import SimpleNamespace

import jax
import pytest

from rpojax.programs import precision


def devices(**fields):
    return lambda: [SimpleNamespace(device_kind="NVIDIA H100", **fields)]


def warned(asked_for=None):
    with (
        warnings.catch_warnings(record=True) as caught,
        jax.default_matmul_precision(asked_for),
    ):
        warnings.simplefilter("always")
        precision.warn_of_tf32()
    return [str(warning.message) for warning in caught]


def test_an_nvidia_gpu_with_tf32_is_warned_of(monkeypatch):
    monkeypatch.setattr(precision.jax, "devices", devices(platform="gpu", compute_capability="9.0"))
    (message,) = warned()
    assert "TF32 on NVIDIA H100" in message
    assert "jax_default_matmul_precision" in message


@pytest.mark.parametrize("value", ["float32", "tensorfloat32", "highest"])
def test_a_precision_that_was_chosen_silences_it(monkeypatch, value):
    monkeypatch.setattr(precision.jax, "devices", devices(platform="gpu", compute_capability="9.0"))
    assert not warned(value)


@pytest.mark.parametrize(
    "fields",
    [
        {"platform": "cpu"},
        {"platform": "tpu"},
        {"platform": "gpu", "compute_capability": "7.5"},
        {"platform": "gpu", "compute_capability": "gfx90a"},
        {"platform": "gpu"},
    ],
)
def test_other_devices_are_not(monkeypatch, fields):
    monkeypatch.setattr(precision.jax, "devices", devices(**fields))
    assert not warned()

"""TF32, in which NVIDIA GPUs compute float32 products by default."""

import warnings

import jax

FIRST_WITH_TF32 = 8.0  # compute capability: Ampere


def warn_of_tf32() -> None:
    """Warn where float32 products run in TF32 although the user has not chosen a precision.

    `jax_default_matmul_precision` decides; any value of it silences the warning.
    """
    if jax.config.jax_default_matmul_precision is not None:  # type: ignore[attr-defined]
        return
    device = jax.devices()[0]
    if device.platform != "gpu":
        return
    capability = getattr(device, "compute_capability", "")  # such as "9.0"; AMD's are names
    try:
        has_tf32 = float(capability) >= FIRST_WITH_TF32
    except ValueError:
        return
    if has_tf32:
        warnings.warn(
            f"matrix products of float32 run in TF32 on {device.device_kind}, with 10 bits of "
            "mantissa: JAX's default there, which has ruined the learning of some tasks. Set "
            'jax.config.update("jax_default_matmul_precision", "float32") for full precision, or '
            '"tensorfloat32" to keep it without this warning',
            RuntimeWarning,
            stacklevel=3,
        )

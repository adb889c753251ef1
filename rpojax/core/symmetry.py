"""A mirror symmetry of the environment in the update: mirror images of samples, and a loss."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.core.distribution import Distribution
from rpojax.core.model import Model
from rpojax.envs.checks.contract import same_structure
from rpojax.envs.contexts import concrete_values
from rpojax.networks import Outputs
from rpojax.settings.config import Config
from rpojax.settings.values import ImportPath, Symmetry, as_symmetry
from rpojax.types import Array, Batch, PyTree
from rpojax.validation import first_line

SAMPLES = 8  # random observations and actions with which the functions are checked
TOLERANCE = 1e-5


def symmetry_of(cfg: Config) -> Symmetry | None:
    """The symmetry of a config, imported if it has the path of one."""
    given: Any = cfg.symmetry
    if not isinstance(given, ImportPath):
        return given
    return as_symmetry(f"symmetry = {str(given)!r}, which", given.object)


def mirrored(symmetry: Symmetry, batch: Batch) -> Batch:
    """The mirror images of samples [N], with their log-probabilities, advantages and targets."""
    action = jax.vmap(symmetry.mirror_action)(batch.action)
    return batch._replace(obs=batch.mirrored_obs, action=action)


def asymmetry(symmetry: Symmetry, policy: Distribution, here: Outputs, there: Outputs) -> Array:
    """E[(a(mirror obs) - mirror a(obs))^2], [], over N samples and the action dimensions.

    Args:
        symmetry: of the environment.
        policy: whose action without noise is compared.
        here, there: outputs [N] for observations and for their mirror images.
    """
    action = jax.vmap(symmetry.mirror_action)(policy.mode(here.mean, here.log_std))
    image = policy.mode(there.mean, there.log_std)
    return jnp.mean(jnp.square(image - jax.lax.stop_gradient(action)))


def check_symmetry(model: Model) -> None:
    """Raise ValueError unless the functions of `cfg.symmetry` undo themselves."""
    symmetry, env = symmetry_of(model.cfg), model.env
    if symmetry is None:
        return
    if model.network.recurrent:
        raise ValueError(
            "symmetry needs a network without memory: what a recurrent one would remember of the "
            "mirror image of an episode is not known; give NetworkConfig(cell=None), or "
            "symmetry = None"
        )
    action = jax.ShapeDtypeStruct((env.action_dim,), jnp.float32)
    _check_involution("mirror_obs", symmetry.mirror_obs, env.obs)
    _check_involution("mirror_action", symmetry.mirror_action, action)


def _check_involution(name: str, function: Callable[[Any], Any], spec: PyTree) -> None:
    random = np.random.default_rng(0)

    def some(leaf: jax.ShapeDtypeStruct) -> Array:
        numbers = random.standard_normal((SAMPLES, *leaf.shape))
        is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.asarray(numbers if is_float else numbers > 0.0, leaf.dtype)

    each = jax.vmap(function)
    with concrete_values():  # also where a caller is being traced
        given = jax.tree.map(some, spec)
        try:
            once = each(given)
            problem = _difference(once, given, values=False) or _difference(each(once), given)
        except Exception as error:  # of the user's function
            problem = first_line(error)
    if problem is not None:
        raise ValueError(
            f"symmetry.{name} is no mirror: {problem}; give a function of one that keeps shapes "
            "and dtypes, and gives back what it was given when it is applied twice"
        )


def _difference(got: PyTree, wanted: PyTree, values: bool = True) -> str | None:
    """How two trees of arrays differ; None for not at all."""
    if not same_structure(got, wanted):
        return f"it returns {jax.tree.structure(got)} for {jax.tree.structure(wanted)}"
    pairs = zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(wanted), strict=True)
    for (path, leaf), like in pairs:
        where = jax.tree_util.keystr(path)
        if leaf.shape != like.shape or leaf.dtype != like.dtype:
            return (
                f"it returns {leaf.dtype}{list(leaf.shape[1:])} for "
                f"{like.dtype}{list(like.shape[1:])}{where and ' at '}{where}"
            )
        if values and not np.allclose(leaf, like, rtol=TOLERANCE, atol=TOLERANCE):
            return f"applied twice it changes values{where and ' at '}{where}"
    return None

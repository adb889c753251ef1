"""Actor-critic networks: the built-in ones, and any flax module of a user's own."""

from rpojax.networks.base import ActorCritic, Outputs
from rpojax.networks.factory import make_network

__all__ = ["ActorCritic", "Outputs", "make_network"]

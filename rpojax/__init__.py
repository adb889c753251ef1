"""Robust Policy Optimization (RPO, arXiv 2212.07536) as one XLA program."""

from rpojax import envs, loggers, networks
from rpojax.config import Config
from rpojax.evaluate import Evaluation, evaluate
from rpojax.export import export_params, export_policy
from rpojax.fit import Progress, TrainingInterrupted, fit, resume
from rpojax.network_config import NetworkConfig
from rpojax.parallel import sharded_vmap, use_all_cores
from rpojax.policy import Policy, make_policy
from rpojax.rendering import render_episode
from rpojax.train import Trainer, make_train, make_trainer
from rpojax.types import HyperParams, Metrics, TrainResult, TrainState

__version__ = "0.1.0"

__all__ = [
    "Config",
    "Evaluation",
    "HyperParams",
    "Metrics",
    "NetworkConfig",
    "Policy",
    "Progress",
    "TrainResult",
    "TrainState",
    "Trainer",
    "TrainingInterrupted",
    "envs",
    "evaluate",
    "export_params",
    "export_policy",
    "fit",
    "loggers",
    "make_policy",
    "make_train",
    "make_trainer",
    "networks",
    "render_episode",
    "resume",
    "sharded_vmap",
    "use_all_cores",
]

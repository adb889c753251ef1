"""Robust Policy Optimization (RPO, arXiv 2212.07536) as one XLA program."""

from rpojax import compat, envs, loggers, networks, report, statistics, studies
from rpojax.agent.distillation import make_distill
from rpojax.agent.evaluation import Evaluation, evaluate
from rpojax.agent.export import export_params, export_policy
from rpojax.agent.exported import ExportedPolicy, load_policy
from rpojax.agent.playing import Played, play
from rpojax.agent.policy import Policy, RecurrentPolicy, make_policy, make_recurrent_policy
from rpojax.agent.rendering import render_episode
from rpojax.devices.processes import ProcessError, use_all_machines
from rpojax.devices.sharding import sharded_vmap
from rpojax.devices.start import use_all_cores
from rpojax.programs.protocols import Train
from rpojax.programs.trainer import Trainer, make_train, make_trainer
from rpojax.report.plotting import plot_learning_curves
from rpojax.runs.api import fit, resume
from rpojax.runs.gymnasium_episodes import evaluate_gymnasium
from rpojax.runs.interrupt import TrainingInterrupted
from rpojax.runs.progress import Progress
from rpojax.runs.trained_run import TrainedRun, load
from rpojax.settings.agent_table import Agent, AgentTable
from rpojax.settings.config import Config
from rpojax.settings.hyperparams import HyperParams
from rpojax.settings.network_config import NetworkConfig
from rpojax.settings.pbt import PBT
from rpojax.settings.run_options import RunOptions
from rpojax.settings.values import Symmetry
from rpojax.studies.api import resume_study, study
from rpojax.studies.result import StudyResult
from rpojax.types import Metrics, TrainResult, TrainState
from rpojax.version import __version__

__all__ = [
    "PBT",
    "Agent",
    "AgentTable",
    "Config",
    "Evaluation",
    "ExportedPolicy",
    "HyperParams",
    "Metrics",
    "NetworkConfig",
    "Played",
    "Policy",
    "ProcessError",
    "Progress",
    "RecurrentPolicy",
    "RunOptions",
    "StudyResult",
    "Symmetry",
    "Train",
    "TrainResult",
    "TrainState",
    "TrainedRun",
    "Trainer",
    "TrainingInterrupted",
    "__version__",
    "compat",
    "envs",
    "evaluate",
    "evaluate_gymnasium",
    "export_params",
    "export_policy",
    "fit",
    "load",
    "load_policy",
    "loggers",
    "make_distill",
    "make_policy",
    "make_recurrent_policy",
    "make_train",
    "make_trainer",
    "networks",
    "play",
    "plot_learning_curves",
    "render_episode",
    "report",
    "resume",
    "resume_study",
    "sharded_vmap",
    "statistics",
    "studies",
    "study",
    "use_all_cores",
    "use_all_machines",
]

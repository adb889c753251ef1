"""Studies: compare many settings with several seeds each, with confidence intervals."""

from rpojax.ranges import Choice, LogUniform, Uniform, Whole
from rpojax.studies.halving import Halving
from rpojax.studies.optuna_search import optimize
from rpojax.studies.result import SettingScore, StudyResult
from rpojax.studies.runner import StudyProgress
from rpojax.studies.settings import Setting
from rpojax.studies.tables import write_table

__all__ = [
    "Choice",
    "Halving",
    "LogUniform",
    "Setting",
    "SettingScore",
    "StudyProgress",
    "StudyResult",
    "Uniform",
    "Whole",
    "optimize",
    "write_table",
]

"""Statistics of runs: Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice".

Scores are [R, M], of R runs of M tasks, or [R] of one task; `make_scores` decides how missing and
diverged runs count. NumPy only; random numbers come from a seed.
"""

from rpojax.statistics.bootstrap import (
    Estimate,
    bootstrap_interval,
    performance_profile,
    probability_of_improvement,
)
from rpojax.statistics.learning import area_under_curve, sample_efficiency
from rpojax.statistics.ranking import RankStability, rank_stability, simultaneous_intervals
from rpojax.statistics.scores import (
    Scores,
    ScoresLike,
    Statistic,
    interquartile_mean,
    make_scores,
    mean,
    median,
    optimality_gap,
)

__all__ = [
    "Estimate",
    "RankStability",
    "Scores",
    "ScoresLike",
    "Statistic",
    "area_under_curve",
    "bootstrap_interval",
    "interquartile_mean",
    "make_scores",
    "mean",
    "median",
    "optimality_gap",
    "performance_profile",
    "probability_of_improvement",
    "rank_stability",
    "sample_efficiency",
    "simultaneous_intervals",
]

"""How much a best setting that its own seeds have chosen is overestimated, in simulated studies.

    python -m benchmarks.selection

All settings of a study are equal, so that a difference between them is never real. Each of K
settings has S seeds; the best one has the highest interquartile mean. Scores have several shapes:
normal; skewed, as -exponential; "fails", where a run in five does so; and normal with a spread that
differs between the settings, by up to a factor of 16. Percentages are of studies, with a standard
error of at most 0.7 points up to 5 %, and of 1.6 points elsewhere.

Takes some minutes on one core.
"""

from typing import Any

import numpy as np

from benchmarks.reporting import RESULTS, environment_info, print_table, write_csv
from rpojax.statistics import (
    bootstrap_interval,
    interquartile_mean,
    probability_of_improvement,
    simultaneous_intervals,
)

SIZES = ((6, 4), (15, 4), (32, 4), (6, 8), (32, 8), (16, 16))  # settings x seeds
SHAPES = ("normal", "skewed", "fails", "spread")
STUDIES = 1000
CONFIRMED = 8  # fresh seeds
RESAMPLES = 400


def scores_of(shape: str, size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Scores [..., seeds, settings] of one shape, with a standard deviation near 1."""
    normal = rng.standard_normal(size)
    if shape == "skewed":
        return -rng.exponential(size=size)
    if shape == "fails":
        return np.where(rng.random(size) < 0.2, -2.5, 0.0) + 0.25 * normal
    if shape == "spread":
        return normal * np.geomspace(0.25, 4.0, size[-1])
    return normal


def simulated(shape: str, settings: int, seeds: int, rng: np.random.Generator) -> dict[str, Any]:
    """What the best setting of many studies says of itself, and what is true."""
    many = scores_of(shape, (50_000, settings), rng)
    truth = 0.0 if shape in ("normal", "spread") else float(interquartile_mean(many.ravel()))
    found: dict[str, list[float]] = {}

    def note(name: str, value: Any) -> None:
        found.setdefault(name, []).append(float(value))

    def misses(low: Any, high: Any) -> bool:
        return not low <= truth <= high

    for _ in range(STUDIES):
        scores = scores_of(shape, (seeds, settings), rng)
        value, low, high, _ = simultaneous_intervals(scores)
        best, worst = int(value.argmax()), int(value.argmin())
        note("too_good_by_stds", (value[best] - truth) / many[:, best].std())
        alone = bootstrap_interval(
            scores[:, best], num_resamples=RESAMPLES, rng=rng, method="expanded"
        )
        note("alone_misses", misses(alone.low, alone.high))
        note("together_misses", misses(low[best], high[best]))
        note("any_misses", any(map(misses, low, high)))
        improvement = probability_of_improvement(
            scores[:, best], scores[:, worst], num_resamples=RESAMPLES, rng=rng, method="expanded"
        )
        note("alone_apart", improvement.low > 0.5)
        note("together_apart", low.max() > high.min())
        fresh = scores_of(shape, (CONFIRMED, settings), rng)[:, [best]]
        _, low, high, _ = simultaneous_intervals(fresh)
        note("confirmed_misses", misses(low[0], high[0]))
    means = {name: np.mean(values) for name, values in found.items()}
    percent = {name: f"{100 * mean:.1f}" for name, mean in means.items()}
    return {
        "scores": shape,
        "settings": settings,
        "seeds": seeds,
        **percent,
        "too_good_by_stds": f"{means['too_good_by_stds']:.2f}",
    }


def main() -> None:
    """Simulate, print and write `selection.csv`."""
    info = environment_info(("numpy", "scipy"))
    rows = [
        simulated(shape, *size, np.random.default_rng(place))
        for place, (shape, size) in enumerate((a, b) for a in SHAPES for b in SIZES)
    ]
    write_csv(RESULTS / "selection.csv", rows, info)
    notes = [
        f"alone: bootstrap intervals of one setting; together: simultaneous_intervals; confirmed: "
        f"the best setting with {CONFIRMED} fresh seeds. misses: % of the studies in which the 95 "
        "% interval of the best setting (any: of one of them) is not where the truth is; apart: in "
        "which the best setting seems better than the worst.",
    ]
    print_table("Studies of equal settings", rows, info, notes)


if __name__ == "__main__":
    main()

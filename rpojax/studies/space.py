"""Points drawn from ranges of settings."""

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from rpojax.settings.ranges import Range, points_at
from rpojax.validation import check_choice, whole_number

Sampler: TypeAlias = Literal["random", "sobol"]
TIMES_DRAWN = (1, 8, 64)  # as many points as are wanted, until enough of them are different


def draw(
    space: Mapping[str, Range], count: int, sampler: Sampler = "random", seed: int = 0
) -> list[dict[str, Any]]:
    """Points of a space.

    Args:
        space: a range for each setting.
        count: of the points.
        sampler: "random": independent of each other; "sobol": a scrambled Sobol sequence, which
            covers the space more evenly (Owen 1998, scipy.stats.qmc), best with a power of two.
        seed: of the points.

    Returns:
        A value for each setting, `count` times.
    """
    check_choice("sampler", sampler, get_args(Sampler))
    whole_number("num_settings", count)
    if sampler == "sobol":
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(space), rng=np.random.default_rng(seed))
        # Whole powers of two keep the sequence balanced; the rest of the last one is left out.
        positions = sequence.random_base2(max(0, math.ceil(math.log2(count))))[:count]
    else:
        positions = np.random.default_rng(seed).random((count, len(space)))
    return points_at(space, positions)


def draw_distinct(
    space: Mapping[str, Range], count: int, sampler: Sampler = "random", seed: int = 0
) -> list[dict[str, Any]]:
    """The first points of `draw` that are all different.

    Raises:
        ValueError: the space seems to have fewer.
    """
    distinct: dict[str, dict[str, Any]] = {}
    for factor in TIMES_DRAWN:
        for point in draw(space, factor * count, sampler, seed):
            distinct.setdefault(repr(point), point)
        if len(distinct) >= count:
            return list(distinct.values())[:count]
    raise ValueError(
        f"num_settings = {count} is more than the {len(distinct)} different points of the space; "
        "give at most that, or wider ranges"
    )

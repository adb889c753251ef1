import numpy as np
import pytest

from rpojax.statistics import make_scores, performance_profile


def test_share_of_runs_above_each_threshold():
    profile = performance_profile([0.0, 1.0, 1.0, 3.0], [-1.0, 0.0, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(profile.value, [1.0, 0.75, 0.25, 0.25, 0.0])


def test_tasks_count_alike():
    scores = make_scores({"few": [0.0], "many": [1.0, 1.0, 1.0, 3.0]})
    profile = performance_profile(scores, [0.5, 2.0])
    np.testing.assert_array_equal(profile.value, [0.5, 0.125])
    assert np.isnan(profile.low).all()


def test_band_is_the_binomial_one():
    """80 runs of 2 tasks, of which 20 % and 50 % are above."""
    scores = np.zeros((80, 2))
    scores[:16, 0] = scores[:40, 1] = 1.0
    profile = performance_profile(scores, [0.5, 2.0], num_resamples=20_000)
    deviation = np.sqrt(0.2 * 0.8 / 80 + 0.5 * 0.5 / 80) / 2
    assert profile.value[0] == pytest.approx(0.35)
    assert profile.high[0] - profile.low[0] == pytest.approx(2 * 1.96 * deviation, rel=0.08)
    assert (profile.low[1], profile.high[1]) == (0.0, 0.0)


def test_errors():
    with pytest.raises(ValueError, match=r"thresholds have shape \(\) or are not all finite"):
        performance_profile([1.0, 2.0], 1.0)
    with pytest.raises(ValueError, match="not all finite; give finite scores"):
        performance_profile([1.0, 2.0], [np.nan])
    with pytest.raises(ValueError, match="method = 'basic' is not known"):
        performance_profile([1.0, 2.0], [1.0], method="basic")

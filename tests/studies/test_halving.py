"""Which settings go on, and how long each trains."""

import pytest

from rpojax.studies import Halving
from rpojax.studies.halving import check_halving, survivors


@pytest.mark.parametrize(
    ("count", "rungs"),
    [(1, [1.0]), (2, [1.0]), (3, [1 / 3, 1.0]), (9, [1 / 9, 1 / 3, 1.0]), (10, [1 / 9, 1 / 3, 1])],
)
def test_rungs_leave_one_setting_or_a_few_at_the_end(count, rungs):
    assert Halving(3).rungs(count) == pytest.approx(rungs)


def test_first_rung_can_be_given():
    assert Halving(2, first=0.25).rungs(100) == [0.25, 0.5, 1.0]
    assert Halving(3, first=0.5).rungs(100) == [0.5, 1.0]
    assert Halving(3, first=0.33).rungs(100) == [0.33, 1.0]  # and none at 0.99


def test_best_third_goes_on_in_order():
    scores = {0: 1.0, 1: 5.0, 2: float("nan"), 3: 4.0, 4: 5.0, 5: 0.0, 6: -1.0}
    assert survivors(Halving(3), list(scores), scores) == [1, 3, 4]
    assert survivors(Halving(2), [2, 5], scores) == [5]


@pytest.mark.parametrize("given", [3, {"factor": 3}, Halving(3)])
def test_halving_can_be_a_number_or_a_dictionary(given):
    assert check_halving(given) == Halving(3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (1, "halving = 1"),
        ({"factor": 1}, "halving.factor = 1"),
        ({"eta": 3}, "halving has no eta"),
        ({"factor": 3, 1: 2, "eta": 3}, "halving has no 1"),
        ({"first": 0.0}, "halving.first = 0"),
    ],
)
def test_bad_halving_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        check_halving(given)

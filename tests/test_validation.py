"""Values as a user gives them: what they are taken for, and what is refused."""

import collections
import enum
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rpojax import Config, NetworkConfig
from rpojax.validation import (
    Interval,
    as_mapping,
    as_scalar,
    as_sequence,
    check_bool,
    check_choice,
    check_known,
    first_line,
    nearest_divisor,
    number_in,
    numbers_in,
    show,
    whole_number,
)


class NoText:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        (0.5, "0.5"),
        (None, "None"),
        (10**5000, "<int>"),
        (np.ones(2), "array([1., 1.])"),
    ],
    ids=["str", "float", "none", "giant", "array"],
)
def test_values_are_shown_as_they_are(value, text):
    assert show(value) == text


def test_values_without_text_are_shown_by_type():
    assert show(NoText()).startswith("<NoText instance at 0x")


def test_long_values_are_shown_short():
    nested = [0]
    for _ in range(40):
        nested = [nested, nested]  # 2**40 items
    for value in ("a" * 1000, [0] * 1000, {i: i for i in range(1000)}, object, nested):
        assert len(show(value)) < 600


@pytest.mark.parametrize("value", [5, 5.0, np.int8(5), np.float32(5), np.array(5), jnp.int32(5)])
def test_whole_numbers_become_ints(value):
    number = whole_number("n", value)
    assert (number, type(number)) == (5, int)


@pytest.mark.parametrize(
    "value",
    [0, 5.5, True, np.True_, math.nan, math.inf, "5", None, [5], np.array([5]), b"5", 5j],
    ids=repr,
)
def test_other_values_are_no_whole_numbers(value):
    with pytest.raises(ValueError, match=r"^n = .* is not allowed; give a whole number of 1 to 9$"):
        whole_number("n", value, least=1, most=9)


def test_whole_numbers_of_any_size_are_compared_exactly():
    assert whole_number("n", 2**64 + 1) == 2**64 + 1
    with pytest.raises(ValueError, match="whole number of 1 to 18446744073709551616"):
        whole_number("n", 2**64 + 1, most=2**64)


@pytest.mark.parametrize("value", [True, np.True_, np.array(True), jnp.array(True)], ids=repr)
def test_truth_values_become_bools(value):
    assert check_bool("b", value) is True


@pytest.mark.parametrize("value", [1, "True", None, np.array([True]), jax.random.key(0)], ids=repr)
def test_other_values_are_no_truth_values(value):
    with pytest.raises(ValueError, match=r"^b = .* is not a truth value; give True or False$"):
        check_bool("b", value)


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        (Interval(0.0), [0.0, 1e-37, 3e38], [-1e-9, 1e39, math.nan, math.inf]),
        (Interval(0.0, low_allowed=False), [1e-37], [0.0, -1.0]),
        (Interval(0.0, 1.0), [0.0, 1.0], [1.0 + 1e-12, -0.1]),
        (Interval(-20.0, 20.0), [-20.0, 20], [-21, 21]),
    ],
    ids=str,
)
def test_numbers_lie_in_the_interval(interval, inside, outside):
    for value in inside:
        assert number_in("x", value, interval) == value
    np.testing.assert_array_equal(numbers_in("x", inside, interval), inside)
    for value in outside:
        with pytest.raises(ValueError, match=r"^x = .* out of range; give a finite number in "):
            numbers_in("x", [inside[0], value], interval)


@pytest.mark.parametrize("interval", [Interval(0.0), Interval(0.0, low_allowed=False)], ids=str)
def test_numbers_that_are_zero_in_float32_are_refused(interval):
    zero_is_fine = "0, or " if interval.low_allowed else ""
    with pytest.raises(ValueError, match=f"x = 1e-46 .* 0 in float32; give {zero_is_fine}a magn"):
        number_in("x", 1e-46, interval)


def test_traced_numbers_are_no_plain_numbers():
    with pytest.raises(ValueError, match=r"^x = .* is not a number"):
        jax.make_jaxpr(lambda x: number_in("x", x, Interval(0.0)))(1.0)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="unknown thing 'alhpa'; did you mean 'alpha'"):
        check_known("alhpa", ("alpha", "beta"), "thing")
    with pytest.raises(ValueError, match="unknown thing 'zzz'; known: alpha, beta"):
        check_known("zzz", ("alpha", "beta"), "thing")


def test_mappings_and_sequences_are_copied():
    mapping, sequence = {"a": 1}, [1]
    assert as_mapping(mapping) == mapping
    assert as_mapping(mapping) is not mapping
    assert as_mapping(collections.UserDict(a=1)) == mapping
    assert as_sequence(sequence) is not sequence
    assert (
        as_sequence(np.array([1])) == as_sequence(jnp.array([1])) == as_sequence((1,)) == sequence
    )
    for value in ("a", b"a", 1, None, {1}, np.ones((1, 1))):
        assert as_sequence(value) is None
    for value in ("a", 1, None, [1], dict):
        assert as_mapping(value) is None


@pytest.mark.parametrize(
    ("value", "plain"),
    [(1, 1), (True, True), (2**70, 2**70), ("a", "a"), (np.float32(0.5), 0.5), (jnp.ones(()), 1.0)],
    ids=repr,
)
def test_scalars_become_plain_values(value, plain):
    assert as_scalar("s", value) == plain
    assert type(as_scalar("s", value)) is type(plain)


@pytest.mark.parametrize("value", [None, [1], object, jax.random.key(0), 1j, b"a"], ids=repr)
def test_other_values_are_no_scalars(value):
    with pytest.raises(ValueError, match=r"s = .* is not a plain value; give a number"):
        as_scalar("s", value)


def test_nearest_divisor_is_that_of_a_search_over_all():
    for number in range(1, 60):
        divisors = [divisor for divisor in range(1, number + 1) if number % divisor == 0]
        for wanted in range(1, 70):
            expected = min(divisors, key=lambda divisor: abs(divisor - wanted))
            assert nearest_divisor(number, wanted) == expected
    assert nearest_divisor(2**31 - 1, 1000) == 1  # a prime: found at once


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(" first\nsecond"), "first"),
        (KeyError(), "KeyError"),
        (ValueError("x" * 400), "x" * 300),
    ],
)
def test_first_line_of_an_error_is_its_message_or_its_type(error, text):
    assert first_line(error) == text


def test_members_of_text_enums_count_as_their_values():
    class Transform(str, enum.Enum):  # noqa: UP042  its str() is "Transform.RESCALE"
        RESCALE = "rescale"

    chosen = check_choice("action_transform", Transform.RESCALE, ("clip", "rescale"))
    assert (chosen, type(chosen)) == ("rescale", str)
    cfg = Config(action_transform=Transform.RESCALE, env=Transform.RESCALE)
    assert (cfg.action_transform, cfg.env) == ("rescale", "rescale")
    assert dict(Config(env_params={Transform.RESCALE: 1.0}).env_params) == {"rescale": 1.0}
    network = NetworkConfig(actor_keys=[Transform.RESCALE])
    assert [type(key) for key in network.actor_keys] == [str]
    assert network.actor_keys == ("rescale",)


def test_numbers_of_any_float_are_taken_and_arrays_are_not():
    anything = Interval(-math.inf)
    assert number_in("alpha", jnp.bfloat16(0.5), anything) == 0.5
    for bad in ("10", [1.0, 2.0], 1j, jnp.complex64(1)):
        with pytest.raises(ValueError, match=r"max_seconds = .* is not a number; give a single"):
            number_in("max_seconds", bad, anything)

"""Callable schedules: what is refused, and when."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import optax
import pytest

from rpojax import Config, make_train, make_trainer
from rpojax.core.functions import check_functions


def small(**changes):
    settings = {"num_envs": 4, "num_steps": 8, "num_minibatches": 2, "total_timesteps": 320}
    return Config(**(settings | changes))


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (optax.linear_schedule(3e-4, 0.0, 10), r"factor on learning_rate = 0.0003.*above 0.0003"),
        (optax.constant_schedule(0.0), "factor on learning_rate"),
        (optax.constant_schedule(0.05), "never above 0.05"),
        (lambda count: count * jnp.nan, "gives .*nan.*; .*finite factor"),
        (lambda count: 1.0 - 0.5 * count, "gives .*-3.5.*; .*at least 0"),
        (lambda count: 1.0 / (count - count), "gives .*inf"),
        (lambda count: 1.0 if count < 5 else 0.1, "jnp.where in place of a Python if"),
        (lambda: 1.0, "is not a schedule"),
        (lambda count: {}[count], "is not a schedule"),
        (lambda count: "a", "is not a schedule"),
        (lambda count: None, "instead of one number"),
        (lambda count: (1.0, 1.0), "instead of one number"),
        (lambda count: jnp.ones(3), r"instead of one number"),
        (lambda count: count >= 0, "bool instead of a number"),
    ],
    ids=[
        "absolute rate",
        "zero",
        "small",
        "nan",
        "negative",
        "inf",
        "python if",
        "no argument",
        "raises",
        "string",
        "nothing",
        "pair",
        "vector",
        "truth",
    ],
)
def test_schedule_that_is_not_a_factor_is_refused(schedule, message):
    cfg = small(lr_schedule=schedule)
    with pytest.raises(ValueError, match=f"(?s)^lr_schedule .*{message}"):
        make_trainer(cfg)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (lambda count: 1.0 - 0.5 * count, "at least 0"),
        (lambda count: 1.0 if count < 5 else 0.1, "jnp.where"),
        (lambda count: jnp.ones(3), "instead of one number"),
    ],
    ids=["negative", "python if", "vector"],
)
def test_alpha_schedule_that_is_not_a_factor_is_refused(schedule, message):
    with pytest.raises(ValueError, match=f"(?s)^alpha_schedule .*{message}"):
        make_trainer(small(alpha_schedule=schedule))


TABLE = jnp.linspace(1.0, 0.1, 10)


@pytest.mark.parametrize(
    "schedule",
    [
        optax.cosine_decay_schedule(1.0, 10),
        optax.constant_schedule(1.0),
        optax.warmup_cosine_decay_schedule(0.0, 1.0, 3, 10),
        optax.linear_schedule(1.0, 0.0, 10),
        lambda count: TABLE[count],
        lambda count: 1,
    ],
    ids=["cosine", "constant", "warm-up", "linear", "table", "int"],
)
def test_schedule_that_is_a_factor_is_taken(schedule):
    check_functions(small(lr_schedule=schedule, alpha_schedule=schedule))


def test_schedule_is_checked_while_a_caller_is_traced():
    def train(key):
        return make_train(small(lr_schedule=optax.linear_schedule(1.0, 0.5, 10)))(key)

    jax.eval_shape(train, jax.random.key(0))
    bad = small(lr_schedule=optax.constant_schedule(0.0))
    with pytest.raises(ValueError, match="factor on learning_rate"):
        jax.eval_shape(lambda key: make_train(bad)(key), jax.random.key(0))


def test_config_starts_no_jax_backend():
    program = """
import optax, rpojax
cfg = rpojax.Config(lr_schedule=optax.cosine_decay_schedule(1.0, 10))
cfg.replace(alpha=0.1), hash(cfg), cfg == cfg
rpojax.Config.from_skrl({"learning_rate_scheduler": "LinearLR"})
rpojax.use_all_cores()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)

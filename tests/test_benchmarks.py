"""The parts of an update that benchmarks time, and the order of measurements."""

import jax

import rpojax
from benchmarks.roofline import make_parts
from benchmarks.timing import in_turn


def test_each_part_of_an_update_can_be_traced():
    cfg = rpojax.Config(
        lr_schedule="constant",
        num_envs=4,
        num_steps=8,
        num_minibatches=2,
        update_epochs=2,
        total_timesteps=10**6,
    )
    parts = make_parts(cfg)
    assert {"iteration", "roofline", "rollout", "update"} < set(parts)
    for function, arguments in parts.values():
        jax.eval_shape(function, *arguments)


def test_every_other_round_goes_backwards():
    order = []
    measures = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    assert in_turn(measures, 3) == {"a": [1, 4, 5], "b": [2, 3, 6]}
    assert "".join(order) == "abbaab"

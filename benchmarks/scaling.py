"""Training throughput as one thing grows, and what each feature costs.

    python -m benchmarks.scaling

Every program of a group is timed in the same rounds as the group's base, so that each ratio is
taken within a round. Seeds are vmapped on one device and spread over all of them.
"""

import argparse
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np

import rpojax
from benchmarks.reporting import (
    RESULTS,
    EnvironmentInfo,
    environment_info,
    paired_ratios,
    print_table,
    write_csv,
)
from benchmarks.timing import interleaved

BASE = rpojax.Config(lr_schedule="constant")
UPDATES = 2  # in each call


def one_agent(cfg: rpojax.Config) -> tuple[Callable[[], Any], int]:
    """A call that trains one agent for `UPDATES` updates, and the steps that are."""
    return many_agents(cfg, 1, spread=False)


def many_agents(cfg: rpojax.Config, seeds: int, spread: bool) -> tuple[Callable[[], Any], int]:
    """The same for several agents, on one device or spread over all of them."""
    trainer = rpojax.make_trainer(cfg)

    def run(state: rpojax.TrainState) -> Any:
        return trainer.run(state, None, UPDATES)

    mapped = rpojax.sharded_vmap if spread else lambda function: jax.jit(jax.vmap(function))
    program = mapped(run)
    state = mapped(trainer.init)(jax.random.split(jax.random.key(0), seeds))
    return (lambda: program(state)), UPDATES * cfg.batch_size * seeds


def groups() -> dict[str, dict[str, tuple[Callable[[], Any], int]]]:
    """Programs by group and name; the first of a group is its base."""
    cores = jax.device_count()
    minibatches = BASE.num_minibatches
    features: dict[str, Mapping[str, Any]] = {
        "default": {},
        "normalize_observations = False": {"normalize_observations": False},
        "normalize_rewards = False": {"normalize_rewards": False},
        "normalize_values = True": {"normalize_values": True},
        "time_limit_bootstrap = False": {"time_limit_bootstrap": False},
        "clip_value_loss = False": {"clip_value_loss": False},
        "lr_schedule = 'kl_adaptive'": {"lr_schedule": "kl_adaptive"},
        "advantage_normalization = 'batch'": {"advantage_normalization": "batch"},
        "perturb_rollouts = False": {"perturb_rollouts": False},
        "learning_starts, random_timesteps": {
            "learning_starts": BASE.batch_size,
            "random_timesteps": BASE.batch_size,
        },
        "shared torso": {"network": rpojax.NetworkConfig(shared_torso=True)},
        "relu": {"network": rpojax.NetworkConfig(activation="relu")},
        "state_dependent_log_std": {"network": rpojax.NetworkConfig(state_dependent_log_std=True)},
        "bfloat16": {"network": rpojax.NetworkConfig(dtype="bfloat16")},
    }
    few = BASE.replace(num_minibatches=16)  # minibatches of 512 steps, whole sequences
    sequences: dict[str, Mapping[str, Any]] = {"perceptron, 2 x 64": {}} | {
        f"{cell} of 64, sequences of {length}": {
            "network": rpojax.NetworkConfig(hidden_sizes=(64,), cell=cell),
            "sequence_length": length,
        }
        for cell in ("rnn", "gru", "lstm")
        for length in (16, 128)
    }
    return {
        "agents": {
            f"{seeds} on {'all devices' if spread else 'one device'}": many_agents(
                BASE, seeds, spread
            )
            for seeds in (1, 2, 4, 8, 16)
            for spread in (False, True)
            if not (spread and (cores == 1 or seeds == 1))
        },
        "environments (minibatch of 256)": {
            str(envs): one_agent(BASE.replace(num_envs=envs, num_minibatches=envs * 128 // 256))
            for envs in (64, 16, 256, 1024)
        },
        "steps (minibatch of 256)": {
            str(steps): one_agent(BASE.replace(num_steps=steps, num_minibatches=64 * steps // 256))
            for steps in (128, 32, 512)
        },
        "minibatches": {
            str(count): one_agent(BASE.replace(num_minibatches=count))
            for count in (minibatches, 4, 128)
        },
        "hidden sizes": {
            f"2 x {width}": one_agent(
                BASE.replace(network=rpojax.NetworkConfig(hidden_sizes=(width, width)))
            )
            for width in (64, 32, 128, 256)
        },
        "features": {
            name: one_agent(BASE.replace(**changes)) for name, changes in features.items()
        },
        "recurrent (minibatch of 512)": {
            name: one_agent(few.replace(**changes)) for name, changes in sequences.items()
        },
    }


def draw(
    path: Path, speeds: Mapping[str, Mapping[str, list[float]]], info: EnvironmentInfo
) -> None:
    """A panel of bars for each group, in two columns: steps per second, and the ratio to its base.

    Args:
        path: of the picture.
        speeds: steps per second of each round, by group and name.
        info: of the measurement.
    """
    names = list(speeds)
    half = sum(len(bars) + 2 for bars in speeds.values()) / 2
    heights = np.cumsum([len(speeds[name]) + 2 for name in names])
    columns = [
        [name for name, height in zip(names, heights, strict=True) if (height <= half) == left]
        for left in (True, False)
    ]
    columns = [column for column in columns if column]
    figure = plt.figure(figsize=(14, 1.0 + 0.24 * half), layout="constrained")
    places = figure.subfigures(1, len(columns), squeeze=False)
    largest = max(statistics.median(values) for bars in speeds.values() for values in bars.values())
    for column, place in zip(columns, places[0], strict=True):
        ratios = [len(speeds[name]) + 2 for name in column]
        panels = place.subplots(len(column), 1, height_ratios=ratios, squeeze=False)
        for name, axes in zip(column, panels[:, 0], strict=True):
            bars = {label: statistics.median(values) for label, values in speeds[name].items()}
            drawn = axes.barh(list(bars), list(bars.values()))
            drawn[0].set_color("tab:orange")
            base = next(iter(speeds[name].values()))
            texts = [
                f"{bars[label]:,.0f}  ({paired_ratios(values, base).median:.2f})"
                for label, values in speeds[name].items()
            ]
            axes.bar_label(drawn, texts, padding=3, fontsize=8)
            axes.set_title(name, fontsize=9, loc="left")
            axes.set_xlim(0, 1.3 * largest)
            axes.set_xticks([])
            axes.set_ylim(len(bars) - 0.4, -0.6)
            axes.tick_params(labelsize=8, length=0)
            axes.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle(
        "Environment steps trained on per second, all agents together (ratio to the first bar): "
        f"{BASE.env}, 64 environments x 128 steps, 10 epochs x 32 minibatches unless stated",
        fontsize=10,
    )
    figure.supxlabel(str(info), fontsize=6, color="gray", x=0.01, ha="left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Time the groups one after the other, print a table of each, write CSV and PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--groups", nargs="*", help="part of a group's name; all by default")
    arguments = parser.parse_args()
    rpojax.use_all_cores()
    info = environment_info()

    rows = []
    all_speeds: dict[str, dict[str, list[float]]] = {}
    for group, programs in groups().items():
        if arguments.groups and not any(part in group for part in arguments.groups):
            continue
        calls = {name: call for name, (call, _) in programs.items()}
        seconds = interleaved(calls, arguments.rounds, least_seconds=0.1)
        speeds = {
            name: [programs[name][1] / value for value in values]
            for name, values in seconds.items()
        }
        base = next(iter(programs))
        all_speeds[group] = speeds
        table = []
        for name, values in speeds.items():
            median, ratio = statistics.median(values), paired_ratios(values, speeds[base])
            table.append({group: name, "steps/s": f"{median:,.0f}", f"of {base}": ratio})
            rows += [
                {"group": group, "name": name, "round": index, "steps_per_second": round(value)}
                for index, value in enumerate(values)
            ]
        print_table(f"Training throughput by {group}", table, info)
    write_csv(RESULTS / "scaling.csv", rows, info)
    draw(RESULTS / "scaling.png", all_speeds, info)


if __name__ == "__main__":
    main()

"""Several processes against one, with the same devices in all, and what they send each other.

    python -m benchmarks.processes [--rounds 5]

One process with two devices and two processes with one device each, on the cores of this machine,
joined over the loopback interface: environment steps per second of `fit`, in turn, and the bytes
that pass through that interface while it trains, against the model in `bytes_sent`.
"""

import argparse
import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

import rpojax
from benchmarks.reporting import RESULTS, environment_info, paired_ratios, print_table, write_csv
from benchmarks.timing import in_turn
from rpojax.runs.agents import LONGEST_CHUNK, columns_sent

AGENTS = 32
UPDATES = 256
CFG = rpojax.Config(
    env="Pendulum-v1",
    num_envs=64,
    num_steps=32,
    update_epochs=4,
    num_minibatches=8,
    total_timesteps=UPDATES * 64 * 32,
    agents_at_once=1,
)
INTERFACE = "lo"


def bytes_sent(agents: int, devices: int, updates: int) -> float:
    """Bytes that the devices send each other after a chunk of updates: metrics, nothing else.

    Each metric is f32[agents, columns], spread over the devices, and each device gets the parts of
    all others. Agents do not communicate while they train.
    """
    columns = columns_sent(updates, LONGEST_CHUNK)
    fields = len(jax.tree.leaves(rpojax.Metrics.filled(0.0)))
    whole = agents * (columns * (4 * fields + 1) + 1)  # `taken` and `finite` are bool
    return (devices - 1) * whole


def interface_bytes() -> int:
    """Bytes that the loopback interface has sent since the machine started."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == INTERFACE:
            return int(counts.split()[8])
    raise RuntimeError(f"/proc/net/dev has no interface {INTERFACE}")


def train(processes: int, process_id: int, coordinator: str) -> dict[str, float]:
    """What one process of a job measures."""
    if processes == 1:
        rpojax.use_all_cores()
    else:  # each on a core of its own, as SLURM binds its tasks
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[process_id]})
        rpojax.use_all_machines(coordinator, processes, process_id)
    speeds, sent, updates = [], [], []

    def on_chunk(progress: rpojax.Progress) -> None:
        updates.append(progress.updates)
        speeds.append(progress.steps_per_second)
        sent.append(interface_bytes())

    rpojax.fit(CFG, num_seeds=AGENTS, on_chunk=on_chunk)
    counted = np.diff(updates)[1:]  # the first chunk connects the processes
    model = [bytes_sent(AGENTS, jax.device_count(), int(number)) for number in counted]
    return {
        "steps_per_second": speeds[-1],
        "bytes_per_chunk": (sent[-1] - sent[1]) / len(counted),
        "model": float(np.mean(model)),
    }


def job(processes: int) -> dict[str, float]:
    """The first process's measures of a job."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
    worker = [sys.executable, "-m", "benchmarks.processes", "--worker", str(processes), coordinator]
    started = [
        subprocess.Popen([*worker, str(index)], stdout=subprocess.PIPE, text=True)
        for index in range(processes)
    ]
    try:
        printed = [process.communicate()[0] for process in started]
    finally:
        for process in started:
            process.kill()
    if any(process.returncode for process in started):
        raise RuntimeError(f"a job of {processes} processes failed")
    found: dict[str, float] = json.loads(printed[0].splitlines()[-1])
    return found


def main() -> None:
    """Measure in turn, print the table, write the CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        processes, coordinator, process_id = arguments.worker
        print(json.dumps(train(int(processes), int(process_id), coordinator)))
        return
    info = environment_info()
    jobs = {str(processes): functools.partial(job, processes) for processes in (1, 2)}
    found = {int(name): each for name, each in in_turn(jobs, arguments.rounds).items()}
    speeds = {
        processes: [each["steps_per_second"] for each in measures]
        for processes, measures in found.items()
    }
    rows: list[dict[str, Any]] = [
        {
            "processes": processes,
            "devices_of_each": 2 // processes,
            "steps_per_second": round(float(np.median(speeds[processes]))),
            "of_one_process": str(paired_ratios(speeds[processes], speeds[1])),
            "kilobytes_per_chunk": round(
                float(np.median([each["bytes_per_chunk"] for each in measures])) / 1000, 1
            ),
            "model": round(float(np.median([each["model"] for each in measures])) / 1000, 1)
            if processes > 1
            else 0.0,
        }
        for processes, measures in found.items()
    ]
    write_csv(RESULTS / "processes.csv", rows, info)
    print_table(f"{AGENTS} agents", rows, info)


if __name__ == "__main__":
    main()

"""Training throughput against peers, on the same work in the same run.

    python -m benchmarks.throughput

Each trainer is a process of its own, and one computes at a time. A ratio is taken between a round
of ours and the peer's round right after it; the figure to quote is the median over the pairs.
The peers and their pinned versions come with the `bench` extra; Brax's PPO, on `--work
brax-pendulum`, with the extra `brax`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

from rich.console import Console

from benchmarks.peers.common import WORK_VARIABLE, WORKS, Ready, Round, Work
from benchmarks.reporting import (
    REPOSITORY,
    RESULTS,
    EnvironmentInfo,
    Ratios,
    bar_chart,
    environment_info,
    format_versions,
    paired_ratios,
    print_table,
    write_csv,
)

OURS = "rpojax"
PEERS = ("rejax_ppo", "sbx_ppo", "skrl_rpo")
PEERS_OF_FAMILY = {
    "brax": ("brax_ppo",),
    "mujoco": ("sbx_gymnasium", "sbx_envpool"),
    "playground": ("sbx_envpool",),
}


class Worker:
    """A trainer in its own process, warm once constructed."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str]) -> None:
        self._process, self._log = process, log
        self.ready = Ready(**self._read())

    def train_round(self) -> Round:
        """Has it train one timed round."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return Round(**self._read())

    def _read(self) -> dict[str, Any]:
        """The next JSON line; whatever else a library prints is skipped."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self._log.seek(0)
        tail = "".join(self._log.readlines()[-15:])
        raise RuntimeError(
            f"a worker ended with status {self._process.wait()}; are the peers installed "
            f"(pip install -e '.[bench]')? Its last words:\n{tail}"
        )


@contextmanager
def started(module: str, python: str, seconds: float, platform: str) -> Iterator[Worker]:
    """Starts a worker, and ends it with the `with` block."""
    command = [python, "-m", f"benchmarks.peers.{module}", "--seconds", str(seconds)]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "JAX_PLATFORMS": platform},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield Worker(process, log)
        finally:
            process.kill()


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peers", nargs="+", metavar="PEER", help="modules of benchmarks.peers (default all)"
    )
    parser.add_argument("--work", choices=WORKS, default="default", help="sizes of the work")
    parser.add_argument("--pairs", type=int, default=5, help="rounds of each (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="least length of a round")
    parser.add_argument(
        "--peer-python", default=sys.executable, metavar="PATH", help="the interpreter of the peers"
    )
    parser.add_argument("--pin", type=int, metavar="CPU", help="keep all workers on this one core")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of the workers")
    return parser.parse_args()


def main() -> None:
    """Runs the pairs, prints the table and writes CSV and PNG."""
    arguments = parse_arguments()
    family = WORKS[arguments.work].env.partition("/")[0]
    modules = arguments.peers or PEERS_OF_FAMILY.get(family, PEERS)
    os.environ[WORK_VARIABLE] = arguments.work  # the workers inherit it
    if arguments.pin is not None:
        os.sched_setaffinity(0, {arguments.pin})  # the workers inherit it
    console = Console(stderr=True)
    info = environment_info((), device="")  # the workers know the device
    if info.load > 0.5:
        console.print(f"The machine is busy (load {info.load}): do not publish these timings.")
    rows: list[dict[str, Any]] = []
    ratios: dict[str, Ratios] = {}
    peers: list[Ready] = []
    settings = (arguments.seconds, arguments.platform)

    with started(f"{OURS}_rpo", sys.executable, *settings) as ours:
        for module in modules:
            console.print(f"{module}: compiling and warming up")
            with started(module, arguments.peer_python, *settings) as peer:
                check_same_jax(ours.ready, peer.ready)
                speeds: list[tuple[float, float]] = []
                for pair in range(arguments.pairs):
                    speeds.append(
                        (ours.train_round().steps_per_second, peer.train_round().steps_per_second)
                    )
                    rows.append(pair_row(peer.ready, pair, *speeds[-1]))
                    console.print(f"  pair {pair + 1}: {speeds[-1][0]:,.0f} : {speeds[-1][1]:,.0f}")
            peers.append(peer.ready)
            ratios[peer.ready.name] = paired_ratios(*zip(*speeds, strict=True))
    info = replace(
        info, device=ours.ready.device, versions={OURS: ours.ready.version, **ours.ready.versions}
    )
    name = "throughput" if arguments.work == "default" else f"throughput-{arguments.work}"
    if arguments.pin is not None:
        name += "-one-core"
    report(name, WORKS[arguments.work], ours.ready, peers, rows, ratios, info)


def pair_row(peer: Ready, pair: int, ours: float, theirs: float) -> dict[str, Any]:
    """One line of the CSV."""
    return {
        "peer": peer.name,
        "peer_version": peer.version,
        "pair": pair,
        "rpojax_steps_per_second": round(ours),
        "peer_steps_per_second": round(theirs),
        "ratio": round(ours / theirs, 3),
        "peer_versions": format_versions(peer.versions),
    }


def check_same_jax(ours: Ready, peer: Ready) -> None:
    """Raises RuntimeError where the peer runs on another release of JAX: no fair comparison."""
    for name in ("jax", "jaxlib"):
        if peer.versions[name] != ours.versions[name]:
            raise RuntimeError(
                f"{peer.name} runs on {name} {peer.versions[name]} and rpojax on "
                f"{ours.versions[name]}: install the same version for both"
            )


def report(
    name: str,
    work: Work,
    ours: Ready,
    peers: list[Ready],
    rows: list[dict[str, Any]],
    ratios: dict[str, Ratios],
    info: EnvironmentInfo,
) -> None:
    """Prints the table and writes the files of this name."""

    def median(column: str, peer: str) -> float:
        return statistics.median(row[column] for row in rows if row["peer"] == peer)

    table = [
        {
            "peer": f"{peer.name} {peer.version}",
            "peer steps/s": f"{median('peer_steps_per_second', peer.name):,.0f}",
            "rpojax steps/s": f"{median('rpojax_steps_per_second', peer.name):,.0f}",
            "ratio, median (min-max)": ratios[peer.name],
        }
        for peer in peers
    ]
    title = (
        f"Training on {work.env}, {work.num_envs} envs x {work.num_steps} steps, "
        f"{work.update_epochs} epochs x {work.num_minibatches} minibatches, hidden "
        f"{list(work.hidden_sizes)}"
    )
    notes = [f"{peer.name} differs: {'; '.join(peer.differences)}." for peer in peers]
    print_table(title, table, info, notes)

    write_csv(RESULTS / f"{name}.csv", rows, info)
    bars = {
        f"{ours.name} {ours.version}": statistics.median(
            row["rpojax_steps_per_second"] for row in rows
        )
    }
    remarks = {}
    for peer in peers:
        label = f"{peer.name} {peer.version}"
        bars[label] = median("peer_steps_per_second", peer.name)
        remarks[label] = f"(rpojax: {ratios[peer.name].median:.2f}x)"
    bar_chart(
        RESULTS / f"{name}.png",
        title,
        bars,
        info,
        xlabel="environment steps trained on per second",
        remarks=remarks,
        highlight=next(iter(bars)),
    )


if __name__ == "__main__":
    main()

"""Shared by all benchmarks: the machine's description, paired ratios, tables, CSV files, charts."""

import csv
import os
import platform
import statistics
import subprocess
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.ticker import EngFormatter
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"

PACKAGES = ("jax", "jaxlib", "flax", "optax", "gymnax")
FAMILY_PACKAGES = {
    "brax": ("brax", "mujoco-mjx"),
    "mjx": ("mujoco", "mujoco-mjx", "gymnasium"),
    "mujoco": ("mujoco", "mujoco-mjx", "gymnasium"),
    "playground": ("playground", "mujoco", "mujoco-mjx"),
}
"""Distributions whose versions matter besides `PACKAGES`, by the prefix of environments' names."""


def cpu_name() -> str:
    """The processor's model, as the system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def device_name() -> str:
    """The device JAX computes on by default; starts JAX's backend."""
    import jax

    device = jax.devices()[0]
    return cpu_name() if device.platform == "cpu" else device.device_kind


def git_commit() -> str:
    """The commit checked out, marked `-dirty` where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return "unknown"
    return found.stdout.strip() or "unknown"


@dataclass(frozen=True)
class EnvironmentInfo:
    """Where and with what a result was measured."""

    date: str
    commit: str
    device: str
    cores: int  # that the process may use
    load: float  # of the machine before the measurement, in busy cores
    python: str
    versions: Mapping[str, str]

    def as_row(self) -> dict[str, Any]:
        """One CSV cell a field."""
        return {**vars(self), "versions": format_versions(self.versions)}

    def __str__(self) -> str:
        cores = f"{self.cores} core{'s' if self.cores > 1 else ''}"
        return (
            f"{self.device}, {cores}, load {self.load:.1f} before; Python {self.python} "
            f"{format_versions(self.versions)}; {self.date}, commit {self.commit}"
        )


def environment_info(
    packages: Sequence[str] = PACKAGES,
    *,
    device: str | None = None,
) -> EnvironmentInfo:
    """Describes this machine and process; to be called before the measurement, for the load.

    Args:
      packages: distributions whose versions matter.
      device: what computes, where that is another process; by default JAX is asked.
    """
    return EnvironmentInfo(
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        commit=git_commit(),
        device=device_name() if device is None else device,
        cores=usable_cores(),
        load=round(os.getloadavg()[0], 2),
        python=platform.python_version(),
        versions={package: metadata.version(package) for package in packages},
    )


def packages_of(env: str) -> tuple[str, ...]:
    """The distributions whose versions matter for results in an environment, by its name."""
    return (*PACKAGES, *FAMILY_PACKAGES.get(env.partition("/")[0], ()))


def provenance(rows: Sequence[Mapping[str, Any]]) -> str:
    """Where, when and with what the rows of a CSV file were measured, each value once."""
    found = {
        name: ", ".join(dict.fromkeys(str(row[name]) for row in rows))
        for name in ("device", "cores", "date", "commit", "versions")
    }
    return (
        f"{found['device']}, {found['cores']} cores, {found['date']}, commit {found['commit']}; "
        f"{found['versions']}"
    )


def caption(measured: EnvironmentInfo | str) -> str:
    """Where something was measured, in lines that fit below a picture."""
    return "\n".join(textwrap.wrap(str(measured), 150))


def format_versions(versions: Mapping[str, str]) -> str:
    """`name==version`, as pip writes it, separated by spaces."""
    return " ".join(f"{name}=={version}" for name, version in versions.items())


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Ratios:
    """Ratios of measurements taken in pairs, one right after the other."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({min(self.values):.2f}-{max(self.values):.2f})"


def paired_ratios(a: Sequence[float], b: Sequence[float]) -> Ratios:
    """a[i] / b[i] for every pair i."""
    return Ratios(tuple(x / y for x, y in zip(a, b, strict=True)))


def print_table(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    info: EnvironmentInfo | str,
    notes: Sequence[str] = (),
) -> None:
    """Prints the rows under their keys, then the notes and where it was measured."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(rows[0]):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console = Console()
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)
    console.print(str(info), style="dim", highlight=False)


def read_csv(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file, all values as text; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_csv(
    path: Path, rows: Sequence[Mapping[str, Any]], info: EnvironmentInfo | None = None
) -> None:
    """Writes the rows, each followed by the columns of `info` if it is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    full = [{**row, **(info.as_row() if info else {})} for row in rows]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(full[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(full)


def bar_chart(
    path: Path,
    title: str,
    bars: Mapping[str, float],
    info: EnvironmentInfo,
    *,
    xlabel: str,
    remarks: Mapping[str, str] | None = None,
    highlight: str | None = None,
    value_format: str = "{:,.0f}",
    reference: float | None = None,
) -> None:
    """Draws one horizontal bar a label, with its value and remark beside it.

    Args:
        path: of the picture.
        title: above it.
        bars: values by label.
        info: of the measurement.
        xlabel: what the values are, with their unit.
        remarks: by label.
        highlight: the label of a bar in another colour.
        value_format: of the values beside the bars.
        reference: where a line crosses the bars, such as 1 for ratios.
    """
    remarks = remarks or {}
    figure, axes = plt.subplots(figsize=(8, 1.6 + 0.5 * len(bars)), layout="constrained")
    colors = ["tab:orange" if label == highlight else "tab:blue" for label in bars]
    drawn = axes.barh(list(bars), list(bars.values()), color=colors)
    texts = [
        f"{value_format.format(value)}  {remarks.get(label, '')}".rstrip()
        for label, value in bars.items()
    ]
    axes.bar_label(drawn, texts, padding=4)
    axes.set_ylim(len(bars) - 0.4, -0.6)  # the first bar on top, and no room above it
    axes.set_xlim(0, 1.35 * max(bars.values()))
    axes.set_xlabel(xlabel, x=1.0, ha="right")  # grows to the left, where the long labels are
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    large = max(bars.values()) >= 1000
    axes.xaxis.set_major_formatter(EngFormatter(sep="") if large else "{x:g}")
    if reference is not None:
        axes.axvline(reference, color="black", linestyle=":", linewidth=1)
    axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(caption(info), fontsize=6, color="gray", x=0.01, ha="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)

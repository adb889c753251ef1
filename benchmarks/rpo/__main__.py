"""What agents learn by RPO and by PPO: 10 agents of each setting, beside published figures.

    python -m benchmarks.rpo dm_control    # RPO and PPO in tasks of MuJoCo Playground
    python -m benchmarks.rpo ablation      # alpha, where it perturbs, what a time limit is
    python -m benchmarks.rpo mujoco        # alphas where 0.5 is known to fail, on MJX
    python -m benchmarks.rpo gymnax        # the presets of gymnax's five tasks
    python -m benchmarks.rpo cleanrl       # CleanRL's settings to the letter
    python -m benchmarks.rpo report        # results/rpo/tables.md and pictures, of what is there

All but the last train what benchmarks/results/rpo lacks, and save it on the way in runs/rpo: after
Ctrl-C or a kill, the same command goes on. The settings are in benchmarks/rpo/cells.py. With
--quick, two agents of each alpha train for a few updates in the first two environments: a trial of
minutes, which is printed and not kept.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import rpojax
from benchmarks.reporting import environment_info, git_commit, packages_of
from benchmarks.rpo import records
from benchmarks.rpo.cells import TABLES, cells_of
from benchmarks.rpo.report import agents_table, write_report
from benchmarks.rpo.training import train

QUICK_AGENTS, QUICK_STEPS = 2, 2**15


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing of a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=(*TABLES, "report"))
    parser.add_argument("--steps", type=int, help="of each agent, in place of the table's own")
    parser.add_argument("--environments", nargs="+", help="some of the table's")
    parser.add_argument("--quick", action="store_true", help="a trial of two agents")
    arguments = parser.parse_args(arguments)
    if arguments.table == "report":
        print(write_report())
        return
    steps = arguments.steps or (QUICK_STEPS if arguments.quick else None)
    cells = cells_of(arguments.table, steps, arguments.environments)
    if arguments.quick:
        with tempfile.TemporaryDirectory() as place:
            trained = [train(cell, QUICK_AGENTS, Path(place)) for cell in cells[:2]]
        print(agents_table([row for each in trained for row in each.agents]))
        return
    rpojax.use_all_cores()
    commit = git_commit()  # of the code that is loaded now
    for cell in cells:
        if records.has(records.read(records.agents_csv(cell.table)), cell):
            continue
        info = environment_info(packages_of(str(cell.cfg.env)))
        try:
            trained = train(cell)
        except rpojax.TrainingInterrupted as stop:
            parser.exit(128 + stop.signal_number, "stopped; the same command goes on\n")
        records.add(cell.table, trained, info.as_row() | {"commit": commit})


if __name__ == "__main__":
    main()

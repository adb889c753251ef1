"""Runs as they were on their way, made of the checkpoints of a whole one."""

import shutil
from pathlib import Path

from rpojax.runs import checkpoint_manager


def stopped_after(directory: Path, updates: int, at: Path) -> Path:
    """A copy of a run, which has a checkpoint of each update, as it was after so many updates."""
    shutil.copytree(directory, at)
    for path in checkpoint_manager.checkpoint_paths(at):
        if int(path.name.removeprefix("update_")) > updates:
            shutil.rmtree(path)
    return at

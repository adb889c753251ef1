"""The command `rpojax`: each subcommand is a dataclass of its flags, and callable."""

from rpojax.cli.command import main

__all__ = ["main"]

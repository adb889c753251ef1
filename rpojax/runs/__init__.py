"""Runs of many agents: the host loop, its checkpoints and its directory."""

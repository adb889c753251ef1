"""What agents learn by RPO and by PPO, in tables: see `python -m benchmarks.rpo --help`."""

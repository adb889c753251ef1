"""Benchmarks of rpojax: each is one command, `python -m benchmarks.NAME`."""

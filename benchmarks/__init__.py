"""Benchmarks: figures, not tests. Each is a command that prints its table."""

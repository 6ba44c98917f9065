"""Runnable systems: `python -m experiments.NAME --help` lists every field with its default and meaning."""

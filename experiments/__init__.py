"""Runnable systems: `python -m experiments.NAME --help` lists every field with its default and meaning."""

from absl import logging

logging.set_verbosity(logging.ERROR)  # libraries' remarks on versions would stand before an error's one line

"""Commands as a user runs them, in a process of their own, and what they say to bad input, asked in this process."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.harness import cli, waiting

ROOT = Path(__file__).parents[2]
RUN_FILES = {"config.json", "metrics.jsonl", "checkpoints", "samples.png", "samples.npz", "report.json"}
"""What every experiment leaves in its workdir."""


def python(*arguments, timeout=600, **environment):
    """A fresh interpreter at the root of the repository: python("-m", "module", "flag", NAME=value)."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def command(module, *flags):
    """A module of experiments, where the process itself is what is tested; elsewhere `called` costs no start."""
    return python("-m", f"experiments.{module}", *flags)


def called(module, *flags):
    """The same command line in this process."""
    named = importlib.import_module(f"experiments.{module}")
    named.main(cli.parse(named.Config, [str(flag) for flag in flags], prog=f"experiments.{module}"))


def refused(module, flags, monkeypatch, capfd):
    """The one line that a command ends with."""
    monkeypatch.setattr(sys, "argv", ["prog", *map(str, flags)])
    monkeypatch.setattr(waiting, "QUIET", float("inf"))  # what a slow machine is at is said in lines of their own
    named = importlib.import_module(f"experiments.{module}")
    with pytest.raises(SystemExit) as stop:
        cli.run(named.main, named.Config, prog=f"experiments.{module}")
    assert stop.value.code == 2
    error = capfd.readouterr().err.strip()
    assert len(error.splitlines()) == 1, error
    assert error.startswith(f"experiments.{module}: error: ")
    return error

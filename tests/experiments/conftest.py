"""One smoke run for all tests of the commands."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN_FILES = {"config.json", "metrics.jsonl", "checkpoints", "samples.png", "samples.npz", "report.json"}
"""What every experiment leaves in its workdir."""


def command(module, *flags):
    """Run a module of experiments as a user does."""
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{module}", *map(str, flags)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "edm_digits"
    watched = ("--tensorboard", "--grid-every", "4", "--profile", "2")
    done = command("edm_digits", "--smoke", "--workdir", workdir, *watched)
    assert done.returncode == 0, done.stderr
    return workdir, done

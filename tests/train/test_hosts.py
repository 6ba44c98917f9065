"""One device, eight, and two processes with four each: the same losses; checkpoints that fit any of them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support import hosts_run

ROOT = Path(__file__).parents[2]


def launch(workdir, fsdp, devices, *place, **environment):
    """One process with so many simulated devices."""
    workdir.mkdir(exist_ok=True)
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.support.hosts_run", str(workdir), str(fsdp), *map(str, place)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **flags, **environment}, stdout=pipe, stderr=pipe, text=True
    )


def ended(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err + out
    return out


def together(workdir, fsdp, **environment):
    """Two processes with four devices each; the environment is process 1's."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    both = [launch(workdir, fsdp, 4, port, 2, 0), launch(workdir, fsdp, 4, port, 2, 1, **environment)]
    return [ended(process) for process in both]


def losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(2, hosts_run.STEPS + 1, 2))
    return np.array([line["loss"] for line in lines])


def deviation(workdir, reference):
    """Largest difference of the losses, relative to theirs."""
    return np.max(np.abs(losses(workdir) / losses(reference) - 1))


def said(out):
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one")
    ended(launch(workdir, 1, 1))
    return workdir


@pytest.mark.full
@pytest.mark.parametrize(("fsdp", "width"), [(1, 64), (8, 8), (2, 32)])
def test_eight_devices_give_the_losses_of_one(tmp_path, one, fsdp, width):
    out = ended(launch(tmp_path, fsdp, 8))
    assert said(out)["devices"] == 8
    assert said(out)["shards"]["b"] == [64, width]
    assert deviation(tmp_path, one) < 1e-5


@pytest.mark.full
@pytest.mark.parametrize("fsdp", [1, 8])
def test_two_processes_give_the_losses_of_one(tmp_path, one, fsdp):
    """And stop together where one of them is told to, and go on from there on one device."""
    outs = together(tmp_path / "two", fsdp)
    assert [said(out)["devices"] for out in outs] == [8, 8]
    assert deviation(tmp_path / "two", one) < 1e-5
    stopped = together(tmp_path / "stopped", fsdp, STOP="3")
    steps = [said(out)["step"] for out in stopped]
    assert steps[0] == steps[1] < hosts_run.STEPS, "both stop at the same step"
    assert f"saved at step {steps[0]}" in stopped[0]
    assert "stopped at" not in stopped[1], "process 0 speaks for all"
    out = ended(launch(tmp_path / "stopped", 1, 1))
    assert f"resuming from step {steps[0]}" in out
    assert deviation(tmp_path / "stopped", one) < 1e-5


@pytest.mark.full
@pytest.mark.parametrize("devices", [1, 2, 4])
def test_a_checkpoint_of_eight_is_restored_on_fewer(tmp_path, one, devices):
    """Cut over eight devices, told to stop, and gone on with, cut over fewer."""
    out = ended(launch(tmp_path, 8, 8, STOP="5"))
    assert "stopped at step 6" in out
    out = ended(launch(tmp_path, devices, devices))
    assert "resuming from step 6" in out
    assert said(out)["shards"]["b"] == [64, 64 // devices]
    assert deviation(tmp_path, one) < 1e-5

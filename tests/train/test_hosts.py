"""One device, eight, and two processes with four each: the same losses; checkpoints that fit any of them."""

import json
import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.support import hosts_run
from tests.support.commands import ROOT
from tests.support.monitored import lines
from tests.support.tiers import full


def launch(runs, devices, *place):
    """One process with so many simulated devices, and the runs [folder, fsdp, stop] that it makes."""
    for folder, *_ in runs:
        folder.mkdir(exist_ok=True)
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "JAX_PLATFORMS": "cpu"}
    arguments = json.dumps([[str(folder), *rest] for folder, *rest in runs])
    command = [sys.executable, "-m", "tests.support.hosts_run", arguments, *map(str, place)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **flags}, stdout=pipe, stderr=pipe, text=True)


def ended(process):
    """[(what was reported, what is said at the end)] of its runs."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err + out
    found, reported = [], []
    for line in out.splitlines():
        if line.startswith("{"):
            found.append(("\n".join(reported), json.loads(line)))
            reported = []
        else:
            reported.append(line)
    return found


def together(folder, fsdp):
    """Two processes with four devices each: a run to the end, and one of which process 1 is asked to stop."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    runs = lambda stop: [(folder / "two", fsdp, -1), (folder / "stopped", fsdp, stop)]  # noqa: E731
    both = [launch(runs(stop), 4, port, 2, host) for host, stop in enumerate((-1, 3))]
    return zip(*[ended(process) for process in both], strict=True)


def losses(workdir):
    assert [line["step"] for line in lines(workdir)] == list(range(2, hosts_run.STEPS + 1, 2))
    return np.array([line["loss"] for line in lines(workdir)])


def deviation(workdir, reference):
    """Largest difference of the losses, relative to theirs."""
    return np.max(np.abs(losses(workdir) / losses(reference) - 1))


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """On the one device of this process."""
    workdir = tmp_path_factory.mktemp("one")
    hosts_run.run(workdir, 1)
    return workdir


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """{name: (folder, what was reported, what is said)} of the runs of one process with eight devices."""
    base = tmp_path_factory.mktemp("eight")
    runs = {"1": (base / "1", 1, -1), "8": (base / "8", 8, -1), "2": (base / "2", 2, -1), "stop": (base / "stop", 8, 5)}
    found = ended(launch(runs.values(), 8))
    return {name: (run[0], *answers) for (name, run), answers in zip(runs.items(), found, strict=True)}


@pytest.mark.parametrize(("fsdp", "width"), full((1, 64), (8, 8), (2, 32)))
def test_eight_devices_give_the_losses_of_one(eight, one, fsdp, width):
    folder, _, said = eight[str(fsdp)]
    assert said["devices"] == 8
    assert said["shards"]["b"] == [64, width]
    assert deviation(folder, one) < 1e-5


@pytest.mark.parametrize("fsdp", [8, *full(1)])
def test_two_processes_give_the_losses_of_one(tmp_path, one, fsdp, capsys):
    """And stop together where one of them is asked to, and go on from there on one device."""
    whole, stopped = together(tmp_path, fsdp)
    assert [said["devices"] for _, said in whole] == [8, 8]
    assert deviation(tmp_path / "two", one) < 1e-5
    steps = [said["step"] for _, said in stopped]
    assert steps[0] == steps[1] < hosts_run.STEPS, "both stop at the same step"
    assert f"saved at step {steps[0]}" in stopped[0][0]
    assert "stopped at" not in stopped[1][0], "process 0 speaks for all"
    hosts_run.run(tmp_path / "stopped", 1)
    assert f"resuming from step {steps[0]}" in capsys.readouterr().out
    assert deviation(tmp_path / "stopped", one) < 1e-5


@pytest.mark.parametrize("devices", full(1, 2, 4))
def test_a_checkpoint_of_eight_is_restored_on_fewer(tmp_path, eight, one, devices, capsys):
    """Sharded over eight devices, asked to stop, and gone on with, sharded over fewer; on one in this process."""
    folder, reported, _ = eight["stop"]
    assert "stopped at step 6" in reported
    shutil.copytree(folder, tmp_path / "run")
    if devices == 1:
        hosts_run.run(tmp_path / "run", 1)
        out, said = capsys.readouterr().out.rsplit("\n", 2)[:2]
        said = json.loads(said)
    else:
        ((out, said),) = ended(launch([(tmp_path / "run", devices, -1)], devices))
    assert "resuming from step 6" in out
    assert said["shards"]["b"] == [64, 64 // devices]
    assert deviation(tmp_path / "run", one) < 1e-5

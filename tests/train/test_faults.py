"""What happens to a run that is killed, asked to stop, or finds its newest checkpoint damaged.

What ends a process is asked of processes; a run that goes on, or has nothing happen to it, is one in this process.
"""

import json
import shutil
import signal

import numpy as np
import pytest

from jaxdiff.train.checkpoint import CheckpointError, Checkpoints
from tests.support import tiny_run
from tests.support.commands import python
from tests.support.monitored import lines
from tests.support.tiers import full


def run(workdir, moment, **environment):
    return python("-m", "tests.support.tiny_run", workdir, moment, timeout=300, **environment)


def final(workdir):
    with np.load(workdir / "final.npz") as file:
        return [file[name] for name in file.files]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("unbroken")
    tiny_run.main(workdir)
    return workdir


def assert_same(workdir, unbroken):
    for ours, theirs in zip(final(workdir), final(unbroken), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    steps = [line["step"] for line in lines(workdir)]
    assert steps == sorted(set(steps)), "a step is logged twice"
    assert [line["loss"] for line in lines(workdir)][-1] == [line["loss"] for line in lines(unbroken)][-1]


@pytest.mark.parametrize("moment", ["data:17", *full("data:2", "save:15")])
def test_killed_and_resumed_is_bit_identical(tmp_path, unbroken, moment):
    killed = run(tmp_path, moment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "final.npz").exists()
    tiny_run.main(tmp_path)
    assert_same(tmp_path, unbroken)


def test_sigterm_saves_and_exits_0(tmp_path, unbroken, capsys):
    stopped = run(tmp_path, "term:13")
    assert stopped.returncode == 0, stopped.stderr
    assert "the same command goes on" in stopped.stdout
    assert Checkpoints(tmp_path).steps()[-1] == 15, "the dispatch in progress is finished and saved"
    tiny_run.main(tmp_path)
    assert "resuming from step 15" in capsys.readouterr().out
    assert_same(tmp_path, unbroken)


def damage(kind, folder):
    """Spoil the array data of one checkpoint, wherever Orbax put it."""
    for data in [path for path in (folder / "state").rglob("d/*") if path.is_file()]:
        if kind == "truncated":
            data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
        if kind == "zeroed":
            data.write_bytes(bytes(data.stat().st_size))
        if kind == "deleted":
            data.unlink()
    if kind == "no metadata":
        (folder / "_CHECKPOINT_METADATA").write_text("{}")


@pytest.mark.parametrize("kind", ["truncated", "zeroed", "deleted", "no metadata"])
def test_damaged_checkpoint_is_reported_and_the_one_before_used(tmp_path, unbroken, kind, capsys):
    shutil.copytree(unbroken, tmp_path / "run")
    newest = Checkpoints(tmp_path / "run").steps()[-1]
    damage(kind, tmp_path / "run" / "checkpoints" / str(newest))
    (tmp_path / "run" / "final.npz").unlink()
    tiny_run.main(tmp_path / "run")
    printed = capsys.readouterr().out
    assert f"checkpoint {newest} is damaged" in printed
    assert "resuming from step" in printed
    assert (tmp_path / "run" / "damaged" / str(newest)).exists(), "nothing is ever lost"
    assert_same(tmp_path / "run", unbroken)


def test_nothing_readable_is_an_error_not_a_fresh_start(tmp_path, unbroken):
    shutil.copytree(unbroken, tmp_path / "run")
    for step in Checkpoints(tmp_path / "run").steps():
        damage("zeroed", tmp_path / "run" / "checkpoints" / str(step))
    _, state, _ = tiny_run.build()
    said = []
    with pytest.raises(CheckpointError, match="none of the checkpoints"):
        Checkpoints(tmp_path / "run", report=said.append).restore(state)
    assert len(said) == 2


@pytest.mark.parametrize("moment", ["data:17", *full("never:0")])
def test_eight_devices_give_the_losses_of_one(tmp_path, unbroken, moment):
    eight = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = run(tmp_path, moment, **eight)
    if moment == "never:0":
        assert done.returncode == 0, done.stderr
    else:  # saved on eight devices, continued on one
        assert done.returncode == -signal.SIGKILL, done.stderr
        tiny_run.main(tmp_path)
    ours, theirs = ([line["loss"] for line in lines(folder)] for folder in (tmp_path, unbroken))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.full
def test_seeded_faults_of_a_digits_run_are_survived(tmp_path):
    """A kill of each kind, a damage of each kind, a full disk; `python -m benchmarks.faults` has twenty of each."""
    out = tmp_path / "faults.json"
    done = python("-m", "benchmarks.faults", "--kills", "3", "--damages", "3", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert len(found["faults"]) == 7
    assert all(one["survived"] == one["of"] > 0 for one in found["faults"].values())
    assert "could not be written" in found["full_disk_says"]

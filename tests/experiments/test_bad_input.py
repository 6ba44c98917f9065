"""One line, exit status 2, no traceback, nothing written."""

import json
import shutil

import pytest

from tests.support.commands import command, refused


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--stepz", "3"], "--stepz"),
        (["--steps", "many"], "--steps"),
        (["--data", "imagenet"], "imagenet"),
        (["--steps", "0"], "num_steps must be at least 1, got 0"),
        (["--steps", "-5"], "-5"),
        (["--batch-size", "0"], "batch_size=0"),
        (["--num-steps", "0"], "num_steps must be at least 1, got 0"),
        (["--num-samples", "0"], "num_samples"),
        (["--learning-rate", "-1"], "learning_rate"),
        (["--sigma-data", "0"], "sigma_data"),
        (["--model-channels", "0"], "model_channels"),
        (["--ema-halflife", "0"], "halflife"),
    ],
)
def test_training_refuses(flags, says, tmp_path, monkeypatch, capfd):
    workdir = tmp_path / "run"
    assert says in refused("edm_digits", [*flags, "--workdir", workdir], monkeypatch, capfd)
    assert not workdir.exists()


def test_unwritable_workdir(tmp_path, monkeypatch, capfd):
    (tmp_path / "file").write_text("in the way")
    assert "file" in refused("edm_digits", ["--workdir", tmp_path / "file" / "run"], monkeypatch, capfd)


def test_workdir_of_another_config_or_experiment(smoke_run, tmp_path, monkeypatch, capfd):
    folder = shutil.copytree(smoke_run[0], tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    error = refused("edm_digits", ["--smoke", "--seed", "5", "--workdir", folder], monkeypatch, capfd)
    assert "seed=0, not 5" in error
    config = json.loads((folder / "config.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    (folder / "config.json").write_text(json.dumps({**config, "experiment": "another"}))
    assert "another" in refused("edm_digits", ["--smoke", "--workdir", folder], monkeypatch, capfd)
    assert "another" in refused("sample", ["--workdir", folder], monkeypatch, capfd)


def test_workdir_with_other_files(tmp_path, monkeypatch, capfd):
    (tmp_path / "thesis.tex").write_text("precious")
    assert "not empty" in refused("edm_digits", ["--workdir", tmp_path], monkeypatch, capfd)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--sampler", "magic"], "magic"),
        (["--num-steps", "0"], "num_steps"),
        (["--sigma-min", "90"], "sigma_min=90"),
        (["--sigma-min", "80"], "sigma_min=80"),
        (["--seeds", "9-3"], "9-3"),
        (["--seeds", "a"], "'a'"),
        (["--seeds", "0-4294967296"], "seeds"),
        (["--label", "10"], "label must be 0 to 9"),
        (["--batch-size", "0"], "batch_size"),
        (["--sampler", "heun_churn", "--s-min", "3", "--s-max", "1"], "s_min"),
    ],
)
def test_sample_refuses(smoke_run, flags, says, tmp_path, monkeypatch, capfd):
    out = tmp_path / "out"
    assert says in refused("sample", ["--workdir", smoke_run[0], "--out", out, *flags], monkeypatch, capfd)
    assert not out.exists()


def test_no_run_there(tmp_path, monkeypatch, capfd):
    assert "does not exist" in refused("sample", ["--workdir", tmp_path / "nothing"], monkeypatch, capfd)
    assert "does not exist" in refused("evaluate", ["--workdir", tmp_path / "nothing"], monkeypatch, capfd)
    assert not (tmp_path / "nothing").exists()


def test_evaluate_refuses_what_is_no_samples_file(smoke_run, tmp_path, monkeypatch, capfd):
    (tmp_path / "samples.npz").write_text("not an archive")
    flags = ["--workdir", smoke_run[0], "--samples", tmp_path / "samples.npz"]
    assert "is not a samples.npz" in refused("evaluate", flags, monkeypatch, capfd)


def test_as_a_user_sees_it(tmp_path):
    """In a process of its own: no traceback, and nothing on standard output."""
    done = command("edm_digits", "--steps", "0", "--workdir", tmp_path / "run")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "experiments.edm_digits: error: num_steps must be at least 1, got 0\n"

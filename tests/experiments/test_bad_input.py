"""One line, exit status 2, no traceback, nothing written."""

import dataclasses
import importlib
import json
import pkgutil
import shutil
import typing
from pathlib import Path

import pytest

import experiments
from experiments import ddgan_25gaussians
from experiments.harness import cli
from experiments.harness.workdir import to_json
from tests.support.commands import command, refused


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--stepz", "3"], "--stepz"),
        (["--steps", "many"], "--steps"),
        (["--data", "imagenet"], "imagenet"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--steps", "-5"], "-5"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--num-steps", "0"], "--num-steps must be at least 1, got 0"),
        (["--num-samples", "0"], "--num-samples must be at least 4, got 0"),
        (["--learning-rate", "-1"], "--learning-rate must be above 0, got -1.0"),
        (["--sigma-data", "0"], "--sigma-data must be above 0"),
        (["--model-channels", "0"], "--model-channels must be at least 1"),
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
        (["--num-steps", "0"], "--num-steps must be at least 1"),
        (["--sigma-min", "90"], "sigma_min=90"),
        (["--sigma-min", "80"], "sigma_min=80"),
        (["--seeds", "9-3"], "9-3"),
        (["--seeds", "a"], "'a'"),
        (["--seeds", "0-4294967296"], "seeds"),
        (["--label", "10"], "label must be 0 to 9"),
        (["--out", __file__], f"--out must be a folder, new or not, and {__file__} is a file"),
        (["--animation", "way.mp4"], "--animation must be a file ending in .gif or .png, got way.mp4"),
        (["--guidance", "3"], "--guidance 3.0 needs images without a class: this model was trained with all classes"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
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


@pytest.mark.parametrize("flags", [["--elbo"], ["--likelihood"], ["--metrics", "is"], ["--heldout-data", "digits"]])
def test_points_are_not_evaluated_as_images(flags, tmp_path, monkeypatch, capfd):
    config = {"experiment": "ddgan_25gaussians", **to_json(ddgan_25gaussians.Config())}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "draws points" in refused("evaluate", ["--workdir", tmp_path, *flags], monkeypatch, capfd)


def configs():
    """(module, Config) of every command."""
    names = [info.name for info in pkgutil.iter_modules(experiments.__path__)]
    modules = {name: importlib.import_module(f"experiments.{name}") for name in names}
    return {name: module.Config for name, module in modules.items() if hasattr(module, "main")}


def test_no_flag_of_any_command_takes_a_remote_path():
    """Each is refused, by its name, and the same path of this machine is not."""
    seen = set()
    for module, config_type in configs().items():
        kinds = typing.get_type_hints(config_type)
        needed = {f.name: "x" for f in dataclasses.fields(config_type) if f.default is dataclasses.MISSING}
        paths = {n for n, kind in kinds.items() if Path in (kind, *typing.get_args(kind))}
        for name in paths | ({"data", "source", "heldout_data"} & {n for n, kind in kinds.items() if kind is str}):
            for address in ("gs://bucket/run", "s3://b/x.zip", "https://host/a.pkl", "file://x", "hdfs://n/x"):
                value = Path(address) if name in paths else address
                with pytest.raises(ValueError, match=f"^--{name.replace('_', '-')} must be a path of this.*{address}"):
                    cli.check_paths(config_type(**{**needed, name: value}))
            for local in ("/gs/bucket", "gs", "c:/x", "./a:b", "tfds:mnist"):
                cli.check_paths(config_type(**{**needed, name: Path(local) if name in paths else local}))
            seen.add((module, name))
    assert {("edm_cifar", "workdir"), ("edm_cifar", "data"), ("sample", "out"), ("dataset", "source")} <= seen
    assert {("convert", "checkpoint"), ("evaluate", "inception"), ("trilemma", "runs")} <= seen


@pytest.mark.parametrize(("flag", "value"), [("--workdir", "gs://bucket/run"), ("--data", "s3://bucket/photos.zip")])
def test_a_remote_path_is_refused_in_one_line(flag, value, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    error = refused("edm_cifar", [flag, value], monkeypatch, capfd)
    assert error.endswith(
        f"{flag} must be a path of this machine, got {value}: mount the bucket, or copy from and to it"
    )
    assert not list(tmp_path.iterdir())


def test_a_workdir_that_could_not_be_read_back(tmp_path, monkeypatch, capfd):
    error = refused("edm_digits", ["--workdir", tmp_path / "x[1]" / "run"], monkeypatch, capfd)
    assert "error: --workdir " in error
    assert "has '[' in its path, under which checkpoints cannot be read back" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("below", ["", "run"])
def test_a_workdir_that_is_a_file_or_below_one(below, tmp_path, monkeypatch, capfd):
    (tmp_path / "notes").write_text("mine")
    error = refused("edm_digits", ["--workdir", tmp_path / "notes" / below], monkeypatch, capfd)
    assert error.endswith(f"--workdir must be a folder, new or not, and {tmp_path / 'notes'} is a file")


def test_as_a_user_sees_it(tmp_path):
    """In a process of its own: no traceback, and nothing on standard output."""
    done = command("edm_digits", "--steps", "0", "--workdir", tmp_path / "run")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "experiments.edm_digits: error: --steps must be at least 1, got 0\n"

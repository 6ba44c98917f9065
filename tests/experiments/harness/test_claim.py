"""Whose a folder is: what may change of its run, and that one process at a time is at work there."""

import errno
import fcntl
import importlib
import json
import os
import socket
import zipfile
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image

from experiments import EXPERIMENTS, edm_cifar, edm_digits
from experiments.harness import claim, image_files, lock, runs, workdir
from jaxdiff import data
from tests.support import tiny
from tests.support.commands import called, python, refused
from tests.support.monitored import lines

CONFIG = edm_digits.Config()


def taken(folder, config=CONFIG, digest=None):
    """config.json after a run has begun there."""
    with claim.claimed(folder, claim.Owner("edm_digits", config, digest)):
        return json.loads((folder / "config.json").read_text())


def changes(found):
    return [entry["changed"] for entry in found.get("history", [])]


@pytest.mark.parametrize(
    "free",
    [
        {"steps": 900},
        {"num_samples": 50},
        {"log_every": 7, "checkpoint_every": 9},
        {"keep_last": 1, "keep_every": 5},
        {"steps_per_dispatch": 5, "remat": True},
    ],
    ids=str,
)
def test_how_far_and_how_often_may_change(tmp_path, free):
    taken(tmp_path)
    found = taken(tmp_path, replace(CONFIG, **free))
    assert {name: found[name] for name in free} == free
    assert changes(found) == [{name: [getattr(CONFIG, name), value] for name, value in free.items()}]
    assert runs.of_run(tmp_path)[0] == replace(CONFIG, workdir=tmp_path, **free)


def test_a_run_from_before_fields_that_are_made_of_others_goes_on(tmp_path):
    """Not only what a default says, but what the module then puts there, is what such a run has."""
    config = edm_cifar.resolve(edm_cifar.Config())
    old = {"experiment": "edm_cifar", **workdir.to_json(config)}
    for name in ("resolution", "channels", "classes", "channel_mult", "num_blocks", "attn_resolutions", "held_out"):
        del old[name]
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert claim.check(tmp_path, claim.Owner("edm_cifar", config, resolve=edm_cifar.resolve)) == {}
    with pytest.raises(ValueError, match=r"num_blocks=\d, not 7"):
        claim.check(tmp_path, claim.Owner("edm_cifar", replace(config, num_blocks=7), resolve=edm_cifar.resolve))
    with pytest.raises(ValueError, match=r"held_out=0.0, not 0.25"):
        claim.check(tmp_path, claim.Owner("edm_cifar", replace(config, held_out=0.25), resolve=edm_cifar.resolve))


def test_how_a_run_is_trained_changes_by_name_only_and_is_recorded(tmp_path):
    before = taken(tmp_path)
    other = replace(CONFIG, warmup=7, learning_rate=1e-4)
    for said, differs in ((), "learning_rate=0.002, not 0.0001"), (("learning-rate",), "warmup=5000, not 7"):
        ways = "choose another --workdir, the same flags, or change it from here on by --override learning-rate warmup"
        with pytest.raises(ValueError, match=rf"holds a run with {differs}: {ways}$"):
            claim.check(tmp_path, claim.Owner("edm_digits", replace(other, override=said)))
    assert json.loads((tmp_path / "config.json").read_text()) == before
    taken(tmp_path, replace(other, override=("learning-rate", "--warmup")))
    found = taken(tmp_path, replace(other, steps=700))
    assert changes(found) == [{"learning_rate": [2e-3, 1e-4], "warmup": [5_000, 7]}, {"steps": [600, 700]}]
    assert {"time", "step"} < set(found["history"][0])
    with pytest.raises(ValueError, match=r"learning_rate=0.0001, not 0.002"):
        claim.check(tmp_path, claim.Owner("edm_digits", CONFIG))


def test_a_run_without_steps_to_come_is_not_trained_in_another_way(tmp_path):
    before = taken(tmp_path)
    (tmp_path / "checkpoints" / str(CONFIG.steps)).mkdir(parents=True)
    other = replace(CONFIG, learning_rate=1e-4, override=("learning-rate",))
    with pytest.raises(
        ValueError, match=r"--override learning-rate: .* has all its 600 steps: give more --steps with it$"
    ):
        claim.check(tmp_path, claim.Owner("edm_digits", other))
    assert json.loads((tmp_path / "config.json").read_text()) == before
    found = taken(tmp_path, replace(other, steps=700))
    assert changes(found) == [{"learning_rate": [2e-3, 1e-4], "steps": [600, 700]}]
    taken(tmp_path, replace(other, steps=700))


def test_what_a_run_is_never_changes(tmp_path):
    """Its network, its data, its seed; an experiment is another run. Of several, the message has one of these."""
    taken(tmp_path)
    for name, value in {"seed": 3, "model_channels": 8, "data": "a.zip", "sigma_data": 1.0, "held_out": 0.5}.items():
        other = replace(CONFIG, learning_rate=1e-4, **{name: value})
        for said in ((), ("learning-rate",)):
            with pytest.raises(ValueError, match=rf"run with {name}=.*: choose another --workdir or the same flags$"):
                claim.check(tmp_path, claim.Owner("edm_digits", replace(other, override=said)))
        with pytest.raises(
            ValueError, match=r"--override [a-z-]+: a run may change learning-rate, warmup, .*a new run$"
        ):
            claim.check(tmp_path, claim.Owner("edm_digits", replace(other, override=(name,))))
    with pytest.raises(ValueError, match="--override decay: "):  # of a GAN
        claim.check(tmp_path, claim.Owner("edm_digits", replace(CONFIG, override=("decay",))))
    with pytest.raises(
        ValueError, match=r"experiment='edm_digits', not 'ddpm_digits': choose another --workdir or the"
    ):
        claim.check(tmp_path, claim.Owner("ddpm_digits", CONFIG))
    assert set(claim.OVERRIDABLE).isdisjoint(claim.MAY_CHANGE)


def test_every_name_that_may_change_is_a_flag():
    modules = (importlib.import_module(f"experiments.{name}") for name in EXPERIMENTS)
    flags = {field.name for module in modules for field in fields(module.Config)}
    assert {*claim.OVERRIDABLE, *claim.MAY_CHANGE, *claim.INHERITED} <= flags


def test_fewer_steps_than_were_made_are_refused(tmp_path):
    taken(tmp_path)
    (tmp_path / "checkpoints" / "400").mkdir(parents=True)
    assert claim.check(tmp_path, claim.Owner("edm_digits", replace(CONFIG, steps=400))) == {"steps": [600, 400]}
    with pytest.raises(ValueError, match="has reached step 400, got steps=399"):
        claim.check(tmp_path, claim.Owner("edm_digits", replace(CONFIG, steps=399)))


@pytest.mark.full
def test_more_steps_go_on_from_where_the_run_is(tmp_path, monkeypatch, capfd):
    """By the command line, with what may change and what may not; a state of another shape is refused unwritten."""
    flags = ["--workdir", tmp_path / "run", "--batch-size", "16", "--num-samples", "8", "--num-steps", "2"]
    flags += ["--log-every", "2", "--grid-every", "0"]
    with tiny.networks():
        called("edm_digits", *flags, "--steps", "4")
        called("edm_digits", *flags, "--steps", "6")
        assert "resuming from step 4" in "".join(capfd.readouterr())
        other = ["--steps", "8", "--learning-rate", "1e-4"]
        assert "--override" in refused("edm_digits", [*flags, *other], monkeypatch, capfd)
        called("edm_digits", *flags, *other, "--override", "learning-rate")
    found = json.loads((tmp_path / "run" / "config.json").read_text())
    assert changes(found) == [{"steps": [4, 6]}, {"steps": [6, 8], "learning_rate": [2e-3, 1e-4]}]
    assert [entry["step"] for entry in found["history"]] == [4, 6]
    assert [line["step"] for line in lines(tmp_path / "run")] == [2, 4, 6, 8]
    assert json.loads((tmp_path / "run" / "report.json").read_text())["step"] == 8
    error = refused("edm_digits", [*flags, *other, "--model-channels", "8"], monkeypatch, capfd)
    assert "model_channels=32, not 8: choose another --workdir or the same flags" in error
    clipped = ["--override", "clip-norm", "--clip-norm", "1"]
    assert "has all its 8 steps" in refused("edm_digits", [*flags, *other, *clipped], monkeypatch, capfd)
    error = refused("edm_digits", [*flags, *other, *clipped, "--steps", "10"], monkeypatch, capfd)
    assert "holds another state: " in error, "the optimizer's state of clipping is another"
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == found


def test_data_are_known_by_their_content(tmp_path):
    """The same digest at another place is the same; another digest at the same place is not."""
    here, there = replace(CONFIG, data="a.zip"), replace(CONFIG, data="b/a.zip")
    taken(tmp_path, here, "12ab")
    assert changes(taken(tmp_path, there, "12ab")) == [{"data": ["a.zip", "b/a.zip"]}]
    for config in (here, there):
        with pytest.raises(ValueError, match=r"data_digest \(the images themselves\)='12ab', not '34cd'"):
            claim.check(tmp_path, claim.Owner("edm_digits", config, "34cd"))
    with pytest.raises(ValueError, match=r"data='b/a.zip', not 'digits'"):
        claim.check(tmp_path, claim.Owner("edm_digits", CONFIG))


def test_a_run_from_before_digests_gets_that_of_its_data(tmp_path):
    taken(tmp_path, replace(CONFIG, data="a.zip"))
    with pytest.raises(ValueError, match=r"data='a.zip', not 'b.zip'"):
        claim.check(tmp_path, claim.Owner("edm_digits", replace(CONFIG, data="b.zip"), "12ab"))
    assert taken(tmp_path, replace(CONFIG, data="a.zip"), "12ab")["data_digest"] == "12ab"


def test_a_digest_names_files_and_labels_wherever_they_lie(tmp_path):
    """A folder and its zip file have one; another pixel, another class, another order have others."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 5, 5, 3), np.uint8)

    def made(name, images, classes="aabb"):
        for i, (pixels, label) in enumerate(zip(images, classes, strict=True)):
            (tmp_path / name / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name / label / f"{i}.png")
        return tmp_path / name

    def digest(path):
        source = data.folder.load(path)
        source.digest = data.folder.check(source)
        return image_files.digest(source)

    first = made("first", images)
    with zipfile.ZipFile(tmp_path / "first.zip", "w") as archive:
        for path in sorted(first.rglob("*.png")):
            archive.write(path, path.relative_to(first))
    assert digest(first) == digest(tmp_path / "first.zip")
    changed = images.copy()
    changed[2, 1, 1, 1] ^= 1
    others = [made("pixel", changed), made("class", images, "abbb"), made("order", images[::-1])]
    assert len({digest(path) for path in [first, *others]}) == 4
    assert image_files.digest(np.zeros(3)) is None


LITTER = [".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints", "lost+found", "._x", ".config.json.a.partial"]


def test_what_nobody_put_there_is_nothing(tmp_path):
    for name in LITTER:
        (tmp_path / name).mkdir() if name in (".ipynb_checkpoints", "lost+found") else (tmp_path / name).touch()
    taken(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*LITTER, "config.json"}


@pytest.mark.parametrize("name", ["notes.txt", ".git", "checkpoints", "DS_Store", "x.partial"])
def test_anything_else_is_something(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"not empty and holds no config.json"):
        taken(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_two_runs_in_one_folder(tmp_path, monkeypatch, capfd):
    """The second learns who is there, and writes nothing; afterwards it may."""
    with claim.claimed(tmp_path, claim.Owner("edm_digits", CONFIG)):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        error = refused("edm_digits", ["--workdir", tmp_path], monkeypatch, capfd)
        assert f"is in use by process {os.getpid()} of host {socket.gethostname()} since 20" in error
        assert error.endswith("wait for it or stop it, choose another --workdir")
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    taken(tmp_path)


def test_a_killed_process_holds_nothing(tmp_path):
    code = (
        "import os, signal, sys, pathlib; from experiments.harness import lock\n"
        "with lock.alone(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert python("-c", code, tmp_path).returncode == -9
    assert (tmp_path / lock.NAME).exists()
    with lock.alone(tmp_path):
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(
    ("holder", "says"),
    [
        ({"host": socket.gethostname(), "pid": os.getppid()}, f"process {os.getppid()} of host .*--workdir$"),
        ({"host": "elsewhere", "pid": 1}, "process 1 of host elsewhere .*or delete .* if that process is gone"),
        ({"host": socket.gethostname(), "pid": 2**22 + 1}, ""),
        ({}, ""),
    ],
    ids=["alive", "elsewhere", "dead", "empty"],
)
def test_a_file_system_without_locks_goes_by_what_the_file_says(tmp_path, monkeypatch, holder, says):
    def none(*args):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / lock.NAME).write_text(json.dumps({**holder, "time": "2026-01-01"} if holder else {}))
    if says:
        with pytest.raises(ValueError, match=says), lock.alone(tmp_path):
            pass
    else:
        with lock.alone(tmp_path):
            pass
        assert not (tmp_path / lock.NAME).exists()

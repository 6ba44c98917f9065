"""Stacked digits: the command, how modes are counted, and StackedMNIST by the same code."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import ddgan_stacked, evaluate
from experiments.harness import claim, datasets, forms, generate, runs, workdir
from experiments.systems import stacked_digits
from jaxdiff.data import digits, stacked
from jaxdiff.metrics import modes
from tests.support.commands import RUN_FILES, called, refused
from tests.support.tfds_files import write


def images(source):
    return forms.to_uint8(np.stack([source[i]["image"] for i in range(len(source))]))


def test_the_command(tmp_path):
    folder = tmp_path / "run"
    called("ddgan_stacked", "--smoke", "--workdir", folder)
    assert {path.name for path in folder.iterdir()} >= RUN_FILES
    report = json.loads((folder / "report.json").read_text())
    assert set(report["metrics"]) == {"modes", "kl", "heldout_modes", "heldout_kl"}
    assert (report["num_samples"], report["nfe"]) == (100, 4)
    assert 90 < report["metrics"]["heldout_modes"] <= 100
    assert generate.read(folder / "samples.npz")[0].shape == (100, 8, 8, 3)
    with Image.open(folder / "samples.png") as picture:
        assert picture.mode == "RGB"
    workdir.write_json(folder / "report.json", {**report, "metrics": {}})
    evaluate.main(evaluate.Config(folder))
    assert json.loads((folder / "report.json").read_text())["metrics"] == report["metrics"]


def test_real_digits_reach_their_modes(tmp_path):
    """Of training triples the classifier reads nearly all, so that modes and KL are those of their labels."""
    source = stacked.load("train", num=5_000)
    found = stacked_digits.digits_counter(tmp_path, 1)(images(source))
    labels = digits.load("train").labels[source.triples] @ np.array([100, 10, 1])
    true = modes.coverage(labels, modes.STACKED_MODES)
    assert abs(found.modes - true.modes) <= 5
    assert found.kl == pytest.approx(true.kl, abs=0.01)


def test_one_stack_is_one_mode(tmp_path):
    one = np.repeat(images(stacked.load("train", num=1)), 7, axis=0)
    assert stacked_digits.digits_counter(tmp_path, 1)(one) == (1, pytest.approx(np.log(1_000)))


def test_a_run_s_system_brings_its_data(tmp_path):
    config = ddgan_stacked.resolve(ddgan_stacked.Config(workdir=tmp_path / "run", num_samples=8))
    with claim.claimed(config.workdir, claim.Owner("ddgan_stacked", config)):
        found, system = runs.of_run(config.workdir)
    assert found == config
    example = datasets.training(config.data, system)[0]
    assert example["image"].shape == system.shape == (8, 8, 3)


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """Ten classes that are easily distinguished, as tensorflow-datasets prepares MNIST: a bar a class."""
    real = np.zeros((200, 28, 28, 1), np.uint8)
    for i in range(len(real)):
        real[i, 2 * (i % 10) + 3 : 2 * (i % 10) + 6] = 255 - i // 10
    for split in ("train", "test"):
        write(tmp_path / split, "mnist", real, split)
    load = stacked_digits.prepared.load
    by_split = lambda name, title, split, data_dir: load(name, title, split, tmp_path / split)  # noqa: E731
    monkeypatch.setattr(stacked_digits.prepared, "load", by_split)


@pytest.mark.full
@pytest.mark.release
@pytest.mark.optimised  # it runs for longer than it compiles
def test_mnist_s_classifier_is_trained_once_and_counts(mnist, tmp_path, capfd):
    folder = tmp_path / "classifier"
    source = stacked.mnist("test", num=60)
    count = stacked_digits.mnist_counter(folder, 250)
    found = count(images(source))
    labels = [int(source[i]["label"]) for i in range(60)]
    true = modes.coverage(labels, modes.STACKED_MODES)
    assert abs(found.modes - true.modes) <= 3, "a short training reads nearly all of the 180 digits"
    assert found.kl == pytest.approx(true.kl, abs=0.1)
    assert "resuming" not in capfd.readouterr().out
    assert stacked_digits.mnist_counter(folder, 250)(images(source)) == found
    assert "resuming from step 250" in "".join(capfd.readouterr())


@pytest.mark.full
def test_stacked_mnist_by_the_same_command(mnist, tiny_networks, tmp_path):
    config = ddgan_stacked.Config(workdir=tmp_path / "run", data="stacked_mnist", smoke=True)
    ddgan_stacked.main(config)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert {"modes", "kl", "heldout_modes", "heldout_kl"} == set(report["metrics"])
    assert generate.read(tmp_path / "run" / "samples.npz")[0].shape == (100, 32, 32, 3)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--num-steps", "0"], "--num-steps must be at least 1, got 0"),
        (
            ["--data", "stacked_mnist", "--batch-size", "30"],
            "batch_size must be divisible by 4, the minibatch deviation's group, got 30",
        ),
        (["--latent-dim", "-1"], "--latent-dim must be at least 0, got -1"),
        (["--classifier-steps", "0"], "--classifier-steps must be at least 1, got 0"),
        (["--data", "digits"], "digits"),
        (["--data", "stacked_mnist"], "MNIST is not prepared"),
    ],
)
def test_training_refuses(flags, says, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    assert says in refused("ddgan_stacked", [*flags, "--workdir", tmp_path / "run"], monkeypatch, capfd)
    assert not (tmp_path / "run").exists()

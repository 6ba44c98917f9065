"""Every experiment from its command line to its report: a new experiment is a new row.

In the default tier with tiny networks in this process, and one as a user runs it; in the full tier with their own, of
which `.ci/run` runs the smaller ones.
"""

import json
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from experiments import EXPERIMENTS
from tests.support import quick_keys, tiny
from tests.support.commands import RUN_FILES, called, command
from tests.support.tiers import RELEASE


class Smoke(NamedTuple):
    """A command line; what its report says of sampling, and which metrics it has."""

    module: str
    flags: tuple[str, ...]
    sampler: str
    nfe: int
    metrics: frozenset[str]


PIXELS = frozenset(
    {"frechet_pixels", "precision", "recall", "density", "coverage", "nearest_train_distance", "share_near_copies"}
)
CLASSES = PIXELS | {"svm_accuracy"}

TABLE = (
    Smoke("edm_digits", (), "heun", 7, CLASSES),
    Smoke("edm_cifar", ("--recipe", "uncond_ve"), "heun", 7, PIXELS),
    Smoke("ddpm_digits", (), "ddim", 4, CLASSES),
    Smoke("ddpm_cifar", ("--recipe", "ho2020"), "ddim", 4, PIXELS),
    Smoke("score_sde_digits", (), "predictor_corrector", 42, CLASSES),
    Smoke("score_sde_cifar", ("--sde", "ve", "--deep"), "predictor_corrector", 42, PIXELS),
    Smoke("consistency_digits", (), "consistency", 2, CLASSES),
    Smoke("consistency_cifar", (), "consistency", 2, PIXELS),
    Smoke("ddgan_digits", (), "ddgan", 4, PIXELS),
    Smoke("ddgan_cifar", ("--recipe", "paper"), "ddgan", 4, PIXELS),
    Smoke("ddgan_25gaussians", (), "ddgan", 4, frozenset({"modes", "kl", "high_quality"})),
    Smoke("ddgan_stacked", (), "ddgan", 4, frozenset({"modes", "kl"})),
)
OTHERS = (
    Smoke("consistency_digits", ("--method", "sct"), "consistency", 2, CLASSES),
    Smoke("score_sde_digits", ("--sde", "ve", "--weighting", "likelihood"), "predictor_corrector", 42, CLASSES),
)
"""Networks that are differentiated forwards, and conditioned on log(sigma): asked in the full tier too."""
rows = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.module)


def flags_of(row, tmp_path, teacher=None):
    """With a teacher, or a place of its own where one is to be trained."""
    taught = ("--teacher", teacher or tmp_path / "teacher") if row.sampler == "consistency" else ()
    return ("--smoke", *row.flags, *taught, "--workdir", tmp_path / "run")


def check(row, tmp_path):
    """What every experiment leaves in its folder."""
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} >= RUN_FILES
    report = json.loads((folder / "report.json").read_text())
    assert (report.get("sampler"), report["nfe"]) == (row.sampler, row.nfe)
    assert {name for name in report["metrics"] if not name.startswith("heldout_")} == row.metrics
    assert {"seconds", "device", "versions"} <= set(report)
    with Image.open(folder / "samples.png") as picture:
        assert min(picture.size) > 100
    assert not (tmp_path / "teacher").exists(), "a smoke run leaves the place of a real teacher free"
    with np.load(folder / "samples.npz") as file:
        (name,) = {"images", "points"} & set(file.files)
        drawn = file[name]
        assert ("labels" in file.files) == (row.metrics == CLASSES)
    assert (len(drawn), drawn.ndim) == (report["num_samples"], {"images": 4, "points": 2}[name])


@rows
def test_tiny_networks(row, tmp_path):
    with tiny.networks():
        called(row.module, *flags_of(row, tmp_path))
    check(row, tmp_path)


SMALL = {"ddpm_digits", "score_sde_digits", "ddgan_digits", "ddgan_25gaussians", "ddgan_stacked"}
"""Whose own networks `.ci/run` trains too; edm_digits' it trains by README's command."""


def own(row):
    marks = (pytest.mark.full,) if row in TABLE and row.module in SMALL else RELEASE
    return pytest.param(row, marks=marks, id="-".join((row.module, *row.flags[1:])))


@pytest.fixture(scope="module")
def edm(tmp_path_factory):
    """Where edm_digits has run with its own network, from which consistency_digits is distilled."""
    folder = tmp_path_factory.mktemp("edm_digits")
    with quick_keys.initialisation():
        called("edm_digits", *flags_of(TABLE[0], folder))
    return folder


@pytest.mark.parametrize("row", [own(row) for row in (*TABLE, *OTHERS)])
def test_own_networks(row, request, tmp_path):
    folder = request.getfixturevalue("edm") if row is TABLE[0] else tmp_path
    if row is not TABLE[0]:
        teacher = request.getfixturevalue("edm") / "run" if row.module == "consistency_digits" else None
        with quick_keys.initialisation():
            called(row.module, *flags_of(row, folder, teacher))
    check(row, folder)


def test_no_experiment_is_left_out():
    assert {row.module for row in TABLE} == set(EXPERIMENTS)


def test_as_a_user_runs_it(tmp_path):
    """One in a process of its own, of networks that compile fast: progress and metrics are shown."""
    row = TABLE[-2]
    done = command(row.module, *flags_of(row, tmp_path))
    assert done.returncode == 0, done.stderr
    check(row, tmp_path)
    assert "step 200/200: discriminator_loss" in done.stdout
    assert "high_quality" in done.stdout

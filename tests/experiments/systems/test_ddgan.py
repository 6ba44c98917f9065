"""DDGAN's experiments: the contract, the ablations, and what is refused."""

import json

import pytest

from experiments import ddgan_25gaussians, ddgan_digits, sample
from experiments.harness import generate
from experiments.systems import ddgan
from tests.support.commands import RUN_FILES, called, refused


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A smoke run."""
    folder = tmp_path_factory.mktemp("ddgan") / "run"
    called("ddgan_digits", "--smoke", "--workdir", folder)
    return folder


def test_smoke_writes_every_file(run):
    assert {path.name for path in run.iterdir()} >= RUN_FILES
    report = json.loads((run / "report.json").read_text())
    assert (report["sampler"], report["nfe"]) == ("ddgan", 4)


def test_the_run_is_drawn_from_by_its_own_steps_only(run, tmp_path, monkeypatch, capfd):
    sample.main(sample.Config(workdir=run, seeds="0-3", out=tmp_path / "out"))
    images, labels = generate.read(tmp_path / "out" / "samples.npz")
    assert images.shape == (4, 8, 8, 1)
    assert labels is None
    says = refused("sample", ["--workdir", run, "--num-steps", "7"], monkeypatch, capfd)
    assert "num_steps must be 4, the chain that was trained, got 7" in says


@pytest.mark.parametrize("flag", ddgan.UNUSED)
def test_flags_that_its_optimizers_do_not_have_are_refused(flag):
    config = ddgan_digits.Config(**{flag: 0.125})
    with pytest.raises(
        ValueError, match=rf"^--{flag.replace('_', '-')} is not for a denoising diffusion GAN.*: leave it"
    ):
        ddgan_digits.system(config)


@pytest.mark.full
@pytest.mark.parametrize(
    "ablation", [{"num_steps": 1}, {"latent_dim": 0}, {"direct": True}, {"r1_every": 3}], ids=lambda a: next(iter(a))
)
def test_ablations_run(ablation, tmp_path):
    ddgan_25gaussians.main(ddgan_25gaussians.Config(workdir=tmp_path / "run", smoke=True, **ablation))
    assert json.loads((tmp_path / "run" / "report.json").read_text())["nfe"] == ablation.get("num_steps", 4)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--num-steps", "0"], "--num-steps must be at least 1, got 0"),
        (["--gamma", "-1"], "gamma must be at least 0, got -1.0"),
        (["--discriminator-rate", "0"], "--discriminator-rate must be above 0, got 0.0"),
        (["--latent-dim", "-1"], "--latent-dim must be at least 0, got -1"),
        (["--beta-min", "30"], "beta_min"),
    ],
)
def test_training_refuses(flags, says, tmp_path, monkeypatch, capfd):
    workdir = tmp_path / "run"
    assert says in refused("ddgan_digits", [*flags, "--workdir", workdir], monkeypatch, capfd)
    assert not workdir.exists()


def test_a_system_of_digits_has_no_loss_of_its_own():
    system = ddgan_digits.system(ddgan_digits.Config())
    assert system.loss is None
    assert system.trainer is not None

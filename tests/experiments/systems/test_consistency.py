"""Consistency models' experiments: the contract, every method, where training begins, and what is refused."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import consistency_cifar, consistency_digits, edm_digits, sample
from experiments.harness import generate, runs, training
from experiments.systems import consistency, consistency_teacher, digits_unet
from experiments.systems.published import load
from jaxdiff import interop
from tests.support.commands import RUN_FILES, called, refused
from tests.support.tiers import full


@pytest.fixture(scope="module")
def teacher(smoke_run):
    """The folder of a finished run of edm_digits."""
    return smoke_run[0]


@pytest.fixture(scope="module")
def run(teacher, tmp_path_factory):
    """A smoke run of distillation."""
    folder = tmp_path_factory.mktemp("consistency") / "run"
    called("consistency_digits", "--smoke", "--teacher", teacher, "--workdir", folder)
    return folder


def test_smoke_writes_every_file(run):
    assert {path.name for path in run.iterdir()} >= RUN_FILES
    report = json.loads((run / "report.json").read_text())
    assert (report["sampler"], report["nfe"]) == ("consistency", 2)


@pytest.mark.parametrize("num_steps", [1, 2, 4])
def test_few_steps_draw_from_the_run(run, num_steps, tmp_path):
    sample.main(sample.Config(workdir=run, num_steps=num_steps, seeds="0-3", out=tmp_path / "out"))
    images, labels = generate.read(tmp_path / "out" / "samples.npz")
    assert images.shape == (4, 8, 8, 1)
    assert labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("method", ["ct", "sct", *full("ict", "ect", "scd")])
def test_every_method_trains_and_draws(method, teacher, tmp_path):
    """With their own networks in test_smoke.py."""
    config = consistency_digits.Config(workdir=tmp_path / "run", teacher=teacher, method=method, smoke=True)
    consistency_digits.main(config)
    images, _ = generate.read(tmp_path / "run" / "samples.npz")
    assert len(images) == 40
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert all(np.isfinite(json.loads(line)["loss"]) for line in lines)


def test_training_begins_at_the_teacher(teacher):
    """Parameters, average and target are the teacher's, and nobody shares a buffer, not even with who gave it."""
    config = consistency_digits.Config(teacher=teacher, method="cd", target_decay=0.5)
    trained, edm = runs.of_run(teacher)
    taught, _ = runs.averaged_params(trained, edm)
    net = digits_unet.network(config, digits_unet.module(trained))
    how = training.trainer(config, consistency.assemble(config, net, lambda: taught))
    state = how.begin(jax.jit(how.create)(jax.random.key(0)))
    networks = [state.params.network, state.ema.network, state.target.network, state.teacher]
    for network in networks:
        chex.assert_trees_all_equal(network, taught)
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves([*networks, taught])]
    assert len(set(pointers)) == len(pointers)


def test_the_student_is_the_identity_at_the_lowest_level(run):
    config, system = runs.of_run(run)
    params, _ = runs.averaged_params(config, system)
    x = jax.random.normal(jax.random.key(0), (3, 8, 8, 1))
    np.testing.assert_array_equal(system.denoiser(params, jnp.arange(3))(x, jnp.asarray(0.002)), x)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--sigma-data", "0.7"], "sigma_data=0.7, but that of teacher"),
        (["--scales", "1"], "--scales must be at least 2, or 0, the default, got 1"),
        (["--method", "ct", "--first-scales", "1"], "--first-scales must be at least 2, or 0, the default, got 1"),
        (["--method", "ict", "--scales", "5"], "start < end"),
        (["--second-sigma", "100"], "--second-sigma must lie in (0.002, 80), got 100.0"),
        (["--num-steps", "0"], "--num-steps must be at least 1, got 0"),
        (["--distance", "lpips"], "vgg"),
        (["--method", "ect", "--stages", "0"], "--stages must be at least 1, got 0"),
        (["--target-decay", "1"], "--target-decay must lie in [0, 1), got 1.0"),
    ],
)
def test_training_refuses(flags, says, teacher, tmp_path, monkeypatch, capfd):
    workdir = tmp_path / "run"
    flags = ["--teacher", teacher, *flags, "--workdir", workdir]
    assert says in refused("consistency_digits", flags, monkeypatch, capfd)
    assert not workdir.exists()


def test_a_teacher_that_is_not_there_is_named_by_its_flag(tmp_path, monkeypatch, capfd):
    flags = ["--data", "cifar10", "--teacher", tmp_path / "no", "--workdir", tmp_path / "run"]
    said = refused("consistency_cifar", flags, monkeypatch, capfd)
    assert (
        f"--teacher {tmp_path}/no does not exist, and method cd needs one: give a run of experiments.edm_cifar" in said
    )
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_another_kind_is_refused(run, tmp_path, monkeypatch, capfd):
    flags = ["--teacher", run, "--workdir", tmp_path / "run"]
    assert "must be a model with EDM's preconditioning" in refused("consistency_digits", flags, monkeypatch, capfd)
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_is_not_finished_is_refused(teacher):
    config, system = runs.of_run(teacher)
    longer = edm_digits.Config(**{**vars(config), "steps": config.steps + 1})
    with pytest.raises(ValueError, match="is at step 8 of 9: finish it first"):
        consistency_teacher.read_teacher(longer, system)


def test_the_papers_values_are_used_on_cifar10():
    """Decays of the average a step: Song et al. 2023, Table 3; Song & Dhariwal 2024, Appendix A."""
    for method, batch, decay in (("cd", 512, 0.9999), ("ict", 1_024, 0.99993), ("ect", 128, 0.9999)):
        config = consistency_cifar.resolve(consistency_cifar.Config(data="cifar10", method=method))
        assert config.batch_size == batch
        assert 0.5 ** (config.batch_size / config.ema_halflife) == pytest.approx(decay, abs=1e-6)


def test_a_released_file_is_looked_up_by_its_name(tmp_path):
    (tmp_path / "cd_imagenet64_l2.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"cd_imagenet64_l2\.pt"):
        load(tmp_path / "cd_imagenet64_l2.pt")
    assert "cd_imagenet64_l2.pt" in interop.consistency.PUBLISHED

"""The CIFAR-10 recipes: shrunk on digits, and what they say where the data set is absent."""

import json
import sys
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums, downloader

from experiments import edm_cifar
from experiments.harness import cli
from experiments.systems import edm_recipes
from tests.support import tiny
from tests.support.commands import RUN_FILES, called


def test_a_recipe_without_classes(tmp_path):
    """With its own network in test_smoke.py."""
    with tiny.networks():
        called("edm_cifar", "--smoke", "--recipe", "uncond_ve", "--workdir", tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} >= RUN_FILES
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert "svm_accuracy" not in report["metrics"], "there are no classes to be accurate about"
    with np.load(tmp_path / "run" / "samples.npz") as file:
        assert "labels" not in file.files


def test_the_paper_s_values_are_used_on_cifar10():
    """Karras et al. 2022, Table 7."""
    config = edm_cifar.resolve(edm_cifar.Config(data="cifar10"))
    assert (config.batch_size, config.learning_rate, config.steps) == (512, 1e-3, 390_625)
    assert (config.warmup, config.ema_halflife, config.ema_rampup) == (10_000_000, 500_000, 0.05)
    assert edm_cifar.resolve(edm_cifar.Config(data="cifar10", batch_size=64)).batch_size == 64
    system = edm_cifar.system(config)
    shapes = jax.eval_shape(system.init, jax.random.key(0))
    size = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))
    assert size / 1e6 == pytest.approx(55.73, abs=0.006)


@pytest.mark.parametrize("recipe", ["cond_vp", "uncond_ve"])
def test_rows_of_the_paper_s_table_2(recipe):
    """Each row changes what the paper says it changes, and nothing else."""
    rows = [edm_recipes.ablation(edm_cifar.RECIPES[recipe], row) for row in "ABCDEF"]
    changed = [{n for n in vars(a) if getattr(a, n) != getattr(b, n)} for a, b in pairwise(rows)]
    hyperparameters = {"batch_size", "learning_rate", "warmup_images", "dropout", "ema_halflife", "ema_rampup"}
    assert changed == [hyperparameters, {"channel_mult"}, {"preconditioning"}, {"objective"}, {"augment"}]
    assert rows[-1] == edm_cifar.RECIPES[recipe]


@pytest.mark.full
@pytest.mark.parametrize(("recipe", "row"), [("cond_vp", "A"), ("uncond_ve", "C"), ("cond_vp", "F")])
def test_loss_of_a_row_is_finite(recipe, row):
    """With its own network; rows train with the tiny one in test_smoke.py."""
    config = edm_cifar.smoke(edm_cifar.resolve(edm_cifar.Config(recipe=recipe, row=row)))
    system = edm_cifar.system(config)
    params = jax.jit(system.init)(jax.random.key(0))
    batch = {"image": jnp.zeros((4, 8, 8, 1)), "label": jnp.arange(4)}
    loss = jax.jit(system.loss)(params, jax.random.key(1), batch)
    assert loss.shape == (4,)
    assert np.all(np.isfinite(loss))
    assert ("map_augment" in params["params"]["map"]) == (row == "F"), "row F conditions on its augmentation"


def test_absent_data_set_is_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "tfds"))
    info = checksums.UrlInfo(size=1, checksum="0" * 64, filename="cifar-10-binary.tar.gz")
    monkeypatch.setattr(tfds.builder_cls("cifar10"), "url_infos", {"http://127.0.0.1:1/a.tar.gz": info})
    monkeypatch.setattr(downloader, "MAX_RETRIES", 0)
    flags = ["--data", "cifar10", "--workdir", str(tmp_path / "run"), "--batch-size", "8"]
    monkeypatch.setattr(sys, "argv", ["prog", *flags])
    with pytest.raises(SystemExit) as stop:
        cli.run(edm_cifar.main, edm_cifar.Config, prog="prog")
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2
    assert f"put that file at {tmp_path}/tfds/downloads/manual/cifar-10-binary.tar.gz" in error
    assert "tensorflow" not in sys.modules
    assert not (tmp_path / "run").exists()


def test_every_recipe_builds_its_network():
    recipes = {name: value for name, value in vars(edm_recipes).items() if isinstance(value, edm_recipes.Recipe)}
    assert len(recipes) == 9
    for recipe in recipes.values():
        assert edm_recipes.network(recipe).img_resolution == recipe.resolution

"""Images of one's own in the experiments that follow them: sizes, channels, classes, a held-out share, smoke runs."""

import json

import numpy as np
import pytest

from experiments import ddgan_cifar, ddpm_cifar, edm_cifar, evaluate, score_sde_cifar
from experiments.harness import datasets, evaluator, image_files, image_shape, runs
from tests.support import tiny
from tests.support.commands import RUN_FILES, called, refused
from tests.support.image_set import encoded, pixels, write

MODULES = {
    "edm_cifar": edm_cifar,
    "ddpm_cifar": ddpm_cifar,
    "score_sde_cifar": score_sde_cifar,
    "ddgan_cifar": ddgan_cifar,
}


def photos(path, shape=(16, 16, 3), num=20):
    """A plain folder of two folders."""
    files = {f"{'ab'[i % 2]}/{i}.png": encoded(image) for i, image in enumerate(pixels(num, shape))}
    return write(path, files)


OTHERS = ("edm_cifar", "score_sde_cifar", "ddgan_cifar", "consistency_cifar")


@pytest.mark.parametrize("module", ["ddpm_cifar", *(pytest.param(name, marks=pytest.mark.full) for name in OTHERS)])
def test_a_folder_of_folders_trains_and_is_judged(module, tmp_path, capfd):
    data, run = photos(tmp_path / "photos"), tmp_path / "run"
    taught = ("--teacher", tmp_path / "teacher") if module == "consistency_cifar" else ()
    with tiny.networks():
        called(module, "--smoke", "--data", data, "--held-out", "0.25", "--workdir", run, *taught)
    said = capfd.readouterr().out
    assert "--smoke overrides steps 8 (was" in said
    if module in MODULES:
        assert "num_blocks 1 (was" in said
        assert "channel_mult (1, 1) (was" in said
    assert {path.name for path in run.iterdir()} >= RUN_FILES
    config = json.loads((run / "config.json").read_text())
    assert [config[name] for name in ("resolution", "channels", "classes", "held_out")] == [16, 3, 2, 0.25]
    metrics = json.loads((run / "report.json").read_text())["metrics"]
    assert {"frechet_pixels", "heldout_frechet_pixels", "precision", "share_near_copies"} <= set(metrics)
    if module == "ddpm_cifar":
        evaluated(run, photos(tmp_path / "others"), tmp_path / "samples.npz")


def evaluated(run, second, samples):
    """evaluate: the run's samples, another file's against a second set, and one of another size, which is refused."""
    with tiny.networks():
        before = json.loads((run / "report.json").read_text())["metrics"]
        evaluate.main(evaluate.Config(run))
        assert json.loads((run / "report.json").read_text())["metrics"] == before
        np.savez(samples, images=pixels(8, (16, 16, 3), seed=1))
        evaluate.main(evaluate.Config(run, samples=samples, heldout_data=str(second)))
        found = json.loads((samples.parent / "report.json").read_text())["metrics"]
        assert found["heldout_nearest_train_distance"] == 0, (
            "the second set here is the first, with all that was trained on"
        )
        np.savez(samples, images=pixels(8, (8, 8, 1)))
        with pytest.raises(Exception, match=r"samples must be \[N, 16, 16, 3\], got \[8, 8, 8, 1\]"):
            evaluate.main(evaluate.Config(run, samples=samples))
        assert runs.of_run(run)[1].shape == (16, 16, 3)


@pytest.mark.parametrize(("module", "multiple"), [("edm_cifar", 4), ("ddpm_cifar", 8), ("ddgan_cifar", 8)])
def test_sizes_that_do_not_fit_are_refused_with_the_numbers(module, multiple, tmp_path, monkeypatch, capfd):
    data = photos(tmp_path / "odd", (18, 18, 1), num=2)
    error = refused(module, ["--data", data, "--workdir", tmp_path / "run"], monkeypatch, capfd)
    assert "has images of 18x18 pixels" in error
    assert f"must be divisible by {multiple}: make them 16x16 by python -m experiments.dataset --width 16" in error
    assert not (tmp_path / "run").exists()
    fits = image_shape.shaped(
        MODULES[module].Config(data=str(data), channel_mult=(1, 2)), image_shape.UNet(8, (1,) * 9, 1, (), 0.0)
    )
    assert (fits.resolution, fits.channels, fits.channel_mult) == (18, 1, (1, 2))


@pytest.mark.parametrize(
    ("shape", "flags", "says"),
    [
        ((16, 8, 3), (), "has images of 8x16 pixels, and networks here take squares"),
        ((16, 16, 3), ("--held-out", "1"), "--held-out must lie in [0, 1), got 1.0"),
        ((16, 16, 3), ("--held-out", "0.01"), "--held-out 0.01 of the 20 images of"),
        ((16, 16, 3), ("--resolution", "8"), "has images (16, 16, 3), the network (8, 8, 3)"),
        ((16, 16, 3), ("--channel-mult", "1", "0"), "--channel-mult must be at least 1, got (1, 0)"),
        ((16, 16, 3), ("--classes", "1"), "has a label 1, but the network has 1 classes"),
        ((16, 16, 3), ("--classes", "9"), "no image to train on of 7 of the network's 9 classes (2, 3, 4, 5, 6, ...)"),
        (None, ("--data", "digits", "--held-out", "0.5"), "--held-out is for a folder or zip of images"),
    ],
)
def test_what_does_not_go_together(shape, flags, says, tmp_path, monkeypatch, capfd):
    data = () if shape is None else ("--data", photos(tmp_path / "set", shape))
    assert says in refused("edm_cifar", [*data, *flags, "--workdir", tmp_path / "run"], monkeypatch, capfd)
    assert not (tmp_path / "run").exists()


def test_images_without_classes_train_a_network_without(tmp_path):
    data = write(tmp_path / "flat", {f"{i}.png": encoded(image) for i, image in enumerate(pixels(4))})
    config = edm_cifar.resolve(edm_cifar.Config(data=str(data)))
    assert (config.classes, edm_cifar.network(config).label_dim) == (0, 0)


def test_a_run_made_of_absent_data_still_builds():
    """Drawing needs no data: what they were is in config.json."""
    for module in MODULES.values():
        config = module.Config(data="no/such/folder", resolution=32, channels=1, classes=3)
        assert module.system(module.smoke(module.resolve(config))).shape == (32, 32, 1)


def test_runs_from_before_sizes_were_flags_are_read(tmp_path):
    for data, shape, mult in (("digits", (8, 8, 1), (2, 2)), ("cifar10", (32, 32, 3), (2, 2, 2))):
        stored = {"experiment": "edm_cifar", "data": data, "model_channels": 8, "steps": 8, "ema_rampup": 0.05}
        (tmp_path / "config.json").write_text(json.dumps(stored))
        config, system = runs.of_run(tmp_path)
        assert (system.shape, system.num_classes, config.channel_mult) == (shape, 10, mult)


def test_held_out_images_are_the_rest(tmp_path):
    train, held = image_files.shares("photos", 101, 0.2)
    assert len(held) == 20
    assert sorted([*train, *held]) == list(range(101))
    again = image_files.shares("elsewhere", 101, 0.2)
    np.testing.assert_array_equal(held, again[1])


def test_the_other_split_of_a_folder_is_held_out(tmp_path):
    files = {f"{split}/{i}.png": encoded(image) for split in ("train", "test") for i, image in enumerate(pixels(3))}
    data = str(write(tmp_path / "splits", {**files, "test/9.png": encoded(pixels(1)[0])}))
    assert datasets.describe(data).shape == (8, 8, 1)
    assert len(datasets.find(data).heldout(0.0)) == 4
    assert datasets.find(str(photos(tmp_path / "photos", num=2))).heldout(0.0) is None


@pytest.mark.parametrize("size", [8, 32, 64, 256])
def test_smoke_networks_are_shallow_whatever_the_size(size):
    config = edm_cifar.Config(data="absent", resolution=size, channels=3, classes=0)
    small = edm_cifar.smoke(edm_cifar.resolve(config))
    lowest = size >> len(small.channel_mult) - 1
    assert (small.num_blocks, set(small.channel_mult), small.attn_resolutions) == (1, {1}, ())
    assert 4 <= lowest <= 16
    assert small.batch_size * size**2 <= max(image_shape.LARGEST, image_shape.FEWEST * size**2)
    assert small.batch_size % image_shape.FEWEST == 0


def test_compared_images_are_spread_over_the_data(monkeypatch):
    """Folders of classes are sorted: the first images would be of one."""
    monkeypatch.setattr(evaluator, "MOST", 3)
    source = [{"image": np.full((1, 1, 1), i, np.uint8)} for i in range(11)]
    assert evaluator.some(source).ravel().tolist() == [0, 5, 10]

"""What every run leaves in its folder, how it resumes, and what its command says: on the smoke run."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import edm_digits, evaluate, sample
from experiments.harness import cli, generate, runs, workdir
from experiments.harness.forms import IMAGES
from experiments.harness.image_grid import image_grid
from jaxdiff import grids
from jaxdiff.samplers import churn, heun
from tests.support.commands import called


def test_every_file_is_written(smoke_run):
    folder, said = smoke_run
    assert "frechet_pixels" in said
    assert json.loads((folder / "config.json").read_text())["experiment"] == "edm_digits"
    assert [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()] == [2, 4, 6, 8]
    with np.load(folder / "samples.npz") as file:
        assert file["images"].dtype == np.uint8
        assert file["images"].shape == (40, 8, 8, 1)
        assert file["labels"].tolist() == [i % 10 for i in range(40)]
        assert file["seeds"].tolist() == list(range(40))
    assert Image.open(folder / "samples.png").size[0] > 100
    report = json.loads((folder / "report.json").read_text())
    assert {"metrics", "nfe", "seconds", "device", "versions"} <= set(report)
    assert report["nfe"] == 7
    assert {"frechet_pixels", "heldout_frechet_pixels", "svm_accuracy", "precision"} <= set(report["metrics"])


def test_a_finished_run_is_taken_up_where_it_is(smoke_run, tmp_path, capfd):
    folder = shutil.copytree(smoke_run[0], tmp_path / "run")
    (folder / "samples.npz").unlink()
    called("edm_digits", "--smoke", "--workdir", folder)
    assert "resuming from step 8" in "".join(capfd.readouterr())
    with np.load(smoke_run[0] / "samples.npz") as before, np.load(folder / "samples.npz") as after:
        np.testing.assert_array_equal(before["images"], after["images"])


@pytest.fixture(scope="module")
def system_and_params(smoke_run):
    config, system = runs.of_run(smoke_run[0])
    return system, runs.averaged_params(config, system)[0]


def test_image_i_depends_on_seed_i_only(system_and_params):
    sampler = churn(heun(), 5.0)

    def images(seeds, batch_size):
        seeds = np.array(seeds)
        request = generate.Request(sampler, grids.karras(3), seeds, seeds % 10, batch_size)
        return np.concatenate(list(generate.draw(*system_and_params, request, progress=False))).astype(int)

    together = images([0, 1, 2, 3, 4, 2**32 - 1], 6)
    # Batches of another size may round otherwise; a grey value is the most that can show.
    assert np.abs(images([3, 2**32 - 1, 0], 2) - together[[3, 5, 0]]).max() <= 1
    assert np.abs(together[0] - together[1]).max() > 1


def test_host_memory_does_not_grow_with_the_number_of_images(system_and_params, tmp_path):
    import tracemalloc

    system, params = system_and_params
    larger = system._replace(shape=(32, 32, 1))  # so that pixels are most of what there is

    def peak(num):
        request = generate.Request(heun(), grids.karras(1), np.arange(num), np.arange(num) % 10, batch_size=64)
        tracemalloc.start()
        generate.write(tmp_path / f"{num}.npz", larger, params, request)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(64)  # compiles
    small, large = peak(512), peak(4_096)
    assert large < small + 4_096 * 32 * 32 / 4, "far below the pixels of the larger request"


def test_two_that_write_one_file_do_not_meet(tmp_path, monkeypatch):
    """The second begins and ends while the first draws; the file is whole, and nothing else is left."""
    system, seeds = SimpleNamespace(shape=(2, 2, 1), form=IMAGES), np.arange(3)
    request, deeper = generate.Request(heun(), grids.karras(1), seeds, None), [True]

    def drawn(system, params, request):
        yield np.full((2, 2, 2, 1), 7, np.uint8)
        if deeper and deeper.pop():
            generate.write(tmp_path / "samples.npz", system, params, request)
        yield np.full((1, 2, 2, 1), 8, np.uint8)

    monkeypatch.setattr(generate, "draw", drawn)
    generate.write(tmp_path / "samples.npz", system, {}, request)
    assert generate.read(tmp_path / "samples.npz")[0][:, 0, 0, 0].tolist() == [7, 7, 8]
    assert [path.name for path in tmp_path.iterdir()] == ["samples.npz"]


def test_sample_draws_from_a_run(smoke_run, tmp_path, capsys):
    out = tmp_path / "out"
    way = tmp_path / "new" / "way.gif"
    flags = {"sampler": "dpmpp_2m", "num_steps": 3, "seeds": "5,0-2", "label": 7, "out": out, "animation": way}
    sample.main(sample.Config(smoke_run[0], **flags))
    with np.load(out / "samples.npz") as file:
        assert file["seeds"].tolist() == [5, 0, 1, 2]
        assert set(file["labels"]) == {7}
    assert (out / "samples.png").exists()
    assert way.exists()
    assert "4 images" in capsys.readouterr().out


def test_evaluate_adds_metrics_to_the_report(smoke_run, tmp_path):
    folder = shutil.copytree(smoke_run[0], tmp_path / "run")
    before = json.loads((folder / "report.json").read_text())
    workdir.write_json(folder / "report.json", {**before, "metrics": {}})
    evaluate.main(evaluate.Config(folder))
    assert json.loads((folder / "report.json").read_text())["metrics"] == before["metrics"]


def test_grid_puts_images_row_by_row():
    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) * 100
    grid = image_grid(images, columns=2)
    assert grid[1, 1, 0] == 0
    assert grid[1, 3, 0] == 100
    assert grid[3, 1, 0] == 200
    assert grid[3, 3, 0] == 255


def test_help_names_every_field(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.parse(edm_digits.Config, ["--help"], prog="experiments.edm_digits")
    text = capsys.readouterr().out
    for name in (field.name for field in dataclasses.fields(edm_digits.Config)):
        assert f"--{name.replace('_', '-')}" in text


@pytest.mark.full
def test_a_seed_names_a_run_whatever_the_default_generator_is(smoke_run, tmp_path):
    with jax.default_prng_impl("rbg"):
        called("edm_digits", "--smoke", "--workdir", tmp_path / "run")
    with np.load(smoke_run[0] / "samples.npz") as expected, np.load(tmp_path / "run" / "samples.npz") as found:
        np.testing.assert_array_equal(found["images"], expected["images"])

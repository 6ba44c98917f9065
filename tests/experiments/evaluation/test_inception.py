"""FID and others of a run.

A few projections of the pixels take the network's place, of which there is nothing to compile; a test of the full tier
has the network itself, with random weights of the published layout.
"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments import edm_digits, evaluate
from experiments.evaluation import inception, inception_features, sample_cache
from experiments.harness import claim, forms, generate, runs, shards, training, workdir
from jaxdiff.data import digits
from jaxdiff.metrics.inception import Features
from jaxdiff.metrics.inception_score import inception_score
from jaxdiff.metrics.kid import kid
from jaxdiff.metrics.prdc import prdc
from jaxdiff.types import expand
from tests.support import forge, image_set
from tests.support.commands import called, refused
from tests.support.inception_file import published


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """(file, digest)."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    path.write_bytes(forge.zipped(published()))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def toy_denoiser(params, labels):
    """E[x0 | x] of standard normal data: nothing to train."""
    return lambda x, sigma: x / (1 + expand(sigma, x) ** 2)


PARAMS, STEP = {"weights": np.ones(3, np.float32)}, 8


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run as training leaves it, of a system that needs no parameters."""
    with claim.claimed(tmp_path / "run", claim.Owner("edm_digits", training.smoke(edm_digits.Config()))) as folder:
        pass
    images = np.random.default_rng(1).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    np.savez(folder / "samples.npz", images=images)
    workdir.write_json(folder / "report.json", {"experiment": "edm_digits", "metrics": {"svm_accuracy": 0.5}})
    config, system = runs.of_run(folder)
    monkeypatch.setattr(runs, "of_run", lambda folder: (config, system._replace(denoiser=toy_denoiser)))
    monkeypatch.setattr(runs, "averaged_params", lambda config, system: (PARAMS, STEP))
    return folder


WIDTH = 6


class Projections:
    """An extractor that counts the images it is given and can break off."""

    def __init__(self):
        self.seen, self.limit = 0, None

    def __call__(self, params, batch_size, sharding):
        return self.extract

    def extract(self, images):
        assert images.dtype == np.uint8
        if self.limit is not None and self.seen + len(images) > self.limit:
            raise KeyboardInterrupt
        self.seen += len(images)
        matrix = np.random.default_rng(0).normal(size=(images[0].size, WIDTH + 4)) / 255
        values = (images.reshape(len(images), -1) @ matrix).astype(np.float32)
        return Features(values[:, :WIDTH], 10 * values[:, WIDTH:])


@pytest.fixture
def small(monkeypatch):
    """Parts of four images."""
    projections = Projections()
    monkeypatch.setattr(inception, "extractor", projections)
    monkeypatch.setattr(inception, "load_inception", lambda path, sha256: None)
    monkeypatch.setattr(inception_features, "WIDTH", WIDTH)
    monkeypatch.setattr(inception, "SHARD", 4)
    monkeypatch.setattr(inception_features, "SHARD", 4)
    return projections


def options(run, **others):
    given = {"metrics": "fid,kid,pr,is", "num": 20, "reference_num": 12, "bootstrap": 3}
    return evaluate.Config(run, **{**given, **others})


def report(folder):
    return json.loads((folder / "report.json").read_text())


def features(folder, name):
    """One array of all shards of a folder, in order."""
    return np.concatenate([np.load(path)[name] for path in sorted(folder.glob("*-*.npz"))])


def folders(run):
    found = report(run)["inception"]
    network = f"features-{found['weights_sha256'][:8]}"
    return Path(found["folder"]) / network, run / "evaluation" / "reference-digits-12" / network


def frechet_of_few(a, b):
    """|m1 - m2|^2 + |A|^2 + |B|^2 - 2 sum of the singular values of A B^T, for S = A^T A: exact at any rank."""
    centred_a, centred_b = ((x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b))
    overlap = np.linalg.svd(centred_a @ centred_b.T, compute_uv=False).sum()
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.sum(centred_a**2) + np.sum(centred_b**2) - 2 * overlap


def check_against_features(run):
    """Every metric of report.json is that of the features that are stored."""
    found, (fake, real) = report(run)["inception"], folders(run)
    a, b = (features(folder, "pool").astype(np.float64) for folder in (fake, real))
    metrics = found["metrics"]
    assert metrics["fid"] == pytest.approx(frechet_of_few(a, b), rel=1e-7)
    assert metrics["fid_error"] > 0
    assert metrics["kid"] == pytest.approx(kid(b, a).mean, rel=1e-9)
    four = [metrics[name] for name in ("precision", "recall", "density", "coverage")]
    assert four == pytest.approx(list(prdc(b, a)), rel=1e-12)
    score = inception_score(features(fake, "scores"))
    assert (metrics["inception_score"], metrics["inception_score_std"]) == pytest.approx(tuple(score), rel=1e-9)
    assert (found["num"], found["reference"], found["reference_num"]) == (len(a), "digits", len(b))
    assert (found["step"], found["nfe"]) == (8, 7)
    assert {"device", "versions"} <= set(found)


def test_every_metric_is_that_of_the_features(run, small, capsys):
    before = report(run)
    evaluate.main(options(run))
    after = report(run)
    assert {name: after[name] for name in before} == before
    assert small.seen == 32
    assert report(run)["inception"]["metrics"]["inception_score"] > 1.01
    check_against_features(run)
    assert "fid" in capsys.readouterr().out


def test_images_are_those_of_the_seeds_and_of_the_data(run, small):
    """Drawn as by experiments.sample; real ones in the grey values that they have."""
    evaluate.main(options(run, metrics="fid", bootstrap=0))
    images = features(Path(report(run)["inception"]["folder"]) / "images", "images")
    config, system = runs.of_run(run)
    own, seeds = system.sampling(config.num_steps), np.arange(20)
    expected = np.concatenate(
        list(generate.draw(system, PARAMS, generate.Request(own.sampler, own.sigmas, seeds, seeds)))
    )
    np.testing.assert_array_equal(images, expected)
    assert len(np.unique(images)) > 50
    real = digits.load("train").images[:12]
    pixels = np.stack([forms.to_uint8(image) for image in real])
    np.testing.assert_array_equal(pixels, np.round((real.astype(np.float64) + 1) * 127.5 + 0.01))
    np.testing.assert_array_equal(features(folders(run)[1], "pool"), small.extract(pixels).pool)


def test_what_was_interrupted_goes_on(run, small, monkeypatch):
    small.limit = 12 + 6
    with pytest.raises(KeyboardInterrupt):
        evaluate.main(options(run))
    assert small.seen == 12 + 4
    assert "inception" not in report(run)
    small.limit = None

    def nothing_to_draw(*_):
        raise AssertionError("all images were there")

    with monkeypatch.context() as patched:
        patched.setattr(generate, "draw", nothing_to_draw)
        evaluate.main(options(run))
    assert small.seen == 32
    resumed = report(run)["inception"]
    shutil.rmtree(run / "evaluation")
    evaluate.main(options(run))
    assert report(run)["inception"] == resumed
    assert small.seen == 64


def test_drawing_that_was_interrupted_goes_on(run, small, monkeypatch):
    asked, save = [], shards.save

    def counted(system, params, request, progress=True):
        asked.append(len(request.seeds))
        return DRAW(system, params, request._replace(batch_size=4), progress)

    def broken(folder, span, **arrays):
        if folder.name == "images" and span.start == 4:
            raise KeyboardInterrupt
        save(folder, span, **arrays)

    DRAW = generate.draw
    monkeypatch.setattr(generate, "draw", counted)
    with monkeypatch.context() as patched:
        patched.setattr(shards, "save", broken)
        with pytest.raises(KeyboardInterrupt):
            evaluate.main(options(run, metrics="is"))
    evaluate.main(options(run, metrics="is"))
    assert asked == [20, 16]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-30], lambda data: b"", lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:]]
)
def test_damaged_parts_are_made_again(damage, run, small, capsys):
    evaluate.main(options(run, metrics="fid", bootstrap=0))
    whole, (fake, _) = report(run)["inception"], folders(run)
    for path in (fake / "00000004-00000007.npz", fake.parent / "images" / "00000008-00000011.npz"):
        path.write_bytes(damage(path.read_bytes()))
    small.seen = 0
    evaluate.main(options(run, metrics="fid", bootstrap=0))
    assert small.seen == 4
    assert report(run)["inception"]["metrics"] == pytest.approx(whole["metrics"], rel=1e-4)
    assert capsys.readouterr().out.count("is damaged and is made again") == 2


def test_the_lowest_of_three(run, small):
    evaluate.main(options(run, metrics="fid,is", trials=3))
    found = report(run)["inception"]
    assert [trial["images"] for trial in found["trials"]] == ["0-19", "20-39", "40-59"]
    best = min(found["trials"], key=lambda trial: trial["fid"])
    assert (found["metrics"]["fid"], found["metrics"]["fid_error"]) == (best["fid"], best["fid_error"])
    scores = [trial["inception_score"] for trial in found["trials"]]
    assert found["metrics"]["inception_score"] == pytest.approx(np.mean(scores), rel=1e-12)
    assert len({trial["fid"] for trial in found["trials"]}) == 3
    alone = dict(found["trials"][0])
    evaluate.main(options(run, metrics="fid,is"))
    assert report(run)["inception"]["trials"] == [alone]


def test_published_statistics_are_a_reference(run, small):
    evaluate.main(options(run, metrics="fid"))
    found, (_, real) = report(run)["inception"], folders(run)
    small.seen = 0
    evaluate.main(options(run, metrics="fid,is", reference=real.with_suffix(".npz")))
    again = report(run)["inception"]
    assert again["metrics"]["fid"] == pytest.approx(found["metrics"]["fid"], rel=1e-9)
    assert again["reference"].endswith(".npz")
    assert small.seen == 0


def test_another_samples_file(run, small, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (23, 8, 8, 1), dtype=np.uint8)
    np.savez(out / "samples.npz", images=images)
    evaluate.main(options(run, num=None, samples=out / "samples.npz", bootstrap=0))
    found = report(out)["inception"]
    assert (found["num"], found["samples"]) == (23, str(out / "samples.npz"))
    assert "inception" not in report(run)
    evaluate.main(options(run, num=20, samples=out / "samples.npz", bootstrap=0))
    assert report(out)["inception"]["num"] == 20
    assert report(out)["inception"]["folder"] != found["folder"]


def test_files_of_adm(run, small, tmp_path):
    """Samples as arr_0 and arr_1; a reference batch with images, statistics of all data, and sFID's."""
    rng = np.random.default_rng(0)
    ours, theirs = (rng.integers(0, 256, (24, 8, 8, 1), dtype=np.uint8) for _ in range(2))
    np.savez(tmp_path / "samples_24x8x8x1.npz", ours, np.arange(24))
    pool = small.extract(theirs).pool.astype(np.float64)
    published = {"mu": pool.mean(0) + 1, "sigma": np.cov(pool.T), "mu_s": np.zeros(9), "sigma_s": np.eye(9)}
    np.savez(tmp_path / "batch.npz", theirs, **published)
    np.savez(tmp_path / "images.npz", arr_0=theirs)
    np.savez(tmp_path / "features.npz", pool_3=pool.astype(np.float32))
    found = {}
    for name, metrics in (("batch", "fid,kid,pr"), ("images", "fid,kid,pr"), ("features", "fid")):
        given = {"num": None, "samples": tmp_path / "samples_24x8x8x1.npz", "bootstrap": 0, "reference_num": 0}
        evaluate.main(options(run, metrics=metrics, reference=tmp_path / f"{name}.npz", **given))
        found[name] = report(tmp_path)["inception"]
        assert (found[name]["num"], found[name]["reference"]) == (24, str(tmp_path / f"{name}.npz"))
    fake = small.extract(ours).pool.astype(np.float64)
    distance = frechet_of_few(fake, pool)
    assert found["images"]["metrics"]["fid"] == pytest.approx(distance, rel=1e-6)
    assert found["features"]["metrics"]["fid"] == pytest.approx(distance, rel=1e-5)
    shifted = distance + np.sum((fake.mean(0) - pool.mean(0) - 1) ** 2) - np.sum((fake.mean(0) - pool.mean(0)) ** 2)
    assert found["batch"]["metrics"]["fid"] == pytest.approx(shifted, rel=1e-6)
    for name in ("batch", "images"):
        metrics = found[name]["metrics"]
        assert metrics["kid"] == pytest.approx(kid(pool, fake).mean, rel=1e-6)
        four = [metrics[each] for each in ("precision", "recall", "density", "coverage")]
        assert four == pytest.approx(list(prdc(pool, fake)), rel=1e-12)
        assert found[name]["reference_num"] == 24
    small.seen = 0
    np.savez(tmp_path / "images.npz", arr_0=ours)  # other images under the same name
    evaluate.main(options(run, metrics="fid", reference=tmp_path / "images.npz", **given))
    assert report(tmp_path)["inception"]["metrics"]["fid"] == pytest.approx(0, abs=1e-6)


def test_features_of_image_files_are_kept_by_their_content(tmp_path):
    """Not by their place: the same images elsewhere are the same, others at the same place and other shares are not."""
    system = type("System", (), {"shape": (8, 8, 1), "num_classes": 0, "data": None})

    def key(place, seed=0, held_out=0.0):
        path = image_set.write(tmp_path / place / "set.zip", image_set.files_of(image_set.pixels(8, seed=seed)))
        run_config = type("Config", (), {"data": str(path), "held_out": held_out})
        return inception_features.compared(None, ["fid"], run_config, system).key

    for place in "ab":
        (tmp_path / place).mkdir()
    first = key("a")
    assert key("b") == first
    assert len({first, key("b", held_out=0.25), key("b", held_out=0.5), key("a", seed=1)}) == 4


@pytest.mark.parametrize(
    ("flag", "arrays", "says"),
    [
        ("samples", {"mu": np.zeros(3)}, "it holds mu, none of images, arr_0, samples: statistics are for --reference"),
        ("samples", {"x": np.zeros(3)}, "is not a samples.npz: it holds x, none of images, arr_0, samples"),
        (
            "samples",
            {"arr_0": np.zeros((9, 8, 8, 1))},
            "must hold arr_0 uint8 [N, H, W, C] and labels [N], got float64",
        ),
        ("samples", {"arr_0": np.array([{}], object)}, "is not a samples.npz (Object arrays cannot be loaded"),
        (
            "samples",
            {"arr_0": np.zeros((9, 8, 8, 1), np.uint8), "arr_1": np.zeros(8)},
            "must hold arr_0 uint8 [N, H, W, C] and arr_1 [N], got uint8 [9, 8, 8, 1] and [8]",
        ),
        ("reference", {"arr_0": np.zeros((9, 8, 8, 1))}, "must hold arr_0 uint8 [N, H, W, C]"),
        ("reference", {"x": np.zeros(3)}, "a.npz is no .npz with numbers mu and sigma"),
        ("reference", {"pool_3": np.zeros((5, 3))}, "got [3] and [3, 3]"),
        ("reference", {"mu": np.array([{}], object), "sigma": np.eye(1)}, "is no .npz with numbers mu and sigma"),
    ],
)
def test_files_that_hold_something_else(flag, arrays, says, run, tmp_path, monkeypatch, capfd):
    np.savez(tmp_path / "a.npz", **arrays)
    flags = ["--workdir", run, "--metrics", "fid", "--num", "9", f"--{flag}", tmp_path / "a.npz"]
    assert says in refused("evaluate", flags, monkeypatch, capfd)
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04}q\x00.")
    for name in ("a.npy", "a.pkl"):
        error = refused("evaluate", [*flags[:-1], tmp_path / name], monkeypatch, capfd)
        assert f"{name} is {'not a samples' if flag == 'samples' else 'no '}.npz" in error
        assert "allow_pickle" not in error


def test_another_step_sampler_or_parameters_have_another_folder(run):
    _, system = runs.of_run(run)
    names = [
        sample_cache.identity(PARAMS, 8, system.sampling(4)),
        sample_cache.identity(PARAMS, 9, system.sampling(4)),
        sample_cache.identity(PARAMS, 8, system.sampling(5)),
        sample_cache.identity({"weights": np.zeros(3, np.float32)}, 8, system.sampling(4)),
    ]
    assert len(set(names)) == 4
    assert sample_cache.identity({"weights": np.ones(3, np.float32)}, 8, system.sampling(4)) == names[0]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--metrics", "fid,magic"], "metrics must be some of fid,kid,pr,is, got 'magic'"),
        (["--num", "1"], "num must be at least 2 for fid, got 1"),
        (["--metrics", "is,fid", "--num", "19"], "num must be at least 20 for is, got 19"),
        (["--num", "-5"], "--num must be at least 1, got -5"),
        (["--metrics", "pr", "--reference-num", "3"], "reference_num must be at least 4 for pr, got 3"),
        (["--trials", "0"], "--trials must be at least 1, got 0"),
        (["--bootstrap", "1"], "bootstrap 0 or at least 2"),
        ([], "needs its weights, pt_inception-2015-12-05-6726825d.pth, got None, which is no file"),
        (["--inception", "absent.pth"], "needs its weights, pt_inception-2015-12-05-6726825d.pth, got absent.pth"),
        (["--reference", "absent.npz"], "absent.npz does not exist: give an .npz with mu [2048]"),
        (
            ["--metrics", "kid,fid", "--reference", "a.npz"],
            "kid compare images, and --reference a.npz holds none (named",
        ),
        (["--metrics", "is", "--num", "20", "--reference", "a.npz"], "is compares with nothing: leave out --reference"),
        (["--samples", "absent.npz"], "absent.npz does not exist: draw samples first"),
        (["--samples", "absent.npz", "--trials", "2"], "samples are one trial, got trials=2"),
        (["--heldout-data", "digits"], "--heldout-data digits is not for --metrics"),
        (["--elbo"], "--elbo and --metrics are evaluations of their own: ask for one at a time"),
    ],
)
def test_bad_input(flags, says, run, monkeypatch, capfd):
    given = ["--metrics", "fid", "--num", "10"]
    assert says in refused("evaluate", ["--workdir", run, *given, *flags], monkeypatch, capfd)
    assert not (run / "evaluation").exists()


def test_weights_of_another_network(run, tmp_path, monkeypatch, capfd):
    (tmp_path / "other.pth").write_bytes(forge.zipped({"fc.bias": np.zeros(1000, np.float32)}))
    digest = hashlib.sha256((tmp_path / "other.pth").read_bytes()).hexdigest()
    flags = ["--workdir", run, "--metrics", "fid", "--inception", tmp_path / "other.pth"]
    for given, says in (
        ([], f"other.pth has SHA-256 {digest}, not 6726825d"),
        (["--download"], f"other.pth has SHA-256 {digest}, not 6726825d"),
        (["--inception-sha256", "6726825d"], "sha256 must be 64 hexadecimal digits, got '6726825d'"),
        (["--inception-sha256", digest], "InceptionV3: the state dict lacks Conv2d_1a_3x3.bn.bias"),
    ):
        assert says in refused("evaluate", [*flags, *given], monkeypatch, capfd)
    assert not (run / "evaluation").exists()


def test_statistics_of_another_network(run, tmp_path, monkeypatch, capfd):
    np.savez(tmp_path / "vgg.npz", mu=np.zeros(4096), sigma=np.zeros((3, 3)))
    flags = ["--workdir", run, "--metrics", "fid", "--reference", tmp_path / "vgg.npz"]
    error = refused("evaluate", flags, monkeypatch, capfd)
    assert "must hold mu [2048] and sigma [2048, 2048], as the features have it, got [4096] and [3, 3]" in error


def test_fewer_samples_or_steps_than_asked_for(run, small, monkeypatch, capfd):
    flags = ["--workdir", run, "--metrics", "fid", "--num", "100"]
    error = refused("evaluate", [*flags, "--samples", run / "samples.npz"], monkeypatch, capfd)
    assert "holds 40 images, fewer than num=100" in error
    assert "--num-steps must be at least 1, got 0" in refused(
        "evaluate", [*flags, "--num-steps", "0"], monkeypatch, capfd
    )


@pytest.mark.full
@pytest.mark.release
def test_with_the_network_itself(smoke_run, weights, tmp_path, capsys):
    """From the command line to the report."""
    run = shutil.copytree(smoke_run[0], tmp_path / "run")
    flags = ["--workdir", run, "--metrics", "fid,kid,pr,is", "--num", 20, "--reference-num", 12, "--bootstrap", 2]
    flags += ["--inception", weights[0], "--inception-sha256", weights[1], "--inception-batch", 10]
    called("evaluate", *flags)
    assert "fid" in capsys.readouterr().out
    assert features(folders(run)[0], "pool").shape == (20, 2048)
    check_against_features(run)

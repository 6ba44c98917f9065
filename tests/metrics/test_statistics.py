"""Reference statistics: the published form, and files that are no such thing."""

import numpy as np
import pytest

from jaxdiff.metrics.frechet import feature_stats, frechet_distance
from jaxdiff.metrics.statistics import read, write


def test_what_edm_writes(tmp_path):
    """np.savez(path, mu=, sigma=) in float64; pytorch-fid's older files hold the same names."""
    features = np.random.default_rng(0).normal(size=(30, 4))
    np.savez(tmp_path / "edm.npz", mu=features.mean(axis=0), sigma=np.cov(features, rowvar=False))
    got = read(tmp_path / "edm.npz", 4)
    assert frechet_distance(*got, *got) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(*got, feature_stats(features).mean, feature_stats(features).cov) == pytest.approx(
        0, abs=1e-12
    )


def test_other_arrays_are_left_alone(tmp_path):
    np.savez(tmp_path / "adm.npz", mu=np.zeros(2), sigma=np.eye(2), mu_s=np.zeros(7), arr_0=np.zeros((1, 2, 2, 3)))
    assert read(tmp_path / "adm.npz", 2).cov.tolist() == np.eye(2).tolist()


def test_float32_is_read_as_float64(tmp_path):
    np.savez(tmp_path / "a.npz", mu=np.zeros(2, np.float32), sigma=np.eye(2, dtype=np.float32))
    assert all(part.dtype == np.float64 for part in read(tmp_path / "a.npz", 2))


def test_written_and_read(tmp_path):
    found = feature_stats(np.random.default_rng(0).normal(size=(30, 4)))
    write(tmp_path / "a.npz", found)
    mean, cov = read(tmp_path / "a.npz", 4)
    np.testing.assert_array_equal(mean, found.mean)
    np.testing.assert_array_equal(cov, found.cov)
    with np.load(tmp_path / "a.npz") as file:
        assert file["num"] == 30


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"mu": np.zeros(4)}, r"no \.npz with numbers mu and sigma"),
        ({"mu": np.zeros(4), "sigma": np.array(["a"])}, r"no \.npz with numbers mu and sigma"),
        ({"mu": np.zeros(4), "sigma": np.array([{}], object)}, r"no \.npz with numbers mu and sigma"),
        ({"mu": np.zeros(4), "sigma": np.eye(4)}, r"must hold mu \[3\] and sigma \[3, 3\].*, got \[4\] and \[4, 4\]"),
        ({"mu": np.zeros(3), "sigma": np.zeros(3)}, r"got \[3\] and \[3\]"),
        ({"mu": np.zeros(3), "sigma": np.full((3, 3), np.nan)}, "must hold finite numbers only"),
    ],
)
def test_what_does_not_fit(arrays, says, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a\.npz.*{says}"):
        read(tmp_path / "a.npz", 3)


def test_no_file_or_no_archive(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.npz does not exist: give an \.npz with mu \[2048\]"):
        read(tmp_path / "absent.npz", 2048)
    (tmp_path / "text.npz").write_text("not an archive")
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("text.npz", "array.npy"):
        with pytest.raises(ValueError, match=rf"{name} is no \.npz with numbers mu and sigma"):
            read(tmp_path / name, 3)

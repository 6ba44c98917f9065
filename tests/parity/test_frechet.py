"""The Frechet distance and its statistics against recorded ones, singular covariances among them."""

import numpy as np
import pytest

from jaxdiff.metrics.frechet import feature_stats, frechet_distance, merge
from tests.support import reference

READS = ("edm/fid*.npz",)

RECORDED = [(path, case) for path in reference.files(*READS) for case in reference.cases(reference.load(path))]


@pytest.mark.parametrize(("path", "case"), RECORDED, ids=[f"{path.stem}-{case}" for path, case in RECORDED])
def test_case(path, case):
    arrays = reference.load(path)
    kind = reference.config(arrays, case)["kind"]
    recorded = reference.subset(arrays, case)
    {"fid": check_distance, "feature_stats": check_stats}[kind](recorded)


def check_distance(recorded):
    got = frechet_distance(*(recorded[f"in/{name}"] for name in ("mu1", "sigma1", "mu2", "sigma2")))
    # Against 60 digits and closed forms; 1e-6 absolute is what square roots of singular matrices leave of float64.
    for name in ("fid", "fid_eigh", "fid_highprec", "fid_exact"):
        if f"out/{name}" in recorded:
            np.testing.assert_allclose(got, recorded[f"out/{name}"], rtol=0, atol=1e-6, err_msg=name)
    condition = max(np.linalg.cond(recorded[f"in/{name}"]) for name in ("sigma1", "sigma2"))
    if condition < 1e6 and "out/fid_highprec" in recorded:
        np.testing.assert_allclose(got, recorded["out/fid_highprec"], rtol=1e-12, atol=1e-11)


def check_stats(recorded):
    images = recorded["in/images_u8"].reshape(len(recorded["in/images_u8"]), -1)
    features = images / 255.0 @ recorded["in/projection"].astype(np.float64)
    halves = merge(feature_stats(features[:9]), feature_stats(features[9:]))
    for got in (feature_stats(features), halves):
        np.testing.assert_allclose(got.mean, recorded["out/mu"], rtol=1e-9)
        np.testing.assert_allclose(got.cov, recorded["out/sigma"], rtol=1e-9, atol=1e-12)

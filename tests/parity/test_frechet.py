"""The Frechet distance against the EDM reference, 60-digit arithmetic and closed forms."""

import numpy as np
import pytest

from jaxdiff.metrics import frechet
from tests.parity import reference

READS = ("edm/fid.npz",)
FILES = reference.files(*READS)
CASES = sorted(
    {
        (path, name.removesuffix("/in/mu1"))
        for path in FILES
        for name in reference.load(path)
        if name.endswith("/in/mu1")
    }
)


@pytest.mark.parametrize(("path", "case"), CASES, ids=lambda value: getattr(value, "stem", value))
def test_distance(path, case):
    arrays = reference.subset(reference.load(path), case)
    distance = frechet.frechet_distance(*(arrays[f"in/{name}"] for name in ("mu1", "sigma1", "mu2", "sigma2")))
    scale = max(1.0, float(np.trace(arrays["in/sigma1"]) + np.trace(arrays["in/sigma2"])))
    # The reference's own matrix square root is good to 1e-7 for singular covariances (tests/reference/edm/README.md).
    assert abs(distance - float(arrays["out/fid"])) < 1e-6 * scale
    for name in ("out/fid_highprec", "out/fid_exact"):
        if name in arrays:
            assert abs(distance - float(arrays[name])) < 1e-7 * scale, name


@pytest.mark.parametrize("path", FILES, ids=reference.ids)
def test_statistics(path):
    arrays = reference.subset(reference.load(path), "feature_stats")
    images = arrays["in/images_u8"].reshape(len(arrays["in/images_u8"]), -1) / 255
    features = images @ arrays["in/projection"].astype(np.float64)
    whole = frechet.stats(features)
    streamed = frechet.merge(
        frechet.merge(frechet.stats(features[:3]), frechet.stats(features[3:5])), frechet.stats(features[5:])
    )
    for found in (whole, streamed):
        np.testing.assert_allclose(found.mean, arrays["out/mu"], rtol=1e-9)
        np.testing.assert_allclose(found.cov, arrays["out/sigma"], rtol=1e-7, atol=1e-9)

"""Small networks in the place of the digits' U-Nets, and one finished run for all tests of a worker."""

import pytest

from tests.support import tiny

DIGITS = ("edm_digits", "ddpm_digits", "score_sde_digits")


@pytest.fixture(scope="session")
def pixelwise():
    """The digits' experiments have the tiny network from here on; tests/experiments/test_smoke.py has their own."""
    with pytest.MonkeyPatch.context() as patched:
        for name in DIGITS:
            patched.setattr(f"experiments.{name}.SongUNet", tiny.pixelwise)
        yield

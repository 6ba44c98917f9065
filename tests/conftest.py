"""What every test shares: strict rank promotion, full float32 matmuls, and float64 on request."""

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")

enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64


@pytest.fixture
def x64():
    """Run one test in double precision."""
    with enable_x64(True):
        yield

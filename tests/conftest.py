"""What every test shares: strict rank promotion, full float32 matmuls, and float64 on request."""

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture
def x64():
    """Run one test in double precision; set for the process, since callbacks run in threads of their own."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)

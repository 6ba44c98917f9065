"""Parity is of equations, not of LLVM: most of its time is compilation, which ends sooner unoptimised."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def unoptimised():
    """Leave out LLVM's optimisation; XLA's own passes stay."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)

"""What every test shares: strict rank promotion, full float32 matmuls, compiled programs, and float64 on request."""

import os
import tempfile
from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")

if not jax.config.jax_compilation_cache_dir:  # each larger program is compiled once in a session
    compiled = tempfile.TemporaryDirectory(prefix="jaxdiff-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled.name  # for workers and for commands that tests run
    jax.config.update("jax_compilation_cache_dir", compiled.name)

MAPS = Path("/proc/self/maps")


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Forget compiled programs in time: at Linux's 65,530 memory maps a process, compilation crashes."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > 25_000:
        jax.clear_caches()


@pytest.fixture
def x64():
    """Run one test in double precision; set for the process, since callbacks run in threads of their own."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)

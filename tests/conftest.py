"""What every test shares: strict rank promotion, full float32 matmuls, compiled programs, float64 on request.

Most of the suite's time is compilation, and half of that is LLVM's optimisation, on which no value of mathematics
depends: it is left out, in this process and in those that tests start, but for tests marked `optimised`, which ask for
the bits of the program that users run. JAX_DISABLE_MOST_OPTIMIZATIONS=0 optimises everything.
"""

import ctypes
import gc
import os
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # before jax reads it; processes of tests inherit it

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_default_prng_impl", "threefry2x32")  # what the numbers of tests were drawn from

if not jax.config.jax_compilation_cache_dir:  # each program that takes a moment is compiled once in a session
    compiled = tempfile.TemporaryDirectory(prefix="jaxdiff-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled.name  # for workers and for commands that tests run
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    jax.config.update("jax_compilation_cache_dir", compiled.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

UNOPTIMISED = jax.config.read("jax_disable_most_optimizations")
FIRST = ("tests/test_notebooks.py", "tests/experiments/", "tests/train/")
"""Where tests that take long are: begun first, so that no worker is left with one at the end."""
MAX_MAPS, MAX_BYTES = 25_000, 2 * 2**30
STATUS = Path("/proc/self")
LIBC = ctypes.CDLL(None) if STATUS.exists() else None


def pytest_collection_modifyitems(items):
    """Files in the order of FIRST, the rest as they are."""
    rank = lambda item: next((i for i, start in enumerate(FIRST) if item.nodeid.startswith(start)), len(FIRST))  # noqa: E731
    items.sort(key=rank)


def pytest_collection_finish():
    """Tests and modules stay, and tracing makes objects by the million: seldom looked through, they cost 3 % less."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """With or without optimisation, before any fixture compiles; optimised(tier="full") is not in the default tier."""
    marker = item.get_closest_marker("optimised")
    default_tier = item.config.option.markexpr == "not full"
    optimised = marker is not None and not (default_tier and marker.kwargs.get("tier") == "full")
    jax.config.update("jax_disable_most_optimizations", UNOPTIMISED and not optimised)


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Forget compiled programs in time: their memory grows, and at Linux's 65,530 memory maps compilation crashes."""
    yield
    if STATUS.exists():
        maps = (STATUS / "maps").read_bytes().count(b"\n")
        resident = int((STATUS / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if maps > MAX_MAPS or resident > MAX_BYTES:
            jax.clear_caches()
            gc.collect()
            if hasattr(LIBC, "malloc_trim"):  # what is free goes back, or every later file would seem too large
                LIBC.malloc_trim(0)


@pytest.fixture
def x64():
    """Run one test in double precision; set for the process, since callbacks run in threads of their own."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)

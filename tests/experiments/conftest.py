"""Small networks in the place of the experiments' own, and one finished run of them for all tests of a worker."""

import contextlib
import io

import pytest

from tests.support import tiny
from tests.support.commands import called


@contextlib.contextmanager
def small_networks():
    """Every experiment has a network that compiles in a second."""
    with pytest.MonkeyPatch.context() as patched:
        for place, network in tiny.NETWORKS.items():
            patched.setattr(place, network)
        yield


@pytest.fixture(scope="module")
def small():
    """For all tests of a module that begin after it."""
    with small_networks():
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a smoke run of edm_digits with the small network, watched in every way, and what it said."""
    workdir = tmp_path_factory.mktemp("runs") / "edm_digits"
    watched = ("--tensorboard", "--grid-every", "4", "--profile", "2")
    with small_networks(), contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        called("edm_digits", "--smoke", "--workdir", workdir, *watched)
    return workdir, said.getvalue()


@pytest.fixture(scope="module")
def smoke_run(small, finished):
    """`finished`, while the experiments have the network that it was trained with."""
    return finished

"""Tiny networks instead of the experiments' own, and one finished run of them for all tests of a worker."""

import contextlib
import io

import pytest

from tests.support import tiny
from tests.support.commands import called


@pytest.fixture(scope="module")
def tiny_networks():
    """For all tests of a module that begin after it."""
    with tiny.networks():
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a smoke run of edm_digits with the tiny network, watched in every way, and what it said."""
    workdir = tmp_path_factory.mktemp("runs") / "edm_digits"
    watched = ("--tensorboard", "--grid-every", "4", "--profile", "2")
    with tiny.networks(), contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        called("edm_digits", "--smoke", "--workdir", workdir, *watched)
    return workdir, said.getvalue()


@pytest.fixture(scope="module")
def smoke_run(tiny_networks, finished):
    """`finished`, while the experiments have the network that it was trained with."""
    return finished

"""What a command says while nothing moves, and that it can be interrupted while Python is not asked."""

import signal
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from experiments.harness import waiting
from jaxdiff.train import hosts
from tests.support.commands import python

STUCK = """
import hashlib, os, signal, sys, threading
from experiments.harness import waiting
signal.signal(signal.SIGINT, signal.default_int_handler)  # who tests in the background ignores it
waiting.PATIENCE = 0.2
with waiting.watched("prog"):
    if sys.argv[1] == "saving":
        signal.signal(signal.SIGINT, lambda number, frame: print("saved") or sys.exit(3))
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", int(sys.argv[2]))  # no handler runs within it
"""


@pytest.fixture(autouse=True)
def heard():
    """SIGINT as a terminal gives it: who runs the tests in the background ignores it."""
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, found)


def test_an_interruption_ends_what_does_not_hear_it():
    """The work would take many minutes."""
    done = python("-c", STUCK, "nothing", 2**31 - 1)
    assert done.returncode == 130
    assert done.stderr == "prog: interrupted while busy: what was saved is kept\n"


def test_who_has_something_to_save_is_waited_for():
    done = python("-c", STUCK, "saving", 2 * 10**6)
    assert (done.returncode, done.stdout, done.stderr) == (3, "saved\n", "")


def test_an_interruption_that_is_heard_is_an_exception():
    with pytest.raises(KeyboardInterrupt), waiting.watched("prog"):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_line_says_what_nothing_else_says(monkeypatch, capsys):
    """Compiling, and asked while that is traced: the first call of a function is one with its program."""
    monkeypatch.setattr(waiting, "QUIET", 0.05)
    said = []

    def traced(x):
        assert waiting.doing() == "compiling"
        while "compiling ... " not in "".join(said):  # the thread comes to it
            time.sleep(0.05)
            said.append(capsys.readouterr().err)
        return x + 1

    with waiting.watched("prog"):
        jax.jit(traced)(jnp.zeros(3))
        assert waiting.doing() is None
        streams = sys.stdout, sys.stderr
    assert all(isinstance(stream, waiting.Watched) for stream in streams)
    assert not isinstance(sys.stdout, waiting.Watched)


def test_signals_are_left_alone_until_the_first_step_is_done():
    numbers = [*hosts.NOTICES, signal.SIGINT]
    before = [signal.getsignal(number) for number in numbers]
    with hosts.stopping() as stop:
        assert [signal.getsignal(number) for number in numbers] == before
        assert not stop(0)
        signal.raise_signal(signal.SIGTERM)
        assert stop(1)
    assert [signal.getsignal(number) for number in numbers] == before

"""Monitors behind one interface: what they record, that none stops training, that packages may be missing."""

import sys

import jax
import numpy as np
import pytest

from jaxdiff.imports import MissingExtra
from jaxdiff.train.monitor import MonitorFactory
from jaxdiff.train.tensorboard import tensorboard
from jaxdiff.train.weights_and_biases import weights_and_biases
from tests.support.monitored import lines, picture, train


class Fake:
    """Keeps what it is given; raises from a step on."""

    def __init__(self, done=0, config=None, fails_at=np.inf):
        self.done, self.config, self.fails_at = done, config, fails_at
        self.received, self.closed = [], 0

    def scalars(self, step, values):
        if step >= self.fails_at:
            raise ConnectionError("the network is down\nand more lines")
        self.received.append((step, values))

    def image(self, step, name, image):
        self.received.append((step, {name: image}))

    def close(self):
        self.closed += 1


def opening(fake, name="fake"):
    def start(done, config):
        fake.done, fake.config = done, config
        return fake

    return MonitorFactory(name, start)


def test_a_monitor_gets_what_the_file_gets(tmp_path):
    fake = Fake()
    train(tmp_path, 6, [opening(fake)])
    assert [{"step": step, **values} for step, values in fake.received] == lines(tmp_path)
    assert (fake.done, fake.config, fake.closed) == (0, {"a": 1}, 1)
    train(tmp_path, 8, [opening(fake)])
    assert fake.done == 6
    assert [step for step, _ in fake.received] == [2, 4, 6, 8]
    assert train(tmp_path, 8, [opening(fake)]).step == 8
    assert fake.closed == 2, "a finished run opens nothing"


@pytest.mark.parametrize(("grid_every", "seen"), [(0, []), (3, [4, 6]), (4, [4]), (1, [2, 4, 6])])
def test_the_state_is_seen_with_the_lines(tmp_path, grid_every, seen):
    fake, states = Fake(), []

    def preview(step, state):
        states.append((step, int(state.step)))
        return picture(step, state)

    train(tmp_path, 6, [opening(fake)], preview, grid_every=grid_every)
    assert states == [(step, step) for step in seen]
    shown = {step: values["samples"] for step, values in fake.received if "samples" in values}
    assert list(shown) == seen
    assert all((image == step).all() for step, image in shown.items())
    steps = [step for step, _ in fake.received]
    assert steps == sorted(steps), "as Weights & Biases asks"
    assert [line["step"] for line in lines(tmp_path)] == [2, 4, 6], "looking writes no line"


def test_looking_changes_nothing(tmp_path):
    plain = train(tmp_path / "a", 6)
    watched = train(tmp_path / "b", 6, [opening(Fake())], picture, grid_every=2, profile=2)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(watched), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_monitor_that_fails_is_reported_once_and_left_alone(tmp_path):
    said, fails, holds = [], Fake(fails_at=4), Fake()
    monitors = [opening(fails, "first"), opening(holds, "second")]
    assert train(tmp_path, 8, monitors, said=said).step == 8
    assert [line for line in said if "failed" in line] == [
        "first failed (the network is down); training goes on without it"
    ]
    assert [step for step, _ in fails.received] == [2]
    assert fails.closed == 1
    assert [step for step, _ in holds.received] == [2, 4, 6, 8]


def test_a_monitor_that_cannot_be_opened_is_reported(tmp_path):
    def refused(done, config):
        raise PermissionError("not your folder")

    said = []
    assert train(tmp_path, 4, [MonitorFactory("it", refused)], said=said).step == 4
    assert "it failed (not your folder); training goes on without it" in said


def test_an_image_that_cannot_be_made_is_reported(tmp_path):
    def preview(step, state):
        raise FloatingPointError("not finite")

    said = []
    assert train(tmp_path, 4, preview=preview, said=said, grid_every=4).step == 4
    assert "no image of step 4: not finite; training goes on" in said


def test_looks_without_anything_to_see_are_refused(tmp_path):
    with pytest.raises(ValueError, match="grid_every=5 asks for previews"):
        train(tmp_path, 4, grid_every=5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("package", "extra"), [("tensorboardX", "tensorboard"), ("wandb", "wandb")])
def test_a_missing_package_is_one_clear_line(tmp_path, monkeypatch, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    make = {"tensorboard": lambda: tensorboard(tmp_path / "x"), "wandb": lambda: weights_and_biases(tmp_path, "p")}
    with pytest.raises(MissingExtra, match=rf"^jaxdiff.train.\w+ needs {package}: pip install 'jaxdiff\[{extra}\]'$"):
        make[extra]()
    assert not list(tmp_path.iterdir())


def test_a_package_that_breaks_when_imported_is_too(tmp_path, monkeypatch):
    (tmp_path / "wandb.py").write_text("raise TypeError('Descriptors cannot be created directly')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(MissingExtra, match=r"needs jaxdiff\[wandb\] \(Descriptors .*: pip install 'jaxdiff\[wandb\]'$"):
        weights_and_biases(tmp_path, "p")

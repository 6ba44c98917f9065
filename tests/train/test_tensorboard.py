"""Event files read back, record by record, by TensorBoard's own layout: length, checksum, event, checksum."""

import io
import json
import resource

import numpy as np
import pytest
from PIL import Image

from jaxdiff.train.tensorboard import tensorboard
from tests.support.monitored import events, lines, scalars, shown, train


def test_lines_and_images_are_read_back(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    folder = tmp_path / "tensorboard"
    train(tmp_path, 6, [tensorboard(folder)], lambda step, state: image, grid_every=4)
    (path,) = folder.iterdir()
    assert "tfevents" in path.name
    assert events(path)[0].file_version == "brain.Event:2"
    for name in ("loss", "grad_norm", "images_per_second"):
        expected = [(line["step"], np.float32(line[name])) for line in lines(tmp_path)]
        assert scalars(folder, name) == expected
    assert not scalars(folder, "step")
    ((step, value),) = [(step, value) for step, tag, value in shown(folder) if tag == "samples"]
    assert step == 4
    np.testing.assert_array_equal(Image.open(io.BytesIO(value.image.encoded_image_string)), image)
    (config,) = [value for _, tag, value in shown(folder) if tag.startswith("config")]
    assert json.loads(config.tensor.string_val[0]) == {"a": 1}


def test_a_resumed_run_shows_each_step_once(tmp_path):
    """The first process wrote steps 2 to 6 and died: its last checkpoint is that of step 4."""
    folder = tmp_path / "tensorboard"

    class Killed(Exception):
        pass

    def preview(step, state):
        if step == 6:
            raise Killed
        return np.zeros((2, 2, 3), np.uint8)

    with pytest.raises(Killed):
        train(tmp_path, 8, [tensorboard(folder)], preview, grid_every=2)
    assert [step for step, _ in scalars(folder, "loss")] == [2, 4, 6]
    train(tmp_path, 10, [tensorboard(folder)], log_every=3)
    assert len(list(folder.iterdir())) == 2
    assert [step for step, _ in scalars(folder, "loss")] == [line["step"] for line in lines(tmp_path)]
    assert [step for step, _ in scalars(folder, "loss")][:2] == [2, 4]
    assert 5 not in [step for step, _ in scalars(folder, "loss")]


def test_a_full_disk_stops_nothing(tmp_path):
    """A limit on the size of files stands for the disk; more lines follow than a queue would hold."""
    said, folder = [], tmp_path / "tensorboard"
    opening = tensorboard(folder)

    def open_and_fill(done, config):
        monitor = opening.open(done, config)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, hard))
        return monitor

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        filling = opening._replace(open=open_and_fill)
        assert train(tmp_path, 60, [filling], said=said, log_every=1, checkpoint_every=100).step == 60
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sum("TensorBoard failed" in line for line in said) == 1

"""A moving picture: it begins with the noise that was drawn, ends with the images, and stands still there."""

import jax
import numpy as np
import pytest
from PIL import Image

from experiments.harness import animation, forms, generate
from experiments.harness.image_grid import image_grid
from tests.support import watched_run


def request(num_steps=6, num=20):
    system = watched_run.system()
    sampling = system.sampling(num_steps)
    return system, system.init(jax.random.key(0)), generate.request(system, sampling, np.arange(num))


def test_the_last_state_of_a_trajectory_is_the_image():
    system, params, asked = request()
    xs = generate.trajectories(system, params, asked)
    (images,) = generate.draw_floats(system, params, asked, progress=False)
    assert xs.shape == (7, 20, 4, 4, 1)
    np.testing.assert_allclose(xs[-1], images, atol=1e-5)
    assert 60 < xs[0].std() < 100, "at sigma = 80"


@pytest.mark.parametrize("name", ["way.gif", "way.png"])
def test_frames_lead_from_noise_to_the_images(tmp_path, name):
    system, params, asked = request()
    animation.write(tmp_path / name, system, params, asked, "heun")
    (images,) = generate.draw(system, params, asked, progress=False)
    with Image.open(tmp_path / name) as found:
        assert found.n_frames > 2
        assert found.info["loop"] == 0
        found.seek(found.n_frames - 1)
        assert found.info["duration"] == animation.END
        last = np.asarray(found.convert("RGB")).astype(int)
    grid = image_grid(images, columns=10, scale=16)
    coarse = 20 if name.endswith("gif") else 1
    assert np.abs(last[20 : 20 + len(grid), : grid.shape[1]] - grid).max() <= coarse


def test_points_are_animated_too(tmp_path):
    frames = [forms.scatter(np.zeros((3, 2)), caption=f"sigma = {level}") for level in (2, 1, 0)]
    animation.save(tmp_path / "points.gif", frames)
    assert Image.open(tmp_path / "points.gif").n_frames == 3


def test_moments_of_a_long_chain_are_few_and_change_alike():
    sigmas = np.append(np.geomspace(150, 0.01, 1_000), 0.0)
    chosen = animation.moments(sigmas)
    assert len(chosen) <= animation.FRAMES
    assert (chosen[0], chosen[-1]) == (0, 1_000)
    turns = -np.diff(np.arctan(2 * sigmas[chosen]))
    assert turns.max() < 2 * turns.mean()


def test_one_step_has_two_frames():
    assert animation.moments(np.array([80.0, 0.0])).tolist() == [0, 1]


def test_a_way_that_memory_cannot_hold_is_refused():
    system, _, asked = request(num_steps=1_000)
    animation.check_memory(system, asked)
    with pytest.raises(ValueError, match=r"states of 20 examples at 1000 steps, 75 GiB, at most 4: ask for fewer"):
        animation.check_memory(system._replace(shape=(1_000, 1_000, 1)), asked)

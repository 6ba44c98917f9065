"""Recorded zero-shot editing of both releases: Alg. 4 of Song et al. 2023, its operators and its tables."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.editing import keep
from jaxdiff.guidance import clip
from jaxdiff.known import LUMINANCE, degrade, directions, grey, grey_mask, orthogonal, patch_means, pixels, replace
from jaxdiff.samplers import consistency, sample
from tests.parity.score_sde import denoiser_of
from tests.parity.test_consistency_samplers import at, levels_of
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.tiers import by, first_of_a_kind

READS = ("consistency/editing_*.npz",)
TOLERANCE = 1e-7
TORCH, JAX = "consistency/editing_torch_*.npz", "consistency/editing_jax.npz"
GROUP = 7
"""Consecutive images of a batch that share a mask."""


def every_case(pattern):
    for path in reference.files(pattern):
        arrays = reference.load(path)
        for case in reference.cases(arrays):
            if case != "operator":
                yield pytest.param(arrays, case, id=f"{path.stem}-{case}")


def denoiser(arrays):
    """The exact denoiser of channels-last images, clipped as both releases do."""
    exact = denoiser_of(arrays)
    return clip(lambda x, sigma: jnp.moveaxis(exact(jnp.moveaxis(x, -1, -3), sigma), -3, -1))


def glyph_mask(arrays):
    """[B, H, W, C]: the glyph is hidden, and all but it in every other group."""
    shape = nhwc(arrays["in/image"]).shape
    shown = np.stack([1 - arrays["in/glyph"], arrays["in/glyph"]])
    return np.broadcast_to(shown[np.arange(shape[0]) // GROUP % 2][..., None], shape)


def torch_known(arrays, task):
    shape = nhwc(arrays["in/image"]).shape[1:]
    if task == "inpaint":
        return pixels(glyph_mask(arrays))
    return grey(shape) if task == "colorize" else patch_means(shape, math.isqrt(len(arrays["table/basis"])))


def jax_known(arrays, task):
    shape = nhwc(arrays["in/image"]).shape[1:]
    if task == "inpaint":
        return pixels(nhwc(arrays["out/mask_inpaint"]))
    return grey(shape) if task == "colorize" else patch_means(shape, int(task.removeprefix("superres")))


def reference_of(known, data, task, hidden):
    """The degraded image, whose hidden pixels are `hidden`."""
    return replace(known, jnp.full_like(data, hidden), data) if task == "inpaint" else degrade(known, data)


def edited(arrays, config, known, x, noise, record=lambda x: None):
    """Alg. 4 from x on."""
    f = keep(denoiser(arrays), known, nhwc(arrays["in/image"]))

    def recorded(x, sigma):
        jax.debug.callback(record, x, ordered=True)
        return f(x, sigma)

    levels = levels_of(config, config["steps"] if "steps" in config else config["train_N"], "t_min", "t_max")
    sigmas = at(levels, config["ts"])
    run = jax.jit(lambda x: sample(consistency(config["t_min"]), recorded, x, sigmas, noise=noise[: len(sigmas) - 1]))
    out = jax.block_until_ready(run(x))
    jax.effects_barrier()
    return out


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(every_case(TORCH), by("task")))
def test_torch(arrays, case, x64):
    config, recorded, calls = reference.config(arrays, case), reference.subset(arrays, f"{case}/out"), []
    task, image = config["task"], nhwc(arrays["in/image"])
    known = torch_known(arrays, task)
    close(nchw(reference_of(known, image, task, -1.0)), recorded["reference"], TOLERANCE)
    x = config["t_max"] * nhwc(arrays["in/z_T"])
    out = edited(arrays, config, known, x, nhwc(arrays["in/noise"]), calls.append)
    close(nchw(out), recorded["sample"], TOLERANCE)
    assert len(calls) == len(config["ts"]) - 1
    if "eval_x" in recorded:
        for called, expected in zip(calls, recorded["eval_x"], strict=True):
            close(nchw(called)[: expected.shape[0]], expected, TOLERANCE)


@pytest.mark.parametrize("path", reference.files(TORCH), ids=reference.ids)
def test_operator(path, x64):
    arrays = reference.load(path)
    task, image = reference.config(arrays)["task"], nhwc(arrays["in/image"])
    known, other = torch_known(arrays, task), jnp.clip(nhwc(arrays["operator/in/other"]), -1, 1)
    close(nchw(reference_of(known, image, task, -1.0)), arrays["operator/out/reference"], TOLERANCE)
    close(nchw(replace(known, other, image)), arrays["operator/out/mixed"], 1e-12)


@pytest.mark.parametrize("path", reference.files(TORCH), ids=reference.ids)
def test_tables(path, x64):
    """Masks are the recorded ones; of a basis the first column is, and any completion of it edits alike."""
    arrays = reference.load(path)
    image = nhwc(arrays["in/image"])
    if "out/mask" in arrays:
        np.testing.assert_array_equal(glyph_mask(arrays)[[0, GROUP], ..., 0], arrays["out/mask"])
        return
    table = arrays["table/basis"]
    first = LUMINANCE if len(table) == 3 else np.ones(len(table))
    close(orthogonal(first)[:, 0], table[:, 0], 1e-12)
    close(table @ table.T, np.eye(len(table)), 1e-12)
    if len(table) == 3:
        other = nhwc(arrays["operator/in/other"])
        theirs = replace(directions(grey_mask(image.shape[1:]), table), other, image)
        close(replace(grey(image.shape[1:]), other, image), theirs, 1e-12)


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(every_case(JAX), by("task")))
def test_jax(arrays, case, x64):
    config, recorded = reference.config(arrays, case), reference.subset(arrays, f"{case}/out")
    task, image, noise = config["task"], nhwc(arrays["in/image"]), nhwc(arrays["in/noise"])
    known = jax_known(arrays, task)
    degraded = reference_of(known, image, task, 0.0)
    close(nchw(degraded), recorded["reference"], TOLERANCE)
    # The notebook's first level is an index here, not a level.
    out = edited(arrays, config, known, degraded + config["ts"][0] * noise[0], noise[1:])
    close(nchw(out), recorded["sample"], TOLERANCE)

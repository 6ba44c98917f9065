"""Recorded zero-shot editing of both releases: Alg. 4 of Song et al. 2023, its operators and its tables."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.editing import LUMINANCE, degrade, directions, grey, orthogonal, patch_means, pixels, project_x0, replace
from jaxdiff.editing.linear_measurement import grey_mask
from jaxdiff.guidance import clip
from jaxdiff.samplers import consistency, sample
from tests.parity.score_sde import denoiser_of, float64
from tests.parity.test_consistency_samplers import at, consistency_function, levels_of, options_of
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.tiers import by, first_of_a_kind

READS = ("consistency/editing_*.npz", "consistency/editing.npz", "consistency/jcm_editing*.npz")
TOLERANCE = 1e-7
TORCH, JAX = "consistency/editing_torch_*.npz", "consistency/editing_jax.npz"
FROM_INDEX = "degraded image + noise row 0 times ts[0] (an index, not a time)"
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


def torch_measurement(arrays, task):
    shape = nhwc(arrays["in/image"]).shape[1:]
    if task == "inpaint":
        return pixels(glyph_mask(arrays))
    return grey(shape) if task == "colorize" else patch_means(shape, math.isqrt(len(arrays["table/basis"])))


def jax_measurement(arrays, task, patch_size):
    shape = nhwc(arrays["in/image"]).shape[1:]
    if task == "inpaint":
        return pixels(nhwc(arrays["out/mask_inpaint"]))
    return grey(shape) if task == "colorize" else patch_means(shape, patch_size)


def reference_of(measurement, data, task, hidden):
    """The degraded image, whose hidden pixels are `hidden`."""
    return replace(measurement, jnp.full_like(data, hidden), data) if task == "inpaint" else degrade(measurement, data)


def edited(denoise, config, measurement, image, x, noise, record=lambda x, sigma: None):
    """Alg. 4 from x on."""
    f = project_x0(denoise, measurement, image)

    def recorded(x, sigma):
        jax.debug.callback(record, x, sigma, ordered=True)
        return f(x, sigma)

    sigmas = at(levels_of(config, config["steps"] if "steps" in config else config["train_N"]), config["ts"])
    noise = noise[: len(sigmas) - 1]
    run = jax.jit(lambda x: sample(consistency(config["sigma_min"]), recorded, x, sigmas, noise=noise))
    out = jax.block_until_ready(run(x))
    jax.effects_barrier()
    return out


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(every_case(TORCH), by("task")))
def test_torch(arrays, case, x64):
    recorded, calls = reference.subset(arrays, f"{case}/out"), []
    config = options_of(arrays, case, "steps", "ts", "task")
    task, image = config["task"], nhwc(arrays["in/image"])
    measurement = torch_measurement(arrays, task)
    close(nchw(reference_of(measurement, image, task, -1.0)), recorded["reference"], TOLERANCE)
    x = config["sigma_max"] * nhwc(arrays["in/z_T"])
    noise, record = nhwc(arrays["in/noise"]), lambda x, sigma: calls.append(x)
    out = edited(denoiser(arrays), config, measurement, image, x, noise, record)
    close(nchw(out), recorded["sample"], TOLERANCE)
    assert len(calls) == len(config["ts"]) - 1
    if "eval_x" in recorded:
        for called, expected in zip(calls, recorded["eval_x"], strict=True):
            close(nchw(called)[: expected.shape[0]], expected, TOLERANCE)


@pytest.mark.parametrize("path", reference.files(TORCH), ids=reference.ids)
def test_operator(path, x64):
    arrays = reference.load(path)
    task, image = reference.config(arrays)["task"], nhwc(arrays["in/image"])
    measurement, other = torch_measurement(arrays, task), jnp.clip(nhwc(arrays["operator/in/other"]), -1, 1)
    close(nchw(reference_of(measurement, image, task, -1.0)), arrays["operator/out/reference"], TOLERANCE)
    close(nchw(replace(measurement, other, image)), arrays["operator/out/mixed"], 1e-12)


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
    recorded = reference.subset(arrays, f"{case}/out")
    config = options_of(arrays, case, "train_N", "ts", "task", "patch_size", start=(FROM_INDEX,))
    task, image, noise = config["task"], nhwc(arrays["in/image"]), nhwc(arrays["in/noise"])
    measurement = jax_measurement(arrays, task, config.get("patch_size"))
    degraded = reference_of(measurement, image, task, 0.0)
    close(nchw(degraded), recorded["reference"], TOLERANCE)
    # The notebook's first level is an index here, not a level.
    start = degraded + config["ts"][0] * noise[0]
    out = edited(denoiser(arrays), config, measurement, image, start, noise[1:])
    close(nchw(out), recorded["sample"], TOLERANCE)


def second_measurement(arrays, config, case, shape):
    """What the second recording keeps, as its tasks are called there."""
    if case.startswith("inpaint"):
        hidden = np.zeros(shape[:2], bool)
        hidden[8:24, 8:24] = "train_N" in config  # the notebook's middle
        return pixels(nhwc(arrays["in/mask"]) if "in/mask" in arrays else ~hidden[..., None] * np.ones(shape))
    if case.startswith("color"):
        return grey(shape)
    assert case.startswith("superres")
    return patch_means(shape, config["patch_size"])


@pytest.mark.parametrize(("arrays", "case"), [p for pattern in READS[1:] for p in every_case(pattern)])
def test_second_recording(arrays, case, x64):
    """Images of the notebook lie channels last."""
    config = options_of(arrays, case, "train_N", "steps", "ts", "patch_size", layout=("NHWC",))
    own, notebook, calls = reference.subset(arrays, case), "train_N" in config, []
    picture = float64 if notebook else nhwc
    image, noise = picture(own["in/images"]), picture(own["in/noise"])
    measurement = second_measurement(own, config, case, image.shape[1:])
    degraded = reference_of(measurement, image, case.removesuffix("ing"), 0.0 if notebook else -1.0)
    f = clip(consistency_function(arrays, config, *((0.25, "param/student") if notebook else (250.0, "param"))))
    # The notebook's first level is an index here, not a level.
    start = degraded + config["ts"][0] * noise[0] if notebook else picture(own["in/x"])
    record = lambda *call: calls.append(call)  # noqa: E731
    out = edited(f, config, measurement, image, start, noise[1:] if notebook else noise, record)
    recorded = reference.subset(own, "out")
    found = {"x": out, "samples": out, "images": degraded, "step_x": jnp.stack([x for x, _ in calls])}
    for name in set(recorded) & set(found):
        close(found[name], picture(recorded[name]), TOLERANCE)
    if "step_t" in recorded:
        np.testing.assert_allclose([sigma for _, sigma in calls], recorded["step_t"], rtol=1e-10)
    if "Q" in recorded:  # of which the first column is kept
        column = orthogonal(LUMINANCE if case.startswith("color") else np.ones(len(recorded["Q"])))[:, 0]
        close(column, recorded["Q"][:, 0])
    assert set(recorded) <= {*found, "step_t", "Q"}

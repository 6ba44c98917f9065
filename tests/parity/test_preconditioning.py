"""The four coefficients, sigma ranges, rounding and denoised images of the EDM reference's preconditioners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import grids
from jaxdiff.precond import denoiser
from jaxdiff.process import schedules
from tests.parity.edm_networks import labels_of, params_of, preconditioned
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc

READS = ("edm/precond_*.npz",)
files = pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)
COEFFICIENTS = ("c_skip", "c_out", "c_in", "c_noise")


def recorded_denoiser(path):
    """(arrays, parametrisation, denoise(x, sigma, labels), recorded inputs, tolerance); one program for one shape."""
    arrays = reference.load(path)
    config = reference.config(arrays)
    net, parametrisation, apply_fn = preconditioned(config["cls"], config["kwargs"])
    params = params_of(net, arrays, prefix="model.")
    inputs = nhwc(arrays["in/x"]), jnp.asarray(arrays["in/sigma"].astype(np.float64)), labels_of(arrays)
    denoise = jax.jit(lambda x, sigma, labels: denoiser(apply_fn, params, parametrisation, **labels)(x, sigma))
    # 1e-8 where the VP schedule's recorded times lose digits (tests/reference/edm/README.md).
    return arrays, parametrisation, denoise, inputs, 1e-8 if config["cls"] == "VPPrecond" else 1e-9


LEFT_OUT = {"D_no_labels": "class_labels", "D_no_augment": "augment_labels"}


@files
def test_denoised_images(path, x64):
    """One level for all and labels of zero are arrays of the same shapes; test_left_out_inputs leaves them out."""
    arrays, parametrisation, denoise, (x, sigma, labels), rtol = recorded_denoiser(path)
    close(nchw(denoise(x, sigma, labels)), arrays["out/D"], rtol)
    if "in/scalar_sigma" in arrays:
        scalar = arrays["in/scalar_sigma"].astype(np.float64)
        close(nchw(denoise(x, jnp.full_like(sigma, scalar), labels)), arrays["out/D_scalar_sigma"], rtol)
    for name, left_out in LEFT_OUT.items():
        if f"out/{name}" in arrays:
            close(nchw(denoise(x, sigma, labels | {left_out: 0 * labels[left_out]})), arrays[f"out/{name}"], rtol)
    for name in COEFFICIENTS:
        close(np.broadcast_to(getattr(parametrisation, name)(sigma), sigma.shape), arrays[f"out/{name}"], rtol)


@pytest.mark.full
@files
def test_left_out_inputs(path, x64):
    arrays, _, denoise, (x, sigma, labels), rtol = recorded_denoiser(path)
    if "in/scalar_sigma" in arrays:
        scalar = jnp.asarray(arrays["in/scalar_sigma"].astype(np.float64))
        close(nchw(denoise(x, scalar, labels)), arrays["out/D_scalar_sigma"], rtol)
    for name, left_out in LEFT_OUT.items():
        if f"out/{name}" in arrays:
            given = {key: value for key, value in labels.items() if key != left_out}
            close(nchw(denoise(x, sigma, given)), arrays[f"out/{name}"], rtol)


@files
def test_tables_and_ranges(path, x64):
    arrays = reference.load(path)
    config = reference.config(arrays)
    _, parametrisation, _ = preconditioned(config["cls"], config["kwargs"])
    sigma = jnp.asarray(arrays["table/sigma"].astype(np.float64))
    # The recorded inverse of the VP schedule cancels at small sigma: 1e-8 of its own largest value.
    for name in COEFFICIENTS:
        close(np.broadcast_to(getattr(parametrisation, name)(sigma), sigma.shape), arrays[f"table/{name}"])
    np.testing.assert_allclose(parametrisation.round_sigma(sigma), arrays["table/round_sigma"], rtol=1e-9)
    np.testing.assert_allclose(parametrisation.sigma_min, arrays["out/sigma_min"], rtol=1e-8)
    np.testing.assert_allclose(parametrisation.sigma_max, arrays["out/sigma_max_nonfinite_ok"], rtol=1e-9)
    kwargs = config["kwargs"]
    if "table/sigma_of_t" in arrays:
        schedule = schedules.vp(kwargs.get("beta_d", 19.9), kwargs.get("beta_min", 0.1))
        t = jnp.asarray(arrays["table/t"].astype(np.float64))
        np.testing.assert_allclose(schedule.sigma(t), arrays["table/sigma_of_t"], rtol=1e-8)
        np.testing.assert_allclose(schedule.sigma_inv(sigma), arrays["table/sigma_inv"], rtol=1e-8)
    if "out/u" in arrays:
        u = grids.iddpm_levels(kwargs.get("M", 1000), kwargs.get("C_1", 0.001), kwargs.get("C_2", 0.008))
        np.testing.assert_allclose(u, arrays["out/u"], rtol=1e-9)
        probe = jnp.asarray(arrays["table/probe_sigma"].astype(np.float64))
        np.testing.assert_allclose(parametrisation.round_sigma(probe), arrays["table/probe_round"], rtol=1e-9)
        index = kwargs.get("M", 1000) - 1 - np.asarray(parametrisation.c_noise(probe))
        np.testing.assert_array_equal(index, arrays["table/probe_index"])

"""EDM's three losses: levels, weights, values per example and parameter gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import losses, timesteps
from jaxdiff.interop.state_dict import published_name
from jaxdiff.precond import denoiser
from tests.parity.edm_networks import labels_of, params_of, preconditioned
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc

READS = ("edm/loss_*.npz",)


def levels_and_weight(cls, kwargs, draw):
    """sigma and its weight function for a recorded loss class."""
    known = {
        "EDMLoss": ("P_mean", "P_std", "sigma_data"),
        "VELoss": ("sigma_min", "sigma_max"),
        "VPLoss": ("beta_d", "beta_min", "epsilon_t"),
    }
    reference.only(kwargs, *known[cls])
    if cls == "EDMLoss":
        sigma = timesteps.lognormal_sigma(draw, kwargs.get("P_mean", -1.2), kwargs.get("P_std", 1.2))
        return sigma, lambda sigma: losses.edm_weight(sigma, kwargs.get("sigma_data", 0.5))
    if cls == "VELoss":
        sigma = timesteps.ve_sigma(draw, kwargs.get("sigma_min", 0.02), kwargs.get("sigma_max", 100))
        return sigma, losses.inverse_variance
    betas = kwargs.get("beta_d", 19.9), kwargs.get("beta_min", 0.1)
    return timesteps.vp_sigma(draw, *betas, kwargs.get("epsilon_t", 1e-5)), losses.inverse_variance


@pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)
def test_loss(path, x64):
    arrays = reference.load(path)
    config = reference.only(
        reference.config(arrays), "loss_cls", "loss_kwargs", "precond_cls", "precond_kwargs", kind=("loss",)
    )
    net, parametrisation, apply_fn = preconditioned(config["precond_cls"], config["precond_kwargs"])
    params = params_of(net, arrays, prefix="model.")
    draw = arrays["in/rnd_normal"] if "in/rnd_normal" in arrays else arrays["in/rnd_uniform"]
    sigma, weight = levels_and_weight(config["loss_cls"], config["loss_kwargs"], draw.astype(np.float64).reshape(-1))
    # 1e-8: small times of the VP schedule, where the recorded expression loses digits.
    rtol = 1e-8 if config["loss_cls"] == "VPLoss" else 1e-9
    close(sigma, arrays["out/sigma"].reshape(-1), rtol)
    close(weight(sigma), arrays["out/weight"].reshape(-1), rtol)
    x0, noise, labels = nhwc(arrays["in/images"]), nhwc(arrays["in/noise"]), labels_of(arrays)
    pixels = x0[0].size

    def total(params, x0, labels):
        """The reference sums over pixels and divides by the batch."""
        loss = losses.denoising_loss(denoiser(apply_fn, params, parametrisation, **labels), x0, sigma, noise, weight)
        return pixels * jnp.mean(loss), loss

    gradient_and_loss = jax.jit(jax.grad(total, has_aux=True))
    expected = arrays["out/loss"]
    gradient, loss = gradient_and_loss(params, x0, labels)
    close(loss, expected.mean(axis=(1, 2, 3)), rtol)
    for path_, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        name = f"out/grad/model.{published_name(path_)}"
        recorded = arrays.get(name)
        if recorded is None:  # such as the projection of augmentation labels that were not given
            assert not np.any(leaf), name
        else:
            back = np.asarray(leaf).transpose(3, 2, 0, 1) if leaf.ndim == 4 else np.asarray(leaf).T
            close(back, recorded, max(rtol, 2e-7) if recorded.dtype == np.float32 else rtol)
    if "out/loss_with_pipe" in arrays:
        piped = {**labels}
        if "in/pipe_labels" in arrays:
            piped["augment_labels"] = jnp.asarray(arrays["in/pipe_labels"].astype(np.float64))
        _, value = jax.jit(total)(params, nhwc(arrays["in/pipe_images"]), piped)
        close(value, arrays["out/loss_with_pipe"].mean(axis=(1, 2, 3)), rtol)
    assert nchw(x0).shape == expected.shape

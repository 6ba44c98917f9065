"""The recorded training losses composed from jaxdiff's, for a network output that is given."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxdiff import predictions
from jaxdiff.losses import ddpm, elbo
from jaxdiff.losses.gaussian import discretized_gaussian
from tests.parity.ddpm_process import LEARNED, model_of, precond_of, reverse_of, transform_of


def log_likelihood(x0, mean, log_variance):
    """The recorded decoder: bytes over [-1, 1]."""
    return discretized_gaussian(x0, mean, log_variance / 2, bins=256)


def chain_of(process, apply_fn, mean_type, var_type, clip):
    """The process as a hierarchical VAE around a network apply_fn(params, x_t, t)."""
    model = model_of(apply_fn, precond_of(process, mean_type), var_type, transform_of(mean_type, clip))
    return elbo.ddpm_hvae(process.betas, reverse_of(process, var_type), model, log_likelihood)


def training_loss(process, mean_type, var_type, loss_type, x0, t, noise, output):
    """{"loss", and of it "mse" where there is one, "vb" where the variance is learned as well}: [B] each."""
    num_steps, channels = len(process.betas), x0.shape[-1]
    chain = partial(chain_of, process, mean_type=mean_type, var_type=var_type, clip=False)
    if loss_type.endswith("KL"):
        vb = ddpm.vlb_loss(chain(lambda *_: output), x0, t, noise)
        return {"loss": vb * num_steps if loss_type == "RESCALED_KL" else vb}
    sigma = jnp.asarray(process.sigmas)[t + 1]
    mse = ddpm.simple_loss(output[..., :channels], precond_of(process, mean_type), x0, sigma, noise)
    if var_type not in LEARNED:
        return {"loss": mse, "mse": mse}
    vb = ddpm.vlb_loss(chain(lambda *_: ddpm.stop_mean(output, channels)), x0, t, noise)
    if loss_type == "RESCALED_MSE":
        return {"loss": ddpm.hybrid_loss(mse, vb, num_steps), "mse": mse, "vb": vb * num_steps / 1000}
    return {"loss": mse + vb, "mse": mse, "vb": vb}


@partial(jax.jit, static_argnums=0)
def loss_and_gradient(fn, output):
    """({"loss", ...}, gradient of the summed loss with respect to the network's output)."""

    def total(output):
        terms = fn(output)
        return terms["loss"].sum(), terms

    gradient, terms = jax.grad(total, has_aux=True)(output)
    return terms, gradient


def squared_errors(process, apply_fn, mean_type, clip, x0, noise):
    """Errors of the clean image and of the noise that it implies, [B, T], from the last step down."""
    denoise = model_of(
        apply_fn, precond_of(process, mean_type), "FIXED_SMALL", transform_of(mean_type, clip, raw_mean=False)
    )
    sigmas = jnp.asarray(process.sigmas)

    @jax.jit
    def one(t, noise):
        x = x0 + sigmas[t + 1] * noise
        x0_hat = denoise(x, sigmas[t + 1])
        eps = predictions.from_x0(predictions.eps, x0_hat, x, sigmas[t + 1])
        return tuple(jnp.mean((a - b) ** 2, axis=(1, 2, 3)) for a, b in ((x0_hat, x0), (eps, noise)))

    x0_errors, eps_errors = jax.lax.map(lambda inputs: one(*inputs), (jnp.arange(len(sigmas) - 1), noise))
    return {"xstart_mse": x0_errors[::-1].T, "mse": eps_errors[::-1].T}

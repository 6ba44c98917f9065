"""One step of a recorded process with a given network output, composed from jaxdiff's, in the recorded coordinates."""

from functools import partial

import jax.numpy as jnp
import numpy as np

from jaxdiff import guidance, precond, predictions
from jaxdiff.losses import elbo
from jaxdiff.process import posterior, reverse_kernel
from jaxdiff.samplers import ancestral, ddim
from jaxdiff.samplers.base import Level
from tests.parity.ddpm_process import LEARNED, from_x, model_of, precond_of, reverse_of, to_x, transform_of


class Step:
    """A process at steps t [B], from x_t and the noise of the step, with what the network returns there.

    Args:
      x_t, noise, output: channels last; the output's second half are values of a learned variance, if there are any.
    """

    def __init__(self, process, x_t, t, noise, output):
        self.process, self.t, self.noise, self.output = process, t, noise, output
        self.sigma, self.sigma_next = jnp.asarray(process.sigmas[t + 1]), jnp.asarray(process.sigmas[t])
        self.x = to_x(x_t, self.sigma)
        self.level = Level(0, self.sigma, self.sigma_next, 1)
        self.native = partial(from_x, sigma=self.sigma_next)

    def model(self, mean_type, var_type, clip, denoised_fn=None, raw_mean=True):
        """A network whose output is the given one."""
        channels = self.x.shape[-1] * (2 if var_type in LEARNED else 1)
        transform = transform_of(mean_type, clip, denoised_fn, raw_mean)
        apply_fn = lambda params, x, c_noise: self.output[..., :channels]  # noqa: E731
        return model_of(apply_fn, precond_of(self.process, mean_type), var_type, transform)

    def denoise(self, mean_type, clip, denoised_fn=None, gradient=None):
        """The denoiser that DDIM asks."""
        plain = self.model(mean_type, "FIXED_SMALL", clip, denoised_fn, raw_mean=False)
        return plain if gradient is None else guidance.classifier_guide(plain, gradient)

    def x0(self, mean_type, clip, denoised_fn=None, gradient=None):
        """The estimate of the clean image."""
        return self.denoise(mean_type, clip, denoised_fn, gradient)(self.x, self.sigma)

    def mean(self, mean_type, var_type, clip, denoised_fn=None, gradient=None):
        """Of p(x_{t-1} | x_t)."""
        model = self.model(mean_type, var_type, clip, denoised_fn)
        return self.native(reverse_of(self.process, var_type, gradient)(model, self.x, self.sigma, self.sigma_next)[0])

    def log_variance(self, mean_type, var_type, clip):
        """Of p(x_{t-1} | x_t), for every pixel."""
        model = self.model(mean_type, var_type, clip)
        _, found = reverse_of(self.process, var_type)(model, self.x, self.sigma, self.sigma_next)
        return jnp.broadcast_to(found - jnp.log1p(self.sigma_next**2)[:, None, None, None], self.x.shape)

    def ancestral(self, mean_type, var_type, clip, denoised_fn=None, gradient=None):
        """A draw of x_{t-1}."""
        model = self.model(mean_type, var_type, clip, denoised_fn)
        step = ancestral(reverse_of(self.process, var_type, gradient)).step
        return self.native(step(model, self.x, (), self.level, self.noise)[0])

    def ddim(self, mean_type, eta, clip, denoised_fn=None, gradient=None):
        """A step of DDIM."""
        denoise = self.denoise(mean_type, clip, denoised_fn, gradient)
        return self.native(ddim(eta).step(denoise, self.x, (), self.level, self.noise)[0])

    def ddim_mean(self, mean_type, clip, gradient):
        """The mean of x_{t-1} that guidance of the score leaves."""
        denoise = self.denoise(mean_type, clip, gradient=gradient)
        return self.native(reverse_kernel.fixed()(denoise, self.x, self.sigma, self.sigma_next)[0])

    def ddim_reverse(self, mean_type, clip):
        """One step up the chain, in the recorded coordinates, where alpha_bar_T = 0 has no level."""
        x0_hat = self.x0(mean_type, clip)
        eps = predictions.from_x0(predictions.eps, x0_hat, self.x, self.sigma)
        following = jnp.asarray(self.process.tables.alpha_bar_next[self.t])[:, None, None, None]
        return jnp.sqrt(following) * x0_hat + jnp.sqrt(1 - following) * eps


def forward(step, x_start, x_t, noise):
    """Draws and posteriors of the forward chain, with `noise` also as a network's output, by name."""
    process, t, sigma, sigma_next = step.process, step.t, step.sigma, step.sigma_next
    hvae = elbo.ddpm_hvae(process.betas, reverse_kernel.fixed(), None, None)
    column = lambda a: np.broadcast_to(np.asarray(a)[:, None, None, None], x_start.shape)  # noqa: E731
    variance = process.tables.posterior_variance[t]
    mean = step.native(posterior.mean(x_start, step.x, sigma, sigma_next))
    # The library's other way to the posterior, which knows of no level below the first.
    again, log_variance = elbo.latent_posterior(hvae, x_start, x_t, jnp.maximum(jnp.asarray(t), 1))
    later = t > 0
    np.testing.assert_allclose(again[later], mean[later], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose((jnp.exp(log_variance) + 0 * again)[later], column(variance)[later], rtol=1e-9)
    return {
        "q_sample": elbo.sample_latent(hvae, x_start, t, noise),
        "q_mean": elbo.sample_latent(hvae, x_start, t, 0 * noise),
        "q_variance": column(hvae.variance[t]),
        "q_log_variance": column(np.log(hvae.variance[t])),
        "posterior_mean": mean,
        "posterior_variance": column(variance),
        "posterior_log_variance_clipped": column(np.log(np.where(t == 0, process.tables.decoder_variance, variance))),
        "xstart_from_eps": predictions.to_x0(predictions.eps, noise, step.x, sigma),
        "eps_from_xstart": predictions.from_x0(predictions.eps, x_start, step.x, sigma),
        "xstart_from_xprev": predictions.to_x0(precond.ddpm.mu(process.betas), noise, step.x, sigma),
    }


def tolerance(process, clip):
    """1e-7 for unclipped estimates of x0 at the end of a cosine chain, where alpha_bar is 1e-9; else 1e-9."""
    return 1e-9 if clip or process.tables.alpha_bar[-1] > 1e-6 else 1e-7

"""Single steps with a stored network output: forward chain, posterior, predictions, ancestral, DDIM, guidance."""

import re
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff import guidance, predictions, reverse
from jaxdiff.losses import elbo
from jaxdiff.samplers import ancestral, ddim
from jaxdiff.samplers.base import Level
from tests.parity.ddpm_process import LEARNED, from_x, model_of, process_of, reverse_of, row_of, to_x, transform_of
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc  # fmt: skip

READS = ("ddpm/steps.npz", "ddpm/guidance.npz")
STEP = re.compile(r"(EPSILON|START_X|PREVIOUS_X)-(.+)-(clip|noclip)/out/([\w.]+)$")


def cases(name):
    found = []
    for path in reference.files(name):
        arrays = reference.load(path)
        found += [pytest.param(arrays, case, id=case) for case in reference.cases(arrays) if f"{case}/in/t" in arrays]
    return found


class Stored:
    """One recorded process with its inputs in the library's coordinates."""

    def __init__(self, arrays, case):
        self.process = process_of(reference.config(arrays, case))
        inputs = reference.subset(arrays, f"{case}/in")
        self.t = inputs["t"]
        self.inputs = {name: nhwc(a) for name, a in inputs.items() if name not in ("t", "x_start_u8")}
        self.sigma = jnp.asarray(self.process.sigmas[self.t + 1])
        self.sigma_next = jnp.asarray(self.process.sigmas[self.t])
        self.x = to_x(self.inputs["x_t"], self.sigma)
        self.level = Level(0, self.sigma, self.sigma_next, 1)

    def model(self, mean_type, var_type, clip, denoised_fn=None, raw_mean=True):
        """A network whose output is the stored one."""
        output = self.inputs["model_output"]
        channels = self.x.shape[-1] * (2 if var_type in LEARNED else 1)
        transform = transform_of(mean_type, clip == "clip", denoised_fn, raw_mean)
        apply_fn = lambda params, x, c_noise: output[..., :channels]  # noqa: E731
        return model_of(apply_fn, row_of(self.process, mean_type), var_type, transform)

    def expected(self, mean_type, kind, clip, quantity, gradient=None):
        """The recorded quantity, computed by jaxdiff, in the recorded coordinates."""
        native = partial(from_x, sigma=self.sigma_next)
        if kind == "denoised_fn":
            half = lambda x0: 0.5 * x0 + 0.1  # noqa: E731
            if quantity == "pred_xstart":
                return self.model(mean_type, "FIXED_SMALL", clip, half, raw_mean=False)(self.x, self.sigma)
            return native(reverse.fixed()(self.model(mean_type, "FIXED_SMALL", clip, half), self.x, self.sigma,
                                          self.sigma_next)[0])  # fmt: skip
        if kind.startswith("ddim-eta"):
            denoise = self.model(mean_type, "FIXED_SMALL", clip, raw_mean=False)
            step = ddim(float(kind.removeprefix("ddim-eta"))).step
            return native(step(denoise, self.x, (), self.level, self.inputs["step_noise"])[0])
        if kind == "ddim_reverse":
            return self.ddim_reverse(self.model(mean_type, "FIXED_SMALL", clip, raw_mean=False))
        if quantity == "pred_xstart":
            denoise = self.model(mean_type, kind, clip, raw_mean=False)
            return denoise(self.x, self.sigma)
        p, model = reverse_of(self.process, kind), self.model(mean_type, kind, clip)
        if gradient is not None:
            # In guidance the recorded variance of "fixed small" is 0 in the last step, where its logarithm is floored.
            p = reverse.guided(reverse.fixed() if kind == "FIXED_SMALL" else p, gradient)
        if quantity in ("sample", "p_sample"):
            return native(ancestral(p).step(model, self.x, (), self.level, self.inputs["step_noise"])[0])
        mean, log_variance = p(model, self.x, self.sigma, self.sigma_next)
        if quantity in ("mean", "condition_mean"):
            return native(mean)
        scale = jnp.log1p(self.sigma_next**2)[:, None, None, None]
        log_variance = jnp.broadcast_to(log_variance - scale, self.x.shape)
        return log_variance if quantity == "log_variance" else jnp.exp(log_variance)

    def ddim_reverse(self, denoise):
        """One step up the chain, in the recorded coordinates, where alpha_bar_T = 0 has no level."""
        x0_hat = denoise(self.x, self.sigma)
        eps = predictions.eps_from_x0(x0_hat, self.x, self.sigma)
        following = jnp.asarray(self.process.tables.alpha_bar_next[self.t])[:, None, None, None]
        return jnp.sqrt(following) * x0_hat + jnp.sqrt(1 - following) * eps


@pytest.mark.parametrize(("arrays", "case"), cases("ddpm/steps.npz"))
def test_forward_chain_and_predictions(arrays, case, x64):
    stored, inputs = Stored(arrays, case), Stored(arrays, case).inputs
    process, t, sigma, sigma_next = stored.process, stored.t, stored.sigma, stored.sigma_next
    recorded = reference.subset(arrays, f"{case}/out")
    hvae = elbo.diffusion(process.betas, reverse.fixed(), None, None)
    shape = inputs["x_start"].shape
    column = lambda a: np.broadcast_to(np.asarray(a)[:, None, None, None], shape)  # noqa: E731
    variance = process.tables.posterior_variance[t]
    floored = np.where(t == 0, process.tables.decoder_variance, variance)
    x_prev, noise = to_x(inputs["noise"], sigma_next), inputs["noise"]
    later = t > 0
    mean, log_variance = elbo.posterior(hvae, inputs["x_start"], inputs["x_t"], jnp.maximum(jnp.asarray(t), 1))
    found = {
        "q_sample": elbo.diffuse(hvae, inputs["x_start"], t, noise),
        "q_mean": elbo.diffuse(hvae, inputs["x_start"], t, 0 * noise),
        "q_variance": column(hvae.variance[t]),
        "q_log_variance": column(np.log(hvae.variance[t])),
        "posterior_mean": from_x(predictions.mu_from_x0(inputs["x_start"], stored.x, sigma, sigma_next), sigma_next),
        "posterior_variance": column(variance),
        "posterior_log_variance_clipped": column(np.log(floored)),
        "model_t": row_of(process, "EPSILON").c_noise(sigma),
        "xstart_from_eps": predictions.x0_from_eps(noise, stored.x, sigma),
        "eps_from_xstart": predictions.eps_from_x0(inputs["x_start"], stored.x, sigma),
        "xstart_from_xprev": predictions.x0_from_mu(x_prev, stored.x, sigma, sigma_next),
    }
    for name, array in found.items():
        close(nchw(array) if name != "model_t" else array, recorded[name])
    close(nchw(mean)[later], recorded["posterior_mean"][later])
    close(nchw(jnp.exp(log_variance) + 0 * mean)[later], recorded["posterior_variance"][later])
    left = {name for name in recorded if "/" not in name and not name.endswith("_f32")} - set(found)
    assert not left, f"nothing compares {sorted(left)}"


@pytest.mark.parametrize(("arrays", "case"), cases("ddpm/steps.npz"))
def test_steps(arrays, case, x64):
    stored, count = Stored(arrays, case), 0
    for name, recorded in reference.subset(arrays, case).items():
        if found := STEP.match(name):
            close(nchw(stored.expected(*found.groups())), recorded)
            count += 1
    assert count > 0


@pytest.mark.parametrize(("arrays", "case"), cases("ddpm/guidance.npz"))
def test_guided_steps(arrays, case, x64):
    stored, count = Stored(arrays, case), 0
    # The stored gradient is that of x_t = x / sqrt(1 + sigma^2).
    gradient = lambda x, sigma: from_x(stored.inputs["gradient"], sigma)  # noqa: E731
    for name, recorded in reference.subset(arrays, case).items():
        if found := STEP.match(name):
            close(nchw(guided(stored, gradient, *found.groups())), recorded)
            count += 1
    close(row_of(stored.process, "EPSILON").c_noise(stored.sigma), arrays[f"{case}/out/cond_t"])
    assert count > 0


def guided(stored, gradient, mean_type, kind, clip, quantity):
    """The recorded quantity of a guided step, computed by jaxdiff, in the recorded coordinates."""
    denoise = guidance.classifier_guide(stored.model(mean_type, "FIXED_SMALL", clip, raw_mean=False), gradient)
    if quantity.startswith("ddim_sample_eta"):
        step = ddim(float(quantity.removeprefix("ddim_sample_eta"))).step
        x, _ = step(denoise, stored.x, (), stored.level, stored.inputs["step_noise"])
        return from_x(x, stored.sigma_next)
    if quantity == "condition_score_mean":
        return from_x(reverse.fixed()(denoise, stored.x, stored.sigma, stored.sigma_next)[0], stored.sigma_next)
    if quantity in ("condition_score_pred_xstart", "ddim_pred_xstart"):
        return denoise(stored.x, stored.sigma)
    return stored.expected(mean_type, kind, clip, quantity, gradient)

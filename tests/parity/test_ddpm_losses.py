"""Training losses and the variational bound against recorded ones, gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.losses import elbo
from jaxdiff.losses.bits import bits_per_dim
from jaxdiff.losses.gaussian import discretized_gaussian, normal_kl, tanh_cdf
from tests.parity.ddpm_losses import chain_of, loss_and_gradient, squared_errors, training_loss
from tests.parity.ddpm_mixture import mixture_network
from tests.parity.ddpm_process import LEARNED, PROCESS, precond_of, process_of
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.tiers import by, first_of_a_kind

READS = ("ddpm/losses.npz", "ddpm/vlb.npz")


def cases(name, prefix=""):
    for path in reference.files(name):
        arrays = reference.load(path)
        for case in reference.cases(arrays):
            if case.startswith(prefix):
                yield pytest.param(arrays, case, id=case)


def kinds(arrays, case):
    """(MEAN, VAR, third word) of every group of recorded results of a case."""
    names = {name.split("/")[1] for name in arrays if name.startswith(case + "/") and name.count("/") == 3}
    return sorted(tuple(name.split("-")) for name in names if name.count("-") == 2)


def outputs(arrays, case, mean_type, var_type):
    output = nhwc(arrays[f"{case}/in/output/{mean_type}"])
    if var_type not in LEARNED:
        return output
    return jnp.concatenate([output, nhwc(arrays[f"{case}/in/variance_values/{var_type}"])], axis=-1)


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(cases("ddpm/losses.npz"), by()))
def test_training_losses(arrays, case, x64):
    process = process_of(reference.config(arrays, case))
    x0, noise = (nhwc(arrays[f"{case}/in/{name}"]) for name in ("x_start", "noise"))
    t = jnp.asarray(arrays[f"{case}/in/t"])
    found = kinds(arrays, case)
    assert found

    @jax.jit
    def every_kind(outputs):
        losses = [lambda output, kind=kind: training_loss(process, *kind, x0, t, noise, output) for kind in found]
        return [loss_and_gradient(*pair) for pair in zip(losses, outputs, strict=True)]

    results = every_kind([outputs(arrays, case, *kind[:2]) for kind in found])
    for kind, (terms, gradient) in zip(found, results, strict=True):
        recorded = reference.subset(arrays, f"{case}/{'-'.join(kind)}/out")
        for name, value in recorded.items():
            close(nchw(gradient) if name == "grad_model_output" else terms[name], value)
    vae = chain_of(process, lambda *_: None, "EPSILON", "FIXED_SMALL", False)
    close(nchw(elbo.sample_latent(vae, x0, t, noise)), arrays[f"{case}/out/x_t"])
    close(precond_of(process, "EPSILON").c_noise(jnp.asarray(process.sigmas)[t + 1]), arrays[f"{case}/out/model_t"])


@pytest.mark.parametrize(("arrays", "case"), first_of_a_kind(cases("ddpm/vlb.npz", "vb-"), by()))
def test_terms_of_the_bound(arrays, case, x64):
    process = process_of(reference.config(arrays, case))
    x0, noise = (nhwc(arrays[f"{case}/in/{name}"]) for name in ("x_start", "noise"))
    t = jnp.asarray(arrays[f"{case}/in/t"])
    found = kinds(arrays, case)
    assert found
    for mean_type, var_type, clip in found:
        output = outputs(arrays, case, mean_type, var_type)
        vae = chain_of(process, lambda *_: output, mean_type, var_type, clip == "clip")  # noqa: B023
        nats = elbo.layer_term(vae, x0, t, elbo.sample_latent(vae, x0, t, noise))
        close(bits_per_dim(nats, x0[0].size), arrays[f"{case}/{mean_type}-{var_type}-{clip}/out/vb"])
    close(bits_per_dim(elbo.prior_term(vae, x0), x0[0].size), arrays[f"{case}/out/prior_bpd"])
    close(nchw(elbo.sample_latent(vae, x0, t, noise)), arrays[f"{case}/out/x_t"])


@pytest.mark.parametrize(("arrays", "case"), list(cases("ddpm/vlb.npz", "bpd-")))
def test_full_bound(arrays, case, x64):
    config = reference.config(arrays, case)
    process = process_of(config)
    mean_type, var_type, clip = (config[name] for name in ("model_mean_type", "model_var_type", "clip_denoised"))
    apply_fn = mixture_network(arrays, mean_type, process, arrays[f"table/{config['table']}/alphas_cumprod"])
    vae = chain_of(process, apply_fn, mean_type, var_type, clip)
    x0, noise = (nhwc(arrays[f"{config['inputs']}/in/{name}"]) for name in ("x_start", "noise"))
    noise = noise[::-1]  # recorded in call order, from the last step down
    bound = jax.jit(lambda x0, noise: elbo.hvae_elbo(vae, x0, noise=noise))(x0, noise)
    recorded = reference.subset(arrays, f"{case}/out")
    found = {
        "total_bpd": bits_per_dim(bound.total, x0[0].size),
        "prior_bpd": bits_per_dim(bound.prior, x0[0].size),
        "vb": bits_per_dim(bound.layers, x0[0].size)[::-1].T,
    }
    if "mse" in recorded:
        found |= squared_errors(process, apply_fn, mean_type, clip, x0, noise)
    for name, value in recorded.items():
        if not name.endswith("_f32"):
            close(found[name], value)


@pytest.mark.parametrize("path", reference.files(*READS), ids=reference.ids)
def test_every_case_is_read(path):
    """A process, or a whole bound by the model that it names."""
    arrays = reference.load(path)
    for case in reference.cases(arrays):
        bound = ("inputs", "table", "model_mean_type", "model_var_type", "clip_denoised")
        reference.only(reference.config(arrays, case), *PROCESS, *(bound if case.startswith("bpd-") else ()))
        assert path.stem == "losses" or case.startswith(("vb-", "bpd-")), f"no test knows {case}"


def test_elementary_likelihoods(x64):
    for path in reference.files("ddpm/vlb.npz"):
        arrays = dict(reference.load(path).items())
        inputs = {
            name: jnp.asarray(a.astype(np.float64)) for name, a in arrays.items() if "/in/" in name and a.ndim == 1
        }
        x, means, log_scales = (inputs[f"discretized/in/{name}"] for name in ("x", "means", "log_scales"))
        log_prob = discretized_gaussian(x[:, None, None], means[None, :, None], log_scales[None, None])
        recorded = arrays["discretized/out/log_prob"]
        # The recorded differences of nearly equal numbers are good to 1e-15 of 1, not of themselves.
        assert np.all(np.abs(log_prob - recorded) <= 1e-12 + 1e-15 * np.exp(-recorded))
        names = ("mean1", "logvar1", "mean2", "logvar2")
        mean1, logvar1, mean2, logvar2 = (inputs[f"normal_kl/in/{name}"] for name in names)
        close(normal_kl(mean1, logvar1, mean2, logvar2), arrays["normal_kl/out/kl"])
        close(normal_kl(mean1, logvar1, 0.0, 0.0), arrays["normal_kl/out/kl_to_standard"])
        close(tanh_cdf(inputs["cdf/in/x"]), arrays["cdf/out/approx_cdf"])

"""Training losses, terms of the bound and elementary likelihoods in the second recording of OpenAI's processes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.losses import elbo
from jaxdiff.losses.bits import bits_per_dim
from jaxdiff.losses.gaussian import discretized_gaussian, normal_kl, tanh_cdf
from tests.parity.ddpm_losses import chain_of, loss_and_gradient, training_loss
from tests.parity.ddpm_process import PROCESS, process_of
from tests.parity.ddpm_steps import tolerance
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.tiers import first_of_a_kind

READS = ("ddpm/loss_training_*.npz", "ddpm/loss_vlb_*.npz", "ddpm/loss_dll.npz")
TYPES = ("model_mean_type", "model_var_type")


def inputs_of(arrays):
    """(process, x0, t, noise) of a file; x_t is compared at once."""
    process = process_of(reference.only(reference.config(arrays), "kind", *PROCESS))
    x0, noise, t = nhwc(arrays["in/x_start"]), nhwc(arrays["in/noise"]), jnp.asarray(arrays["in/t"])
    vae = chain_of(process, lambda *_: None, "EPSILON", "FIXED_SMALL", False)
    close(nchw(elbo.sample_latent(vae, x0, t, noise)), arrays["out/x_t"])
    return process, x0, t, noise


def blocks(pattern):
    """(arrays, block) of every file: a block has a network output, a mean type and a variance type."""
    for path in reference.files(pattern):
        arrays = reference.load(path)
        names = sorted({case.split("/")[0] for case in reference.cases(arrays)})
        assert names, f"{path.name} has no case"
        yield from (pytest.param(arrays, name, id=f"{path.stem}-{name}") for name in names)


def groups(arrays, block, kind, *others):
    """(config, results) of every group of a block."""
    for case in reference.cases(arrays):
        if case.startswith(f"{block}/"):
            config = reference.only(reference.config(arrays, case), *TYPES, *others, kind=(kind,))
            yield config, reference.subset(arrays, f"{case}/out")


def any_block(arrays, block):
    """The first block of a file is one of its kind."""
    return arrays.path


@pytest.mark.parametrize(("arrays", "block"), first_of_a_kind(blocks("ddpm/loss_training_*.npz"), any_block))
def test_training_losses(arrays, block, x64):
    process, x0, t, noise = inputs_of(arrays)
    output, found = (
        nhwc(arrays[f"{block}/in/model_output"]),
        list(groups(arrays, block, "training_losses", "loss_type")),
    )

    @jax.jit
    def every_loss(output):
        kinds = [tuple(config[name] for name in (*TYPES, "loss_type")) for config, _ in found]
        losses = [lambda output, kind=kind: training_loss(process, *kind, x0, t, noise, output) for kind in kinds]
        return [loss_and_gradient(loss, output) for loss in losses]

    for (terms, gradient), (_, recorded) in zip(every_loss(output), found, strict=True):
        for name, value in recorded.items():
            close(nchw(gradient) if name == "grad_model_output" else terms[name], value)


@pytest.mark.parametrize(("arrays", "block"), first_of_a_kind(blocks("ddpm/loss_vlb_*.npz"), any_block))
def test_terms_of_the_bound(arrays, block, x64):
    process, x0, t, noise = inputs_of(arrays)
    output = nhwc(arrays[f"{block}/in/model_output"])
    for config, recorded in groups(arrays, block, "vb term", "clip_denoised"):
        clip = config["clip_denoised"]
        vae = chain_of(process, lambda *_: output, *(config[name] for name in TYPES), clip)
        nats = elbo.layer_term(vae, x0, t, elbo.sample_latent(vae, x0, t, noise))
        assert set(recorded) == {"vb"}
        close(bits_per_dim(nats, x0[0].size), recorded["vb"], tolerance(process, clip))
    close(bits_per_dim(elbo.prior_term(vae, x0), x0[0].size), arrays["out/prior_bpd"])


def levels(x, means, log_scales):
    """Every grey value under a mean and a scale a row; their sum is the probability of any."""
    log_prob = discretized_gaussian(x[None], means[:, None], log_scales[:, None])
    return {"log_prob": log_prob, "total_probability": jnp.sum(jnp.exp(log_prob), axis=1)}


def pairwise(x, means, log_scales):
    return {"log_prob": discretized_gaussian(x, means, log_scales)}


def divergences(mean1, logvar1, mean2, logvar2):
    zero = jnp.zeros_like(mean1)
    return {
        "kl": normal_kl(mean1, logvar1, mean2, logvar2),
        "kl_to_standard_normal": normal_kl(mean1, logvar1, zero, zero),
    }


ELEMENTARY = {"levels": levels, "random": pairwise, "cdf": lambda x: {"cdf": tanh_cdf(x)}, "kl": divergences}


@pytest.mark.parametrize("path", reference.files("ddpm/loss_dll.npz"), ids=reference.ids)
def test_elementary_likelihoods(path, x64):
    arrays = reference.load(path)
    for case in reference.cases(arrays):
        inputs = {name: jnp.asarray(a.astype(np.float64)) for name, a in reference.subset(arrays, f"{case}/in").items()}
        # Jitted, as the library refuses pixels between the levels where it sees them.
        found, recorded = jax.jit(ELEMENTARY[case])(**inputs), reference.subset(arrays, f"{case}/out")
        assert set(found) == set(recorded), case
        for name, value in recorded.items():
            if name == "log_prob":
                # The recorded differences of nearly equal numbers are good to 1e-15 of 1, not of themselves.
                assert np.all(np.abs(found[name] - value) <= 1e-12 + 1e-15 * np.exp(-value)), case
            else:
                close(found[name], value)

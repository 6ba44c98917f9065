"""Variational diffusion models: gamma(t), every term of the bound with gradients, a reverse step and the decoder."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxdiff import process
from jaxdiff.losses import vdm
from jaxdiff.losses.bits import bits_per_dim
from jaxdiff.losses.vdm import decoder
from jaxdiff.nets.unet.vdm import VDMUNet
from jaxdiff.process import gamma
from jaxdiff.timesteps import times
from tests.support import reference
from tests.support.arrays import close

READS = ("ddpm/vdm_*.npz",)
# A file either holds a whole model or several schedules.
MODELS, SCHEDULES = [], []
for _path in reference.files(*READS):
    (MODELS if "gamma_type" in reference.config(reference.load(_path)) else SCHEDULES).append(_path)

GAMMAS = {
    "fixed": gamma.FixedLinear,
    "learnable_scalar": gamma.LearnedLinear,
    "learnable_nnet": gamma.Monotone,
}


def params_of(arrays, prefix):
    """Recorded names are Flax's own, joined by slashes."""
    leaves = {name: jnp.asarray(a.astype(np.float64)) for name, a in reference.subset(arrays, prefix).items()}
    return {"params": unflatten_dict(leaves, sep="/")}


def config_of(arrays, case=""):
    """Every option of the reference's model; the last is for our test, not for the model."""
    return reference.only(
        reference.config(arrays, case), "kind", "vocab_size", "sample_softmax", "antithetic_time_sampling",
        "with_fourier_features", "with_attention", "gamma_type", "gamma_min", "gamma_max", "sm_n_timesteps",
        "sm_n_embd", "sm_n_layer", "sm_pdrop", "sample_T",
    )  # fmt: skip


def gamma_of(config, params):
    """gamma(t) of a config."""
    module = GAMMAS[config["gamma_type"]](config["gamma_min"], config["gamma_max"])
    return partial(module.apply, params)


def network(config, arrays):
    """The score network of a config; the recorded conditioning is one number an image."""
    return VDMUNet(
        img_resolution=arrays["in/images"].shape[1],
        in_channels=arrays["in/images"].shape[-1],
        label_dim=1,
        model_channels=config["sm_n_embd"],
        num_blocks=config["sm_n_layer"],
        attention=config["with_attention"],
        fourier_exponents=(6, 7) if config["with_fourier_features"] else (),
        gamma_min=config["gamma_min"],
        gamma_max=config["gamma_max"],
        dropout=config["sm_pdrop"],
    )


def double(array):
    return jnp.asarray(array, jnp.float64)


class Compared:
    """Recorded results of a file, of which `rest` are those not yet compared."""

    def __init__(self, arrays):
        self.arrays = reference.subset(arrays, "out")
        self.rest = set(self.arrays)

    def __call__(self, name, actual):
        close(actual, self.arrays[name])
        self.rest.remove(name)


@pytest.mark.parametrize("path", SCHEDULES, ids=reference.ids)
def test_gamma(path, x64):
    arrays = reference.load(path)
    t = double(arrays["in/t"])
    for case in reference.cases(arrays):
        case_arrays = reference.subset(arrays, case)
        compare = Compared(case_arrays)
        gamma_t, slope = jax.jvp(
            gamma_of(config_of(arrays, case), params_of(case_arrays, "param")), (t,), (jnp.ones_like(t),)
        )
        alpha, sigma = process.vdm.alpha_sigma(gamma_t, jnp.zeros(t.shape))
        compare("gamma", gamma_t)
        compare("gamma_derivative", slope)
        compare("alpha2", alpha**2)
        compare("sigma2", sigma**2)
        assert not compare.rest, case


@pytest.mark.full
@pytest.mark.parametrize("path", MODELS, ids=reference.ids)
def test_model(path, x64):
    arrays = reference.load(path)
    config = config_of(arrays)
    compare = Compared(arrays)
    net, params = network(config, arrays), params_of(arrays, "param")["params"]
    labels = double(arrays["in/conditioning"])[:, None]
    eps_model = lambda params, z, g: net.apply({"params": params["score_model"]}, z, g, labels)  # noqa: E731
    gamma_fn = lambda params: gamma_of(config, {"params": params.get("gamma", {})})  # noqa: E731
    like = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros(arrays["in/images"].shape), jnp.zeros(1))["params"]
    assert jax.tree.map(jnp.shape, like) == jax.tree.map(jnp.shape, params["score_model"])

    x, bins = arrays["in/images"].astype(np.int64), config["vocab_size"]
    noise_0, noise, u = (double(arrays[f"in/{name}"]) for name in ("eps_0", "eps", "u"))
    t = times.antithetic_times(u, x.shape[0]) if config["antithetic_time_sampling"] else u
    num_steps = config["sm_n_timesteps"] or None

    @jax.jit
    def terms_and_gradient(params):
        def total(params):
            bound = partial(vdm.vdm_elbo, partial(eps_model, params), gamma_fn(params), x, t, noise_0, noise)
            terms = bound(bins=bins, num_steps=num_steps)
            return jnp.mean(terms.total), terms

        (_, terms), gradient = jax.value_and_grad(total, has_aux=True)(params)
        return terms, gradient

    terms, gradient = terms_and_gradient(params)
    compare("loss_recon", terms.reconstruction)
    compare("loss_klz", terms.prior)
    compare("loss_diff", terms.diffusion)
    compare("bpd", bits_per_dim(jnp.stack([jnp.mean(term) for term in terms]), x[0].size))
    gradient = {name: np.asarray(g) for name, g in flatten_dict(gradient, sep="/").items()}
    names = [str(name) for name in compare.arrays["grad_norm_names"]]
    assert set(names) == set(gradient)
    compare("grad_norm", [np.linalg.norm(gradient[name]) for name in names])
    zero = {name for name in names if np.linalg.norm(gradient[name]) < 1e-9 * max(compare.arrays["grad_norm"])}
    assert zero == set(compare.arrays["zero_grad_params"])
    for name in [name for name in compare.rest if name.startswith("grad/")]:
        compare(name, gradient[name.removeprefix("grad/")])
    compare.rest -= {"grad_norm_names", "zero_grad_params"}

    gamma_t = gamma_fn(params)
    t = t if num_steps is None else times.discrete_times(t, num_steps)
    f = decoder.encode(x, bins)
    alpha, sigma = process.vdm.alpha_sigma(gamma_t(t), f)
    predict = jax.jit(partial(eps_model, params))
    compare("t", t)
    compare("gamma_t", gamma_t(t))
    compare("f", f)
    compare("z_t", alpha * f + sigma * noise)
    compare("eps_hat", predict(alpha * f + sigma * noise, gamma_t(t)))
    for end in (0, 1):
        compare(f"var_{end}", process.vdm.alpha_sigma(gamma_t(double(end)), jnp.zeros(1))[1] ** 2)

    steps = config["sample_T"]
    z, step_noise = double(arrays["in/sample_z_t"]), double(arrays["in/sample_eps"])
    for name in [name for name in compare.rest if name.startswith("sample_z_s_i")]:
        left = steps - int(name.removeprefix("sample_z_s_i"))
        ends = gamma_t(double(left / steps)), gamma_t(double((left - 1) / steps))
        compare(name, process.vdm.reverse_step(predict, z, *ends, step_noise))

    z = double(arrays["in/decode_z"])
    log_p = decoder.decode(z, gamma_t(double(0)), bins)
    compare("decode_logprob_of_image", decoder.log_likelihood(x, z, gamma_t(double(0)), bins))
    np.testing.assert_array_equal(jnp.argmax(log_p, axis=-1), compare.arrays["decode_argmax"])
    compare("decode_logprob_pixel", log_p[0, 0, 0])
    assert compare.rest == {"decode_argmax"}


@pytest.mark.optimised(tier="full")
@pytest.mark.parametrize("path", MODELS, ids=reference.ids)
def test_network_in_float32(path):
    arrays = reference.load(path)
    config = config_of(arrays)
    params = jax.tree.map(lambda a: a.astype(jnp.float32), params_of(arrays, "param/score_model"))
    z, gamma_t, labels = (
        jnp.asarray(arrays[name], jnp.float32) for name in ("out/z_t", "out/gamma_t", "in/conditioning")
    )
    eps_hat = jax.jit(network(config, arrays).apply)(params, z, gamma_t, labels[:, None])
    assert eps_hat.dtype == jnp.float32
    close(eps_hat, arrays["out/eps_hat"], rtol=2e-4)

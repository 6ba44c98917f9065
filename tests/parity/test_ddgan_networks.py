"""Denoising diffusion GANs' generators and discriminators against recorded outputs and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import ddgan
from jaxdiff.interop.ddgan import params_of_discriminator, params_of_generator
from jaxdiff.nets.ddgan.discriminator import minibatch_deviation
from tests.parity.ddgan_networks import cases, discriminator, generator, labels_of, norms_of, options_of, read
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.gradients import with_gradients
from tests.support.tiers import by, first_of_a_kind

READS = (
    "ddgan/gen_*.npz",
    "ddgan/net_generator_*.npz",
    "ddgan/disc_*.npz",
    "ddgan/net_discriminator_*.npz",
    "ddgan/factory.npz",
)
GENERATORS = cases(READS[:2], {"out/y": "out/F"})
DISCRIMINATORS = cases(READS[2:4], {"out/y": "out/logits", "out/stddev": "out/batch_std"})
generators = pytest.mark.parametrize(("arrays", "config"), GENERATORS)
discriminators = pytest.mark.parametrize(("arrays", "config"), DISCRIMINATORS)
# In the default tier, a discriminator of each file.
some_discriminators = pytest.mark.parametrize(("arrays", "config"), first_of_a_kind(DISCRIMINATORS, by("kind")))


def state_dict(arrays, dtype):
    return {name: a.astype(dtype) for name, a in reference.subset(arrays, "param").items()}


def recorded_generator(arrays, config, dtype):
    """(net, params, run) with run(params, x, z), which shifts images that are not centred."""
    cls, kwargs = read(config)
    net = generator(kwargs, cls)
    labels = labels_of(kwargs, arrays["in/t"], dtype)
    shift = (lambda x: x) if kwargs["centered"] else (lambda x: 2 * x - 1)
    params = params_of_generator(net, state_dict(arrays, dtype))
    return net, params, lambda params, x, z: net.apply(params, shift(x), labels, z)


def check_norms(arrays, norms):
    """Each norm to its own size; keys' biases have no influence, and their gradients are rounding noise.

    Recorded zeros are of parameters that the network carries and does not use, and ours has not.
    """
    names, recorded = arrays["out/param_grad_norm_names"], arrays["out/param_grad_norm"]
    unused = {str(name) for name, norm in zip(names, recorded, strict=True) if norm == 0} - set(norms)
    found = [0.0 if name in unused else norms[name] for name in map(str, names)]
    np.testing.assert_allclose(found, recorded, rtol=1e-9, atol=1e-12 * recorded.max())


@pytest.mark.full
@generators
def test_generator_float64(arrays, config, x64):
    net, params, run = recorded_generator(arrays, config, np.float64)

    z = jnp.asarray(arrays["in/z"].astype(np.float64))
    inputs = params, nhwc(arrays["in/x"]), z
    output, gradients = with_gradients(run, inputs, nhwc(arrays["in/cotangent"]))
    param_gradients, x_gradient, z_gradient = gradients
    close(nchw(output), arrays["out/F"], rtol=1e-10)
    close(nchw(x_gradient), arrays["out/vjp_x"])
    close(z_gradient, arrays["out/vjp_z"])
    norms = norms_of(params_of_generator, net, reference.subset(arrays, "param"), param_gradients)
    check_norms(arrays, norms)


@pytest.mark.optimised(tier="full")
@generators
def test_generator_float32(arrays, config):
    _, params, run = recorded_generator(arrays, config, np.float32)
    output = jax.jit(run)(params, nhwc(arrays["in/x"], np.float32), jnp.asarray(arrays["in/z"]))
    assert output.dtype == jnp.float32
    close(nchw(output), arrays["out/F"], rtol=2e-4)


def recorded_discriminator(arrays, config, dtype):
    """(net, params, run) with run(params, x_next, x, t)."""
    net = discriminator(*read(config))
    return net, params_of_discriminator(net, state_dict(arrays, dtype)), jax.jit(net.apply)


@pytest.mark.full
@discriminators
def test_discriminator_float64(arrays, config, x64):
    net, params, run = recorded_discriminator(arrays, config, np.float64)
    t = jnp.asarray(arrays["in/t"])
    x_next, x = nhwc(arrays["in/x"]), nhwc(arrays["in/x_t"])
    for name in [name for name in arrays if name.startswith("out/logits_batch")]:
        size = int(name.removeprefix("out/logits_batch"))
        close(run(params, x_next[:size], x[:size], t[:size])[:, None], arrays[name], rtol=1e-10)

    last = f"block{len(net.channel_mult) - 1}"
    seen = partial(net.apply, capture_intermediates=lambda module, _: module.name == last)

    @jax.jit
    def output_and_gradients(params, x_next, x, cotangent):
        output, pull, state = jax.vjp(lambda *inputs: seen(*inputs, t), params, x_next, x, has_aux=True)
        return output, state, *pull(cotangent)

    cotangent = jnp.asarray(arrays["in/cotangent"].astype(np.float64)[:, 0])
    output, state, param_gradients, *gradients = output_and_gradients(params, x_next, x, cotangent)
    close(output[:, None], arrays["out/logits"], rtol=1e-10)
    compare_gradients(arrays, dict(zip(("vjp_x", "vjp_x_t"), map(nchw, gradients), strict=True)))
    deviation = minibatch_deviation(state["intermediates"][last]["__call__"][0])
    close(deviation[:, 0], arrays["out/batch_std"], rtol=1e-10)
    norms = norms_of(params_of_discriminator, net, reference.subset(arrays, "param"), param_gradients)
    check_norms(arrays, norms)


def compare_gradients(arrays, found):
    """Whole, every seventh row and column, or a corner of the first example and the norm of each."""
    recorded = {name: a for name, a in reference.subset(arrays, "out").items() if name.startswith("vjp_")}
    for name, a in recorded.items():
        if name.endswith("_crop"):
            whole = found[name.removesuffix("_crop")]
            close(whole[: len(a), :, : a.shape[2], : a.shape[3]], a)
        elif name.endswith("_norm"):
            whole = found[name.removesuffix("_norm")]
            close(np.sqrt((whole**2).sum(axis=(1, 2, 3))), a)
        else:
            step = 1 if a.shape == found[name].shape else 7
            close(found[name][..., ::step, ::step], a)
    assert recorded


@pytest.mark.optimised(tier="full")
@some_discriminators
def test_discriminator_float32(arrays, config):
    _, params, run = recorded_discriminator(arrays, config, np.float32)
    x_next, x = nhwc(arrays["in/x"], np.float32), nhwc(arrays["in/x_t"], np.float32)
    output = run(params, x_next, x, jnp.asarray(arrays["in/t"]))
    assert output.dtype == jnp.float32
    close(output[:, None], arrays["out/logits"], rtol=2e-4)


@pytest.mark.parametrize("path", reference.files(READS[4]), ids=reference.ids)
def test_released_networks(path):
    """Every published name has its place with its shape, and the other way round."""
    arrays = reference.load(path)
    for case in reference.cases(arrays):
        config = reference.config(arrays, case)
        assert set(config) == {"generator", "discriminator"}
        options = options_of(config["generator"])
        # T is of the process, which the record does not name.
        released = {name: value for name, value in vars(ddgan).items() if isinstance(value, ddgan.Options)}
        assert released.get(case.upper(), options) == options, "the preset is the recorded model"
        kwargs = dict(config["discriminator"])
        nets = {"G": generator(config["generator"]), "D": discriminator(kwargs.pop("cls"), kwargs)}
        readers = {"G": params_of_generator, "D": params_of_discriminator}
        for name, net in nets.items():
            recorded = zip(arrays[f"{case}/out/{name}_names"], arrays[f"{case}/out/{name}_shapes"], strict=True)
            zero = np.zeros((), np.float32)
            shapes = {str(key): tuple(int(n) for n in str(shape).split("x")) for key, shape in recorded}
            params = readers[name](net, {key: np.broadcast_to(zero, shape) for key, shape in shapes.items()})
            assert sum(leaf.size for leaf in jax.tree.leaves(params)) == arrays[f"{case}/out/{name}_num_parameters"]

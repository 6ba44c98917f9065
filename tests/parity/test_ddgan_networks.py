"""Denoising diffusion GANs' generators and discriminators against recorded outputs and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import ddgan
from jaxdiff.interop.ddgan import params_of_discriminator, params_of_generator
from jaxdiff.nets.ddgan_discriminator import minibatch_deviation
from tests.parity.ddgan_networks import discriminator, generator, labels_of, norms_of, options_of
from tests.support import reference
from tests.support.arrays import close, nchw, nhwc
from tests.support.gradients import with_gradients

READS = ("ddgan/gen_*.npz", "ddgan/disc_*.npz", "ddgan/factory.npz")
generators = pytest.mark.parametrize("path", reference.files(READS[0]), ids=reference.ids)
discriminators = pytest.mark.parametrize("path", reference.files(READS[1]), ids=reference.ids)


def state_dict(arrays, dtype):
    return {name: a.astype(dtype) for name, a in reference.subset(arrays, "param").items()}


def recorded_generator(path, dtype):
    """(arrays, net, params, run) with run(params, x, z), which shifts images that are not centred."""
    arrays = reference.load(path)
    config = reference.config(arrays)
    net = generator(config["kwargs"])
    labels = labels_of(config, arrays["in/t"], dtype)
    shift = (lambda x: x) if config["kwargs"]["centered"] else (lambda x: 2 * x - 1)
    params = params_of_generator(net, state_dict(arrays, dtype))
    return arrays, net, params, lambda params, x, z: net.apply(params, shift(x), labels, z)


def check_norms(arrays, norms):
    """Each norm to its own size; keys' biases have no influence, and their gradients are rounding noise."""
    names, recorded = arrays["out/param_grad_norm_names"], arrays["out/param_grad_norm"]
    np.testing.assert_allclose([norms[name] for name in names], recorded, rtol=1e-9, atol=1e-12 * recorded.max())


@pytest.mark.full
@generators
def test_generator_float64(path, x64):
    arrays, net, params, run = recorded_generator(path, np.float64)

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
def test_generator_float32(path):
    arrays, _, params, run = recorded_generator(path, np.float32)
    output = jax.jit(run)(params, nhwc(arrays["in/x"], np.float32), jnp.asarray(arrays["in/z"]))
    assert output.dtype == jnp.float32
    close(nchw(output), arrays["out/F"], rtol=2e-4)


def recorded_discriminator(path, dtype):
    """(arrays, net, params, run) with run(params, x_next, x, t)."""
    arrays = reference.load(path)
    config = reference.config(arrays)
    net = discriminator(config["cls"], config["kwargs"])
    return arrays, net, params_of_discriminator(net, state_dict(arrays, dtype)), jax.jit(net.apply)


@pytest.mark.full
@discriminators
def test_discriminator_float64(path, x64):
    arrays, net, params, run = recorded_discriminator(path, np.float64)
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
    for name, gradient in zip(("x", "x_t"), gradients, strict=True):
        recorded = arrays[f"out/vjp_{name}"]
        step = 1 if recorded.shape == nchw(gradient).shape else 7
        close(nchw(gradient)[..., ::step, ::step], recorded)
    deviation = minibatch_deviation(state["intermediates"][last]["__call__"][0])
    close(deviation[:, 0], arrays["out/batch_std"], rtol=1e-10)
    norms = norms_of(params_of_discriminator, net, reference.subset(arrays, "param"), param_gradients)
    check_norms(arrays, norms)


@pytest.mark.optimised(tier="full")
@discriminators
def test_discriminator_float32(path):
    arrays, _, params, run = recorded_discriminator(path, np.float32)
    x_next, x = nhwc(arrays["in/x"], np.float32), nhwc(arrays["in/x_t"], np.float32)
    output = run(params, x_next, x, jnp.asarray(arrays["in/t"]))
    assert output.dtype == jnp.float32
    close(output[:, None], arrays["out/logits"], rtol=2e-4)


@pytest.mark.parametrize("path", reference.files(READS[2]), ids=reference.ids)
def test_released_networks(path):
    """Every published name has its place with its shape, and the other way round."""
    arrays = reference.load(path)
    for case in reference.cases(arrays):
        config = reference.config(arrays, case)
        assert options_of(config["generator"]) == getattr(ddgan, case.upper())
        kwargs = dict(config["discriminator"])
        nets = {"G": generator(config["generator"]), "D": discriminator(kwargs.pop("cls"), kwargs)}
        readers = {"G": params_of_generator, "D": params_of_discriminator}
        for name, net in nets.items():
            recorded = zip(arrays[f"{case}/out/{name}_names"], arrays[f"{case}/out/{name}_shapes"], strict=True)
            zero = np.zeros((), np.float32)
            shapes = {str(key): tuple(int(n) for n in str(shape).split("x")) for key, shape in recorded}
            params = readers[name](net, {key: np.broadcast_to(zero, shape) for key, shape in shapes.items()})
            assert sum(leaf.size for leaf in jax.tree.leaves(params)) == arrays[f"{case}/out/{name}_num_parameters"]

"""Resampling operations of denoising diffusion GANs against recorded ones, and the networks' layers against them."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.nets.convolution import Conv, convolve
from jaxdiff.nets.ddgan.discriminator import leaky_relu
from jaxdiff.nets.resampling import convolution_taps, resample, upfirdn
from tests.parity.ddgan_networks import cases, check_known
from tests.support import reference
from tests.support.arrays import close
from tests.support.gradients import with_gradients
from tests.support.tiers import by, first_of_a_kind

READS = ("ddgan/ops.npz",)
CASES = [case for case in cases(READS, {}) if "op" in case.values[1]]
KNOWN = {
    **{key: {"kernel", "factor", "gain"} for key in ("upsample_2d", "downsample_2d", "conv_downsample_2d")},
    "upfirdn2d": {"kernel", "up", "down", "pad"},
    **{key: {"factor"} for key in ("naive_upsample_2d", "naive_downsample_2d")},
    "fused_leaky_relu": {"negative_slope", "scale"},
}


def ours(a):
    """float64, channels last."""
    a = jnp.asarray(np.asarray(a, np.float64))
    return jnp.moveaxis(a, 1, -1) if a.ndim == 4 else a


def recorded(a):
    return np.moveaxis(np.asarray(a), -1, 1) if np.ndim(a) == 4 else np.asarray(a)


def filtered(x, kernel, up, down, pad):
    return upfirdn(x, kernel, (1, 2), up, down, pad)


def kernel_of(config, gain=1.0):
    """Two-dimensional taps, or the outer product of a row, normalised; averages where none are given."""
    taps = np.asarray(config.get("kernel") or [1] * config["factor"], np.float64)
    taps = np.outer(taps, taps) if taps.ndim == 1 else taps
    return taps / taps.sum() * gain


def up_sampled(config, x):
    factor, gain = config["factor"], config.get("gain", 1.0)
    kernel = kernel_of(config, gain * config["factor"] ** 2)
    p = len(kernel) - factor
    # StyleGAN puts factor - 1 zeros after the last pixel too.
    return filtered(x, kernel, factor, 1, ((p + 1) // 2 + factor - 1, p // 2 + factor - 1))


def down_sampled(config, x):
    kernel = kernel_of(config, config.get("gain", 1.0))
    p = len(kernel) - config["factor"]
    return filtered(x, kernel, 1, config["factor"], ((p + 1) // 2, p // 2))


def conv_down_sampled(config, x, w):
    """StyleGAN filters and then convolves with a stride; the order does not matter."""
    kernel = kernel_of(config, config.get("gain", 1.0))
    p = len(kernel) - config["factor"] + w.shape[-1] - 1
    pad = ((p + 1) // 2, p // 2)
    y = convolve(jnp.pad(x, [(0, 0), pad, pad, (0, 0)]), w.transpose(2, 3, 1, 0), 0)
    return filtered(y, kernel, 1, config["factor"], (0, 0))


def general(config, x):
    up, (before, after) = config["up"], config["pad"]
    return filtered(x, config["kernel"], up, config["down"], (before, after + up - 1))


def biased_leaky_relu(config, x, b):
    assert (config["negative_slope"], config["scale"]) == (0.2, "sqrt(2)"), "no test knows another"
    return leaky_relu(x + b[None, None, None]) * 2**0.5


OPS = {
    "upsample_2d": up_sampled,
    "downsample_2d": down_sampled,
    "conv_downsample_2d": conv_down_sampled,
    "upfirdn2d": general,
    "naive_upsample_2d": lambda config, x: up_sampled({"kernel": None, **config}, x),
    "naive_downsample_2d": lambda config, x: down_sampled({"kernel": None, **config}, x),
    "fused_leaky_relu": biased_leaky_relu,
}


def inputs_of(arrays):
    """Images channels last; kernels as they are recorded."""
    given = {name: a for name, a in reference.subset(arrays, "in").items() if name != "cotangent"}
    return {name: ours(a) if name == "x" else jnp.asarray(a.astype(np.float64)) for name, a in given.items()}


def check(run, arrays):
    inputs = inputs_of(arrays)
    output, (gradients,) = with_gradients(run, [inputs], ours(arrays["in/cotangent"]))
    close(recorded(output), arrays["out/y"], rtol=1e-10)
    for name in inputs:
        gradient = recorded(gradients[name]) if name == "x" else gradients[name]
        close(gradient, arrays[f"out/vjp_{name}"])


@pytest.mark.parametrize(("arrays", "config"), first_of_a_kind(CASES, by("op")))
def test_operation(arrays, config, x64):
    op = config["op"]
    check_known(config, {"op"} | KNOWN[op], f"of {op}")
    check(lambda inputs: OPS[op](config, **inputs), arrays)


def of_the_networks(config):
    """Whether `resample` serves it: one row of an even number of taps."""
    taps = config.get("kernel") or [1, 1]
    of_layers = config["op"] != "upfirdn2d" and config.get("factor") == 2
    return of_layers and np.ndim(taps) == 1 and not len(taps) % 2 and "gain" not in config


def orientation(arrays, config):
    taps = config.get("kernel") or [1, 1]
    return config["op"], taps == taps[::-1]


@pytest.mark.parametrize(
    ("arrays", "config"),
    first_of_a_kind([case for case in CASES if of_the_networks(case.values[1])], orientation),
)
def test_layers_of_the_networks_are_these_operations(arrays, config, x64):
    direction = "up" if "up" in config["op"] else "down"
    taps = convolution_taps(config.get("kernel") or (1, 1), direction)
    if config["op"] == "conv_downsample_2d":
        layer = Conv(arrays["in/w"].shape[0], arrays["in/w"].shape[-1], direction, taps, fused=True, bias=False)
        check(
            lambda inputs: layer.apply({"params": {"kernel": inputs["w"].transpose(2, 3, 1, 0)}}, inputs["x"]), arrays
        )
    else:
        check(lambda inputs: resample(inputs["x"], taps, direction), arrays)


def test_every_case_is_read():
    for path in reference.files(*READS):
        arrays = reference.load(path)
        assert len(reference.cases(arrays)) == len([case for case in CASES if case.values[0].path == path])

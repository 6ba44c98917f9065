"""EDM's recorded networks, rebuilt from a file's config and parameters. Images turn from NCHW to NHWC and back."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import grids, precond
from jaxdiff.interop.edm import from_arguments
from jaxdiff.interop.state_dict import to_params
from jaxdiff.nets.unet.edm_adm import DhariwalUNet
from jaxdiff.nets.unet.song import SongUNet
from tests.support import reference

NETWORKS = {"SongUNet": SongUNet, "DhariwalUNet": DhariwalUNet}
CHURN = {"S_churn": "s_churn", "S_min": "s_min", "S_max": "s_max", "S_noise": "s_noise"}


def network(cls, kwargs):
    return NETWORKS[cls](**{name: tuple(v) if isinstance(v, list) else v for name, v in kwargs.items()})


def params_of(net, arrays, prefix="", dtype=np.float64):
    """Parameters and buffers of a file, in the structure of the network's params."""
    state_dict = {**reference.subset(arrays, "param"), **reference.subset(arrays, "buffer")}
    state_dict = {name: value.astype(dtype) for name, value in state_dict.items()}
    x = jnp.zeros((1, net.img_resolution, net.img_resolution, net.in_channels))
    return to_params(state_dict, jax.eval_shape(net.init, jax.random.key(0), x, jnp.zeros(1)), prefix)


def preconditioned(cls, kwargs):
    """(net, preconditioning, apply_fn) of a recorded preconditioner class with its arguments, as a checkpoint's are."""
    assert not kwargs.get("use_fp16"), "no test knows half precision"
    kwargs = {name: reference.number(value) for name, value in kwargs.items()}
    net, parametrisation = from_arguments(cls, kwargs, entries=1000)
    return net, parametrisation, precond.leading_channels(net.apply)


def sampler_options(config, *more):
    """(arguments of the sampler, without those that are None; its churn in our names)."""
    options = reference.only(config, "num_steps", "sigma_min", "sigma_max", "rho", *CHURN, *more)
    options = {name: reference.number(value) for name, value in options.items() if value is not None}
    return options, {ours: options[theirs] for theirs, ours in CHURN.items() if theirs in options}


def levels(options, low, high):
    """EDM's grid within a network's limits."""
    lowest, highest = max(options.get("sigma_min", 0.002), low), min(options.get("sigma_max", 80.0), high)
    return grids.karras(options.get("num_steps", 18), lowest, highest, options.get("rho", 7.0))


def nearest(table):
    """Rounding to the levels that a network knows."""
    table = jnp.asarray(table)
    return lambda sigma: table[jnp.argmin(jnp.abs(table - jnp.asarray(sigma)))]


def labels_of(arrays, dtype=np.float64, prefix="in/"):
    """Class and augmentation labels of a file, as keyword arguments."""
    found = {name: arrays.get(prefix + name) for name in ("class_labels", "augment_labels")}
    return {name: jnp.asarray(value.astype(dtype)) for name, value in found.items() if value is not None}

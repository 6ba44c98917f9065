"""EDM's recorded networks, rebuilt from a file's config and parameters. Images turn from NCHW to NHWC and back."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff import precond
from jaxdiff.interop.state_dict import to_params
from jaxdiff.nets.unet_adm import DhariwalUNet
from jaxdiff.nets.unet_song import SongUNet
from tests.support import reference

NETWORKS = {"SongUNet": SongUNet, "DhariwalUNet": DhariwalUNet}


def network(cls, kwargs):
    return NETWORKS[cls](**{name: tuple(v) if isinstance(v, list) else v for name, v in kwargs.items()})


def params_of(net, arrays, prefix="", dtype=np.float64):
    """Parameters and buffers of a file, in the structure of the network's params."""
    state_dict = {**reference.subset(arrays, "param"), **reference.subset(arrays, "buffer")}
    state_dict = {name: value.astype(dtype) for name, value in state_dict.items()}
    x = jnp.zeros((1, net.img_resolution, net.img_resolution, net.in_channels))
    return to_params(state_dict, jax.eval_shape(net.init, jax.random.key(0), x, jnp.zeros(1)), prefix)


def preconditioned(cls, kwargs):
    """(net, preconditioning, apply_fn) of a recorded preconditioner class with its arguments.

    Arguments that the network does not know belong to the preconditioner.
    """
    kwargs = dict(kwargs)
    channels = kwargs.pop("img_channels")
    kwargs.pop("use_fp16", None)
    rows = {"VPPrecond": precond.vp, "VEPrecond": precond.ve, "iDDPMPrecond": precond.iddpm, "EDMPrecond": precond.edm}
    names = {"M": "num_levels", "C_1": "c_1", "C_2": "c_2"}
    row = {names.get(name, name): reference.number(value) for name, value in kwargs.items()}
    row = {name: value for name, value in row.items() if name in inspect.signature(rows[cls]).parameters}
    default = "DhariwalUNet" if cls == "iDDPMPrecond" else "SongUNet"
    net_cls = NETWORKS[kwargs.pop("model_type", default)]
    ours = {name: value for name, value in kwargs.items() if name in net_cls.__dataclass_fields__}
    out_channels = channels * (2 if cls == "iDDPMPrecond" else 1)
    net = network(net_cls.__name__, {**ours, "in_channels": channels, "out_channels": out_channels})
    return net, rows[cls](**row), precond.leading_channels(net.apply)


def labels_of(arrays, dtype=np.float64, prefix="in/"):
    """Class and augmentation labels of a file, as keyword arguments."""
    found = {name: arrays.get(prefix + name) for name in ("class_labels", "augment_labels")}
    return {name: jnp.asarray(value.astype(dtype)) for name, value in found.items() if value is not None}

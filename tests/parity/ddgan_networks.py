"""Denoising diffusion GANs' recorded networks, rebuilt from a file's config and parameters."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.interop import ddgan
from jaxdiff.nets.ddgan_discriminator import Discriminator, large

UNREAD = {"centered", "fourier_scale"}  # the caller shifts images; frequencies are parameters
DISCRIMINATORS = {"Discriminator_small": Discriminator, "Discriminator_large": large}


def options_of(kwargs):
    """Recorded options, which bear the same names."""
    known = {name: tuple(value) if isinstance(value, list) else value for name, value in kwargs.items()}
    return ddgan.Options(**{name: value for name, value in known.items() if name not in UNREAD})


def generator(kwargs):
    """The generator of recorded options."""
    return ddgan.network(options_of(kwargs))


def discriminator(cls, kwargs):
    """The discriminator of a recorded class; nc counts the channels of both images."""
    return DISCRIMINATORS[cls](kwargs["nc"] // 2, kwargs["ngf"], kwargs["t_emb_dim"])


def norms_of(params_of, net, state_dict, gradients):
    """Norms by the published names: every number of our params is told from which published array it comes."""
    origin = {name: np.full(a.shape, i, np.float64) for i, (name, a) in enumerate(state_dict.items())}
    squares = np.zeros(len(origin))
    for source, gradient in zip(jax.tree.leaves(params_of(net, origin)), jax.tree.leaves(gradients), strict=True):
        index = np.asarray(source).astype(int).ravel()
        squares += np.bincount(index, np.asarray(gradient).ravel() ** 2, minlength=len(squares))
    return dict(zip(origin, np.sqrt(squares), strict=True))


def labels_of(config, t, dtype):
    """What the network is told of the recorded times: a Fourier embedding is of their logarithm."""
    t = jnp.asarray(np.asarray(t, dtype))
    return jnp.log(t) if config["kwargs"].get("embedding_type") == "fourier" else t

"""Denoising diffusion GANs' recorded networks, rebuilt from a file's config and parameters.

Two sets of recordings name some things differently; here they have the names of one.
"""

from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.interop import ddgan
from jaxdiff.nets.ddgan.discriminator import Discriminator, large_discriminator
from tests.support import reference

UNREAD = {"centered", "fourier_scale"}  # the caller shifts images; frequencies are parameters
OPTIONS = {field.name for field in fields(ddgan.Options)}
DISCRIMINATORS = {"Discriminator_small": Discriminator, "Discriminator_large": large_discriminator}
# What a file says besides the class and its options, which is either of no influence or has this one value.
ABOUT = {
    "kind", "batch", "image_height", "image_width", "height_width", "t_below", "cases",
    "official_needs_interpolate_fix", "repaired_nearest_upsampling",
}  # fmt: skip
ONLY = {"layout": "NCHW", "act": "LeakyReLU(0.2)", "activation": "leaky_relu 0.2"}


def check_known(given, known, what):
    """An option that the test does not know must fail it."""
    assert set(given) <= set(known), f"no test knows {what} {sorted(set(given) - set(known))}"


def read(config):
    """(class, its options) of a recorded network, after proof that all is known that the file says of it."""
    check_known(config, {"cls", "module", "kwargs"} | ABOUT | set(ONLY), "of a network")
    for name in set(ONLY) & set(config):
        assert config[name] == ONLY[name], f"no test knows {name}={config[name]!r}"
    return config["cls"] if "cls" in config else config["module"], config["kwargs"]


def options_of(kwargs):
    """Recorded options, which bear the same names."""
    check_known(kwargs, OPTIONS | UNREAD, "the options")
    known = {name: tuple(value) if isinstance(value, list) else value for name, value in kwargs.items()}
    return ddgan.Options(**{name: value for name, value in known.items() if name not in UNREAD})


def generator(kwargs, cls="NCSNpp"):
    """The generator of recorded options."""
    assert cls == "NCSNpp", cls
    return ddgan.network(options_of(kwargs))


def discriminator(cls, kwargs):
    """The discriminator of a recorded class; nc counts the channels of both images."""
    check_known(kwargs, {"nc", "ngf", "t_emb_dim"}, "the discriminator's options")
    channels, odd = divmod(kwargs["nc"], 2)
    assert not odd, kwargs
    return DISCRIMINATORS[cls](channels, kwargs["ngf"], kwargs["t_emb_dim"])


def cases(pattern, renamed):
    """pytest.params (arrays, config) of the cases of files; `renamed` says what the second set names otherwise.

    Cases may share the parameters of their file.
    """
    found = []
    for path in reference.files(*pattern):
        whole = reference.load(path)
        params = {name: a for name, a in whole.items() if name.startswith("param/")}
        for case in reference.cases(whole) or [""]:
            arrays = params | (reference.subset(whole, case) if case else whole)
            arrays = {renamed.get(name, name): a for name, a in arrays.items()}
            config = reference.config(arrays)
            found.append(
                pytest.param(reference.Arrays(arrays, path), config, id="-".join(filter(None, (path.stem, case))))
            )
    return found


def norms_of(params_of, net, state_dict, gradients):
    """Norms by the published names: every number of our params is traced to the published array it comes from."""
    origin = {name: np.full(a.shape, i, np.float64) for i, (name, a) in enumerate(state_dict.items())}
    squares = np.zeros(len(origin))
    for source, gradient in zip(jax.tree.leaves(params_of(net, origin)), jax.tree.leaves(gradients), strict=True):
        index = np.asarray(source).astype(int).ravel()
        squares += np.bincount(index, np.asarray(gradient).ravel() ** 2, minlength=len(squares))
    return dict(zip(origin, np.sqrt(squares), strict=True))


def labels_of(kwargs, t, dtype):
    """What the network is given of the recorded times: a Fourier embedding is of their logarithm."""
    t = jnp.asarray(np.asarray(t, dtype))
    return jnp.log(t) if kwargs["embedding_type"] == "fourier" else t

"""Score SDE's recorded networks, of the PyTorch port and of the original in JAX: options, images and parameters."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from tests.support import reference
from tests.support.arrays import nchw, nhwc

NAMES = {"ncsnpp", "ddpm", "ncsnv2_64", "ncsn"}
TOP = {
    "model", "image_size", "num_channels", "centered", "labels", "kind", "cls", "shipped_output_dtype",
}  # fmt: skip
ONLY = {
    "attention_type": "ddpm",
    "conv_size": 3,
    "interpolation": "bilinear",
    "layout": "NHWC",
    "kernel_layout": "HWIO",
}
# How parameters start, how the process runs, and what the networks are given of it: nothing here depends on them.
ELSEWHERE = {"init_scale", "fourier_scale", "beta_min", "beta_max", "dropout"}


def files(*names):
    """Recorded networks of these classes."""
    return [path for path in reference.files("score_sde/net_*.npz") if name_of(path) in names]


def name_of(path):
    config = reference.config(reference.load(path))
    return config.get("cls") or config["model"]["name"]


def config_of(arrays, *known):
    """The file's config, after proof that the test knows all that it says of the model."""
    return checked(reference.config(arrays), *known)


def checked(config, *known):
    fixed = {name: (value,) for name, value in ONLY.items()}
    reference.only(config, *TOP, **fixed)
    model = {"name": config.get("cls"), **config["model"]}
    return {**config, "model": reference.only(model, "name", *ELSEWHERE, *known, **fixed)}


def image(arrays, name, dtype=np.float64):
    """A recorded image, channels last."""
    original = "layout" in reference.config(arrays)
    return jnp.asarray(arrays[name], dtype) if original else nhwc(arrays[name], dtype)


def as_recorded(arrays, x):
    return np.asarray(x) if "layout" in reference.config(arrays) else nchw(x)


def levels_of(arrays, model):
    """The descending noise levels of a model, which its buffer has too where one is recorded."""
    levels = np.geomspace(model["sigma_max"], model["sigma_min"], model["num_scales"])
    if "buffer/sigmas" in arrays:
        np.testing.assert_allclose(arrays["buffer/sigmas"], levels, rtol=1e-6)
        return arrays["buffer/sigmas"]
    return levels


def nested(arrays: Mapping[str, np.ndarray]):
    """Parameters of the original, by paths "Conv_0/kernel", as its checkpoints nest them."""
    tree = {}
    for path, array in arrays.items():
        *modules, leaf = path.split("/")
        inner = tree
        for module in modules:
            inner = inner.setdefault(module, {})
        inner[leaf] = array
    return tree


def norms_of(load, published, gradients):
    """Norms by the published names: every number of our params is traced to the published array it comes from."""
    names = list(published)
    origin = load({name: np.full_like(a, i) for i, (name, a) in enumerate(published.items())})
    squares = np.zeros(len(names))
    for source, gradient in zip(jax.tree.leaves(origin), jax.tree.leaves(gradients), strict=True):
        index = np.asarray(source).astype(int).ravel()
        squares += np.bincount(index, np.asarray(gradient).ravel() ** 2, minlength=len(names))
    return dict(zip(names, np.sqrt(squares), strict=True))

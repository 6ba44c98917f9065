"""Published models as something to draw from, and EDM's as Orbax checkpoints."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments import ddgan, draw, workdir
from experiments.system import Chain, Continuous, Sampling
from jaxdiff import boundary, chain, grids, samplers
from jaxdiff.interop import consistency, edm
from jaxdiff.interop import ddgan as gans
from jaxdiff.interop.inert import CheckpointFormatError
from jaxdiff.interop.state_dict import abstract_params
from jaxdiff.precond import Preconditioning, denoiser, leading_channels
from jaxdiff.samplers import time_points
from jaxdiff.train import place, sharding
from jaxdiff.train.checkpoint import Checkpoints
from jaxdiff.types import Array, Denoiser, Params


class Model(NamedTuple):
    """A denoiser, how it is sampled, the shape of its images, and how its parameters are read.

    unconditional: whether it was trained with hidden classes too, so that its denoiser without labels means something.
    """

    denoiser: Callable[[Params, Array | None], Denoiser]
    precond: Preconditioning
    sampling: Callable[[int], Sampling]
    shape: tuple[int, ...]
    num_classes: int
    params: Callable[[], Params]
    num_steps: int = 18
    chain: Chain | None = None
    continuous: Continuous | None = None
    unconditional: bool = False


def load(path: Path) -> Model:
    """A model from its published pickle, or from a folder that `convert` wrote.

    Raises: ValueError naming what is wrong with the file or folder; OSError.
    """
    try:
        if path.name in consistency.RELEASED:
            return _consistency(path)
        if path.name in gans.RELEASED:
            return _ddgan(path)
        if not path.is_dir():
            net, params, row, _ = edm.load_edm(path)
            return _model(net, row, lambda: params)
    except CheckpointFormatError as error:
        raise ValueError(f"{path}: {error}") from error
    source = workdir.read_json(path / "config.json")
    if not {"class_name", "kwargs", "entries"} <= set(source):
        raise ValueError(f"{path} was not made by experiments.convert")
    net, row = edm.from_arguments(source["class_name"], source["kwargs"], source["entries"])
    return _model(net, row, lambda: _restore(path, net))


def convert(path: Path, out: Path) -> dict[str, Any]:
    """Write a published pickle as an Orbax checkpoint and config.json; returns the metadata.

    Raises: ValueError when `out` is not empty, or the file is no published model.
    """
    place.check_readable(out, "--out")
    if not workdir.empty(out):
        raise ValueError(f"{out} is not empty: choose another --out")
    _, params, _, metadata = edm.load_edm(path)
    out.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(out)
    checkpoints.save(0, params, metadata)
    checkpoints.close()
    entries = len(jax.tree.leaves(params))
    workdir.write_json(out / "config.json", {**metadata, "entries": entries, "source": path.name})
    return metadata


def _model(net: Any, row: Preconditioning, params: Callable[[], Params]) -> Model:
    apply_fn = leading_channels(net.apply)

    def denoise(params: Params, labels: Array | None) -> Denoiser:
        cond = {} if labels is None else {"class_labels": jax.nn.one_hot(labels, net.label_dim, dtype=jnp.float32)}
        return denoiser(apply_fn, params, row, **cond)

    shape = (net.img_resolution, net.img_resolution, net.in_channels)
    hidden = net.label_dim > 0 and getattr(net, "label_dropout", 0) > 0
    return Model(denoise, row, partial(draw.edm_sampling, row), shape, net.label_dim, params, unconditional=hidden)


def _consistency(path: Path) -> Model:
    """One of OpenAI's released files: a consistency model, sampled in one step by default, or an EDM teacher."""
    released = consistency.RELEASED[path.name]
    net, params = consistency.load_consistency(path)
    row = consistency.teacher()
    if released.is_teacher:
        return _model(net, row, lambda: params)
    low, high = consistency.SIGMA_MIN, consistency.SIGMA_MAX
    row = boundary.consistency(consistency.SIGMA_DATA, low, high, noise_scale=250.0)

    def sampling(num_steps: int) -> Sampling:
        points = grids.karras(num_steps + 1, low, high, consistency.RHO)[1:-2]
        if num_steps == 2 and released.num_points:
            points = grids.karras(released.num_points, low, high, consistency.RHO)[list(released.two_step[1:-1])]
        sigmas = time_points(points.tolist(), low, high)
        return Sampling("consistency", samplers.consistency(low), sigmas, nfe=num_steps)

    return _model(net, row, lambda: params)._replace(sampling=sampling, num_steps=1)


def _ddgan(path: Path) -> Model:
    """A released generator of a denoising diffusion GAN, on the chain that it was trained on."""
    options = gans.RELEASED[path.name]
    net, params = gans.load_ddgan(path, options)
    config = ddgan.DDGAN(num_steps=options.num_timesteps, latent_dim=options.nz)
    betas = ddgan.chain_of(config)

    def sample_x0(params: Params, labels: Array | None) -> Any:
        return samplers.x0_sampler(net.apply, params, betas)

    shape = (options.image_size, options.image_size, options.num_channels)
    sampling = partial(ddgan.sampling, config)
    return Model(sample_x0, chain.x0(betas), sampling, shape, 0, lambda: params, config.num_steps)


def _restore(path: Path, net: Any) -> Params:
    replicated = sharding.replicated(sharding.data_mesh())
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=replicated), abstract_params(net))
    restored = Checkpoints(path).restore(like)
    if restored is None:
        raise ValueError(f"{path} holds no checkpoint")
    return restored.state

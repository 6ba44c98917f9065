"""Published models as systems to draw from, and EDM's as Orbax checkpoints."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from experiments.harness import runs, workdir
from experiments.harness.devices import Devices
from experiments.harness.system import Pretrained, Sampling, System
from experiments.systems import ddgan, edm
from experiments.systems.network import of_images
from jaxdiff import grids, interop, precond, samplers
from jaxdiff.interop import consistency
from jaxdiff.interop.edm import from_arguments, load_edm
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.interop.state_dict import abstract_params
from jaxdiff.precond import Preconditioning, leading_channels
from jaxdiff.samplers import time_points
from jaxdiff.train import paths
from jaxdiff.train.checkpoint import Checkpoints
from jaxdiff.types import Array, Key, Params

NUM_STEPS = 18
"""Of EDM's sampler, on CIFAR-10 (Karras et al. 2022, Table 2)."""


def load(path: Path) -> Pretrained:
    """Read a model from its published pickle, or from a folder that `convert` wrote.

    Raises: ValueError naming what is wrong with the file or folder; OSError.
    """
    try:
        if path.name in consistency.PUBLISHED:
            return _consistency(path)
        if path.name in interop.ddgan.PUBLISHED:
            return _ddgan(path)
        if not path.is_dir():
            net, params, parametrisation, _ = load_edm(path)
            return Pretrained(of_network(net, parametrisation), lambda: params, NUM_STEPS)
    except CheckpointFormatError as error:
        raise ValueError(f"{path}: {error}") from error
    source = workdir.read_json(path / "config.json")
    if not {"class_name", "kwargs", "entries"} <= set(source):
        raise ValueError(f"{path} was not made by experiments.convert")
    net, parametrisation = from_arguments(source["class_name"], source["kwargs"], source["entries"])
    return Pretrained(of_network(net, parametrisation), lambda: _restore(path, net), NUM_STEPS)


def convert(path: Path, out: Path) -> dict[str, Any]:
    """Write a published pickle as an Orbax checkpoint and config.json; returns the metadata.

    Raises: ValueError when `out` is not empty, or the file is no published model.
    """
    paths.check_readable(out, "--out")
    if not workdir.empty(out):
        raise ValueError(f"{out} is not empty: choose another --out")
    _, params, _, metadata = load_edm(path)
    out.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(out)
    checkpoints.save(0, params, metadata)
    checkpoints.close()
    entries = len(jax.tree.leaves(params))
    workdir.write_json(out / "config.json", {**metadata, "entries": entries, "source": path.name})
    return metadata


def of_network(net: Any, parametrisation: Preconditioning) -> System:
    """Build the system of one of EDM's networks, or of one that is conditioned and sampled alike."""
    shape = (net.img_resolution, net.img_resolution, net.in_channels)
    hidden = net.label_dim > 0 and getattr(net, "label_dropout", 0) > 0
    built = of_images(Devices(), net, shape, net.label_dim)
    built = built._replace(apply=leading_channels(built.apply))
    return edm.assemble(built, parametrisation, edm.lognormal())._replace(loss=None, unconditional=hidden)


def _consistency(path: Path) -> Pretrained:
    """Read one of OpenAI's released files: a consistency model, sampled in one step by default, or an EDM teacher."""
    released = consistency.PUBLISHED[path.name]
    net, params = consistency.load_consistency(path)
    parametrisation = consistency.teacher_preconditioning()
    if released.is_teacher:
        return Pretrained(of_network(net, parametrisation), lambda: params, NUM_STEPS)
    low, high = consistency.SIGMA_MIN, consistency.SIGMA_MAX
    parametrisation = precond.consistency(consistency.SIGMA_DATA, low, high, noise_scale=250.0)

    def sampling(num_steps: int) -> Sampling:
        points = grids.karras(num_steps + 1, low, high, consistency.RHO)[1:-2]
        if num_steps == 2 and released.num_points:
            points = grids.karras(released.num_points, low, high, consistency.RHO)[list(released.two_step[1:-1])]
        sigmas = time_points(points.tolist(), low, high)
        return Sampling("consistency", samplers.consistency(low), sigmas, nfe=num_steps)

    return Pretrained(of_network(net, parametrisation)._replace(sampling=sampling), lambda: params, num_steps=1)


def _ddgan(path: Path) -> Pretrained:
    """Read a released generator of a denoising diffusion GAN, on the chain that it was trained on."""
    options = interop.ddgan.PUBLISHED[path.name]
    net, params = interop.ddgan.load_ddgan(path, options)
    config = ddgan.DDGAN(num_steps=options.num_timesteps, latent_dim=options.nz)
    betas = ddgan.betas_of(config)

    def sample_x0(params: Params, labels: Array | None) -> Any:
        return samplers.x0_sampler(net.apply, params, betas)

    def init(key: Key) -> Params:
        return net.init(key, jnp.zeros((1, *shape)), jnp.zeros(1), jnp.ones((1, options.nz)))

    shape = (options.image_size, options.image_size, options.num_channels)
    system = System(init, None, sample_x0, precond.ddpm.x0(betas), partial(ddgan.sampling, config), shape, 0)
    return Pretrained(system._replace(latent_dim=config.latent_dim), lambda: params, config.num_steps)


def _restore(path: Path, net: Any) -> Params:
    restored = runs.restore(path, abstract_params(net))
    if restored is None:
        raise ValueError(f"{path} holds no checkpoint")
    return restored.state

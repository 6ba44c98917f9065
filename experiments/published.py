"""Published EDM models as something to draw from, and as Orbax checkpoints."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments import draw, workdir
from experiments.system import Chain, Sampling
from jaxdiff.interop import edm
from jaxdiff.precond import Preconditioning, denoiser, leading_channels
from jaxdiff.train import sharding
from jaxdiff.train.checkpoint import Checkpoints
from jaxdiff.types import Array, Denoiser, Params


class Model(NamedTuple):
    """A denoiser, how it is sampled, the shape of its images, and how its parameters are read."""

    denoiser: Callable[[Params, Array | None], Denoiser]
    precond: Preconditioning
    sampling: Callable[[int], Sampling]
    shape: tuple[int, ...]
    num_classes: int
    params: Callable[[], Params]
    num_steps: int = 18
    chain: Chain | None = None


def load(path: Path) -> Model:
    """A model from its published pickle, or from a folder that `convert` wrote.

    Raises: ValueError naming what is wrong with the file or folder; OSError.
    """
    if not path.is_dir():
        net, params, row, _ = edm.load_edm(path)
        return _model(net, row, lambda: params)
    source = workdir.read_json(path / "config.json")
    if not {"class_name", "kwargs", "entries"} <= set(source):
        raise ValueError(f"{path} was not made by experiments.convert")
    net, row = edm.from_arguments(source["class_name"], source["kwargs"], source["entries"])
    return _model(net, row, lambda: _restore(path, net))


def convert(path: Path, out: Path) -> dict[str, Any]:
    """Write a published pickle as an Orbax checkpoint and config.json; returns the metadata.

    Raises: ValueError when `out` is not empty, or the file is no published model.
    """
    if out.exists() and any(out.iterdir()):
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
    return Model(denoise, row, partial(draw.edm_sampling, row), shape, net.label_dim, params)


def _restore(path: Path, net: Any) -> Params:
    replicated = sharding.replicated(sharding.data_mesh())
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=replicated), edm.abstract_params(net))
    restored = Checkpoints(path).restore(like)
    if restored is None:
        raise ValueError(f"{path} holds no checkpoint")
    return restored.state

"""A network with parameters and what makes a denoiser of it: written to a file, and loaded from one."""

from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxdiff import guidance, precond, samplers
from jaxdiff.grids import Grid
from jaxdiff.interop.exported import files
from jaxdiff.interop.exported.description import KINDS, Description, parse, shapes_of, write_out
from jaxdiff.interop.exported.preconds import BETAS, build
from jaxdiff.interop.formats.plain_values import CheckpointFormatError
from jaxdiff.precond import Preconditioning
from jaxdiff.types import Array, Denoiser, Params, X0Sampler


class Exported(NamedTuple):
    """A network, its parameters, its parametrisation, and the rest of its description."""

    module: nn.Module
    params: Params
    precond: Preconditioning
    description: Description

    @property
    def sigmas(self) -> Grid:
        """Levels at which its own sampler asks it, [num_steps + 1], the last the end."""
        return np.asarray(self.description.sigmas, np.float64)

    def denoiser(self, labels: Array | None = None) -> Denoiser:
        """Make D(x, sigma); labels [B] are integers, and None gives the network no class.

        Raises: ValueError when the network is no denoiser, or a class is none of its own.
        """
        self._asked_for("denoiser")
        return self._of_level(labels)

    def consistency_fn(self, labels: Array | None = None) -> Denoiser:
        """Make f(x, sigma), where the trajectory through x ends; otherwise as `denoiser`."""
        self._asked_for("consistency")
        return self._of_level(labels)

    def x0_sampler(self) -> X0Sampler:
        """Make G(x, sigma, latent), a draw of x0, for `samplers.ddgan(model.description.latent_dim)`.

        Raises: ValueError when the network is none of a denoising diffusion GAN.
        """
        self._asked_for("x0_sampler")
        given = self.description.latent_dim
        needed = given or getattr(self.module, "latent_dim", 0)  # an ablation without a latent gives zeros

        def apply(params: Params, x: Array, t: Array, latent: Array) -> Any:
            return self.module.apply(params, x, t, latent if given else jnp.zeros((x.shape[0], needed), x.dtype))

        return samplers.x0_sampler(apply, self.params, build("betas", BETAS, self.description.precond["betas"]))

    def _of_level(self, labels: Array | None) -> Denoiser:
        cond: dict[str, Any] = {}
        num_classes = self.description.num_classes
        if labels is not None and not num_classes:
            raise ValueError("labels were given, but this network has no classes")
        if labels is not None:
            check_labels(labels, num_classes)
            cond = {"class_labels": jax.nn.one_hot(jnp.asarray(labels), num_classes, dtype=jnp.float32)}
        network: Any = self.module.apply
        apply = precond.leading_channels(network)  # a learned variance lies in the others
        denoise = precond.denoiser(apply, self.params, self.precond, **cond)
        return guidance.clip(denoise) if self.description.clip else denoise

    def _asked_for(self, kind: str) -> None:
        if self.description.kind != kind:
            raise ValueError(f"this network is a {self.description.kind}: ask for {KINDS[self.description.kind]}")


def check_labels(labels: Any, num_classes: int) -> None:
    """Check labels on the host against a number of classes.

    Args:
      labels: integers [B]; those on a device or traced are taken as they are.
      num_classes: that there are.
    Raises: ValueError for a label that is none of 0 .. num_classes - 1.
    Example:
      >>> check_labels([3, 10], 10)
      Traceback (most recent call last):
      ValueError: labels must be 0 to 9, the classes of this network, got [3, 10]
    """
    if isinstance(labels, jax.Array):
        return
    found = np.asarray(labels)
    if not (np.issubdtype(found.dtype, np.integer) and ((found >= 0) & (found < num_classes)).all()):
        raise ValueError(f"labels must be 0 to {num_classes - 1}, the classes of this network, got {labels}")


def save(
    path: str | Path, module: nn.Module, params: Params, description: Description, overwrite: bool = False
) -> dict[str, Any]:
    """Write a network's parameters with what makes a denoiser of them again, whole or not at all.

    Args:
      path: ends in .safetensors or .npz.
      module, params: as `module.apply(params, ...)` takes them; module is in `networks.NETWORKS`.
      description: of the denoiser; overwrite: a file that is there.
    Returns: the description as it lies in the file, JSON values.
    Raises: ValueError for a network, a field or a parametrisation that cannot be described, parameters of other shapes
      than the network's, or another suffix; FileExistsError.
    Example: see `load`.
      >>> save("params.pt", nn.Dense(2), {}, Description({"name": "edm"}, (2,)))
      Traceback (most recent call last):
      ValueError: path must end in .safetensors or .npz, got params.pt
    """
    files.format_of(Path(path))
    described = write_out(module, description)
    arrays = {name: np.asarray(a) for name, a in flatten_dict(params, sep=".").items()}
    parse(described, shapes_of(arrays))
    files.write(path, arrays, described, overwrite)
    return described


def load(path: str | Path) -> Exported:
    """Load what `save` or `python -m experiments.export` wrote.

    Args:
      path: of the .safetensors or .npz file, which has all that is needed.
    Returns: the model; `model.module.apply(model.params, ...)` is the bare network.
    Raises: CheckpointFormatError (a ValueError) with one line that names what is missing, unknown, or of another shape
      or type than the network's; OSError.
    Example:
      >>> import tempfile
      >>> from jaxdiff.nets.ddgan import DenseGenerator
      >>> net, chain = DenseGenerator(2, width=4, depth=0), {"name": "vp", "num_steps": 4}
      >>> params = {"params": {"Dense_0": {"kernel": np.zeros((19, 2), np.float32), "bias": np.ones(2, np.float32)}}}
      >>> description = Description({"name": "ddpm.x0", "betas": chain}, (2,), "x0_sampler", latent_dim=1)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = save(f"{folder}/a.npz", net, params, description)
      ...     model = load(f"{folder}/a.npz")
      >>> model.module == net, model.x0_sampler()(jnp.zeros((1, 2)), jnp.ones(1), jnp.zeros((1, 1))).tolist()
      (True, [[1.0, 1.0]])
    """
    header, described = files.header(path)
    try:
        module, preconditioned, description = parse(described, header)
    except CheckpointFormatError as error:
        raise CheckpointFormatError(f"{Path(path).name}: {error}") from None
    arrays = {name: jnp.asarray(a) for name, a in files.read(path).items()}
    return Exported(module, unflatten_dict(arrays, sep="."), preconditioned, description)

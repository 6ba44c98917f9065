"""Images from a trained system: streamed in batches, image i a function of seed i only."""

import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.lib import format as npy
from tqdm import tqdm

from experiments.harness.forms import IMAGES, Form
from experiments.harness.system import Sampling, System
from jaxdiff import grids, keys
from jaxdiff.atomic import atomic
from jaxdiff.grids import Grid
from jaxdiff.metrics.statistics import first_sentence
from jaxdiff.precond import Preconditioning
from jaxdiff.samplers import Sampler, heun, sample, trajectory
from jaxdiff.train import sharding
from jaxdiff.types import Array, Params


class Request(NamedTuple):
    """What to draw: one image a seed, labels where the system has classes."""

    sampler: Sampler
    sigmas: Grid
    seeds: np.ndarray
    labels: np.ndarray | None
    batch_size: int = 256


def balanced_labels(seeds: np.ndarray, num_classes: int) -> np.ndarray | None:
    """Return labels: that of seed i is i modulo the number of classes; None where there are none.

    Example:
      >>> balanced_labels(np.array([0, 11]), 10).tolist()
      [0, 1]
    """
    return seeds % num_classes if num_classes else None


def request(system: System, sampling: Sampling, seeds: np.ndarray, batch_size: int = 256) -> Request:
    """Ask for one example a seed, with balanced classes where the system has any."""
    labels = balanced_labels(seeds, system.num_classes)
    return Request(sampling.sampler, sampling.sigmas, seeds, labels, batch_size)


def levels(
    parametrisation: Preconditioning,
    num_steps: int,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
) -> Grid:
    """Space levels as `karras` inside the network's range, rounded to those it is defined at, as EDM's sampler does.

    Levels that rounding makes equal are merged: EDM's sampler steps between them too, which changes nothing.

    Raises: ValueError when the network is defined at no level in the range.
    Example:
      >>> from jaxdiff import precond
      >>> [round(sigma, 3) for sigma in levels(precond.ve(), 2).tolist()]
      [80.0, 0.02, 0.0]
    """
    low, high = max(sigma_min, parametrisation.sigma_min), min(sigma_max, parametrisation.sigma_max)
    if not low < high:
        defined = f"{parametrisation.sigma_min:.4g} to {parametrisation.sigma_max:.4g}"
        raise ValueError(
            f"sigma_min={sigma_min}, sigma_max={sigma_max}: the network is defined at levels {defined}, no range there"
        )
    rounded = parametrisation.round_sigma(jnp.asarray(grids.karras(num_steps, low, high, rho)[:-1]))
    return np.append(np.unique(np.asarray(rounded, np.float64))[::-1], 0.0)


def edm_sampling(parametrisation: Preconditioning, num_steps: int) -> Sampling:
    """Return EDM's deterministic sampler with its grid: Heun's method."""
    sigmas = levels(parametrisation, num_steps)
    return Sampling("heun", heun(), sigmas, nfe=2 * len(sigmas) - 3)


def draw(system: System, params: Params, request: Request, progress: bool = True) -> Iterator[np.ndarray]:
    """Draw batches in the order of the seeds, encoded as they are stored; only one batch is in memory at a time."""
    return map(system.form.encode, draw_floats(system, params, request, progress))


def draw_floats(system: System, params: Params, request: Request, progress: bool = True) -> Iterator[np.ndarray]:
    """Draw the same batches as the sampler leaves them, images in [-1, 1].

    The last batch is filled up, so that one program serves them all. A batch that divides by this process's devices is
    split over them; other processes need not draw along.

    Raises: FloatingPointError, naming seeds, when an example is not finite.
    """
    run = compile_batch(system, request)
    num, size = len(request.seeds), min(request.batch_size, len(request.seeds))
    mesh = sharding.local_mesh()
    where = sharding.batch_sharding(mesh) if size % mesh.size == 0 else sharding.replicated(mesh)
    params = jax.device_put(params, sharding.replicated(mesh))
    bar = tqdm(total=num, desc="sampling", unit="image", disable=None if progress else True)
    for start in range(0, num, size):
        rows = np.arange(start, start + size) % num
        labels = None if request.labels is None else jax.device_put(jnp.asarray(request.labels[rows]), where)
        seeds = jax.device_put(request.seeds[rows].astype(np.uint32), where)
        x = np.asarray(run(params, seeds, labels))[: num - start]
        if not np.isfinite(x).all():
            lost = request.seeds[start + np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(1))]
            raise FloatingPointError(f"images of seeds {lost[:20].tolist()} are not finite: the sampler broke off")
        bar.update(len(x))
        yield x
    bar.close()


def check(system: System, params: Params, request: Request) -> None:
    """Raise ValueError for what a request would be refused for, before anything is drawn or written."""
    size = min(request.batch_size, len(request.seeds))
    labels = None if request.labels is None else jnp.asarray(request.labels[:size])
    jax.eval_shape(partial(_draw_batch, system, request), params, jnp.asarray(request.seeds[:size], jnp.uint32), labels)


def compile_batch(system: System, request: Request) -> Any:
    """Compile (params, seeds, labels) -> images in [-1, 1], as floats."""
    return jax.jit(partial(_draw_batch, system, request))


def trajectories(system: System, params: Params, request: Request) -> np.ndarray:
    """Draw the states at every level, [n + 1, N, ...] floats, all at once; the last ones are the images."""
    run = jax.jit(partial(_draw_batch, system, request, drive=lambda *args, **given: trajectory(*args, **given)[1]))
    labels = None if request.labels is None else jnp.asarray(request.labels)
    return np.asarray(run(params, jnp.asarray(request.seeds, jnp.uint32), labels))


def _draw_batch(
    system: System,
    request: Request,
    params: Params,
    seeds: Array,
    labels: Array | None,
    drive: Callable[..., Array] = sample,
) -> Array:
    key_start, key_steps = jax.vmap(lambda seed: tuple(jax.random.split(keys.from_seed(seed))))(seeds)
    start = partial(jax.random.normal, shape=system.shape, dtype=jnp.float32)  # under x64 too: other bits, other images
    x = float(request.sigmas[0]) * jax.vmap(start)(key_start)
    return drive(request.sampler, system.denoiser(params, labels), x, request.sigmas, key=key_steps)


def write(path: Path, system: System, params: Params, request: Request) -> None:
    """Draw everything into an .npz: examples as their form says, labels int64 [N] where there are classes, seeds int64.

    The images are written batch by batch, so that memory does not grow with their number, and the file is moved into
    place when it is complete.
    """
    form, shape = system.form, (len(request.seeds), *system.shape)
    header = {"descr": np.dtype(form.dtype).str, "fortran_order": False, "shape": shape}
    with (
        atomic(path, overwrite=True) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        with archive.open(f"{form.names[0]}.npy", "w", force_zip64=True) as file:
            npy.write_array_header_1_0(file, header)
            for batch in draw(system, params, request):
                file.write(np.ascontiguousarray(batch).tobytes())
        for name, values in (("seeds", request.seeds), ("labels", request.labels)):
            if values is not None:
                with archive.open(f"{name}.npy", "w") as file:
                    npy.write_array(file, values.astype(np.int64), allow_pickle=False)


LABELS = ("labels", "arr_1", "label")
"""What arrays of labels are called: here, by ADM and whoever calls np.savez(path, images, labels), by score SDE."""


def read(path: Path, form: Form = IMAGES) -> tuple[np.ndarray, np.ndarray | None]:
    """Read examples and labels of a samples.npz, of this library's or of others'; nothing in it is executed.

    Raises: ValueError when the file is missing, is no such archive, or does not hold examples of that form.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist: draw samples first")
    try:
        with np.load(path, allow_pickle=False) as file:
            of_images, of_labels = (
                next((name for name in names if name in file), "") for names in (form.names, LABELS)
            )
            held = ", ".join(file.files)
            images, labels = file[of_images] if of_images else None, file[of_labels] if of_labels else None
    except (OSError, EOFError, TypeError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{path} is not a samples.npz ({first_sentence(error)})") from None
    if images is None:
        hint = ": statistics are for --reference" if "mu" in held.split(", ") else ""
        raise ValueError(f"{path} is not a samples.npz: it holds {held}, none of {', '.join(form.names)}{hint}")
    if not form.fits(images) or (labels is not None and labels.shape != images.shape[:1]):
        shapes = f"{images.dtype} {list(images.shape)}" + ("" if labels is None else f" and {list(labels.shape)}")
        raise ValueError(f"{path} must hold {of_images} {form.layout} and {of_labels or 'labels'} [N], got {shapes}")
    return images, labels


def first(path: Path, form: Form, num: int) -> np.ndarray:
    """Read at most `num` examples from the start of a samples.npz, without the rest."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{form.names[0]}.npy") as file:
        npy.read_magic(file)
        shape, _, dtype = npy.read_array_header_1_0(file)
        shape = (min(num, shape[0]), *shape[1:])
        return np.frombuffer(file.read(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)

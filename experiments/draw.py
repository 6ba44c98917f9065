"""Images from a trained system: streamed in batches, image i a function of seed i only."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.lib import format as npy
from tqdm import tqdm

from experiments.system import System
from jaxdiff.grids import Grid
from jaxdiff.samplers import Sampler, sample
from jaxdiff.types import Array, Params


class Request(NamedTuple):
    """What to draw: one image a seed, labels where the system has classes."""

    sampler: Sampler
    sigmas: Grid
    seeds: np.ndarray
    labels: np.ndarray | None
    batch_size: int = 256


def balanced_labels(seeds: np.ndarray, num_classes: int) -> np.ndarray | None:
    """The label of seed i is i modulo the number of classes; None where there are none.

    Example:
      >>> balanced_labels(np.array([0, 11]), 10).tolist()
      [0, 1]
    """
    return seeds % num_classes if num_classes else None


def to_uint8(x: np.ndarray) -> np.ndarray:
    """[-1, 1] to 0 .. 255, rounded down after adding a half, as EDM's own tools do.

    Example:
      >>> to_uint8(np.array([-1.0, 0.0, 1.0])).tolist()
      [0, 128, 255]
    """
    return np.clip(x * 127.5 + 128, 0, 255).astype(np.uint8)


def draw(system: System, params: Params, request: Request, progress: bool = True) -> Iterator[np.ndarray]:
    """uint8 batches [b, H, W, C] in the order of the seeds; only one batch is in memory at a time.

    The last batch is filled up, so that one program serves them all.
    """
    run = jax.jit(partial(_draw_batch, system, request))
    num, size = len(request.seeds), min(request.batch_size, len(request.seeds))
    bar = tqdm(total=num, desc="sampling", unit="image", disable=None if progress else True)
    for start in range(0, num, size):
        rows = np.arange(start, start + size) % num
        labels = None if request.labels is None else jnp.asarray(request.labels[rows])
        images = to_uint8(np.asarray(run(params, jnp.asarray(request.seeds[rows], jnp.uint32), labels)))
        images = images[: num - start]
        bar.update(len(images))
        yield images
    bar.close()


def _draw_batch(system: System, request: Request, params: Params, seeds: Array, labels: Array | None) -> Array:
    keys = jax.vmap(jax.random.key)(seeds)
    key_start, key_steps = jax.vmap(lambda key: tuple(jax.random.split(key)))(keys)
    x = request.sigmas[0] * jax.vmap(partial(jax.random.normal, shape=system.shape))(key_start)
    return sample(request.sampler, system.denoiser(params, labels), x, request.sigmas, key=key_steps)


@contextmanager
def npz_writer(path: Path, num: int, shape: tuple[int, ...]) -> Iterator["NpzWriter"]:
    """An .npz whose `images` [num, *shape] uint8 is written batch by batch, moved into place when complete."""
    partial_path = path.with_name(f".{path.name}.partial")
    with zipfile.ZipFile(partial_path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        yield NpzWriter(archive, num, shape)
    os.replace(partial_path, path)


class NpzWriter(NamedTuple):
    """An open archive and the shape that its images will have."""

    archive: zipfile.ZipFile
    num: int
    shape: tuple[int, ...]

    def images(self, batches: Iterator[np.ndarray]) -> None:
        """Write all batches as one array.

        Raises: ValueError when they do not add up to `num` images.
        """
        written = 0
        with self.archive.open("images.npy", "w", force_zip64=True) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (self.num, *self.shape)}
            npy.write_array_header_1_0(file, header)
            for batch in batches:
                file.write(np.ascontiguousarray(batch, np.uint8).tobytes())
                written += len(batch)
        if written != self.num:
            raise ValueError(f"{written} images were drawn where {self.num} were asked for")

    def array(self, name: str, value: np.ndarray) -> None:
        """Write a small array beside the images."""
        with self.archive.open(f"{name}.npy", "w") as file:
            npy.write_array(file, value, allow_pickle=False)


def write(path: Path, system: System, params: Params, request: Request) -> None:
    """Draw everything into `path`: images uint8 [N, H, W, C], labels int64 [N] where there are classes, seeds int64."""
    with npz_writer(path, len(request.seeds), system.shape) as out:
        out.images(draw(system, params, request))
        out.array("seeds", request.seeds.astype(np.int64))
        if request.labels is not None:
            out.array("labels", request.labels.astype(np.int64))

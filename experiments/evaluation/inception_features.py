"""Features of drawn and of real images by InceptionV3, kept in shards: what is missing is computed."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from experiments.evaluation.inception_metrics import METRICS, Stored, gaussian
from experiments.harness import datasets, generate, image_files, shards
from experiments.harness.forms import IMAGES, to_uint8
from experiments.harness.system import System
from jaxdiff.data.pipeline import ArraySource, Source
from jaxdiff.metrics import statistics
from jaxdiff.metrics.inception import Features
from jaxdiff.metrics.statistics import Gaussian
from jaxdiff.nets.features.inception import WIDTH

SHARD = 1_000
"""Images a file."""
Extract = Callable[[NDArray[np.uint8]], Features]
ImagesOf = Callable[[range], NDArray[np.uint8]]


class Reference(NamedTuple):
    """What is compared with: statistics, features of images, what it is called, and how many images it is made of."""

    statistics: Gaussian | None
    features: Stored | None
    name: str
    num: int | None


def embed(folder: Path, parts: Sequence[range], images_of: ImagesOf, extract: Extract, title: str) -> Stored:
    """Compute features of the parts, each part written as soon as it is complete."""
    wanted = shards.missing(folder, parts)
    with tqdm(total=sum(map(len, wanted)), desc=f"features of {title}", unit="image", disable=not wanted) as bar:
        for span in wanted:
            features = extract(images_of(span))
            shards.save(folder, span, pool=features.pool, scores=features.scores)
            bar.update(len(span))
    return Stored(folder, parts)


class Compared(NamedTuple):
    """What drawn images are compared with: published statistics, images, what they are called, and a name for files
    that no other images have.
    """

    statistics: Gaussian | None
    source: Source | None
    title: str
    key: str


def compared(reference: Path | None, names: Sequence[str], run_config: Any, system: System) -> Compared:
    """Return the training data, or what the file of a reference holds and the metrics need.

    Raises: ValueError when it is not there.
    """
    needed = {name for name in names if METRICS[name].compares}
    if not needed and reference is not None:
        raise ValueError(f"{', '.join(names)} compares with nothing: leave out --reference {reference}")
    if reference is None:
        data, held_out = run_config.data, run_config.held_out
        source = datasets.training(data, system, held_out) if needed else None
        # Folders and zip files are identified by their content, and differ from their shares.
        digest = image_files.digest(source) if source is not None else None
        key = f"{Path(data).stem}-{_digest(f'{digest}-{held_out}'.encode())}" if digest else data
        return Compared(None, source, data if needed else "none", key)
    held = statistics.array_names(reference) if reference.is_file() else ()
    pictures = any(name in held for name in IMAGES.names)
    if (of_images := needed - {"fid"}) and not pictures:
        raise ValueError(
            f"{', '.join(sorted(of_images))} compare images, and --reference {reference} holds none "
            f"(named {' or '.join(IMAGES.names)})"
        )
    own = "fid" in needed and ("mu" in held or "pool_3" in held or not pictures)
    published = statistics.read(reference, WIDTH) if own else None
    if published is not None and not of_images:
        return Compared(published, None, str(reference), "")
    images, _ = generate.read(reference)
    return Compared(published, ArraySource(image=images), str(reference), f"{reference.stem}-{_digest(images)}")


def of_compared(
    real: Compared, num: int, home: Path, network: str, extract: Extract, with_statistics: bool
) -> Reference:
    """Compute features of what is compared with, and write its statistics in the published form.

    Args:
      num: of its images, from the first; home: for folders of shards; network: what its features are called.
      with_statistics: whether they are needed.
    """
    source = real.source
    if source is None:
        return Reference(real.statistics, None, real.title, None)
    place = home / f"reference-{real.key}-{num}" / network

    def images_of(span: range) -> NDArray[np.uint8]:
        return to_uint8(np.stack([source[row]["image"] for row in span]))

    stored = embed(place, shards.spans(0, num, SHARD), images_of, extract, real.title)
    if not with_statistics or real.statistics is not None:
        return Reference(real.statistics, stored, real.title, num)
    stats = gaussian(shards.each(*stored, "pool"))
    statistics.write(place.with_suffix(".npz"), stats)
    return Reference(Gaussian(stats.mean, stats.cov), stored, real.title, num)


def _digest(content: bytes | NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(content) if isinstance(content, np.ndarray) else content).hexdigest()[:8]

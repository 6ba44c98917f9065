"""Features of drawn and of real images by InceptionV3, kept in shards: what is missing is computed."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from experiments import draw, shards
from experiments.inception_metrics import Stored, gaussian
from jaxdiff.data.pipeline import Source
from jaxdiff.metrics import statistics
from jaxdiff.metrics.inception import Features
from jaxdiff.metrics.statistics import Gaussian

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
    """Features of the parts, each part written as soon as it is complete."""
    wanted = shards.missing(folder, parts)
    with tqdm(total=sum(map(len, wanted)), desc=f"features of {title}", unit="image", disable=not wanted) as bar:
        for span in wanted:
            features = extract(images_of(span))
            shards.save(folder, span, pool=features.pool, scores=features.scores)
            bar.update(len(span))
    return Stored(folder, parts)


def of_source(
    source: Source, data: str, num: int, home: Path, network: str, extract: Extract, with_statistics: bool
) -> Reference:
    """Features of a data set, and their statistics in the published form, for any run that is given the file.

    Args:
      source: of images in [-1, 1] or uint8; data: its name or path; num: of its images, from the first.
      home: for folders of shards; network: what features of this network are called.
      with_statistics: whether they are needed.
    """
    # Folders and zip files of one name are told apart.
    title = f"{Path(data).stem}-{hashlib.sha256(data.encode()).hexdigest()[:8]}" if "/" in data else data
    place = home / f"reference-{title}-{num}" / network

    def images_of(span: range) -> NDArray[np.uint8]:
        return draw.to_uint8(np.stack([source[row]["image"] for row in span]))

    stored = embed(place, shards.spans(0, num, SHARD), images_of, extract, data)
    if not with_statistics:
        return Reference(None, stored, data, num)
    stats = gaussian(shards.each(*stored, "pool"))
    statistics.write(place.with_suffix(".npz"), stats)
    return Reference(Gaussian(stats.mean, stats.cov), stored, data, num)

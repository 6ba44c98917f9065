"""How fast batches are read: python -m benchmarks.data

Images of CIFAR-10's size in batches by `pipeline.batches`, from arrays in memory, from the ArrayRecord files that
`data.cifar10` keeps, and from a zip file of PNGs as `experiments.dataset` makes it; and ArrayRecord one record at a
time, as a source without `take` is read. Prints images a second; writes JSON with --out.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from benchmarks.record import save
from jaxdiff.data import folder, folder_writer, pipeline, records


@dataclass(frozen=True)
class Config:
    """Throughput of the input pipeline."""

    num_images: int = 20_000
    """Images of each source."""
    batch_size: int = 512
    """Images a batch."""
    seconds: float = 3.0
    """For which each source is read, after a batch that is not counted."""
    out: Path | None = None
    """JSON file to write, such as benchmarks/results/data-DEVICE.json."""


class OneByOne:
    """A source without its `take`."""

    def __init__(self, source: pipeline.Source):
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> object:
        return self.source[index]


def images_per_second(source: pipeline.Source, config: Config) -> float:
    """Of batches in shuffled order."""
    batches, num = pipeline.batches(source, config.batch_size, seed=0), 0
    next(batches)
    started = time.perf_counter()
    while time.perf_counter() < started + config.seconds:
        num += len(next(batches)["image"])
    return num / (time.perf_counter() - started)


def random_images(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """(images, labels), random."""
    rng = np.random.default_rng(0)
    # Random 4x4 images made larger compress about as photographs do.
    small = rng.integers(0, 256, (config.num_images, 4, 4, 3), np.uint8)
    images = np.repeat(np.repeat(small, 8, axis=1), 8, axis=2) + rng.integers(0, 8, (1, 32, 32, 3), np.uint8)
    return images, rng.integers(0, 10, config.num_images).astype(np.int32)


def cached(config: Config) -> float:
    """Images a second from ArrayRecord files as `data.cifar10` keeps them."""
    with tempfile.TemporaryDirectory() as name:
        records.write(Path(name) / "records", {"train": random_images(config)})
        return images_per_second(records.load(Path(name) / "records", "train"), config)


def main(config: Config) -> None:
    """Write, read, print."""
    images, labels = random_images(config)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        records.write(place / "records", {"train": (images, labels)})
        pngs = (
            (folder_writer.encode_png(Image.fromarray(image)), int(n)) for image, n in zip(images, labels, strict=True)
        )
        folder_writer.write(place / "set.zip", pngs)
        stored = records.load(place / "records", "train")
        sources: dict[str, pipeline.Source] = {
            "arrays": pipeline.ArraySource(image=images, label=labels),
            "ArrayRecord": stored,
            "ArrayRecord, one by one": OneByOne(stored),  # type: ignore[dict-item]
            "zip of PNG": folder.load(place / "set.zip"),
        }
        found = {name: round(images_per_second(source, config)) for name, source in sources.items()}
    for name, rate in found.items():
        print(f"{name:<26}{rate:>10,} images/s")
    settings = {"num_images": config.num_images, "batch_size": config.batch_size, "seconds": config.seconds}
    save(config.out, {"images_per_second": found, **settings})


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.data"))

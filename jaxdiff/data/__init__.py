"""Data sets and the input pipeline; what reads files needs the extra `data`.

A source is anything with a length whose items are {"image": [H, W, C], "label": []}; `pipeline.batches` makes batches
of it, `pixels` turns bytes into floats in [-1, 1] on the device. Sources: `digits` and `stacked` (embedded in
scikit-learn), `gaussians` (points), `cifar10` (`prepared` by tensorflow-datasets, or `cifar_binary`), and `folder`
(images in folders and zip files: `files`, `selection`, `labels`, `image_file`, `flatten`). `folder_writer`, `crop`,
`records` and `tfrecord` write and store them.

To add a data set, write a file with `load(split, ...)` that returns such a source, and its row in the experiments'
table of data sets.
"""

from typing import TYPE_CHECKING

from jaxdiff.imports import lazy

if TYPE_CHECKING:
    from jaxdiff.data import (
        cifar10,
        cifar_binary,
        crop,
        digits,
        files,
        flatten,
        folder,
        folder_writer,
        gaussians,
        image_file,
        labels,
        pipeline,
        pixels,
        prepared,
        records,
        selection,
        stacked,
        tfrecord,
    )
    from jaxdiff.data.pipeline import ArraySource, Source, batches
    from jaxdiff.data.pixels import normalise, to_float

__all__ = [
    "ArraySource",
    "Source",
    "batches",
    "cifar10",
    "cifar_binary",
    "crop",
    "digits",
    "files",
    "flatten",
    "folder",
    "folder_writer",
    "gaussians",
    "image_file",
    "labels",
    "normalise",
    "pipeline",
    "pixels",
    "prepared",
    "records",
    "selection",
    "stacked",
    "tfrecord",
    "to_float",
]

NAMES = {
    "ArraySource": "pipeline",
    "Source": "pipeline",
    "batches": "pipeline",
    "normalise": "pixels",
    "to_float": "pixels",
}
"""What most programs call, by the file that has it."""

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, modules=set(__all__) - set(NAMES), names=NAMES)

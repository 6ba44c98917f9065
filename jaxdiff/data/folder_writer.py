"""Writing what `folder` reads: PNG files and dataset.json, named as EDM's tools do, in a folder or a zip file."""

import contextlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from jaxdiff.atomic import atomic
from jaxdiff.data import labels
from jaxdiff.imports import needs

with needs("data", __name__):
    from PIL import Image


def image_name(index: int) -> str:
    """Name the file of image number `index`, as EDM's tools do.

    Example:
      >>> image_name(12345)
      '00012/img00012345.png'
    """
    return f"{index // 1000:05d}/img{index:08d}.png"


def encode_png(image: Image.Image) -> bytes:
    """Encode an image as PNG, little compressed, since reading it fast matters more.

    Example:
      >>> encode_png(Image.new("L", (2, 2)))[1:4]
      b'PNG'
    """
    stream = io.BytesIO()
    image.save(stream, format="png", compress_level=1)
    return stream.getvalue()


def write(
    dest: str | Path,
    images: Iterable[tuple[bytes, int | None]],
    names: Sequence[str] | None = None,
    skipped: Sequence[tuple[str, str]] = (),
) -> int:
    """Write a set, whole or not at all.

    Args:
      dest: a zip file where it ends in .zip, a folder elsewhere; an empty folder may be there.
      images: PNG files and their classes; all have one, or none.
      names: of the classes 0, 1, ..., where they have any; kept in dataset.json.
      skipped: files that are not in the set, each with the reason; kept there too, and may grow with the images.
    Returns: how many images there were.
    Raises: FileExistsError when something is there already; ValueError when there was no image, or only some had a
      class. Nothing is left then, nor after an error of `images`.
    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write(f"{folder}/set", [(encode_png(Image.new("L", (2, 2))), 0)], names=["cat"])
      ...     Path(folder, "set", "dataset.json").read_text()
      1
      '{"labels": [["00000/img00000000.png", 0]], "classes": ["cat"]}'
    """
    dest, num = Path(dest), 0
    classes: dict[str, int] = {}
    with atomic(dest) as part, _writer(part, dest.suffix.lower() == ".zip") as add:
        for content, label in images:
            if num and (label is None) == bool(classes):
                raise ValueError(f"image {num} and those before it must all have a class, or none of them")
            add(image_name(num), content)
            if label is not None:
                classes[image_name(num)] = label
            num += 1
        if not num:
            raise ValueError(f"there are no images to write to {dest}")
        add(labels.FILE, labels.dump(classes or None, names if classes else None, skipped=list(skipped)))
    return num


@contextlib.contextmanager
def _writer(path: Path, zipped: bool) -> Iterator[Callable[[str, bytes], None]]:
    """add(name, content) of a new zip file or folder."""
    if zipped:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            yield partial(_add_to_zip, archive)
        return

    def add(name: str, content: bytes) -> None:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)

    path.mkdir()
    yield add


def _add_to_zip(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name)  # without the time, so that the same images make the same file
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)

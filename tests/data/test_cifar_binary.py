"""The CIFAR archives in small: what is read, and what is refused."""

import io
import tarfile

import numpy as np
import pytest

from jaxdiff.data import cifar_binary
from jaxdiff.data.cifar_binary import CIFAR10, CIFAR100
from tests.support import cifar_archive

SMALL = CIFAR10._replace(rows={"train": 3, "test": 2})


@pytest.mark.parametrize("layout", [SMALL, CIFAR100._replace(rows={"train": 7, "test": 4})], ids=["10", "100"])
def test_images_and_labels_come_back(layout, tmp_path):
    data = cifar_archive.images(layout)
    cifar_archive.pack(tmp_path / "a.tar.gz", cifar_archive.files(data, layout), layout.folder)
    for split, (images, labels) in data.items():
        found = cifar_binary.read(tmp_path / "a.tar.gz", layout, split)
        np.testing.assert_array_equal(found[0], images)
        np.testing.assert_array_equal(found[1], labels)
        assert found[0].flags.c_contiguous


def test_names_of_classes(tmp_path):
    """One a line, some empty; none where not every class has one."""
    names = [f"name_{i}" for i in range(10)]
    for content, expected in (("\n".join([*names, ""]), tuple(names)), ("\n".join(names[:9]), None), ("", None)):
        path = archive(tmp_path / "a.tar.gz", **{"batches.meta.txt": content.encode()})
        assert cifar_binary.class_names(path, SMALL) == expected


def archive(path, **changes):
    contents = cifar_archive.files(cifar_archive.images(SMALL), SMALL) | changes
    cifar_archive.pack(path, {name: content for name, content in contents.items() if content is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data_batch_2.bin": b"short"}, "data_batch_2.bin must be one file of 9219 bytes, got 5"),
        ({"data_batch_4.bin": None}, "has no cifar-10-batches-bin/data_batch_4.bin"),
        ({"data_batch_1.bin": bytes([10]) * 9219}, "has label 10, but there are 10 classes"),
    ],
)
def test_what_is_not_the_data_set_is_refused(changes, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        cifar_binary.read(archive(tmp_path / "a.tar.gz", **changes), SMALL)


def test_a_broken_archive_is_refused(tmp_path):
    whole = archive(tmp_path / "a.tar.gz").read_bytes()
    for name, content in (("cut", whole[:-40]), ("text", b"not an archive"), ("empty", b""), ("bent", whole[:60])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"no whole .tar.gz archive|has no"):
            cifar_binary.read(tmp_path / name, SMALL)
    with pytest.raises(ValueError, match="split must be one of train, test, got 'val'"):
        cifar_binary.read(tmp_path / "a.tar.gz", SMALL, "val")


def test_links_and_names_outside_are_not_followed(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        entry = tarfile.TarInfo("../data_batch_1.bin")
        entry.size = 9219
        out.addfile(entry, io.BytesIO(bytes(9219)))
        entry = tarfile.TarInfo("cifar-10-batches-bin/data_batch_2.bin")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(entry)
    with pytest.raises(ValueError, match=r"data_batch_2.bin must be one file"):
        cifar_binary.read(path, SMALL)
    assert list(tmp_path.iterdir()) == [path]

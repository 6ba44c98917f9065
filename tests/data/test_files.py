"""Folders and archives as systems leave them: links, other slashes, names twice, names that are no text."""

import os
import zipfile

import numpy as np

from jaxdiff.data import files, folder, folder_writer, selection
from tests.support.arrangements import IMAGE, PLACES, of, taken
from tests.support.image_set import encoded, pixels, write


def test_links_are_followed_but_not_in_circles(tmp_path):
    write(tmp_path / "far", of("1.png", "x/2.png"))
    write(tmp_path / "set", of("dog/1.png"))
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "x" / "back").symlink_to(tmp_path / "far")
    (tmp_path / "set" / "dog" / "up").symlink_to("..")
    (tmp_path / "set" / "dog" / "2.png").symlink_to(tmp_path / "absent.png")
    (tmp_path / "set" / "dog" / "5.png").symlink_to("5.png")
    (tmp_path / "set" / "dog" / "3.png").symlink_to(tmp_path / "far" / "1.png")
    os.mkfifo(tmp_path / "set" / "dog" / "4.png")
    found, left_out = taken(tmp_path / "set")
    assert found == {"cat": ["cat/1.png", "cat/x/2.png"], "dog": ["dog/1.png", "dog/3.png"]}
    assert left_out == {
        "a link to a folder above it": ["cat/x/back", "dog/up"],
        "a link to nothing, or no file": ["dog/2.png", "dog/4.png", "dog/5.png"],
    }
    (tmp_path / "link").symlink_to("set")
    assert taken(tmp_path / "link")[0] == found


class Undeclared(zipfile.ZipInfo):
    """An entry whose name is UTF-8 without saying so, as macOS writes it."""

    def _encodeFilenameFlags(self):
        return self.filename.encode(), self.flag_bits


def test_archives_of_other_systems(tmp_path):
    """Backslashes, names twice, UTF-8 that is not declared, links, folders without files."""
    first, second = pixels(2)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in {"cat\\": b"", "cat\\1.png": encoded(first), "dog\\1.png": IMAGE, "emu\\": b""}.items():
            archive.writestr(name, content)
        archive.writestr("./cat/1.png", encoded(second))
        link = zipfile.ZipInfo("cat/2.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "1.png")
        archive.writestr(Undeclared("Löwe/1.png"), IMAGE)
    found, left_out = taken(tmp_path / "a.zip")
    assert found == {"Löwe": ["Löwe/1.png"], "cat": ["cat/1.png"], "dog": ["dog/1.png"]}
    assert left_out == {
        "before another file of the same name": ["cat/1.png"],
        "a link in an archive": ["cat/2.png"],
        "without an image in it": ["emu"],
    }
    images = folder.load(tmp_path / "a.zip")
    np.testing.assert_array_equal(images[list(images.names).index("cat/1.png")]["image"], second)  # as unzip leaves it


@PLACES
def test_backslashes_in_names(place, tmp_path):
    """As they lie in a folder after an archive of Windows was unpacked elsewhere."""
    found, left_out = taken(write(tmp_path / place, of("cat\\1.png", "dog\\x\\1.png")))
    assert (found, left_out) == ({"cat": ["cat/1.png"], "dog": ["dog/x/1.png"]}, {})
    assert files.Files(tmp_path / place).read("dog/x/1.png") == IMAGE


def test_names_that_are_no_text(tmp_path):
    odd = os.fsencode(tmp_path / "set") + b"/\xff"
    os.makedirs(odd)
    for name in (
        odd + b"/\xfe.png",
        odd + b"/\xfe.txt",
        os.fsencode(write(tmp_path / "set" / "a", of("1.png"))) + b"/2.png",
    ):
        with open(name, "wb") as file:
            file.write(IMAGE)
    found = folder.load(tmp_path / "set")
    assert found.labels.tolist() == [0, 0, 1]
    lines = selection.describe(found.selection, "set")
    assert lines[0].endswith("2 classes: 0 a (2), 1 \\udcff (1)")
    assert lines[1] == "left out of set: 1 not read as images (\\udcff/\\udcfe.txt)"
    assert folder_writer.write(tmp_path / "new", [(IMAGE, 1)], found.classes) == 1
    assert folder.load(tmp_path / "new").classes == found.classes

"""Folders and zip files of images: read as they were written, and refused with the file's name."""

import json
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from jaxdiff.data import folder, folder_writer, pipeline
from tests.support.image_set import encoded, files_of, labelled, pixels, write

PLACES = pytest.mark.parametrize("place", ["set", "set.zip"], ids=["folder", "zip"])
FIRST, SECOND = "00000/img00000000.png", "00000/img00000001.png"


@PLACES
@pytest.mark.parametrize("shape", [(8, 8, 1), (6, 9, 3)], ids=["grey", "rgb"])
def test_images_and_labels_come_back(place, shape, tmp_path):
    images, classes = pixels(12, shape), np.arange(12) % 5
    found = folder.load(write(tmp_path / place, files_of(images, classes)))
    assert (len(found), found.shape) == (12, shape)
    for i in (0, 7, 11):
        example = found[i]
        np.testing.assert_array_equal(example["image"], images[i])
        assert example["image"].dtype == np.uint8
        assert (example["label"], example["label"].dtype) == (classes[i], np.int32)
    folder.check(found)


@PLACES
@pytest.mark.parametrize("extra", [{}, {"dataset.json": labelled(None)}], ids=["no file", "null"])
def test_without_labels(place, extra, tmp_path):
    found = folder.load(write(tmp_path / place, files_of(pixels(3)) | extra))
    assert found.labels is None
    assert found[2]["label"] == -1


def test_jpeg_and_other_files_next_to_it(tmp_path):
    flat = np.full((16, 16, 3), 90, np.uint8)
    files = {"b.JPG": encoded(flat, "jpeg"), "a/x.jpeg": encoded(flat, "jpeg"), "notes.txt": b"", "._b.jpg": b"macOS"}
    files |= {"__MACOSX/._b.jpg": b"", ".hidden/c.png": b"", "dataset.json": labelled({"a\\x.jpeg": 1, "b.JPG": 0})}
    found = folder.load(write(tmp_path / "set.zip", files))
    assert list(found.names) == ["a/x.jpeg", "b.JPG"]
    assert found.labels.tolist() == [1, 0]
    assert np.abs(found[0]["image"].astype(int) - 90).max() <= 1


@PLACES
def test_threads_read_the_same_archive(place, tmp_path):
    images = pixels(40, (16, 16, 3))
    found = folder.load(write(tmp_path / place, files_of(images, np.arange(40))))
    rows = np.random.default_rng(0).integers(0, 40, 2000).tolist()
    with ThreadPoolExecutor(16) as pool:
        for row, example in zip(rows, pool.map(found.__getitem__, rows), strict=True):
            np.testing.assert_array_equal(example["image"], images[row])
    batches = pipeline.batches(found, 16, seed=0)
    for _ in range(20):
        batch = next(batches)
        np.testing.assert_array_equal(batch["image"], images[batch["label"]])


def refused(path, changes, drop=()):
    files = files_of(pixels(4), [0, 1, 2, 3]) | changes
    found = folder.load(write(path, {name: content for name, content in files.items() if name not in drop}))
    folder.check(found)


@PLACES
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({SECOND: b"no image"}, rf"{SECOND} is no whole image .*: replace or remove it, or make .* --skip-broken"),
        ({FIRST: b""}, rf"{FIRST} is no whole image"),
        ({SECOND: encoded(pixels(1)[0])[:-60]}, rf"{SECOND} is no whole image"),
        ({SECOND: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"}, rf"{SECOND} is no whole image"),
        ({SECOND: encoded(pixels(1, (8, 9, 1))[0])}, rf"{SECOND} has shape \(8, 9, 1\), but {FIRST} has \(8, 8, 1\)"),
        ({SECOND: encoded(pixels(1, (8, 8, 3))[0])}, r"has shape \(8, 8, 3\), .*: make a set of one shape with python"),
        (
            {SECOND: encoded(Image.new("F", (8, 8)), "tiff")},
            rf"{SECOND} is of Pillow's mode F, whose range no file states",
        ),
        (
            {SECOND: encoded(Image.new("I", (8, 8)), "tiff")},
            rf"{SECOND} is of Pillow's mode I, whose range no file states",
        ),
    ],
)
def test_a_bad_image_is_named_before_training(changes, says, place, tmp_path):
    with pytest.raises(ValueError, match=says):
        refused(tmp_path / place, changes)


@PLACES
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            labelled({FIRST: 1}),
            r"dataset.json has no label for 3 of 4 images, such as .*img00000001.png: label them too",
        ),
        (
            labelled({f"00000/img{i:08d}.png": 1 for i in range(5)}),
            r"labels 1 images that are not there, such as .*4.png",
        ),
        (json.dumps({"labels": [[FIRST, 0], [FIRST, 1]]}).encode(), rf"labels {FIRST} 2 times"),
        (b"{", r"dataset.json must be {\"labels\": \[\[file, class\], ...\]} or"),
        (b"\xff\xfe", r"dataset.json must be"),
        (b"[]", r"dataset.json must be"),
        (b'{"classes": []}', r"must be .*KeyError\('labels'\)"),
        (b'{"labels": [["a.png"]]}', r"dataset.json must be"),
        (labelled({f"00000/img{i:08d}.png": [0.5, 1.0] for i in range(4)}), r"the label of .* must be a class 0, 1"),
        (labelled({f"00000/img{i:08d}.png": i - 1 for i in range(4)}), r"must be a class 0, 1, ..., got -1"),
        (labelled({f"00000/img{i:08d}.png": True for i in range(4)}), r"must be a class 0, 1, ..., got True"),
    ],
)
def test_labels_that_do_not_fit_are_refused(content, says, place, tmp_path):
    with pytest.raises(ValueError, match=says):
        refused(tmp_path / place, {"dataset.json": content})


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is no folder and no zip file: .*No such file"):
        folder.load(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"holds no image: files must end in .png, .apng, .jpg, .jpeg"):
        folder.load(write(tmp_path / "empty", {"notes.txt": b""}))
    (tmp_path / "a.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="is no folder and no zip file"):
        folder.load(tmp_path / "a.zip")


def test_a_damaged_archive_names_the_image(tmp_path):
    path = write(tmp_path / "set.zip", files_of(pixels(4), range(4)))
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(SECOND).header_offset + 30 + len(SECOND)
    content = bytearray(path.read_bytes())
    content[start + 50] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{SECOND} in .*set.zip cannot be unpacked .*CRC.*: make the archive anew"):
        folder.check(folder.load(path))


def test_progress_sees_every_image(tmp_path):
    found, seen = folder.load(write(tmp_path / "set", files_of(pixels(5)))), []
    folder.check(found, lambda images: (seen.append(1) for _ in images))
    assert len(seen) == 5


@PLACES
def test_what_is_written_is_read(place, tmp_path):
    images, classes = pixels(1003, (4, 4, 3)), np.arange(1003) % 7
    pngs = [folder_writer.encode_png(Image.fromarray(image)) for image in images]
    assert folder_writer.write(tmp_path / place, zip(pngs, classes, strict=True)) == 1003
    found = folder.load(tmp_path / place)
    assert found.names[-1] == "00001/img00001002.png"
    batch = pipeline.take(found, np.arange(1003))
    np.testing.assert_array_equal(batch["image"], images)
    np.testing.assert_array_equal(batch["label"], classes)
    folder_writer.write(tmp_path / f"none_{place}", ((content, None) for content in pngs))
    assert folder.load(tmp_path / f"none_{place}").labels is None


@PLACES
def test_writing_is_whole_or_nothing(place, tmp_path):
    content = encoded(pixels(1)[0])

    def breaking():
        yield content, 1
        raise ValueError("broken")

    for images, says in (
        (breaking(), "broken"),
        (iter([(content, 1), (content, None)]), "image 1 and those before it must all have a class"),
        (iter([(content, None), (content, 1)]), "image 1 and those before it must all have a class"),
        (iter([]), "there are no images to write"),
    ):
        with pytest.raises(ValueError, match=says):
            folder_writer.write(tmp_path / place, images)
        assert not list(tmp_path.iterdir())
    folder_writer.write(tmp_path / place, [(content, 1)])
    with pytest.raises(FileExistsError, match="is there already and nothing is written over"):
        folder_writer.write(tmp_path / place, [(content, 1)])
    assert [path.name for path in tmp_path.iterdir()] == [place]


def test_the_same_images_make_the_same_archive(tmp_path):
    for name in "ab":
        folder_writer.write(tmp_path / f"{name}.zip", [(encoded(image), 0) for image in pixels(3)])
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()

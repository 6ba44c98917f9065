"""Which images are taken of what people have, and what is said of the others, as folder and as zip."""

import json
import unicodedata

import pytest

from jaxdiff.data import folder, selection
from tests.support.arrangements import PLACES, of, taken
from tests.support.image_set import labelled, write


@PLACES
@pytest.mark.parametrize(
    ("names", "classes", "left_out"),
    [
        (["a.png", "b.png"], {None: ["a.png", "b.png"]}, {}),
        (["x/a.png", "x/b.png"], {None: ["x/a.png", "x/b.png"]}, {}),
        (["b/x/1.png", "a/2.png", "b/3.png"], {"a": ["a/2.png"], "b": ["b/3.png", "b/x/1.png"]}, {}),
        # A wrapper, and one around it.
        (["w/cat/1.png", "w/dog/1.png"], {"cat": ["w/cat/1.png"], "dog": ["w/dog/1.png"]}, {}),
        (["v/w/cat/1.png", "v/w/dog/1.png"], {"cat": ["v/w/cat/1.png"], "dog": ["v/w/dog/1.png"]}, {}),
        # A file next to the classes is no class and shifts none.
        (
            ["0.png", "cat/1.png", "dog/1.png"],
            {"cat": ["cat/1.png"], "dog": ["dog/1.png"]},
            {"next to the folders": ["0.png"]},
        ),
        (
            ["0.png", "w/cat/1.png", "w/dog/1.png"],
            {"cat": ["w/cat/1.png"], "dog": ["w/dog/1.png"]},
            {"next to the folders": ["0.png"]},
        ),
        (["0.png", "w/1.png"], {None: ["0.png", "w/1.png"]}, {}),  # without classes nothing is in the way
        # Numbers are counted, in classes and in files.
        (
            ["10/1.png", "2/10.png", "2/9.png", "1/1.png"],
            {"1": ["1/1.png"], "2": ["2/9.png", "2/10.png"], "10": ["10/1.png"]},
            {},
        ),
        # Folders that only count, of EDM's tools without dataset.json and of FFHQ; and classes that are numbers.
        (["00000/img00000999.png", "00001/img00001000.png"], None, {}),
        (["ffhq/00000/00999.png", "ffhq/69000/69001.png"], None, {}),
        (
            ["00000/img00000999.png", "00001/img00000000.png"],
            {"00000": ["00000/img00000999.png"], "00001": ["00001/img00000000.png"]},
            {},
        ),
        # Every suffix in any case; what is no image is said.
        (["a.PNG", "b.JFIF", "c.TiF", "d.webp", "e.bmp", "f.gif"], None, {}),
        (
            ["a.png", "b.heic", "notes.txt", ".c.png"],
            {None: ["a.png"]},
            {"not read as images": 2, "hidden": [".c.png"]},
        ),
        # A class without images.
        (
            ["cat/1.png", "dog/1.heic"],
            {None: ["cat/1.png"]},
            {"not read as images": 1, "without an image in it": ["dog"]},
        ),
        (
            ["ant/1.png", "cat/1.png", "bee/x.txt"],
            {"ant": ["ant/1.png"], "cat": ["cat/1.png"]},
            {"not read as images": 1, "without an image in it": ["bee"]},
        ),
    ],
)
def test_what_is_taken(names, classes, left_out, place, tmp_path):
    found, others = taken(write(tmp_path / place, of(*names)))
    assert found == ({None: names} if classes is None else classes)
    assert {why: len(got) if isinstance(left_out.get(why), int) else got for why, got in others.items()} == left_out


@PLACES
@pytest.mark.parametrize(
    ("names", "split", "classes"),
    [
        (["train/cat/1.png", "train/dog/1.png", "val/cat/1.png"], "train", {"cat", "dog"}),
        (["w/Training/1/1.png", "w/Training/2/1.png", "w/Test/1/1.png"], "train", {"1", "2"}),
        (["train2017/1.png", "val2017/1.png"], "train", {None}),
        (["train_32x32/1.png", "valid_32x32/1.png", "extra/2.png"], "train", {None}),
        (["cat/train/1.png", "cat/test/1.png", "dog/train/1.png", "dog/test/1.png"], "train", {"cat", "dog"}),
        (["val/cat/1.png", "val/dog/1.png", "test/cat/1.png"], "val", {"cat", "dog"}),
        (["train/cat/1.png", "valid/a/1.png", "valid/b/2.png"], "val", {"a", "b"}),
        (["train/1.png", "dev/1.png", "val/1.png"], "dev", {None}),
        (["seg_train/seg_train/sea/1.png", "seg_train/seg_train/ice/1.png", "seg_test/1.png"], "train", {"ice", "sea"}),
        (["trainA/1.png", "trainB/1.png", "testA/1.png", "testB/1.png"], "trainB", {None}),
    ],
)
def test_splits_are_no_classes(names, split, classes, place, tmp_path):
    """One is taken, all others are named."""
    found, left_out = taken(write(tmp_path / place, of(*names)), split)
    kept = [name for group in found.values() for name in group]
    assert set(found) == classes
    assert kept
    assert all(split.lower()[:3] in name.lower() for name in kept)
    assert sorted(kept + left_out["of other splits"]) == sorted(names)


@PLACES
def test_a_class_has_one_index_in_all_splits(place, tmp_path):
    train = [f"train/{name}/1.png" for name in ("ant", "bee", "cat")]
    val = [f"val/{name}/2.png" for name in ("ant", "aye-aye", "cat")]
    path = write(tmp_path / place, of(*train, *val, "test/part 1/3.png", "test/part 2/3.png"))
    for split, classes, expected in (("train", (), [0, 1, 2]), ("val", ("aye-aye",), [0, 3, 2])):
        found = folder.load(path, split)
        assert found.classes == ("ant", "bee", "cat", *classes)
        assert found.labels.tolist() == expected
    assert folder.load(path, "test").classes == ("part 1", "part 2")  # which has others altogether
    said = {"labels": [["1.png", 0]], "classes": ["zebra"]}
    labelled_by_hand = of("train/1.png", "val/1.png") | {"train/dataset.json": json.dumps(said).encode()}
    found = folder.load(write(tmp_path / f"by_hand_{place}", labelled_by_hand))
    assert (found.classes, found.labels.tolist()) == (("zebra",), [0])


@PLACES
def test_a_split_that_is_not_there_is_refused(place, tmp_path):
    both, one = write(tmp_path / place, of("val/1.png", "test/1.png")), write(tmp_path / f"one_{place}", of("1.png"))
    lacks = write(tmp_path / f"lacks_{place}", of("cat/train/1.png", "cat/test/1.png", "dog/test/1.png"))
    for path, split, says in (
        (lacks, "train", r"dog has the splits test: split must be one of them, got 'train'"),
        (both, "train", r"set(.zip)? has the splits test, val: split must be one of them, got 'train'"),
        (one, "test", r"has no folders of splits such as train and test, so split='test' is none"),
    ):
        with pytest.raises(ValueError, match=says):
            folder.load(path, split)
    # A class that happens to be called so.
    assert set(taken(write(tmp_path / f"vehicles_{place}", of("bus/1.png", "car/1.png", "train/1.png")))[0]) == {
        *("bus", "car", "train")
    }


@PLACES
@pytest.mark.parametrize("stray", [[], ["cover.png"]], ids=["alone", "stray"])
def test_labels_one_folder_down(stray, place, tmp_path):
    files_ = of("w/a.png", "w/b.png", *stray) | {"w/dataset.json": labelled({"a.png": 1, "b.png": 0})}
    found, left_out = taken(write(tmp_path / place, files_))
    assert found == {1: ["w/a.png"], 0: ["w/b.png"]}
    assert left_out == ({"next to the folders": stray} if stray else {})


@PLACES
def test_labels_that_are_not_used_are_said(place, tmp_path):
    files_ = of("cat/1.png", "dog/1.png") | {"cat/dataset.json": labelled({"1.png": 5})}
    found, left_out = taken(write(tmp_path / place, files_))
    assert found == {"cat": ["cat/1.png"], "dog": ["dog/1.png"]}
    assert left_out == {"below a folder that is a class": ["cat/dataset.json"]}


@PLACES
def test_names_of_classes_in_dataset_json(place, tmp_path):
    said = {"labels": [["a.png", 1], ["b.png", 0]], "classes": ["cat", "dog"]}
    found = folder.load(write(tmp_path / place, of("a.png", "b.png") | {"dataset.json": json.dumps(said).encode()}))
    assert (found.classes, found.labels.tolist()) == (("cat", "dog"), [1, 0])
    lines = selection.describe(found.selection, "photos")
    assert lines == ["photos: 2 images, 2 classes: 0 cat (1), 1 dog (1)"]
    said["classes"] = ["cat"]
    with pytest.raises(ValueError, match="has a label 1, but names 1 classes: name all, or none"):
        folder.load(
            write(tmp_path / f"few_{place}", of("a.png", "b.png") | {"dataset.json": json.dumps(said).encode()})
        )


@PLACES
@pytest.mark.parametrize("entry", ["{}", "./{}", ".\\{}", "x/../{}"])
@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_in_other_words(entry, forms, place, tmp_path):
    of_file, of_entry = (unicodedata.normalize(form, "Löwe.png") for form in forms)
    path = write(
        tmp_path / place, of(of_file, "a.png") | {"dataset.json": labelled({entry.format(of_entry): 1, "a.png": 0})}
    )
    if "x/.." in entry:  # is another file for whoever follows links
        with pytest.raises(ValueError, match="labels 1 images that are not there"):
            folder.load(path)
    else:
        found = folder.load(path)
        assert dict(zip(found.names, found.labels.tolist(), strict=True)) == {of_file: 1, "a.png": 0}


def test_two_files_that_differ_in_normalisation_keep_their_labels(tmp_path):
    one, two = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    path = write(tmp_path / "set.zip", of(one, two) | {"dataset.json": labelled({one: 1, two: 0})})
    found = folder.load(path)
    assert dict(zip(found.names, found.labels.tolist(), strict=True)) == {one: 1, two: 0}


def test_lines_for_a_person(tmp_path):
    names = [f"{i}/{j}.png" for i in range(30) for j in range(2)]
    found = folder.load(write(tmp_path / "set", of(*names, "a.png", "b.txt", "c.txt", "d.txt", "e.txt")))
    one, two = selection.describe(found.selection, "set")
    assert one.startswith("set: 60 images, 30 classes: 0 0 (2), 1 1 (2), 2 2 (2), ")
    assert one.endswith("18 18 (2), ..., 29 29 (2)")
    assert two == "left out of set: 4 not read as images (b.txt, c.txt, ..., e.txt); 1 next to the folders (a.png)"

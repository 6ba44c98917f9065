"""Which images of a folder or zip file are taken, and their classes, however people arrange them.

From the top, folder by folder:
- dataset.json: the images below it are those that it labels;
- folders train and val or test: the split that is asked for, and not classes, which have train's indices in all;
- one folder only: a wrapper, of which the inside counts;
- folders of a thousand numbered files each, as EDM's tools and FFHQ have them: images without classes;
- several other folders: each is a class, in natural order, and files next to them are left out;
- no folder: images without classes.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxdiff.data import labels
from jaxdiff.data.files import Files, natural_key
from jaxdiff.data.image_file import SUFFIXES

_SPLITS = {"train": r"train(ing)?", "val": r"val(id(ation)?)?|dev", "test": r"test(ing)?"}
_BEFORE, _AFTER = r"([a-z0-9]+[-_ ])?", r"([-_ ]?(set|images?|imgs?|data|[ab]|\d+(x\d+)?))?"
"""What stands around these words in names such as seg_train, training_set, trainA, val2017."""
_NUMBERED = re.compile(r"([0-9]{5})/(?:img)?([0-9]{5,8})\.[a-z]+", re.IGNORECASE)
SPLIT = "train"
"""The split that is taken by default, where there are splits."""


class Selection(NamedTuple):
    """What is taken and what is not.

    names: of the images, in natural order; labels: [N] int32, or None; classes: their names, where they have any;
    split: the folder that was chosen among splits, or None; left_out: names by reason.
    """

    names: Sequence[str]
    labels: NDArray[np.int32] | None
    classes: tuple[str, ...] | None
    split: str | None
    left_out: Mapping[str, Sequence[str]]


def select(files: Files, split: str = SPLIT) -> Selection:
    """Select the images of a folder or zip file.

    Args:
      files: of the folder or zip file.
      split: to take where there are several, by the name of its folder or as train, val or test.
    Raises: ValueError when there is no image or no such split, or dataset.json does not fit.
    Example:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     for name in ("dog/1.png", "cat/10.png", "cat/2.png"):
      ...         path = pathlib.Path(folder, name)
      ...         path.parent.mkdir(exist_ok=True)
      ...         path.touch()
      ...     found = select(Files(folder))
      >>> found.names, found.labels.tolist(), found.classes
      (['cat/2.png', 'cat/10.png', 'dog/1.png'], [0, 0, 1], ('cat', 'dog'))
    """
    names = [name for name in files.names if name.lower().endswith(SUFFIXES)]
    found = _below("", names, files, split)
    if not found.names:
        raise ValueError(f"{files.path} holds no image: files must end in {', '.join(SUFFIXES)}")
    if found.split is None and split != SPLIT:
        raise ValueError(f"{files.path} has no folders of splits such as train and test, so split={split!r} is none")
    images = set(names)
    others = [name for name in files.names if name not in images and name.rpartition("/")[2] != labels.FILE]
    return found._replace(left_out=_joined({"not read as images": others}, files.left_out, found.left_out))


def describe(selection: Selection, title: str) -> list[str]:
    """Describe for a person what is taken, with its classes by index, and what is left out, in lines.

    Args:
      selection: from `select`.
      title: of the data.
    Example:
      >>> describe(Selection(["1/a.png"], np.array([0]), ("cat",), None, {"hidden": [".b.png"]}), "photos")
      ['photos: 1 images, 1 classes: 0 cat (1)', 'left out of photos: 1 hidden (.b.png)']
    """
    of_split = f", those of {selection.split}" if selection.split else ""
    lines = [f"{title}: {len(selection.names)} images{of_split}, {count_classes(selection.labels, selection.classes)}"]
    if selection.left_out:
        reasons = (f"{len(names)} {why} ({abbreviate(names)})" for why, names in selection.left_out.items())
        lines.append(f"left out of {title}: {'; '.join(reasons)}")
    return [line.encode(errors="backslashreplace").decode() for line in lines]  # names may be no text


def count_classes(values: NDArray[np.int32] | None, classes: Sequence[str] | None) -> str:
    """Count the images of each class, in words.

    Args:
      values: [N] classes of the images, or None.
      classes: their names, where they have any.
    Example:
      >>> count_classes(np.array([1, 0, 1]), ("cat", "dog"))
      '2 classes: 0 cat (1), 1 dog (2)'
    """
    if values is None:
        return "no classes"
    counts = Counter(values.tolist())
    indices = sorted(counts) if classes is None else range(len(classes))
    each = [f"{i} {classes[i]} ({counts[i]})" if classes else f"{i} ({counts[i]})" for i in indices]
    return f"{len(each)} classes: {abbreviate(each, 20)}"


def abbreviate(names: Sequence[str], num: int = 3) -> str:
    """List the first names and the last.

    Args:
      names: any number.
      num: how many are listed at the most, >= 2.
    Example:
      >>> abbreviate(["a", "b", "c", "d"])
      'a, b, ..., d'
    """
    return ", ".join(names if len(names) <= num else [*names[: num - 1], "...", names[-1]])


def _below(root: str, names: Sequence[str], files: Files, split: str) -> Selection:
    """Select among the images below a folder, whose name ends in / where it is not the top."""
    if root + labels.FILE in files:
        where, content = files.path / root / labels.FILE, files.read(root + labels.FILE)
        values = labels.parse(content, [name[len(root) :] for name in names], where)
        return Selection(names, values, labels.class_names(content, where), None, {})
    folders, loose = _by_folder(root, names)
    if kinds := _splits(folders):
        chosen = _asked(split, kinds, f"{files.path}/{root}")
        rest = [name for folder, inside in folders.items() if folder != chosen for name in inside]
        found = _below(f"{root}{chosen}/", folders[chosen], files, split)
        if found.classes and not any(name.startswith(root) and name.endswith(labels.FILE) for name in files.names):
            first = next((folder for folder, kind in kinds.items() if kind == SPLIT), chosen)
            found = _numbered_as(found, _below(f"{root}{first}/", folders[first], files, split).classes or ())
        return found._replace(split=chosen, left_out=_joined({"of other splits": rest + loose}, found.left_out))
    empty = {"without an image in it": _empty(root, folders, files)}
    if len(folders) == 1:
        ((folder, inside),) = folders.items()
        found = _below(f"{root}{folder}/", inside, files, split)
        if not loose or found.labels is not None or found.split:
            return found._replace(left_out=_joined({"next to the folders": loose}, empty, found.left_out))
    if len(folders) < 2 or all(_numbered(name[len(root) :]) for name in names):
        return Selection(names, None, None, None, _joined(empty))
    return _classes(root, folders, _joined({"next to the folders": loose}, empty), files, split)


def _numbered_as(found: Selection, first: Sequence[str]) -> Selection:
    """With the indices that classes have in the split that is trained on; others come after them."""
    own = found.classes or ()
    if not set(first) & set(own):
        return found
    classes = (*first, *(name for name in own if name not in first))
    index = np.array([classes.index(name) for name in own], np.int32)
    return found._replace(labels=index[found.labels], classes=classes)


def _classes(
    root: str, folders: Mapping[str, Sequence[str]], left_out: Mapping[str, Sequence[str]], files: Files, split: str
) -> Selection:
    """Every folder is a class; where classes are split in themselves, as cat/train and cat/test, of one split each."""
    names, values, chosen = list[str](), list[int](), None
    within = {folder: _by_folder(f"{root}{folder}/", inside) for folder, inside in folders.items()}
    divided = any(_splits(inner) for inner, _ in within.values())
    for label, (folder, inside) in enumerate(folders.items()):
        inner, loose = within[folder]
        if divided and (kinds := _kinds(inner)):
            chosen = _asked(split, kinds, f"{files.path}/{root}{folder}")
            rest = [name for other, others in inner.items() if other != chosen for name in others]
            left_out, inside = _joined(left_out, {"of other splits": rest + loose}), inner[chosen]
        names += inside
        values += [label] * len(inside)
    unused = [name for name in files.names if name.startswith(root) and name.endswith(f"/{labels.FILE}")]
    left_out = _joined(left_out, {"below a folder that is a class": unused})
    return Selection(names, np.array(values, np.int32), tuple(folders), chosen, left_out)


def _by_folder(root: str, names: Iterable[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Names by the first folder below root, and those without one."""
    folders, loose = defaultdict[str, list[str]](list), list[str]()
    for name in names:
        folder, _, rest = name[len(root) :].partition("/")
        (folders[folder] if rest else loose).append(name)
    return dict(sorted(folders.items(), key=lambda item: natural_key(item[0]))), loose


def _empty(root: str, folders: Mapping[str, Sequence[str]], files: Files) -> list[str]:
    """Folders directly below root that hold no image."""
    inside = (name[len(root) :] for name in files.folders if name.startswith(root))
    return sorted({name for name in inside if name and "/" not in name and name not in folders}, key=natural_key)


def _kinds(folders: Iterable[str]) -> dict[str, str]:
    """Which split each folder is by its name, where it is one."""
    return {
        folder: kind
        for folder in folders
        for kind, pattern in _SPLITS.items()
        if re.fullmatch(f"{_BEFORE}({pattern}){_AFTER}", folder.lower())
    }


def _splits(folders: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The kind of each folder that is a split; nothing where they are no splits but classes."""
    kinds = _kinds(folders)
    several = len(set(kinds.values())) > 1
    return kinds if several and ("train" in kinds.values() or len(kinds) == len(folders)) else {}


def _numbered(name: str) -> bool:
    """Whether a folder says no more than a file's number, in thousands or of the first of a thousand."""
    found = _NUMBERED.fullmatch(name)
    if found is None:
        return False
    folder, thousand = int(found[1]), int(found[2]) // 1000
    return folder in (thousand, 1000 * thousand)


def _asked(split: str, kinds: Mapping[str, str], where: str) -> str:
    """The folder of a split."""
    found = [split] if split in kinds else [folder for folder, kind in kinds.items() if kind == split]
    if len(found) != 1:
        raise ValueError(
            f"{where.rstrip('/')} has the splits {', '.join(kinds)}: split must be one of them, got {split!r}, or give "
            "the folder itself"
        )
    return found[0]


def _joined(*several: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Names by reason, without reasons that have none."""
    found = defaultdict[str, list[str]](list)
    for one in several:
        for why, names in one.items():
            if names:
                found[why] += names
    return dict(found)

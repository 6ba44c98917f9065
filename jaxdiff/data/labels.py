"""Labels of image files: the dataset.json of EDM's tools, with the names of the classes.

{"labels": [["00000/img00000000.png", 1], ["00000/img00000001.png", 0], ...], "classes": ["cat", "dog"]}
{"labels": null}
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxdiff.data.files import normalise_name

FILE = "dataset.json"


def parse(content: bytes, names: Sequence[str], where: str | Path) -> NDArray[np.int32] | None:
    """Parse the label of every image, [N] int32 >= 0, or None where there are none.

    Names may be written in other ways too: with \\ or / between folders, after ./, in any Unicode normalisation.

    Args:
      content: of the file.
      names: of the images, with / between folders.
      where: name of the file, for messages.
    Raises: ValueError, naming the file and what to mend, when it is not of the form above, names an image that is not
      there or twice, leaves one out, or has labels that are no classes.
    Example:
      >>> parse(b'{"labels": [["b.png", 1], ["./a.png", 0]]}', ["a.png", "b.png"], "dataset.json").tolist()
      [0, 1]
    """
    pairs = _pairs(content, where)
    if pairs is None:
        return None
    files = _matched([name for name, _ in pairs], names)
    found = dict(zip(files, (label for _, label in pairs), strict=True))
    counts, known = Counter(files), set(names)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"{where} labels {twice[0]} {counts[twice[0]]} times: leave one of the entries")
    if absent := [name for name in found if name not in known]:
        raise ValueError(
            f"{where} labels {len(absent)} images that are not there, such as {absent[0]}: remove their entries"
        )
    if without := [name for name in names if name not in found]:
        raise ValueError(
            f"{where} has no label for {len(without)} of {len(names)} images, such as {without[0]}: "
            'label them too, or write {"labels": null} for none at all'
        )
    for name, label in found.items():
        if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < 2**31:
            raise ValueError(f"{where}: the label of {name} must be a class 0, 1, ..., got {str(label)[:80]}")
    return np.array([found[name] for name in names], np.int32)


def class_names(content: bytes, where: str | Path) -> tuple[str, ...] | None:
    """Read the names of the classes 0, 1, ..., or None where the file has no list of texts.

    Args:
      content: of the file.
      where: its name, for messages.
    Raises: ValueError when there are fewer names than classes.
    Example:
      >>> class_names(b'{"labels": [["a.png", 1]], "classes": ["cat", "dog"]}', "dataset.json")
      ('cat', 'dog')
    """
    pairs, names = _pairs(content, where), json.loads(content).get("classes")
    if pairs is None or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    if pairs and len(names) <= (largest := max(label for _, label in pairs)):
        raise ValueError(f"{where} has a label {largest}, but names {len(names)} classes: name all, or none")
    return tuple(names)


def dump(labels: Mapping[str, int] | None, classes: Sequence[str] | None = None, **others: Any) -> bytes:
    """Write the content of dataset.json.

    Args:
      labels: class by name of file, or None.
      classes: their names, where they have any.
      others: more entries; empty ones are left out.
    Example:
      >>> dump({"a.png": 0}, ["cat"]), dump(None)
      (b'{"labels": [["a.png", 0]], "classes": ["cat"]}', b'{"labels": null}')
    """
    entries: dict[str, Any] = {"labels": None if labels is None else [[name, int(n)] for name, n in labels.items()]}
    more = {"classes": list(classes or ()), **others}
    return json.dumps(entries | {name: value for name, value in more.items() if value}).encode()


def _pairs(content: bytes, where: str | Path) -> list[tuple[str, Any]] | None:
    try:
        pairs = json.loads(content)["labels"]
        return None if pairs is None else [(str(name), label) for name, label in pairs]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{where} must be {{"labels": [[file, class], ...]}} or {{"labels": null}}: {error!r}'
        ) from None


def _matched(entries: Sequence[str], names: Sequence[str]) -> list[str]:
    """The files that entries mean; an entry that means none, or more than one, stays as it is."""
    known, alike = set(names), dict[str, list[str]]()
    for name in names:
        alike.setdefault(unicodedata.normalize("NFC", name), []).append(name)

    def file_of(entry: str) -> str:
        name = normalise_name(entry)
        same = alike.get(unicodedata.normalize("NFC", name), [])
        return name if name in known or len(same) != 1 else same[0]

    return list(map(file_of, entries))

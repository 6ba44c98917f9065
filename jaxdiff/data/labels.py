"""Labels of image files: the dataset.json of EDM's tools.

{"labels": [["00000/img00000000.png", 6], ["00000/img00000001.png", 9], ...]}     or     {"labels": null}
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = "dataset.json"


def parse(content: bytes, names: Sequence[str], where: str | Path) -> NDArray[np.int32] | None:
    """The label of every image, [N] int32 >= 0, or None where there are none.

    Args:
      content: of the file; names: of the images, with / between folders; where: the file is, for messages.
    Raises: ValueError, naming the file and what to mend, when it is not of the form above, names an image that is not
      there or twice, leaves one out, or has labels that are no classes.
    Example:
      >>> parse(b'{"labels": [["b.png", 1], ["a.png", 0]]}', ["a.png", "b.png"], "dataset.json").tolist()
      [0, 1]
    """
    try:
        pairs = json.loads(content)["labels"]
        if pairs is None:
            return None
        found = {str(name).replace("\\", "/"): label for name, label in pairs}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{where} must be {{"labels": [[file, class], ...]}} or {{"labels": null}}: {error!r}'
        ) from None
    counts, known = Counter(str(name).replace("\\", "/") for name, _ in pairs), set(names)
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


def dump(labels: Mapping[str, int] | None) -> bytes:
    """The content of dataset.json.

    Example:
      >>> dump({"a.png": 3}), dump(None)
      (b'{"labels": [["a.png", 3]]}', b'{"labels": null}')
    """
    return json.dumps({"labels": None if labels is None else [[name, int(n)] for name, n in labels.items()]}).encode()


def of_folders(names: Sequence[str]) -> NDArray[np.int32] | None:
    """Classes by the first folder of each name, in the folders' order; None where all are in one.

    Example:
      >>> of_folders(["cat/1.png", "dog/1.png", "cat/2.png"]).tolist()
      [0, 1, 0]
    """
    folders = [name.rpartition("/")[0].split("/")[0] for name in names]
    classes = sorted(set(folders))
    return None if len(classes) < 2 else np.searchsorted(classes, folders).astype(np.int32)

"""Images as people arrange them, as folder and as zip, and what is taken of them."""

import pytest

from jaxdiff.data import folder
from tests.support.image_set import encoded, pixels

IMAGE = encoded(pixels(1)[0])
PLACES = pytest.mark.parametrize("place", ["set", "set.zip"], ids=["folder", "zip"])


def of(*names):
    """Files by name, each with an image."""
    return dict.fromkeys(names, IMAGE)


def taken(path, split="train"):
    """{class name or None: names}, and what is left out."""
    found = folder.load(path, split)
    by_class = {}
    for i, name in enumerate(found.names):
        value = None if found.labels is None else int(found.labels[i])
        by_class.setdefault(value if found.classes is None or value is None else found.classes[value], []).append(name)
    if found.classes and found.labels is not None:
        assert sorted(set(found.labels.tolist())) == list(range(len(found.classes)))
    return by_class, {why: list(names) for why, names in found.selection.left_out.items()}

"""Which cases belong to the default tier."""

from pathlib import Path

import pytest

from tests.support import reference


def first_of_a_kind(cases, kind):
    """Cases as pytest.params, of which all but the first of each kind(*values) are left to the full tier."""
    seen, found = set(), []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        param = case if hasattr(case, "marks") else pytest.param(*values)
        is_new = (k := kind(*param.values)) not in seen
        seen.add(k)
        found.append(param if is_new else param._replace(marks=(*param.marks, pytest.mark.full)))
    return found


def by(*names):
    """A kind of (path or arrays, case or config): the file, and what its config says of `names`."""

    def kind(recorded, case):
        arrays = reference.load(recorded) if isinstance(recorded, Path) else recorded
        config = case if isinstance(case, dict) else reference.config(arrays, case)
        return arrays.path, *(str(config.get(name)) for name in names)

    return kind


RELEASE = (pytest.mark.full, pytest.mark.release)


def full(*values):
    """Each value, or tuple of values, marked: parametrize("size", [1, *full(2, 3)])."""
    return [pytest.param(*(v if isinstance(v, tuple) else (v,)), marks=pytest.mark.full) for v in values]

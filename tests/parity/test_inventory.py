"""Every recorded file is read by a test, or is on the list of those that no part of jaxdiff serves yet."""

import importlib
from collections import Counter
from collections.abc import Collection
from fnmatch import fnmatch
from pathlib import Path

from tests.support import reference

# Shrinks with every issue; a recorded file that matches neither this nor any READS fails the suite.
NOT_SERVED_YET: tuple[str, ...] = ()


def modules():
    """Every parity module but this one."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py") if path.stem != "test_inventory")
    return [importlib.import_module(f"tests.parity.{name}") for name in names]


def patterns():
    """READS of every parity module."""
    return [pattern for module in modules() for pattern in module.READS]


def cases_by_default(test):
    """Parametrised values of a test function that the default tier runs it with."""
    marks = getattr(test, "pytestmark", [])
    if any(mark.name == "full" for mark in marks):
        return
    for mark in marks:
        if mark.name == "parametrize":
            assert isinstance(mark.args[1], Collection), f"{test.__module__}.{test.__name__}: pytest would use it up"
            for case in mark.args[1]:
                values = case.values if hasattr(case, "marks") else case if isinstance(case, tuple) else (case,)
                if not any(mark.name == "full" for mark in getattr(case, "marks", ())):
                    yield from values


def test_every_recorded_file_is_read():
    served = patterns()
    unread = [
        str(path.relative_to(reference.ROOT))
        for path in reference.files("*/*.npz")
        if not any(fnmatch(str(path.relative_to(reference.ROOT)), pattern) for pattern in [*served, *NOT_SERVED_YET])
    ]
    assert not unread, f"no test reads {unread}"


def test_there_is_something_to_read():
    assert reference.files("*/*.npz"), f"no recorded file under {reference.ROOT.name}"


def test_no_pattern_is_read_twice_or_read_and_excused():
    count = Counter(patterns())
    assert not [pattern for pattern, times in count.items() if times > 1]
    assert not set(count) & set(NOT_SERVED_YET)


def test_the_default_tier_compares_values_of_every_file():
    """Some test there is given the file's path or its arrays."""
    tests = [test for module in modules() for name, test in vars(module).items() if name.startswith("test_")]
    values = [value for test in tests for value in cases_by_default(test)]
    given = {value if isinstance(value, Path) else getattr(value, "path", None) for value in values}
    left_out = sorted(path.stem for path in reference.files("*/*.npz") if path not in given)
    assert not left_out, f"only the full tier compares {left_out}"

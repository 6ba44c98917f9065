"""Every recorded file is read by a test, or is on the list of those that no part of jaxdiff serves yet."""

import importlib
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

from tests.support import reference

# Shrinks with every issue; a recorded file that matches neither this nor any READS fails the suite.
NOT_SERVED_YET: tuple[str, ...] = ()


def patterns():
    """READS of every parity module."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py") if path.stem != "test_inventory")
    return [pattern for name in names for pattern in importlib.import_module(f"tests.parity.{name}").READS]


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

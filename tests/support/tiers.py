"""Parameters that are left to the full tier."""

import pytest


def full(*values):
    """Each value, or tuple of values, marked: parametrize("size", [1, *full(2, 3)])."""
    return [pytest.param(*(v if isinstance(v, tuple) else (v,)), marks=pytest.mark.full) for v in values]

"""Which cases belong to the default tier."""

import pytest


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

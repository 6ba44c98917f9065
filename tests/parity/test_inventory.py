"""Every recorded file is read by a test, or is on the list of those that no part of jaxdiff serves yet."""

import importlib
from collections import Counter
from collections.abc import Collection
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from tests.parity import consistency_cases, edm_networks, openai_networks, score_sde_cases, score_sde_networks
from tests.support import reference
from tests.support.formula import formula

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


def pairs(test):
    """What a test function's cases are given as (file, name of a case), in any tier."""
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "parametrize":
            for values in (case.values for case in mark.args[1] if hasattr(case, "values")):
                yield from ((value.path, value.name) for value in values if isinstance(value, score_sde_cases.Case))
                paths = [value if isinstance(value, Path) else getattr(value, "path", None) for value in values]
                yield from ((path, value) for path in paths if path for value in values if isinstance(value, str))


FROM_THE_FILE = {"slerp", "ema", "operator"}
"""Cases that their tests are not given, and find in the file themselves."""


def mere_inputs(path, case):
    """Whether a case of score SDE's holds what others start from."""
    arrays = reference.load(path)
    own = reference.subset(arrays, case)
    return path.parent.name == "score_sde" and not score_sde_cases.kind_of(reference.config(arrays, case), own)


@pytest.mark.parametrize("family", ["consistency", "score_sde"])
def test_every_case_is_given_to_a_test(family):
    """Which select cases by their names or options: one of a new kind is nobody's."""
    tests = [test for module in modules() for name, test in vars(module).items() if name.startswith("test_")]
    given = {pair for test in tests for pair in pairs(test)}
    left_out = [
        f"{path.stem}: {case}"
        for path in reference.files(f"{family}/*.npz")
        for case in reference.cases(reference.load(path))
        if case != "config" and case not in FROM_THE_FILE and (path, case) not in given and not mere_inputs(path, case)
    ]
    assert not left_out, f"no test is given {left_out}"


UNKNOWN = {"surprise": 1}


def consistency_case(config):
    """One with an option, and with an output, that no test knows."""
    recorded = {"surprise": np.zeros(1)}
    return consistency_cases.Case(Path(), {**config, **UNKNOWN}, {}, recorded, consistency_cases.tiny, {}, None)


BUILDERS = {
    "a network of OpenAI's": lambda: openai_networks.network(
        {"package": "guided_diffusion", "cls": "UNetModel", "kwargs": {"attention_resolutions": [], **UNKNOWN}}, 8
    ),
    "a preconditioner of EDM's": lambda: edm_networks.preconditioned(
        "EDMPrecond", {"img_resolution": 8, "img_channels": 3, **UNKNOWN}
    ),
    "a consistency loss": lambda: consistency_case({}).options("rho"),
    "an output of a consistency loss": lambda: consistency_case({}).agree(t=np.zeros(1)),
    "a table of consistency models": lambda: consistency_cases.agree({"out/surprise": np.zeros(1)}, t=np.zeros(1)),
    "a sampler of EDM's": lambda: edm_networks.sampler_options({"num_steps": 2, **UNKNOWN}),
    "a network of score SDE's": lambda: score_sde_networks.checked({"model": UNKNOWN}),
    "a case of score SDE's": lambda: score_sde_cases.Case(Path(), "", {"sde": "ve", **UNKNOWN}, {}, {}).options("eps"),
    "a value of an option": lambda: reference.only({"dims": 3}, dims=(1, 2)),
}
"""Of every way in which a family's options become ours, one with an option that no test knows."""


@pytest.mark.parametrize("build", BUILDERS.values(), ids=list(BUILDERS))
def test_an_option_that_no_test_knows_fails(build):
    with pytest.raises((AssertionError, ValueError), match=r"surprise|dims=3"):
        build()


def test_limits_of_a_preconditioner_are_honoured():
    kwargs = {"img_resolution": 8, "img_channels": 3, "model_channels": 32, "sigma_min": 0.25, "sigma_max": "inf"}
    _, parametrisation, _ = edm_networks.preconditioned("EDMPrecond", kwargs)
    assert (parametrisation.sigma_min, parametrisation.sigma_max) == (0.25, float("inf"))


def test_formulas_of_configs():
    assert formula("x -> 0.5*x + 0.25")(2.0) == 1.25
    assert formula("-2*x^2 / 4 - 1")(2.0) == -3.0
    np.testing.assert_allclose(formula("0.8*cos(pi*x_t)", np)(np.array([1.0])), -0.8)
    with pytest.raises(AssertionError, match="no test knows the formula"):
        formula("__import__('os')")(1.0)

"""The benchmark of samplers' errors: every sampler of the library has a row, and its distances are what they say."""

import ast
import inspect
from pathlib import Path
from typing import get_type_hints

import jax
import numpy as np
import pytest

from benchmarks import solver_rows, solver_tables
from benchmarks.solver_error import Config, Measurement, sliced_distance
from benchmarks.solver_rows import GRIDS, NOT_MEASURED, ROWS
from jaxdiff import gaussian_mixture, samplers
from jaxdiff.samplers import Sampler, sample
from tests.support.tiers import full

WORDS = {
    node.attr if isinstance(node, ast.Attribute) else node.id
    for node in ast.walk(ast.parse(Path(solver_rows.__file__).read_text()))
    if isinstance(node, ast.Attribute | ast.Name)
} | {"adaptive"}
"""Names that the rows use; `adaptive` is measured at tolerances."""


def makes_a_sampler(name):
    found = getattr(samplers, name)
    return inspect.isfunction(found) and get_type_hints(found).get("return") is Sampler


CONSTRUCTORS = {name for name in samplers.__all__ if makes_a_sampler(name)}
UPDATES = {"euler_maruyama", "reverse_diffusion", "reverse_diffusion_flow", "ancestral_update"}
STEPS = {"euler_step", "second_order_step"}


def test_every_sampler_is_measured_or_has_a_reason():
    assert len(CONSTRUCTORS) > 12
    wanted = CONSTRUCTORS | UPDATES | STEPS
    assert not sorted(wanted - WORDS - set(NOT_MEASURED)), "add a row to benchmarks.solver_rows.ROWS"
    assert set(NOT_MEASURED) <= CONSTRUCTORS - WORDS


def test_rows_have_names_of_their_own():
    names = [(row.call, row.grid, row.counts) for row in ROWS]
    assert len(set(names)) == len(names)
    shown = {(row.call, row.grid) for row in ROWS if row.counts == solver_rows.MANY}
    assert set(solver_tables.SHOWN) <= shown


def name_of(row):
    return f"{row.call} {row.grid} {len(row.counts)}"


# Chains of 21 steps take their time where every operation is run by itself.
@pytest.mark.parametrize(
    "row", [*(row for row in ROWS if row.least == 1), *full(*((row,) for row in ROWS if row.least > 1))], ids=name_of
)
def test_a_row_costs_what_it_says(row):
    """Evaluations by what is asked, at the fewest steps that it can take; and never more than the budget."""
    n, calls = max(row.least, 2), []
    grid = GRIDS[row.grid](n)
    assert len(grid) == n + 1

    def model(x, sigma, *latent):
        calls.append(sigma)
        return 0 * x

    with jax.disable_jit():
        sample(row.sampler(n), model, np.ones((1, 2), np.float32), grid, key=jax.random.key(0))
    assert len(calls) == row.evaluations(n)
    for count in row.counts:
        if (steps := row.steps(count)) is not None:
            assert row.evaluations(steps) <= count < row.evaluations(steps + 1)


def test_the_distance_of_a_shift_is_its_mean_projection(x64):
    """Mean |cos| over the directions, times the shift; of the draws themselves it is small."""
    mixture = gaussian_mixture.ring()
    x = np.asarray(gaussian_mixture.sample(mixture, jax.random.key(0), 4_000), np.float64)
    angles = np.pi * (np.arange(16) + 0.5) / 16
    near = sliced_distance(mixture, x)
    assert near < 0.03
    shifted = sliced_distance(mixture, x + np.array([5.0, 0.0]))
    assert abs(shifted - 5 * np.mean(np.abs(np.cos(angles)))) < 0.03


def test_a_row_converges(x64):
    """Heun's method: the error falls with the square of the steps, and the tables show each budget."""
    measurement = Measurement(Config(points=64, std=0.3, exact_steps=300))
    heun = next(row for row in ROWS if row.call == "heun()")
    found = measurement.row(heun._replace(counts=(64, 128)))
    errors = [m["rms"] for m in found["measured"]]
    assert 3 < errors[0] / errors[1] < 6
    assert [m["evaluations"] for m in found["measured"]] == [63, 127]


@pytest.mark.parametrize("name", ["ddgan(3)", *full("consistency()")])
def test_exact_models_of_a_few_steps_are_exact(name, x64):
    """In law: by two evaluations as near as exact draws of the same number."""
    row = next(row for row in ROWS if row.call == name)
    found = Measurement(Config(points=1_000, std=0.1)).row(row._replace(counts=(2,)))
    assert all(m["distance"] < 0.05 for m in found["measured"])

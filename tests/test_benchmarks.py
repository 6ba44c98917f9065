"""The benchmarks' own code: tables are made of the files that are kept, and rates come out of whole experiments."""

import json
from pathlib import Path

import pytest

from benchmarks import throughput
from benchmarks.__main__ import HEADLINES

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
KEPT = sorted(path for name in HEADLINES for path in RESULTS.glob(f"{name}-*.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_kept_results_make_a_table(path):
    found = json.loads(path.read_text())
    assert {"device", "versions", "python", "date"} <= set(found)
    lines = HEADLINES[path.name.split("-")[0]](found)
    assert lines
    assert all(any(character.isdigit() for character in value) for value in lines.values())


def test_every_benchmark_has_kept_results():
    assert {path.name.split("-")[0] for path in KEPT} == set(HEADLINES)


@pytest.mark.parametrize("name", ["ddgan_digits", "edm_cifar"])
def test_a_whole_experiment_is_built_as_fit_runs_it(name):
    assert throughput.settings(name, 8)[0].batch_size == 8
    config, system = throughput.settings(name, 0)
    assert config.batch_size == (4 if name == "edm_cifar" else 128)
    assert system.shape == ((32, 32, 3) if name == "edm_cifar" else (8, 8, 1))


def test_rates_of_training_and_sampling():
    config, system = throughput.settings("ddgan_digits", 8)
    rate, state = throughput.training(config, system, repeats=1)
    assert rate > 0
    assert int(state.step) == 2 * config.steps_per_dispatch, "one call that is not counted, one that is"
    rate, nfe = throughput.sampling(config, system, state.ema, batch=4, repeats=1)
    assert rate > 0
    assert nfe == 4

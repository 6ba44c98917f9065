"""`--help` in groups: every flag in one, none twice, the most used first; fast, since nothing slow is imported."""

import dataclasses
import importlib
import json
import subprocess
import sys

import pytest

from experiments import EXPERIMENTS
from experiments.harness import cli, help_groups
from experiments.harness.training import Training
from tests.support.commands import ROOT

CONFIGS = {name: importlib.import_module(f"experiments.{name}").Config for name in EXPERIMENTS}
SLOW = (
    "sklearn",
    "scipy.stats",
    "diffrax",
    "equinox",
    "matplotlib.figure",
    "tensorflow_datasets",
    "tensorboardX",
    "wandb",
)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_flag_is_in_one_group_and_means_the_same(name):
    config = CONFIGS[name]
    boxes = [list(vars(box)) for box in vars(help_groups.grouped(config, Training.in_help).config_type()).values()]
    assert sorted(flag for box in boxes for flag in box) == sorted(field.name for field in dataclasses.fields(config))
    assert "workdir" in boxes[0]
    assert cli.parse(config, []) == config()


def test_groups_name_flags_that_there_are():
    flags = {field.name for config in CONFIGS.values() for field in dataclasses.fields(config)}
    assert {name for names in Training.in_help.values() for name in names} <= flags


def test_texts_are_those_of_the_most_derived_class(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.parse(CONFIGS["edm_digits"], ["--help"], prog="experiments.edm_digits")
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())  # a box's edge stands between lines
    assert "Folder of the run: checkpoints, metrics.jsonl, samples, report.json." in text
    assert "Of Adam, after warm-up. (default: 0.002)" in text
    titles = [title for title in Training.in_help if f"{title} options" in text]
    assert titles == ["training", "data", "network", "method", "optimiser", "sampling", "watching", "devices"]
    assert sorted(titles, key=lambda title: text.index(f"{title} options")) == titles


@pytest.mark.parametrize("name", ["edm_digits", "sample", "evaluate"])
def test_help_imports_nothing_slow(name):
    ask = f"""
import json, sys
sys.argv = ["prog", "--help"]
from experiments import {name}
from experiments.harness import cli
try:
    cli.run({name}.main, {name}.Config, prog="prog")
except SystemExit:
    print()
    print(json.dumps([module for module in {SLOW} if module in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []

"""Runnable systems: `python -m experiments.NAME --help` lists every field with its default and meaning.

A module of `EXPERIMENTS` trains: it has a Config, a system and an `EXPERIMENT` that joins them. To add one, write the
module and put its name into the table; `experiments.sample` and `experiments.evaluate` then work on its runs.
"""

import sys
from importlib.util import find_spec

from jaxdiff.imports import MissingExtra, needs

PACKAGES = (
    "PIL", "absl", "array_record", "diffrax", "equinox", "grain", "matplotlib", "msgpack", "safetensors",
    "sklearn", "tyro", "tensorflow_datasets",
)  # fmt: skip
"""What the extra `experiments` installs and commands import."""

try:
    with needs("experiments", by="experiments"):
        for package in PACKAGES:
            if find_spec(package) is None:
                raise ModuleNotFoundError(name=package)
except MissingExtra as error:
    if sys.argv[:1] != ["-m"]:  # as it is while `python -m experiments.NAME` looks for the command
        raise
    print(f"experiments: error: {error}", file=sys.stderr)
    sys.exit(2)

from absl import logging  # noqa: E402

logging.set_verbosity(logging.ERROR)  # libraries' remarks on versions would stand before an error's one line

EXPERIMENTS = (
    "edm_digits",
    "edm_cifar",
    "ddpm_digits",
    "ddpm_cifar",
    "score_sde_digits",
    "score_sde_cifar",
    "consistency_digits",
    "consistency_cifar",
    "ddgan_digits",
    "ddgan_cifar",
    "ddgan_stacked",
    "ddgan_25gaussians",
)
"""Modules that train, by name, as config.json has it."""

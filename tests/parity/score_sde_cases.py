"""Cases of score SDE's recorded files, of which there are two sets with names of their own, in one form.

The first says in `config["kind"]` what a case is and in `config["inputs"]` where its inputs lie; in the second the
options tell, and inputs lie under the name of the SDE or at the top.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.support import reference

TOP = ("in/", "mixture/", "table/", "tiny_", "colorize/")
OF_SDE = {"sde", "N", "beta_min", "beta_max", "sigma_min", "sigma_max", "kind", "inputs"}
# Of the second set, first match: an option that only one kind has.
TELLING = {
    "optim": "train", "task": "{task}", "hutchinson_type": "likelihood", "default_tolerances": "ode_sample",
    "likelihood_weighting": "loss_continuous", "kind": "loss_{kind}", "num_scales": "legacy", "snr": "pc",
    "predictor": "step_predictor",
}  # fmt: skip


class Case(NamedTuple):
    """A case: the file that it comes from, its options, all arrays that it may use, and what was recorded."""

    path: Path
    name: str
    config: Mapping[str, Any]
    inputs: Mapping[str, np.ndarray]
    recorded: Mapping[str, np.ndarray]

    def options(self, *names: str) -> Mapping[str, Any]:
        """The options, after proof that the test knows them all: those of the SDE, and `names`."""
        return reference.only(self.config, *OF_SDE, *names)


def kind_of(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """What a case is, in the words of the first set; "" for mere inputs."""
    if config.get("kind", "smld") not in ("smld", "ddpm"):
        return "" if config["kind"].endswith("_inputs") else config["kind"]
    if "snr" in config and "eps" not in config:
        return "step_corrector"
    for option, kind in TELLING.items():
        if option in config:
            return kind.format(**config)
    assert set(config) <= OF_SDE, f"no test knows a case of {sorted(config)}"
    if any(name.startswith("table/") for name in arrays):
        return "sde"
    return "score" if any(name.startswith("param/") for name in arrays) else ""


def cases(*patterns: str, kind: str, marks: tuple[str, ...] | None = None) -> list[Any]:
    """pytest.params of the cases of a kind; with `marks`, all but the first of each file and of what the configs say of
    these options are left to the full tier."""
    found: list[Any] = []
    seen: set[Any] = set()
    for path in reference.files(*patterns):
        arrays = reference.load(path)
        for name in reference.cases(arrays):
            config, own = reference.config(arrays, name), reference.subset(arrays, name)
            if kind_of(config, own) != kind:
                continue
            kinds = {path, tuple(str(config.get(option)) for option in marks or ())}
            late = [pytest.mark.full] if marks is not None and kinds <= seen else []
            seen |= kinds
            case = Case(path, name, config, {**shared(path, arrays, config), **own}, reference.subset(own, "out"))
            found.append(pytest.param(case, id=f"{path.stem}-{name}", marks=late))
    return found


def shared(path: Path, arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Inputs that several cases share; of one SDE before those of the whole file."""
    place = config.get("inputs", config.get("sde", "inputs"))
    if place.startswith("steps.npz"):
        arrays, place = reference.load(path.with_name("steps.npz")), config["sde"]
    top = {name: array for name, array in arrays.items() if name.startswith(TOP)}
    return {**top, **reference.subset(arrays, place)}

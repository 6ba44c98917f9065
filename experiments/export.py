"""Write the parameters of a run, with a description of its network, for use without `experiments`.

    python -m experiments.export --workdir runs/edm_digits --out digits.safetensors
    python -m experiments.export --workdir runs/edm_digits --out digits.npz --params last

leaves the file and, for people, its description beside it as digits.json. Three lines load it, with `jaxdiff` alone:

    from jaxdiff.interop import exported
    model = exported.load("digits.safetensors")
    denoise = model.denoiser(labels)
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.harness import cli, runs, workdir
from experiments.harness.system import System
from jaxdiff import atomic
from jaxdiff.interop import exported
from jaxdiff.interop.exported import Description
from jaxdiff.precond import Preconditioning


@dataclass(frozen=True)
class Config:
    """Parameters of a run to a file."""

    workdir: Path
    """Folder of a run, as `python -m experiments.NAME` leaves it."""
    out: Path
    """File to write: .safetensors, or .npz for plain NumPy; its description goes beside it as .json."""
    params: Annotated[str, cli.one_of(runs.PARTS)] = "average"
    """The moving average, from which samples are drawn, or the parameters as they were trained last."""
    overwrite: bool = False
    """Write over files that are there."""


def describe(system: System, num_steps: int, about: dict[str, Any]) -> Description:
    """Return what makes the denoiser of a system, with the sampler and the levels of its run.

    Raises: ValueError when it cannot be described in plain values.
    """
    if system.exportable is None:
        raise ValueError("this run cannot be exported: no description says what makes its denoiser of a network")
    sampling = system.sampling(num_steps)
    description = system.exportable.description._replace(
        sampler=sampling.name, sigmas=tuple(np.asarray(sampling.sigmas, np.float64).tolist()), about=about
    )
    agree(system.precond, exported.preconds.preconditioning(description.precond))
    return description


def agree(ours: Preconditioning, described: Preconditioning) -> None:
    """Raise ValueError unless two parametrisations have the same coefficients and the same range."""
    low, high = max(ours.sigma_min, 1e-3), min(ours.sigma_max, 1e3)
    sigma = jnp.asarray(np.geomspace(low, high, 50), jnp.float32)
    for name in ("c_skip", "c_out", "c_in", "c_noise"):
        a, b = (np.asarray(getattr(p, name)(sigma)) for p in (ours, described))
        if not np.array_equal(a, b):
            raise ValueError(f"the description of the parametrisation has another {name}: this run cannot be exported")
    if (ours.sigma_min, ours.sigma_max) != (described.sigma_min, described.sigma_max):
        raise ValueError("the description of the parametrisation has another range: this run cannot be exported")


def check_free(path: Path, overwrite: bool) -> None:
    """Raise ValueError when something is at a path that is not to be written over, or that is no file."""
    if atomic.is_occupied(path) and not (overwrite and path.is_file()):
        raise ValueError(f"--out {path} is there already: choose another name, or --overwrite it")


def main(config: Config) -> None:
    """Read, describe, write."""
    with cli.bad_input():
        exported.files.format_of(config.out, "--out")
        beside = config.out.with_suffix(".json")
        check_free(config.out, config.overwrite)
        run, system = runs.of_run(config.workdir)
        params, step = runs.network_params(run, system, config.params)
        name = workdir.read_json(config.workdir / "config.json")["experiment"]
        about = {"experiment": name, "step": step, "params": config.params}
        description = describe(system, run.num_steps, about)
        module = system.exportable.module  # type: ignore[union-attr]
        described = exported.description.write_out(module, description)
        if beside.is_file() and workdir.read_json(beside) != described:  # of the same parameters in the other format
            check_free(beside, config.overwrite)
        exported.save(config.out, module, jax.device_get(params), description, config.overwrite)
        workdir.write_json(beside, described)
    total = sum(leaf.size for leaf in jax.tree.leaves(params))
    print(f"{total} parameters of step {step} ({config.params}) written to {config.out}, described in {beside}")


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.export")

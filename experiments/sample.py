"""Draw images from any run or published EDM model: image i is a function of its seed (and class) only.

    python -m experiments.sample --workdir runs/edm_digits --sampler heun --num-steps 18 --seeds 0-63
    python -m experiments.sample --workdir runs/ddpm_digits --sampler ancestral --num-steps 1000
    python -m experiments.sample --workdir runs/score_sde_digits --sampler ode
    python -m experiments.sample --checkpoint edm-cifar10-32x32-cond-vp.pkl
    python -m experiments.sample --workdir runs/edm_digits --num-steps 40 --animation digits.gif

writes samples.npz and samples.png to --out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
import tyro

from experiments.harness import allowed, animation, cli, generate, runs, samplers
from experiments.harness.captions import counted
from experiments.harness.forms import sheet
from experiments.harness.image_grid import save_png
from experiments.harness.system import Pretrained, System
from experiments.systems import published
from jaxdiff import grids
from jaxdiff.grids import Grid
from jaxdiff.guidance import guide, on_x0
from jaxdiff.train import paths
from jaxdiff.types import Array, Params


@dataclass(frozen=True)
class Config:
    """Draw images from a run with any sampler."""

    workdir: Path | None = None
    """Folder of a run, as `python -m experiments.NAME` leaves it."""
    checkpoint: Path | None = None
    """Instead of a run: a published EDM model, FILE.pkl or the folder that experiments.convert made of it; a published
    consistency model or DDGAN generator under the name that its authors gave it."""
    sampler: Annotated[str, cli.one_of(samplers.SAMPLERS), tyro.conf.arg(help=samplers.HELP)] = "own"
    num_steps: Annotated[int | None, tyro.conf.arg(help=samplers.STEPS)] = None
    grid: Literal["auto", "chain", "karras"] = "auto"
    """Levels: evenly spaced steps of the run's chain, or the Karras grid; auto takes the run's own for its own sampler,
    and the chain, where the run has one, for others of first order."""
    seeds: str = "0-63"
    """Seeds as a list of numbers and ranges, such as 0-63 or 1,5,10-12."""
    label: int | None = None
    """Class of every image; without it, image i has class i mod the number of classes."""
    sigma_min: float = 0.002
    """Karras grid: lowest noise level above 0; raised to the lowest that the network knows."""
    sigma_max: float = 80.0
    """Karras grid: noise level at which sampling starts; lowered to the highest that the network knows."""
    rho: float = 7.0
    """Karras grid: its exponent."""
    eta: float = 0.0
    """ddim: share of noise, 0 to 1."""
    guidance: float = 1.0
    """Classifier-free guidance weight; 1 for none. The run must have been trained with --label-dropout,
    which ddpm_digits has."""
    snr: float = 0.16
    """pc: signal-to-noise ratio of the corrections."""
    tolerance: float = 1e-5
    """ode: relative and absolute, of every number."""
    s_churn: float = 40.0
    """heun_churn: total amount of added noise."""
    s_min: float = 0.05
    """heun_churn: lowest level at which noise is added."""
    s_max: float = 50.0
    """heun_churn: highest level at which noise is added."""
    s_noise: float = 1.003
    """heun_churn: factor on the added noise's standard deviation."""
    batch_size: int = 256
    """Images drawn at once."""
    out: Path | None = None
    """Folder for samples.npz and samples.png; by default SAMPLER-NUM_STEPS in WORKDIR or runs/CHECKPOINT."""
    animation: Path | None = None
    """Write a moving picture too, FILE.gif or FILE.png: the first 40 images on their way from noise."""


def parse_seeds(text: str) -> np.ndarray:
    """Parse seeds from a list of numbers and ranges.

    Raises: ValueError when the text is not such a list, or a seed does not fit 32 bits.
    Example:
      >>> parse_seeds("3,5-7").tolist()
      [3, 5, 6, 7]
    """
    try:
        ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
        ranges = [range(end[0], end[-1] + 1) for end in ends if len(end) <= 2]
    except ValueError:
        ranges = []
    if not ranges or len(ranges) != text.count(",") + 1 or not all(ranges) or max(r[-1] for r in ranges) >= 2**32:
        raise ValueError(f"--seeds must be numbers and ranges such as 0-63 or 1,5,10-12, below 2^32, got {text!r}")
    return np.concatenate([np.arange(r.start, r.stop) for r in ranges])


def conditioned(config: Config, model: System) -> System:
    """Return the system with what the sampler takes as its denoiser, guided where the flags say so."""
    if config.guidance != 1 and not model.unconditional:
        how = (
            "with all classes shown, not with ddpm_digits' --label-dropout" if model.num_classes else "without classes"
        )
        raise ValueError(f"--guidance {config.guidance} needs images without a class: this model was trained {how}")
    chain = model.discrete_process if samplers.SAMPLERS[config.sampler].reverse_kernel else None
    ask: Any = chain.model if chain else model.denoiser

    def guided(params: Params, labels: Array | None) -> Any:
        unconditional = model.denoiser(params, None)
        transform = lambda denoise: guide(denoise, unconditional, config.guidance)  # noqa: E731
        asked = ask(params, labels)
        return on_x0(transform, asked) if chain and chain.learned else transform(asked)

    return model._replace(denoiser=ask if config.guidance == 1 else guided)


def labels_of(config: Config, seeds: np.ndarray, num_classes: int) -> np.ndarray | None:
    """Return the class of every image; None where the model has none.

    Raises: ValueError for a class that the model does not have.
    """
    if config.label is None:
        return generate.balanced_labels(seeds, num_classes)
    if not num_classes:
        raise ValueError(f"--label {config.label}: this model was trained without classes, leave it out")
    if not 0 <= config.label < num_classes:
        raise ValueError(f"--label must be 0 to {num_classes - 1}, the classes of this model, got {config.label}")
    return np.full_like(seeds, config.label)


def main(config: Config) -> None:
    """Load, draw, write."""
    with cli.bad_input():
        seeds = parse_seeds(config.seeds)
        allowed.check(config)
        if (config.workdir is None) == (config.checkpoint is None):
            raise ValueError("give either --workdir or --checkpoint")
        if config.out:
            paths.check_folder(config.out, "--out")
        if config.animation:
            animation.check(config.animation)
        system, read, usual = describe(config)
        asked = usual if config.num_steps is None else config.num_steps
        grids.check_num_steps(asked)
        grids.check_range(config.sigma_min, config.sigma_max)
        sampler, sigmas = samplers.choose(config, system, asked)
        system = conditioned(config, system)
        labels = labels_of(config, seeds, system.num_classes)
        params, request = read(), generate.Request(sampler, sigmas, seeds, labels, config.batch_size)
        generate.check(system, params, request)
        if config.animation:
            animation.check_memory(system, request)
        home = config.workdir or Path("runs") / config.checkpoint.stem  # type: ignore[union-attr]
        out = config.out or home / f"{config.sampler}-{len(sigmas) - 1}"
        out.mkdir(parents=True, exist_ok=True)
        if not samplers.SAMPLERS[config.sampler].fixed and len(sigmas) - 1 < asked:
            print(f"{len(sigmas) - 1} steps instead of {asked}: the network has no more levels there")
        generate.write(out / "samples.npz", system, params, request)
        shown = generate.first(out / "samples.npz", system.form, 256)
        columns = int(np.ceil(len(shown) ** 0.5))
        save_png(out / "samples.png", sheet(system.form, shown, seeds, labels, about(config, system, sigmas), columns))
        if config.animation:
            animation.write(config.animation, system, params, request, about(config, system, sigmas))
    moving = f", and {config.animation}" if config.animation else ""
    print(f"{len(seeds)} images on {jax.device_count()} device(s) in {out}/samples.npz and samples.png{moving}")


def about(config: Config, system: System, sigmas: Grid) -> str:
    """Say how images are drawn, for captions."""
    name = system.sampling(len(sigmas) - 1).name if config.sampler == "own" else config.sampler
    return f"{name}, {counted(len(sigmas) - 1, 'step')}" + (
        f", guidance {config.guidance:g}" if config.guidance != 1 else ""
    )


def describe(config: Config) -> Pretrained:
    """Return the system of a run or of a published checkpoint; its parameters are read when they are asked for."""
    if config.checkpoint is not None:
        return published.load(config.checkpoint)
    assert config.workdir is not None
    run_config, system = runs.of_run(config.workdir)
    read = lambda: runs.averaged_params(run_config, system)[0]  # noqa: E731
    return Pretrained(system, read, run_config.num_steps)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.sample")

"""Draw images from any run or published EDM model: image i is a function of its seed (and class) only.

    python -m experiments.sample --workdir runs/edm_digits --sampler heun --num-steps 18 --seeds 0-63
    python -m experiments.sample --workdir runs/ddpm_digits --sampler ancestral --num-steps 1000
    python -m experiments.sample --workdir runs/score_sde_digits --sampler ode
    python -m experiments.sample --checkpoint edm-cifar10-32x32-cond-vp.pkl

writes samples.npz and samples.png to --out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from experiments import allowed, cli, draw, published, runs, score_sde
from experiments.picture import image_grid, save_png
from jaxdiff import flow, grids, samplers
from jaxdiff import sde as sdes
from jaxdiff.grids import Grid
from jaxdiff.guidance import guide, on_x0
from jaxdiff.samplers import Sampler
from jaxdiff.train import place
from jaxdiff.types import Array, Params


@dataclass(frozen=True)
class Config:
    """Draw images from a run with any sampler."""

    workdir: Path | None = None
    """Folder of a run, as `python -m experiments.NAME` leaves it."""
    checkpoint: Path | None = None
    """Instead of a run: a published EDM model, FILE.pkl or the folder that experiments.convert made of it; a published
    consistency model or DDGAN generator under the name that its authors gave it."""
    sampler: Literal["own", "euler", "heun", "dpmpp_2m", "heun_churn", "ddim", "ancestral", "pc", "ode"] = "own"
    """own is what the run itself uses; heun is the EDM paper's Alg. 1 and heun_churn its stochastic Alg. 2; pc is
    predictor-corrector sampling and ode the adaptive probability flow, along the run's SDE, or VE where it has none."""
    num_steps: int | None = None
    """Steps; without it, the run's own number. heun evaluates the network 2 n - 1 times, pc 2 n times, ode as often as
    its tolerance asks for, the others n times."""
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


def parse_seeds(text: str) -> np.ndarray:
    """Seeds of a list of numbers and ranges.

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


def choose(config: Config, model: published.Model) -> tuple[Sampler, Grid]:
    """The sampler and the levels that the flags name."""
    num_steps = model.num_steps if config.num_steps is None else config.num_steps
    grids.check_range(num_steps, config.sigma_min, config.sigma_max)
    of_generator = model.sampling(model.num_steps).name == "ddgan"
    if of_generator and (config.sampler, config.grid) != ("own", "auto"):
        raise ValueError(
            f"sampler {config.sampler}, grid {config.grid}: a DDGAN's network draws x0 and is no denoiser; it has "
            "one sampler, own, on its own chain"
        )
    if config.sampler in ("pc", "ode"):
        return continuous(config, model, num_steps)
    if config.grid == "chain" and not model.chain:
        raise ValueError("grid chain: this run was not trained on a chain of steps, use karras")
    if config.sampler == "own" and config.grid == "auto":
        own = model.sampling(num_steps)
        return own.sampler, own.sigmas
    limits = config.s_churn, config.s_min, config.s_max, config.s_noise
    sampler = {
        "own": lambda: model.sampling(num_steps).sampler,
        "euler": samplers.euler,
        "heun": samplers.heun,
        "dpmpp_2m": samplers.dpmpp_2m,
        "heun_churn": lambda: samplers.churn(samplers.heun(), *limits, round_sigma=model.precond.round_sigma),
        "ddim": lambda: samplers.ddim(config.eta),
        "ancestral": lambda: samplers.ancestral(model.chain.reverse if model.chain else None),
    }[config.sampler]()
    second_order = config.sampler in ("heun", "heun_churn", "dpmpp_2m")
    if model.chain and config.grid != "karras" and not (config.grid == "auto" and second_order):
        return sampler, model.sampling(num_steps).sigmas
    return sampler, draw.levels(model.precond, num_steps, config.sigma_min, config.sigma_max, config.rho)


def continuous(config: Config, model: published.Model, num_steps: int) -> tuple[Sampler, Grid]:
    """Samplers that go along an SDE: the run's own, or VE between the levels that the flags name."""
    sde, epsilon = (
        sdes.ve(*sorted(draw.levels(model.precond, 2, config.sigma_min, config.sigma_max)[:2].tolist())),
        1e-5,
    )
    if model.continuous:
        sde, epsilon = model.continuous.sde, model.continuous.epsilon
    if config.sampler == "pc":
        built = score_sde.predictor_corrector(sde, epsilon, config.snr, num_steps)
        return built.sampler, built.sigmas
    tolerance = flow.Tolerance(config.tolerance, config.tolerance)
    flow.check_tolerance(tolerance, np.float32)
    return flow.adaptive(sde, tolerance), sdes.grid(sde, 2, epsilon)


def conditioned(config: Config, model: published.Model) -> published.Model:
    """The model with what the sampler asks in the place of its denoiser, guided where that is asked for."""
    if config.guidance != 1 and not model.unconditional:
        how = (
            "with all classes shown, not with ddpm_digits' --label-dropout" if model.num_classes else "without classes"
        )
        raise ValueError(f"--guidance {config.guidance} needs images without a class: this model was trained {how}")
    chain = model.chain if config.sampler == "ancestral" else None
    ask: Any = chain.model if chain else model.denoiser

    def guided(params: Params, labels: Array | None) -> Any:
        unconditional = model.denoiser(params, None)
        transform = lambda denoise: guide(denoise, unconditional, config.guidance)  # noqa: E731
        asked = ask(params, labels)
        return on_x0(transform, asked) if chain and chain.learned else transform(asked)

    return model._replace(denoiser=ask if config.guidance == 1 else guided)


def labels_of(config: Config, seeds: np.ndarray, num_classes: int) -> np.ndarray | None:
    """The class of every image; None where the model has none.

    Raises: ValueError for a class that the model does not have.
    """
    if config.label is None:
        return draw.balanced_labels(seeds, num_classes)
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
            place.check_folder(config.out, "--out")
        system = describe(config)
        sampler, sigmas = choose(config, system)
        system = conditioned(config, system)
        labels = labels_of(config, seeds, system.num_classes)
        params, request = system.params(), draw.Request(sampler, sigmas, seeds, labels, config.batch_size)
        draw.check(system, params, request)
        home = config.workdir or Path("runs") / config.checkpoint.stem  # type: ignore[union-attr]
        out = config.out or home / f"{config.sampler}-{len(sigmas) - 1}"
        out.mkdir(parents=True, exist_ok=True)
        asked = config.num_steps or system.num_steps
        if config.sampler != "ode" and len(sigmas) - 1 < asked:
            print(f"{len(sigmas) - 1} steps in the place of {asked}: the network knows no more levels there")
        draw.write(out / "samples.npz", system, params, request)
        images = draw.first_images(out / "samples.npz", 256)
        save_png(out / "samples.png", image_grid(images, columns=int(np.ceil(len(images) ** 0.5)), scale=4))
    print(f"{len(seeds)} images on {jax.device_count()} device(s) in {out}/samples.npz and samples.png")


def describe(config: Config) -> published.Model:
    """The model of a run or of a published checkpoint; its parameters are read when they are asked for."""
    if config.checkpoint is not None:
        return published.load(config.checkpoint)
    assert config.workdir is not None
    run_config, system = runs.of_run(config.workdir)
    read = lambda: runs.averaged_params(run_config, system)[0]  # noqa: E731
    return published.Model(
        system.denoiser, system.precond, system.sampling, system.shape, system.num_classes, read,
        run_config.num_steps, system.chain, system.continuous,
        unconditional=system.num_classes > 0 and getattr(run_config, "label_dropout", 0) > 0,
    )  # fmt: skip


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.sample")

"""Compute the metrics of a run's samples, or of any samples.npz; with --elbo or --likelihood, the run's bits/dim.

    python -m experiments.evaluate --workdir runs/edm_digits
    python -m experiments.evaluate --workdir runs/edm_cifar --metrics fid,kid,pr,is --trials 3 --inception \
        pt_inception-2015-12-05-6726825d.pth --download
    python -m experiments.evaluate --workdir runs/ddpm_digits --elbo
    python -m experiments.evaluate --workdir runs/score_sde_digits --likelihood

prints them with those of real held-out images and puts them into report.json. --metrics draws 50,000 images and
takes InceptionV3's features of them, in WORKDIR/evaluation: what was interrupted goes on there when it is run again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.evaluation import elbo, inception
from experiments.harness import cli, datasets, evaluator, generate, runs, workdir
from experiments.harness.system import System
from jaxdiff.data import pipeline, pixels
from jaxdiff.types import Params


@dataclass(frozen=True)
class Config(inception.Options):
    """Metrics of drawn images."""

    elbo: bool = False
    """Instead of the samples' metrics: -ELBO of held-out images in bits/dim, with elbo.npz and elbo.png by step."""
    likelihood: bool = False
    """Instead of the samples' metrics: exact likelihood of dequantised held-out images along the probability flow."""
    heldout_images: int = 128
    """elbo, likelihood: held-out images to take, from the first."""
    heldout_data: str = ""
    """A set of images that the run did not train on, instead of those that it held out: digits, cifar10 (whose
    held-out halves they are), or a folder or zip. Not for --metrics."""
    seed: int = 0
    """elbo, likelihood: of the noise, the dequantisation and the probes."""
    probes: int = 1
    """likelihood: Rademacher probes an image for the divergence; 0 takes the exact one, one derivative a pixel."""


def main(config: Config) -> None:
    """Read, evaluate, write."""
    with cli.bad_input():
        check(config)
    if config.elbo or config.likelihood:
        (evaluate_elbo if config.elbo else evaluate_likelihood)(config)
        return
    if config.metrics:
        evaluate_by_inception(config)
        return
    with cli.bad_input():
        read = runs.of_images if config.heldout_data else runs.of_run
        run_config, system = read(config.workdir)
        path = config.samples or config.workdir / "samples.npz"
        images, labels = generate.read(path, system.form)
        unseen = heldout_source(config, run_config, system) if config.heldout_data else None
        source = datasets.training(run_config.data, system, run_config.held_out)
        metrics = datasets.evaluate(run_config, system, source, unseen)(images, labels)
    report = path.parent / "report.json"
    of_file = {} if report.exists() else {"samples": path.name}
    workdir.add_json(report, {**of_file, "num_samples": len(images), "metrics": metrics, **workdir.environment()})
    evaluator.show(metrics)
    print(f"written to {report}")


def check(config: Config) -> None:
    """Raise ValueError for flags of which one would be ignored."""
    asked = [name for name in ("elbo", "likelihood", "metrics") if getattr(config, name)]
    if len(asked) > 1:
        raise ValueError(f"--{' and --'.join(asked)} are evaluations of their own: ask for one at a time")
    if config.metrics and config.heldout_data:
        raise ValueError(
            f"--heldout-data {config.heldout_data} is not for --metrics: those compare with the training data or with "
            "--reference"
        )


def evaluate_by_inception(config: Config) -> None:
    """Write FID and others into report.json under "inception"."""
    with cli.bad_input():
        found = inception.prepare(config)()
    path = (config.samples.parent if config.samples else config.workdir) / "report.json"
    workdir.add_json(path, {"inception": {**found, **workdir.environment()}})
    for name, value in found["metrics"].items():
        if value is not None and not name.endswith(("_error", "_std")):
            error = found["metrics"].get(f"{name}_error")
            print(f"{name:<16}{value:>12.5f}" + (f" +- {error:.5f}" if error is not None else ""))
    print(f"{found['num']} images in each of {config.trials} trial(s), against {found['reference']}")
    print(f"written to {path}")


def evaluate_elbo(config: Config) -> None:
    """Write the ELBO into report.json, elbo.npz and elbo.png."""
    with cli.bad_input():
        measured, step = of_heldout(config, elbo.check)
    found, per_step = elbo.measure(*measured, config.seed)
    path = config.workdir / "report.json"
    workdir.add_json(path, {"elbo": {**found, "step": step}, **workdir.environment()})
    np.savez(config.workdir / "elbo.npz", bits_per_dim=per_step)
    elbo.plot(config.workdir / "elbo.png", per_step, found)
    for name in ("reconstruction", "matching", "prior", "bits_per_dim"):
        print(f"{name:<16}{found[name]:>10.4f}")
    print(
        f"bits/dim of {config.heldout_images} held-out images in {found['grey_values']} grey values, "
        f"+- {found['standard_error'] or 0:.4f} over the images"
    )
    print(f"written to {path}, with elbo.npz and elbo.png")


def evaluate_likelihood(config: Config) -> None:
    """Write the likelihood into report.json."""
    from experiments.evaluation import likelihood  # diffrax is slow to import

    with cli.bad_input():
        measured, step = of_heldout(config, likelihood.check)
    found = likelihood.measure(*measured, config.seed, config.probes)
    path = config.workdir / "report.json"
    workdir.add_json(path, {"likelihood": {**found, "step": step}, **workdir.environment()})
    print(
        f"{found['bits_per_dim']:.4f} bits/dim +- {found['standard_error'] or 0:.4f} over {config.heldout_images} "
        f"held-out images, dequantised from {found['grey_values']} grey values; {found['evaluations']:.0f} evaluations "
        "each\n"
        f"= {found['nats']:.2f} nats / (dims log 2) + {found['offset_bits']:.4f}, the bits of a grey value's width"
    )
    print(f"written to {path}")


Measured = tuple[Any, Params, np.ndarray, np.ndarray]
"""(what is measured, its parameters, images in [-1, 1], their labels)."""


def of_heldout(config: Config, check: Callable[[System, np.ndarray], Any]) -> tuple[Measured, int]:
    """Read a run and its held-out images; return them with the step of its parameters.

    Args:
      check(system, images) -> what of the system is measured.
    Raises: ValueError where `check` does, and when there is no such run, or too few images.
    """
    run_config, system = runs.of_images(config.workdir)
    images, labels = heldout(heldout_source(config, run_config, system), config.heldout_images)
    measured = check(system, images)
    params, step = runs.averaged_params(run_config, system)
    return (measured, params, images, labels), step


def heldout_source(config: Config, run_config: Any, system: System) -> pipeline.Source:
    """Return images that the run did not train on.

    Raises: ValueError when there are none, or they are not there.
    """
    if config.heldout_data:
        found = datasets.unseen(config.heldout_data)
    else:
        found = datasets.of(run_config.data, system).heldout(run_config.held_out)
    if found is None:
        raise ValueError(
            f"{run_config.data} has no images that were held out: train with --held-out 0.1, or give --heldout-data"
        )
    return found


def heldout(source: pipeline.Source, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first images in [-1, 1], and their labels.

    Raises: ValueError when there are not so many.
    """
    if not 1 <= num <= len(source):
        raise ValueError(f"heldout_images must be 1 to {len(source)}, got {num}")
    batch = pipeline.take(source, np.arange(num))
    return pixels.to_float(np.asarray(batch["image"])), np.asarray(batch["label"])


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.evaluate")

"""Denoising diffusion GAN on 25 Gaussians: are all modes reached, and how many samples are good?

    python -m experiments.ddgan_25gaussians                                        # T = 4
    python -m experiments.ddgan_25gaussians --num-steps 1 --workdir runs/ddgan_25gaussians_1     # a one-shot GAN

leaves samples.png (a scatter plot over the true means), samples.npz (points) and report.json with modes, share of
samples of high quality, and KL, in --workdir; it goes on from the last checkpoint.
"""

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments import claim, cli, ddgan_dense, devices, draw, sources, stages, watching, workdir
from experiments.system import System
from jaxdiff.data import gaussians, pipeline
from jaxdiff.metrics import modes
from jaxdiff.train import hosts, sharding
from jaxdiff.train.loop import Budget


@dataclass(frozen=True)
class Config(ddgan_dense.Dense):
    """DDGAN on 25 Gaussians, a 5x5 grid. Defaults were chosen on these data."""

    workdir: Path = Path("runs/ddgan_25gaussians")
    """Folder of the run: checkpoints, metrics.jsonl, samples, report.json."""
    steps: int = 40_000
    """Training steps, each one of the discriminator and one of the generator."""
    batch_size: int = 512
    """Points a step, over all devices."""
    latent_dim: int = 4
    """Numbers in the latent; 0 for none."""
    learning_rate: float = 2e-3
    """Of the generator's Adam."""
    discriminator_rate: float = 4e-3
    """Of the discriminator's Adam."""
    decay: float = 0.999
    """Of the generator's average, a step."""
    width: int = 128
    """Hidden features of both networks."""
    depth: int = 4
    """Hidden layers of both networks."""
    grid_every: int = 0
    """0: points make no grids."""
    num_samples: int = 10_000
    """Points to draw for samples.npz and the metrics."""
    num_points: int = 100_000
    """Training points, drawn once."""


def smoke(config: Config) -> Config:
    """The same path in seconds."""
    small: dict[str, Any] = {
        "steps": 200,
        "batch_size": 64,
        "checkpoint_every": 100,
        "num_samples": 500,
        "num_points": 1_000,
        "width": 16,
    }
    return replace(config, **small)


def of_points(config: Config) -> System:
    """Both networks and their chain; not called `system`, by which `runs` knows experiments on images."""
    return ddgan_dense.assemble(config, (2,))


def main(config: Config) -> None:
    """Train, draw, count."""
    started = time.monotonic()
    with contextlib.ExitStack() as held:
        with cli.bad_input():
            config = stages.smoked(config, smoke)
            budget = stages.check(config)
            watching.no_grid(config)
            sources.check_share("25gaussians", config.held_out)
            built = of_points(config)
            devices.check_state(config, stages.learning(config, built).create)
            claim.check(config.workdir, "ddgan_25gaussians", config)
            if config.override:
                stages.runs_on(config, built)
            folder = held.enter_context(claim.claimed(config.workdir, "ddgan_25gaussians", config))
        work(config, built, budget, folder, started)


def work(config: Config, built: System, budget: Budget, folder: Path, started: float) -> None:
    """The same in a folder that is this run's."""
    points, _ = gaussians.load(config.num_points, config.seed)
    state = stages.train(config, built, pipeline.ArraySource(image=points), budget)
    params = sharding.whole(state.ema)
    if int(state.step) < config.steps or not hosts.first():
        return
    trained = time.monotonic()
    seeds, plan = np.arange(config.num_samples, dtype=np.uint32), built.sampling(config.num_steps)
    request = draw.Request(plan.sampler, plan.sigmas, seeds, None)
    drawn = np.asarray(draw.compile_batch(built, request)(params, seeds, None))
    means = np.asarray(gaussians.grid().means)
    found = modes.of_mixture(drawn, means, gaussians.STD)._asdict()
    np.savez(folder / "samples.npz", points=drawn.astype(np.float32), seeds=seeds.astype(np.int64))
    plot(folder / "samples.png", drawn, means, f"T = {config.num_steps}: {found['modes']} of 25 modes")
    report = {
        "experiment": "ddgan_25gaussians",
        "step": config.steps,
        "num_samples": config.num_samples,
        "nfe": config.num_steps,
        "metrics": found,
        "seconds": {"training": round(trained - started, 1), "total": round(time.monotonic() - started, 1)},
        **workdir.environment(),
    }
    workdir.write_json(folder / "report.json", report)
    tqdm.write(
        f"{found['modes']} of 25 modes, {100 * found['high_quality']:.1f} % of samples of high quality, "
        f"KL {found['kl']:.3f}; {report['seconds']['total']} s in all; see {folder}/samples.png"
    )


def plot(path: Path, points: np.ndarray, means: np.ndarray, title: str) -> None:
    """Samples over the true means."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(*means.T, "+", color="tab:red", ms=10, mew=1)
    axes.plot(*points[:4_000].T, ".", color="k", ms=1.5, alpha=0.5)
    axes.set(title=title, xlim=(-2.75, 2.75), ylim=(-2.75, 2.75), aspect="equal")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    cli.run(main, Config, prog="experiments.ddgan_25gaussians")

"""Train, draw, evaluate: what `python -m experiments.NAME` does with the system that NAME describes."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from experiments.harness import (
    claim,
    cli,
    datasets,
    devices,
    evaluator,
    generate,
    image_files,
    init_from,
    training,
    workdir,
)
from experiments.harness.forms import sheet
from experiments.harness.image_grid import save_png
from experiments.harness.init_from import Start
from experiments.harness.system import Sampling, System
from experiments.harness.training import Training
from jaxdiff import keys
from jaxdiff.data import pipeline
from jaxdiff.train import hosts, sharding
from jaxdiff.train.checkpoint import Checkpoints
from jaxdiff.train.loop import TrainSchedule
from jaxdiff.types import Params


class Experiment(NamedTuple):
    """What `python -m experiments.NAME` trains: each of `experiments.EXPERIMENTS` has one, called EXPERIMENT.

    name: of its module; config: its flags, a dataclass like `Training`
    system(config) -> the diffusion system that the flags describe
    smoke(config) -> the same in seconds
    resolve(config) -> the flags with what stands for a recipe's value replaced by it; a second time changes nothing
    """

    name: str
    config: type[Training]
    system: Callable[[Any], System]
    smoke: Callable[[Any], Any] = training.smoke
    resolve: Callable[[Any], Any] = claim.unchanged


class Run(NamedTuple):
    """A run that may begin: whatever can be wrong has been checked, and nothing is written yet."""

    experiment: Experiment
    config: Any
    system: System
    source: pipeline.Source
    schedule: TrainSchedule
    begun: Start | None

    @property
    def owner(self) -> claim.Owner:
        """Whose folder it is."""
        return claim.Owner(self.experiment.name, self.config, image_files.digest(self.source), self.experiment.resolve)


def prepare(experiment: Experiment, config: Any) -> Run:
    """Check everything that can be wrong with a resolved config, before anything is written.

    Raises: ValueError, OSError.
    """
    schedule = training.check(config)
    system = experiment.system(config)
    system.sampling(config.num_steps)
    source = datasets.training(config.data, system, config.held_out)
    devices.check_state(config, training.trainer(config, system).create)
    begins = config.init_from is not None and not claim.reached(config.workdir)  # later there is nothing to read
    return Run(
        experiment, config, system, source, schedule, init_from.start(config.init_from, system) if begins else None
    )


def trained(experiment: Experiment, config: Any) -> tuple[Run, Any]:
    """Check, claim, train; return the run, and its state at the last step, or where a signal stopped it."""
    with cli.bad_input():
        run = prepare(experiment, config)
    with claim.claimed(config.workdir, run.owner):
        return run, train(run)


def train(run: Run) -> Any:
    """Train from the newest checkpoint, or from the start, to the last step."""
    return training.train(run.config, run.system, run.source, run.schedule, run.begun)


def run(experiment: Experiment, config: Any) -> None:
    """Check, claim, train, draw, evaluate; a finished run only shows its report."""
    started = time.monotonic()
    with cli.bad_input():
        config = claim.inherited(training.smoked(experiment.resolve(config), experiment.smoke))
        run = prepare(experiment, config)
        folder = run.config.workdir
        changed = claim.check(folder, run.owner)
        if changed and run.config.override:
            runs_on(run.config, run.system)
        report = finished(run.config)
        # Together, since the first process that goes on may write what the others have yet to read.
        claiming = not hosts.all_agree(bool(report) and not changed)
    with claim.claimed(folder, run.owner) if claiming else contextlib.nullcontext():
        if report:
            show(report, folder)
        else:
            work(run, started)


def runs_on(config: Training, system: System) -> None:
    """Raise ValueError unless the state of the run's newest checkpoint is one of this system."""
    if (config.workdir / "checkpoints").is_dir():
        create = training.trainer(config, system).create
        Checkpoints(config.workdir).check(jax.eval_shape(create, keys.from_seed(0)))


def finished(config: Training) -> dict[str, Any]:
    """Return the report of a run that is as far as the flags say; {} where there is none."""
    if not all((config.workdir / name).exists() for name in ("samples.npz", "samples.png", "report.json")):
        return {}
    found = workdir.read_json(config.workdir / "report.json")
    asked = {"step": config.steps, "num_samples": config.num_samples, "num_steps": config.num_steps}
    return found if {name: found.get(name) for name in asked} == asked else {}


def work(run: Run, started: float) -> None:
    """Train, draw, evaluate, in a folder that is this run's."""
    config, system, source = run.config, run.system, run.source
    folder = config.workdir
    state = train(run)
    params = sharding.to_host(state.ema)
    if int(state.step) < config.steps or not hosts.is_primary():
        return
    trained = time.monotonic()
    sampling = system.sampling(config.num_steps)
    with cli.bad_input():
        samples, labels = sample(config, system, sampling, params, folder)
    sampled = time.monotonic()
    try:
        metrics = datasets.evaluate(config, system, source)(samples, labels)
    except (ValueError, OSError) as error:  # of images that were held out, which nobody has read before
        tqdm.write(f"no metrics: {error}; experiments.evaluate computes them once that is mended")
        metrics = {}
    report = {
        "experiment": run.experiment.name,
        "step": config.steps,
        "data": image_files.about(source),
        "num_samples": config.num_samples,
        "sampler": sampling.name,
        "num_steps": config.num_steps,
        "nfe": sampling.nfe,
        "metrics": metrics,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "seconds": {
            "training": round(trained - started, 1),
            "sampling": round(sampled - trained, 1),
            "total": round(time.monotonic() - started, 1),
        },
        **workdir.environment(),
    }
    workdir.write_json(folder / "report.json", report)
    show(report, folder)


def sample(
    config: Training, system: System, sampling: Sampling, params: Params, folder: Path
) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw samples.npz and samples.png by the system's own sampler."""
    request = generate.request(system, sampling, np.arange(config.num_samples))
    generate.write(folder / "samples.npz", system, params, request)
    samples, labels = generate.read(folder / "samples.npz", system.form)
    picture = sheet(system.form, samples[: system.form.shown], request.seeds, labels, sampling.about)
    save_png(folder / "samples.png", picture)
    return samples, labels


def show(report: dict[str, Any], folder: Path) -> None:
    """Print the numbers of a report."""
    evaluator.show(report["metrics"])
    tqdm.write(f"{report['nfe']} evaluations an image, {report['seconds']['total']} s in all; see {folder}/samples.png")

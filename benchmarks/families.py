"""What every family of samplers costs on one network: python -m benchmarks.families --workdir runs/score_sde_digits

Draws the same number of digits from one run of `experiments.score_sde_digits` (VP) by predictor-corrector, ancestral,
DDIM, the adaptive probability flow and Heun's method, from the same seeds, and prints evaluations of the network,
seconds per 1,000 images without compilation, and the Frechet distance. Seconds are of one run on one machine: compare
them with each other only.
"""

from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.record import save
from benchmarks.timing import seconds
from experiments.comparison.measure import evaluations
from experiments.harness import evaluator, forms, generate, runs
from experiments.harness.samplers import predictor_corrector
from experiments.harness.system import Sampling, SDEModel, System
from jaxdiff import process, samplers
from jaxdiff.samplers import adaptive_ode
from jaxdiff.samplers.predictors import ancestral_update, predictor
from jaxdiff.types import Params


@dataclass(frozen=True)
class Config:
    """Samplers side by side on one run."""

    workdir: Path = Path("runs/score_sde_digits")
    """A VP run of experiments.score_sde_digits."""
    num_images: int = 1_000
    """Images from every sampler."""
    batch_size: int = 250
    """Images drawn at once; divides num_images."""
    long: int = 1_000
    """Steps of the chain for predictor-corrector and ancestral sampling."""
    out: Path | None = None
    """JSON file for the table."""


def rows(config: Config, system: System, model: SDEModel, snr: float) -> dict[str, Sampling]:
    """Samplers by name; 0 evaluations where they are counted on the way."""
    sde, epsilon, n = model.sde, model.epsilon, config.long
    ancestral = Sampling("ancestral", predictor(sde, ancestral_update), process.sde.grid(sde, n, epsilon), n)
    return {
        **{f"predictor-corrector, {m} steps": predictor_corrector(sde, epsilon, snr, m) for m in (n, n // 2)},
        f"ancestral, {n} steps": ancestral,
        "DDIM, 50 steps": Sampling("ddim", samplers.ddim(), process.sde.grid(sde, 50, epsilon), 50),
        "ODE, adaptive at 1e-5": Sampling("ode", adaptive_ode.adaptive(sde), process.sde.grid(sde, 2, epsilon), 0),
        "Heun, 18 steps": generate.edm_sampling(system.precond, 18),
    }


def measure(request: generate.Request, system: System, params: Params) -> tuple[float, np.ndarray]:
    """Seconds per 1,000 images, and the images."""
    batches = [slice(i, i + request.batch_size) for i in range(0, len(request.seeds), request.batch_size)]
    arguments = [(jnp.asarray(request.seeds[b], jnp.uint32), jnp.asarray(request.labels[b])) for b in batches]  # type: ignore[index]
    compiled = generate.compile_batch(system, request).lower(params, *arguments[0]).compile()
    images: list[np.ndarray] = []
    taken = sum(seconds(lambda a=a: images.append(np.asarray(compiled(params, *a)))) for a in arguments)
    return taken * 1_000 / len(request.seeds), forms.to_uint8(np.concatenate(images))


def main(config: Config) -> None:
    """Measure and print."""
    if config.num_images % config.batch_size:
        raise SystemExit(f"batch_size={config.batch_size} must divide num_images={config.num_images}")
    run_config, system = runs.of_run(config.workdir)
    if system.sde_model is None or run_config.sde != "vp":
        raise SystemExit(f"{config.workdir} is no VP run of experiments.score_sde_digits")
    params, _ = runs.averaged_params(run_config, system)
    table = []
    print(f"{'sampler':<34}{'evaluations':>12}{'s / 1,000':>12}{'Frechet':>10}{'SVM':>8}")
    for name, sampling in rows(config, system, system.sde_model, run_config.snr).items():
        request = generate.request(system, sampling, np.arange(config.num_images), config.batch_size)
        taken, images = measure(request, system, params)
        count = evaluations(system, params, sampling, config.batch_size)
        metrics = evaluator.of_digits(images, request.labels)
        row = {"sampler": name, "evaluations": count, "seconds_per_1000": round(taken, 2), **metrics}
        table.append(row)
        print(f"{name:<34}{count:>12.0f}{taken:>12.1f}{row['frechet_pixels']:>10.2f}{row['svm_accuracy']:>8.3f}")
    save(config.out, {"num_images": config.num_images, "rows": table})


if __name__ == "__main__":
    main(tyro.cli(Config, prog="benchmarks.families"))
